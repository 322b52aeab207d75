//! Business facts: where one works one sees them, nobody changes them, and reports count them.

use insta::assert_snapshot;
use serde_json::json;
use uuid::Uuid;

use super::crm_story::{Office, made, refusals};

#[tokio::test]
async fn facts_are_seen_where_one_works_and_never_change() {
    let office = Office::open().await;
    let (admin, manager) = (office.user("admin").await, office.user("manager").await);
    let mut places = Vec::new();
    for (code, name) in [("DEL", "Delhi"), ("MUM", "Mumbai")] {
        places
            .push(made(admin.post("/api/v1/locations", json!({ "code": code, "name": name, "kind": "store" })).await));
    }
    for (event, id, on, place, amount) in [
        ("sales.invoice.posted", 1, "2026-05-03", 0, "1180.50"),
        ("sales.invoice.posted", 2, "2026-05-31", 0, "500"),
        ("sales.credit_note.posted", 3, "2026-05-09", 0, "80.25"),
        ("payment.in.posted", 4, "2026-06-01", 0, "1000"),
        ("finance.expense.posted", 5, "2026-05-03", 1, "42"),
        ("oms.shipment.shipped", 6, "2026-05-04", 1, "0"),
    ] {
        let (id, place) = (Uuid::from_u128(id), &places[place]);
        let emit = format!("select sys_emit('{event}', 'document', '{id}', '{on}', '{place}', null, {amount}, 'INR')");
        office.db.batch_execute(&emit).await.unwrap();
        let again = office.db.batch_execute(&emit).await.unwrap_err();
        assert_eq!(again.code().unwrap().code(), "23505", "a fact is recorded once");
    }
    // Nobody works anywhere yet: only locations.all sees facts.
    let all = admin.rows("/api/v1/events").await.len().to_string();
    assert_eq!(all, office.text("select count(*)::text from sys_event").await);
    assert!(manager.rows("/api/v1/events").await.is_empty());
    assert!(manager.rows("/api/v1/reports/location_performance").await.is_empty());
    let here = json!({ "user_id": office.id("manager").await, "location_id": places[0], "is_default": true });
    made(admin.post("/api/v1/user_locations", here.clone()).await);
    let said = refusals(
        &admin,
        &[
            ("POST", "user_locations", here.clone()),
            (
                "POST",
                "user_locations",
                json!({ "user_id": here["user_id"], "location_id": places[1], "is_default": true }),
            ),
        ],
    )
    .await;
    assert_snapshot!(said, @r"
    409 conflict: user_id, location_id is already assigned to this user.
      #/user_id already_used: is already assigned to this user
      #/location_id already_used: is already assigned to this user
    409 conflict: user_id already has a default location.
      #/user_id already_used: already has a default location
    ");
    let seen = manager.rows("/api/v1/events?order=seq").await;
    assert_eq!(seen.iter().map(|fact| &fact["amount"]).collect::<Vec<_>>(), ["1180.50", "500.00", "80.25", "1000.00"]);
    let mut lines: Vec<String> = Vec::new();
    for row in manager.rows("/api/v1/reports/location_performance?order=month").await {
        lines.push(
            row.as_object()
                .unwrap()
                .values()
                .skip(1)
                .map(|cell| cell.to_string().replace('"', ""))
                .collect::<Vec<_>>()
                .join(" "),
        );
    }
    assert_snapshot!(lines.join("\n"), @r"
    DEL Delhi 2026-05-01 INR 2 1600.25 0 0 0 0
    DEL Delhi 2026-06-01 INR 0 0 0 1000.00 0 0
    ");
    assert_eq!(admin.rows("/api/v1/reports/location_performance").await.len(), 3);
    for sql in ["update sys_event set amount = 0", "delete from sys_event", "truncate sys_event"] {
        let refusal = office.db.batch_execute(sql).await.unwrap_err();
        assert_eq!(refusal.as_db_error().unwrap().detail(), Some("append_only"), "{sql}");
    }
}

#[tokio::test]
async fn what_is_a_history_is_never_changed_whoever_writes() {
    let office = Office::open().await;
    let more = "insert into tenant_greenwood.sch_attendance_change (attendance_id, old_status, new_status, reason)
          select id, 'absent', 'late', 'The bus' from tenant_greenwood.sch_attendance limit 1;
        insert into tenant_greenwood.sch_mark_revision (mark_id, new_score, reason)
          select id, 1, 'Added up wrongly' from tenant_greenwood.sch_mark limit 1;";
    office.db.batch_execute(more).await.unwrap();
    for (tenant, histories) in [
        ("acme", "sys_event crm_deal_stage_log"),
        ("testcompany", "oms_stock_move"),
        ("multistore", "com_allocation"),
        ("greenwood", "sch_attendance_change sch_fee_alloc sch_fee_waiver sch_mark_revision"),
    ] {
        office.db.batch_execute(&format!("set search_path = tenant_{tenant}, insula")).await.unwrap();
        for history in histories.split(' ') {
            assert_ne!(office.text(&format!("select count(*)::text from {history}")).await, "0", "{history}");
            for change in ["update X set created_at = now()", "delete from X", "truncate X"] {
                let refusal = office.db.batch_execute(&change.replace('X', history)).await.unwrap_err();
                assert_eq!(refusal.as_db_error().unwrap().detail(), Some("append_only"), "{change} {history}");
            }
        }
    }
}
