//! Operators who work as a user: for a while, for a reason, in plain sight, and never on what decides who may do what.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::crm_story::Office;
use super::second::Second;
use super::world::{Answer, User, World};

const REASON: &str = "Ticket 4711: the pipeline is empty";

struct Desk {
    office: Office,
    acme: String,
}

impl Desk {
    async fn new() -> Self {
        let office = Office::open().await;
        let acme = office.world.tenant_id("acme").await;
        Self { office, acme }
    }

    fn world(&self) -> &World {
        &self.office.world
    }

    fn path(&self) -> String {
        format!("/api/v1/tenants/{}/impersonations", self.acme)
    }

    async fn begin(&self, staff: &User<'_>, mailbox: &str) -> Value {
        let body = json!({ "email": format!("{mailbox}@acme.test"), "reason": REASON });
        let begun = staff.post(&self.path(), body).await;
        assert_eq!(begun.status, 201, "{}", begun.text);
        begun.json()
    }

    async fn ask(&self, begun: &Value, method: Method, path: &str, body: Value) -> Answer {
        let token = begun["access_token"].as_str().unwrap();
        self.world().request(method, "acme", path).bearer(token).json(&body).send().await
    }

    async fn get(&self, begun: &Value, path: &str) -> Answer {
        let token = begun["access_token"].as_str().unwrap();
        self.world().request(Method::GET, "acme", path).bearer(token).send().await
    }

