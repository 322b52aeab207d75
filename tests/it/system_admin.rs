//! The pack that all others stand on: places, settings, numbers, days off, reporting lines, approvals, people and facts.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use serde_json::{Value, json};
use uuid::Uuid;

use super::crm_story::{Office, keys, made, refusals};

/// Runs SQL as the owner of the tables on behalf of a user, as an action of a pack would; gives its one value as text.
async fn act_as(office: &Office, mailbox: &str, sql: &str) -> String {
    let user = office.id(mailbox).await;
    let begin =
        format!("begin; set local role it_b1_owner; set local app.user_id = '{user}'; set local app.action = 'test'");
    office.db.batch_execute(&begin).await.unwrap();
    let value = office.text(&format!("select ({sql})::text")).await;
    office.db.batch_execute("commit").await.unwrap();
    value
}

#[tokio::test]
async fn places_of_work_form_a_tree_of_valid_locations() {
    let office = Office::open().await;
    let (admin, manager) = (office.user("admin").await, office.user("manager").await);
    let store =
        json!({ "code": "BLR1", "name": "Bengaluru", "kind": "store", "state_code": "29", "gstin": "29ABCDE1234F1Z5" });
    let store = made(admin.post("/api/v1/locations", store).await);
    let room = json!({ "code": "BLR1-A", "name": "Back room", "kind": "warehouse", "parent_id": store, "address": { "floor": 1 } });
    let room = made(admin.post("/api/v1/locations", room).await);
    let (store_path, room_path) = (format!("locations/{store}"), format!("locations/{room}"));
    let deactivate = format!("{store_path}/actions/deactivate");
    let said = refusals(
        &admin,
        &[
            ("POST", "locations", json!({ "code": "BLR1", "name": "Twin", "kind": "store" })),
            ("POST", "locations", json!({ "code": "too-long", "name": "Twin", "kind": "market" })),
            ("PATCH", &store_path, json!({ "state_code": "27" })),
            ("PATCH", &store_path, json!({ "timezone": "Asia/Bangalor" })),
            ("PATCH", &store_path, json!({ "timezone": "UTC+3" })),
            ("PATCH", &store_path, json!({ "timezone": "Foo/Bar5" })),
            ("PATCH", &store_path, json!({ "address": ["no", "object"] })),
            ("PATCH", &store_path, json!({ "parent_id": room })),
            ("PATCH", &store_path, json!({ "parent_id": store })),
            ("PATCH", &store_path, json!({ "active": false })),
            ("POST", &deactivate, json!({})),
            ("DELETE", &store_path, json!({})),
        ],
    )
    .await;
    assert_snapshot!(said, @r"
    409 conflict: code is already used by another location.
      #/code already_used: is already used by another location
    422 validation_failed: 1 field needs attention.
      #/code invalid_value: must have 1 to 6 capital letters, digits or hyphens
    422 validation_failed: 2 fields need attention.
      #/gstin invalid_value: must begin with the state code of the location
      #/state_code invalid_value: must begin with the state code of the location
    422 validation_failed: 1 field needs attention.
      #/timezone timezone: must be a time zone such as Asia/Kolkata
    422 validation_failed: 1 field needs attention.
      #/timezone timezone: must be a time zone such as Asia/Kolkata
    422 validation_failed: 1 field needs attention.
      #/timezone timezone: must be a time zone such as Asia/Kolkata
    422 validation_failed: 1 field needs attention.
      #/address invalid_value: must be an object
    422 validation_failed: 1 field needs attention.
      #/parent_id location_cycle: would make the location part of itself
    422 validation_failed: 1 field needs attention.
      #/parent_id location_cycle: would make the location part of itself
    422 validation_failed: 1 field needs attention.
      #/active read_only: cannot be set
    409 has_active_children: Locations under this one are still active.
    409 conflict: This record still has locations under it.
    ");
    let act = async |path: &str, name: &str| admin.post(&format!("/api/v1/{path}/actions/{name}"), json!({})).await;
    assert_eq!(act(&room_path, "deactivate").await.ok()["active"], false);
    assert_eq!(act(&store_path, "deactivate").await.ok()["active"], false);
    assert_eq!(act(&store_path, "deactivate").await.problem(409)["code"], "inactive");
    assert_eq!(act(&room_path, "activate").await.problem(409)["code"], "parent_inactive");
    assert_eq!(act(&store_path, "activate").await.ok()["active"], true);
    assert_eq!(act(&room_path, "activate").await.ok()["active"], true);
    // A manager looks, and does not change; a salesperson has no business here.
    assert_eq!(manager.get(&format!("/api/v1/{room_path}")).await.ok()["address"], json!({ "floor": 1 }));
    manager.patch(&format!("/api/v1/{room_path}"), json!({ "name": "Mine" })).await.problem(403);
    manager.post(&format!("/api/v1/{room_path}/actions/deactivate"), json!({})).await.problem(403);
    office.user("sales1").await.get("/api/v1/locations").await.problem(403);
}

#[tokio::test]
async fn settings_hold_checked_values() {
    let office = Office::open().await;
    let (admin, manager) = (office.user("admin").await, office.user("manager").await);
    let created =
        admin.post("/api/v1/settings", json!({ "key": "invoice.footer", "value": { "text": ["a", null, 1.5] } })).await;
    assert_eq!(created.headers["location"], "/api/v1/settings/invoice.footer");
    assert_eq!(manager.get("/api/v1/settings/invoice.footer").await.ok()["value"], json!({ "text": ["a", null, 1.5] }));
    assert_eq!(admin.patch("/api/v1/settings/currency", json!({ "value": "USD" })).await.ok()["row_version"], 2);
    let said = refusals(
        &admin,
        &[
            ("POST", "settings", json!({ "key": "currency", "value": "INR" })),
            ("POST", "settings", json!({ "key": "Not a key", "value": 1 })),
            ("POST", "settings", json!({ "key": "empty" })),
            ("PATCH", "settings/currency", json!({ "value": "KWD" })),
            ("PATCH", "settings/fy_start_month", json!({ "value": 13 })),
            ("PATCH", "settings/fy_start_month", json!({ "value": 4.0 })),
            ("PATCH", "settings/fy_start_month", json!({ "value": null })),
            ("PATCH", "settings/unknown", json!({ "value": 1 })),
        ],
    )
    .await;
    assert_snapshot!(said, @r"
    409 conflict: key is already set.
      #/key already_used: is already set
    422 validation_failed: 1 field needs attention.
      #/key invalid_value: must begin with a small letter and hold only small letters, digits, dots and _
    422 validation_failed: 1 field needs attention.
      #/value required: is required
    422 validation_failed: 2 fields need attention.
      #/key invalid_value: must be a currency code of three letters with at most two decimals
      #/value invalid_value: must be a currency code of three letters with at most two decimals
    422 validation_failed: 2 fields need attention.
      #/key invalid_value: must be a month from 1 to 12
      #/value invalid_value: must be a month from 1 to 12
    422 validation_failed: 2 fields need attention.
      #/key invalid_value: must be a month from 1 to 12
      #/value invalid_value: must be a month from 1 to 12
    422 validation_failed: 1 field needs attention.
      #/value required: must not be null
    404 not_found: There is nothing here under this address.
    ");
    manager.patch("/api/v1/settings/currency", json!({ "value": "EUR" })).await.problem(403);
    assert_eq!(admin.delete("/api/v1/settings/invoice.footer").await.status, 204);
    admin.get("/api/v1/settings/invoice.footer").await.problem(404);
}

#[tokio::test]
async fn numbers_follow_their_series_without_gaps() {
    let office = Office::open().await;
    let admin = office.user("admin").await;
    let shop = json!({ "code": "PUN", "name": "Pune", "kind": "store" });
    let shop = made(admin.post("/api/v1/locations", shop).await);
    let general = json!({ "code": "sales.invoice", "pattern": "{LOC}/{FY}/{SEQ}", "width": 4 });
    let general = made(admin.post("/api/v1/number_series", general.clone()).await);
    let number = async |on: &str| {
        let sql = format!("sys_next_number('sales.invoice', '{on}', '{shop}')");
        act_as(&office, "admin", &sql).await
    };
    // The old year goes on counting where it was.
    let days = ["2026-03-31", "2026-04-01", "2026-03-31", "2027-03-31"];
    let mut numbers = Vec::new();
    for day in days {
        numbers.push(number(day).await);
    }
    assert_eq!(numbers, ["PUN/2526/0001", "PUN/2627/0001", "PUN/2526/0002", "PUN/2627/0002"]);
    // A posting that is rolled back gives its number back.
    office.db.batch_execute("begin; select sys_next_number('sales.invoice', '2026-03-31'); rollback").await.unwrap();
    assert_eq!(number("2026-03-30").await, "PUN/2526/0003");
    let counters = admin.rows("/api/v1/number_series?code=eq.sales.invoice&order=period_key").await;
    let counted: Vec<_> =
        counters.iter().map(|row| (row["period_key"].as_str().unwrap(), &row["last_value"])).collect();
    assert_eq!(counted, [("*", &json!(0)), ("2025-26", &json!(3)), ("2026-27", &json!(2))]);

    let counter = format!("number_series/{}", counters[1]["id"].as_str().unwrap());
    let series = format!("number_series/{general}");
    let said = refusals(
        &admin,
        &[
            ("POST", "number_series", json!({ "code": "sales.invoice", "pattern": "{SEQ}" })),
            (
                "POST",
                "number_series",
                json!({ "code": "x", "pattern": "{SEQ}", "period_key": "2026-27", "last_value": 7 }),
            ),
            ("PATCH", &series, json!({ "pattern": "INV" })),
            ("PATCH", &series, json!({ "width": 11, "reset": "daily" })),
            ("PATCH", &counter, json!({ "last_value": 0 })),
            ("PATCH", &counter, json!({ "code": "other" })),
            ("DELETE", &counter, json!({})),
        ],
    )
    .await;
    assert_snapshot!(said, @r"
    409 conflict: code, location_id, period_key is already used by another series of this location.
      #/code already_used: is already used by another series of this location
      #/location_id already_used: is already used by another series of this location
      #/period_key already_used: is already used by another series of this location
    422 validation_failed: 2 fields need attention.
      #/period_key read_only: cannot be set
      #/last_value read_only: cannot be set
    422 validation_failed: 1 field needs attention.
      #/pattern invalid_value: must contain {SEQ} and have at most 60 characters
    422 validation_failed: 1 field needs attention.
      #/reset invalid_value: must be fy, cy or never
    422 validation_failed: 1 field needs attention.
      #/last_value read_only: cannot be set
    409 in_use: A counter that has given numbers cannot be renamed.
    409 in_use: A counter that has given numbers cannot be deleted.
    ");
    admin.patch(&format!("/api/v1/{series}"), json!({ "pattern": "VERY-LONG-PREFIX/{SEQ}" })).await.ok();
    let refused = office.db.query("select sys_next_number('sales.invoice', '2030-01-01')", &[]).await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().detail(), Some("number_too_long"));
}

#[tokio::test]
async fn a_day_off_is_off_everywhere_or_at_one_location_once() {
    let office = Office::open().await;
    let (admin, manager) = (office.user("admin").await, office.user("manager").await);
    let campus = json!({ "code": "CAMP", "name": "Campus", "kind": "campus" });
    let campus = made(admin.post("/api/v1/locations", campus).await);
    let everywhere = json!({ "on_date": "2026-08-15", "name": "Independence Day" });
    let there = json!({ "on_date": "2026-08-15", "name": "Founders' day", "location_id": campus });
    for day in [&everywhere, &there] {
        made(admin.post("/api/v1/holidays", day.clone()).await);
    }
    assert_eq!(manager.rows("/api/v1/holidays?on_date=eq.2026-08-15&location_id=is.null").await.len(), 1);
    let said = refusals(
        &admin,
        &[
            ("POST", "holidays", everywhere),
            ("POST", "holidays", there),
            ("POST", "holidays", json!({ "on_date": "2026-02-30", "name": "" })),
            ("POST", "holidays", json!({ "on_date": "2026-02-28", "name": "X", "location_id": Uuid::nil() })),
            ("DELETE", &format!("locations/{campus}"), json!({})),
        ],
    )
    .await;
    assert_snapshot!(said, @r"
    409 conflict: on_date, location_id is already a holiday there.
      #/on_date already_used: is already a holiday there
      #/location_id already_used: is already a holiday there
    409 conflict: on_date, location_id is already a holiday there.
      #/on_date already_used: is already a holiday there
      #/location_id already_used: is already a holiday there
    422 validation_failed: 1 field needs attention.
      #/on_date invalid_format: must be a date such as 2026-07-16
    409 conflict: location_id does not name an existing location.
      #/location_id unknown_reference: does not name an existing location
    409 conflict: This record is still used by holidays.
    ");
}

#[tokio::test]
async fn a_reporting_line_never_closes_a_loop() {
    let office = Office::open().await;
    let admin = office.user("admin").await;
    let ids =
        [office.id("manager").await, office.id("sales1").await, office.id("sales2").await, office.id("owner").await];
    let [manager, sales1, sales2, owner] = &ids;
    let made = admin.post("/api/v1/reporting_lines", json!({ "user_id": manager, "manager_id": owner })).await;
    assert_eq!(made.headers["location"], format!("/api/v1/reporting_lines/{manager}"));
    admin.patch(&format!("/api/v1/reporting_lines/{sales2}"), json!({ "manager_id": sales1 })).await.ok();
    let said = refusals(
        &admin,
        &[
            ("POST", "reporting_lines", json!({ "user_id": owner, "manager_id": sales2 })),
            ("PATCH", &format!("reporting_lines/{manager}"), json!({ "manager_id": sales2 })),
            ("PATCH", &format!("reporting_lines/{manager}"), json!({ "manager_id": manager })),
            ("POST", "reporting_lines", json!({ "user_id": sales1, "manager_id": owner })),
            ("POST", "reporting_lines", json!({ "user_id": Uuid::nil(), "manager_id": owner })),
            ("POST", "reporting_lines", json!({ "user_id": owner, "manager_id": Uuid::nil() })),
        ],
    )
    .await;
    assert_snapshot!(said, @r"
    422 validation_failed: 1 field needs attention.
      #/manager_id org_cycle: would make the reporting lines a loop
    422 validation_failed: 1 field needs attention.
      #/manager_id org_cycle: would make the reporting lines a loop
    422 validation_failed: 1 field needs attention.
      #/manager_id org_cycle: would make the reporting lines a loop
    409 conflict: user_id already has a manager.
      #/user_id already_used: already has a manager
    409 conflict: user_id does not name an existing user.
      #/user_id unknown_reference: does not name an existing user
    409 conflict: manager_id does not name an existing user.
      #/manager_id unknown_reference: does not name an existing user
    ");
    // Two changes at once, each harmless alone: one of them must lose.
    for user in [sales1, sales2] {
        assert_eq!(admin.delete(&format!("/api/v1/reporting_lines/{user}")).await.status, 204);
    }
    let line = |user: &str, manager: &str| {
        admin.post("/api/v1/reporting_lines", json!({ "user_id": user, "manager_id": manager }))
    };
    let (a, b) = tokio::join!(line(sales1, sales2), line(sales2, sales1));
    let statuses = BTreeSet::from([a.status.as_u16(), b.status.as_u16()]);
    assert_eq!(statuses, BTreeSet::from([201, 422]));
    for mailbox in ["manager", "sales1"] {
        office.user(mailbox).await.get("/api/v1/reporting_lines").await.problem(403);
    }
}

#[tokio::test]
async fn people_and_roles_are_looked_at_and_not_written() {
    let office = Office::open().await;
    let (admin, manager) = (office.user("admin").await, office.user("manager").await);
    let users = admin.rows("/api/v1/users").await;
    assert_eq!(keys(&users), office.texts("select id::text from sys_user").await);
    let columns: Vec<_> = users[0].as_object().unwrap().keys().collect();
    assert_eq!(
        columns,
        [
            "id",
            "email",
            "first_name",
            "last_name",
            "state",
            "last_login_at",
            "created_at",
            "created_by",
            "updated_at",
            "row_version"
        ]
    );
    let roles: BTreeSet<_> = admin.rows("/api/v1/roles").await.iter().map(|role| role["code"].to_string()).collect();
    assert_eq!(roles, BTreeSet::from(["\"admin\"", "\"manager\"", "\"owner\"", "\"salesperson\""].map(String::from)));
    let role = office.text("select id::text from sys_role where code = 'owner'").await;
    let grants = admin.rows(&format!("/api/v1/role_grants?role_id=eq.{role}")).await;
    assert_eq!(grants.iter().map(|grant| &grant["permission"]).collect::<Vec<_>>(), ["*"]);
    let mine =
        admin.rows(&format!("/api/v1/sessions?user_id=eq.{}&order=created_at.desc", office.id("admin").await)).await;
    assert_eq!((&mine[0]["address"], &mine[0]["revoked_at"]), (&json!("127.0.0.1"), &Value::Null));
    for resource in ["role_grants", "sessions", "events", "approvals"] {
        let path = format!("/api/v1/{resource}");
        let row = format!("{path}/{}", Uuid::now_v7());
        let owner = office.user("owner").await;
        for answer in [owner.post(&path, json!({})).await, owner.patch(&row, json!({})).await, owner.delete(&row).await]
        {
            assert_eq!(answer.problem(405)["code"], "method_not_allowed", "{resource}");
        }
        let for_all = ["events", "approvals", "sessions"].contains(&resource);
        assert!(for_all || manager.get(&path).await.status == 403, "{resource}");
    }
}