    async fn soon_out(&self, begun: &Value) {
        let began = std::time::Instant::now();
        while self.get(begun, "/api/v1/me").await.status != 401 {
            assert!(began.elapsed() < Duration::from_secs(1), "still in");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn an_operator_works_as_a_user_in_plain_sight() {
    let desk = Desk::new().await;
    let staff = desk.world().staff().await;
    let begun = desk.begin(&staff, "sales1").await;
    assert_eq!((&begun["expires_in"], &begun["user"]["email"]), (&json!(900), &json!("sales1@acme.test")));
    assert!(begun.get("refresh_token").is_none() && begun["url"].as_str().unwrap().starts_with("http://acme."));
    let me = desk.get(&begun, "/api/v1/me").await;
    assert_eq!(me.headers["insula-impersonated-by"], "operator@insula.test");
    let operator = staff.get("/api/v1/me").await.ok();
    let expected = json!({ "id": operator["id"], "email": "operator@insula.test", "reason": REASON });
    assert_eq!(me.ok()["impersonator"], expected);
    let refused = desk.get(&begun, "/api/v1/roles").await;
    assert_eq!(refused.problem(403)["code"], "forbidden", "he may what the user may");
    assert_eq!(refused.headers["insula-impersonated-by"], "operator@insula.test");
    let made = desk
        .ask(&begun, Method::POST, "/api/v1/contacts", json!({ "first_name": "Nina", "email": "nina@forged.test" }))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let sales1 = desk.office.id("sales1").await;
    assert_eq!(made.json()["created_by"], json!(sales1));
    for viewer in ["sales1", "admin", "owner"] {
        let viewer = desk.office.user(viewer).await;
        let seen = viewer.get(&format!("/api/v1/sessions/{}", begun["session"].as_str().unwrap())).await.ok();
        assert_eq!(
            (&seen["impersonator_email"], &seen["impersonation_reason"]),
            (&json!("operator@insula.test"), &json!(REASON))
        );
        assert!(!viewer.get("/api/v1/me").await.headers.contains_key("insula-impersonated-by"));
    }
    let journal =
        "select actor || ': ' || (input ->> 'reason') from public.operations where kind = 'tenant.impersonate'";
    assert_eq!(desk.office.text(journal).await, format!("operator operator@insula.test: {REASON}"));
}

#[tokio::test]
async fn who_works_as_a_user_changes_nothing_of_who_may_do_what() {
    let desk = Desk::new().await;
    let staff = desk.world().staff().await;
    let owner = desk.office.user("owner").await;
    let key = owner.post("/api/v1/api-keys", json!({ "name": "Robot", "permissions": ["deals.view"] })).await.ok();
    let begun = desk.begin(&staff, "owner").await;
    let (sales1, role) = (
        desk.office.id("sales1").await,
        desk.office.text("select id::text from sys_role where code = 'salesperson'").await,
    );
    let session = owner.rows("/api/v1/sessions?impersonated_by=is.null").await[0]["id"].as_str().unwrap().to_owned();
    let own = made_role(&owner).await;
    let password = json!({ "old_password": insula::ops::DEMO_PASSWORD, "password": "another long one" });
    let rows = [
        (Method::POST, "/api/v1/me/password".to_owned(), password),
        (Method::POST, "/api/v1/auth/logout-all".to_owned(), json!({})),
        (Method::POST, "/api/v1/api-keys".to_owned(), json!({ "name": "x", "permissions": ["deals.view"] })),
        (Method::DELETE, format!("/api/v1/api-keys/{}", key["id"].as_str().unwrap()), json!({})),
        (Method::POST, "/api/v1/roles".to_owned(), json!({ "code": "mine", "name": "Mine" })),
        (Method::PATCH, format!("/api/v1/roles/{role}"), json!({ "name": "Seller" })),
        (Method::DELETE, format!("/api/v1/roles/{own}"), json!({})),
        (Method::PUT, format!("/api/v1/roles/{role}/grants"), json!({ "grants": ["deals.view"] })),
        (Method::POST, format!("/api/v1/users/{sales1}/actions/set_roles"), json!({ "roles": ["owner"] })),
        (Method::POST, format!("/api/v1/users/{sales1}/actions/deactivate"), json!({})),
        (Method::POST, format!("/api/v1/users/{sales1}/actions/transfer-ownership"), json!({})),
        (Method::POST, format!("/api/v1/sessions/{session}/actions/revoke"), json!({})),
    ];
    for (method, path, body) in rows {
        let answer = desk.ask(&begun, method.clone(), &path, body.clone()).await;
        assert_eq!(answer.problem(403)["code"], "not_while_impersonating", "{method} {path}");
        if path.contains("/actions/") {
            let batch = json!({ "requests": [{ "method": "POST", "path": path, "body": body }] });
            let answer = desk.ask(&begun, Method::POST, "/api/v1/batch", batch).await;
            assert_eq!(answer.problem(403)["code"], "not_while_impersonating", "in a batch: {path}");
        }
    }
    let reactivate = format!("/api/v1/users/{sales1}/actions/reactivate");
    owner.post(&format!("/api/v1/users/{sales1}/actions/deactivate"), json!({})).await.ok();
    let answer = desk.ask(&begun, Method::POST, &reactivate, json!({})).await;
    assert_eq!(answer.problem(403)["code"], "not_while_impersonating");
    desk.get(&begun, "/api/v1/users").await.ok();
    desk.world().app.refusals.flush().await;
    let operator = staff.get("/api/v1/me").await.ok()["id"].clone();
    let refused = owner.rows("/api/v1/audit-events?action=eq.refused").await;
    assert!(refused.len() > 10 && refused.iter().all(|entry| entry["impersonator"] == operator), "{refused:#?}");
}

async fn made_role(owner: &User<'_>) -> String {
    let made = owner.post("/api/v1/roles", json!({ "code": "own", "name": "Own" })).await.ok();
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn it_ends_with_the_operators_own_session_or_by_anybodys_word() {
    let desk = Desk::new().await;
    let staff = desk.world().staff().await;
    let form =
        json!({ "email": "ann@insula.test", "name": "Ann", "role": "support", "password": "seven green bottles" });
    let ann = staff.post("/api/v1/operators", form).await.ok();
    desk.world().demo_password("ann").await;
    let path = format!("/api/v1/operators/{}", ann["id"].as_str().unwrap());
    let as_ann = async || desk.world().colleague("ann").await;

    let user = as_ann().await;
    let begun = desk.begin(&user, "sales1").await;
    desk.get(&begun, "/api/v1/me").await.ok();
    assert_eq!(user.post("/api/v1/auth/logout", json!({})).await.status, 204);
    desk.soon_out(&begun).await;
    let app = &desk.world().app;
    assert_eq!(app.authenticator.settle_impersonations(&app.tenants).await.unwrap(), 1);
    assert_eq!(app.authenticator.settle_impersonations(&app.tenants).await.unwrap(), 0);
    let over = "select (revoked_at is not null)::text from sys_session where impersonated_by is not null";
    assert_eq!(desk.office.text(over).await, "true", "the account's list says so too");

    for change in [json!({ "state": "disabled" }), json!({ "state": "active", "role": "read_only" })] {
        staff.patch(&path, json!({ "state": "active", "role": "support" })).await.ok();
        let begun = desk.begin(&as_ann().await, "sales1").await;
        desk.get(&begun, "/api/v1/me").await.ok();
        staff.patch(&path, change).await.ok();
        desk.soon_out(&begun).await;
    }

    let session = |begun: &Value| begun["session"].as_str().unwrap().to_owned();
    let begun = desk.begin(&staff, "sales1").await;
    let end = format!("{}/{}", desk.path(), session(&begun));
    assert_eq!(staff.delete(&end).await.status, 204);
    assert_eq!(desk.get(&begun, "/api/v1/me").await.status, 401);
    assert_eq!(staff.delete(&end).await.status, 204);

    let begun = desk.begin(&staff, "sales1").await;
    let revoke = format!("/api/v1/sessions/{}/actions/revoke", session(&begun));
    desk.office.user("admin").await.post(&revoke, json!({})).await.ok();
    desk.soon_out(&begun).await;

    let begun = desk.begin(&staff, "sales1").await;
    assert_eq!(desk.ask(&begun, Method::POST, "/api/v1/auth/logout", json!({})).await.status, 204);
    assert_eq!(desk.get(&begun, "/api/v1/me").await.status, 401);
    assert_eq!(desk.office.user("sales1").await.get("/api/v1/me").await.status, 200, "the user himself goes on");

    let own = desk
        .office
        .text("select id::text from sys_session where impersonated_by is null and revoked_at is null limit 1")
        .await;
    let strange = staff.delete(&format!("{}/{own}", desk.path())).await;
    assert_eq!(strange.problem(404)["code"], "not_found", "a user's own session is not the operator's to end");
}

#[tokio::test]
async fn whoever_leaves_is_out_in_the_other_process_too() {
    let desk = Desk::new().await;
    let second = Second::over(desk.world()).await;
    let there = async |token: &str| {
        let url = format!("http://127.0.0.1:{}/api/v1/me", second.port);
        let request = second.http.get(url).header("host", "acme.insula.test").bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    let (staff, manager) = (desk.world().staff().await, desk.office.user("manager").await);
    let begun = desk.begin(&staff, "sales1").await;
    let key = manager.post("/api/v1/api-keys", json!({ "name": "Robot", "permissions": ["deals.view"] })).await.ok();
    let (operator, robot) = (begun["access_token"].as_str().unwrap(), key["key"].as_str().unwrap());
    assert_eq!((there(operator).await, there(robot).await), (200, 200), "both are known there now");
    assert_eq!(staff.post("/api/v1/auth/logout", json!({})).await.status, 204);
    assert_eq!(manager.delete(&format!("/api/v1/api-keys/{}", key["id"].as_str().unwrap())).await.status, 204);
    let began = std::time::Instant::now();
    while (there(operator).await, there(robot).await) != (401, 401) {
        assert!(began.elapsed() < Duration::from_secs(1), "still in");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn it_needs_a_reason_a_user_and_an_account_in_service() {
    let desk = Desk::new().await;
    let staff = desk.world().staff().await;
    let (path, sales1) = (desk.path(), desk.office.id("sales1").await);
    let with = |name: &str, value: Value| {
        let mut body = json!({ "user_id": sales1, "reason": REASON });
        body[name] = value;
        body
    };
    for body in [
        with("reason", json!("short")),
        with("reason", json!(" ".repeat(20))),
        with("reason", json!("x".repeat(501))),
        with("minutes", json!(0)),
        with("minutes", json!(31)),
        with("minutes", json!(300)),
        with("email", json!("sales1@acme.test")),
        with("user_id", json!(null)),
        with("user_id", json!(uuid::Uuid::now_v7())),
        with("role", json!("owner")),
        json!({ "user_id": sales1 }),
        json!({ "email": "nobody@acme.test", "reason": REASON }),
    ] {
        assert_eq!(staff.post(&path, body.clone()).await.problem(422)["code"], "validation_failed", "{body}");
    }
    let longest = staff.post(&path, with("minutes", json!(30))).await.ok();
    assert_eq!(longest["expires_in"], 1800);
    let life = "select extract(epoch from expires_at - created_at)::int::text from sys_session where impersonated_by is not null";
    assert_eq!(desk.office.text(life).await, "1800");
    let longer =
        "update sys_session set expires_at = expires_at + interval '1 minute' where impersonated_by is not null";
    assert!(desk.office.db.batch_execute(longer).await.is_err());
    desk.office
        .db
        .batch_execute("update sys_user set state = 'disabled' where email = 'sales1@acme.test'")
        .await
        .unwrap();
    assert_eq!(staff.post(&path, with("minutes", json!(5))).await.status, 422);
    desk.office.db.batch_execute("update sys_user set state = 'active'").await.unwrap();
    let suspend = format!("/api/v1/tenants/{}/actions/suspend", desk.acme);
    staff.post(&suspend, json!({ "reason": "The invoice is unpaid." })).await.ok();
    assert_eq!(staff.post(&path, with("minutes", json!(5))).await.problem(403)["code"], "tenant_suspended");
    let nowhere = format!("/api/v1/tenants/{}/impersonations", uuid::Uuid::now_v7());
    assert_eq!(staff.post(&nowhere, with("minutes", json!(5))).await.problem(404)["code"], "tenant_not_found");
}
