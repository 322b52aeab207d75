//! The rules of deals: stages and what they ask for, winning and losing, the log, handing over.

use std::time::{Duration, Instant};

use insta::assert_json_snapshot;
use serde_json::{Value, json};

use super::crm_story::{Office, made};
use super::world::User;

/// A contact with an organization, and a deal in the first stage that has only the organization.
async fn young_deal(user: &User<'_>) -> (String, String) {
    let organization = made(user.post("/api/v1/organizations", json!({ "name": "Quarry" })).await);
    let contact = json!({ "first_name": "Quentin", "email": "q@quarry.example", "organization_id": organization });
    let contact = made(user.post("/api/v1/contacts", contact).await);
    let deal = json!({ "title": "Gravel", "organization_id": organization });
    (made(user.post("/api/v1/deals", deal).await), contact)
}

/// A deal with everything that a stage may ask for.
async fn ripe_deal(user: &User<'_>) -> String {
    let (deal, contact) = young_deal(user).await;
    let ripe = json!({ "contact_id": contact, "amount": "5000", "expected_close": "2030-01-31" });
    user.patch(&format!("/api/v1/deals/{deal}"), ripe).await.ok();
    deal
}

async fn go(office: &Office, user: &User<'_>, deal: &str, stage: &str) -> super::world::Answer {
    let input = json!({ "stage_id": office.stage(stage).await });
    user.post(&format!("/api/v1/deals/{deal}/actions/move"), input).await
}

/// Code and pointers of a refused write.
#[track_caller]
fn faults(problem: &Value) -> Vec<(&str, &str)> {
    let errors = problem["errors"].as_array().unwrap();
    errors.iter().map(|fault| (fault["code"].as_str().unwrap(), fault["pointer"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_deal_goes_from_new_to_won_and_each_stage_asks_for_its_fields() {
    let office = Office::open().await;
    let sales1 = office.user("sales1").await;
    let (deal, contact) = young_deal(&sales1).await;
    let path = format!("/api/v1/deals/{deal}");
    for (stage, asks, given, probability) in [
        ("Qualified", "contact_id", json!({ "contact_id": contact }), "25.00"),
        ("Proposal", "amount", json!({ "amount": "1234567.80" }), "50.00"),
        ("Negotiation", "expected_close", json!({ "expected_close": "2030-01-31" }), "75.00"),
    ] {
        let problem = go(&office, &sales1, &deal, stage).await.problem(422);
        assert_eq!(faults(&problem), [("stage_requires", format!("#/{asks}").as_str())], "{stage}");
        sales1.patch(&path, given).await.ok();
        let row = go(&office, &sales1, &deal, stage).await.ok();
        assert_eq!((&row["probability"], &row["closed_at"]), (&json!(probability), &Value::Null), "{stage}");
        assert_eq!(row["stage_id"], office.stage(stage).await);
    }
    // What the stage asked for stays.
    let problem = sales1.patch(&path, json!({ "amount": null })).await.problem(422);
    assert_eq!(faults(&problem), [("stage_requires", "#/amount")]);
    let won = go(&office, &sales1, &deal, "Won").await.ok();
    assert_eq!(won["probability"], "100.00");
    assert_eq!(won["closed_at"], won["stage_entered_at"]);

    // The log tells the whole way, the first entry without a past.
    let log = sales1.rows(&format!("/api/v1/deal_stage_log?deal_id=eq.{deal}&order=created_at")).await;
    let mut way = vec![Value::Null];
    for name in ["New", "Qualified", "Proposal", "Negotiation", "Won"] {
        way.push(json!(office.stage(name).await));
    }
    let steps: Vec<_> = log.iter().map(|step| (&step["from_stage"], &step["to_stage"])).collect();
    assert_eq!(steps, way.iter().zip(&way[1..]).collect::<Vec<_>>());
    let amounts: Vec<_> = log.iter().map(|step| step["amount"].as_str()).collect();
    assert_eq!(amounts, [None, None, Some("1234567.80"), Some("1234567.80"), Some("1234567.80")]);
    let seconds: Vec<_> = log.iter().map(|step| step["seconds_in_previous"].is_u64()).collect();
    assert_eq!(seconds, [false, true, true, true, true]);
    assert!(log.iter().all(|step| step["created_by"] == won["owner_id"]));
}

#[tokio::test]
async fn a_deal_is_won_once_however_often_it_is_reopened() {
    let office = Office::open().await;
    let (sales1, owner) = (office.user("sales1").await, office.user("owner").await);
    let deal = ripe_deal(&sales1).await;
    let events = format!("/api/v1/events?source_id=eq.{deal}");
    assert_eq!(owner.rows(&events).await, Vec::<Value>::new());
    go(&office, &sales1, &deal, "Won").await.ok();
    let reopened = go(&office, &sales1, &deal, "Negotiation").await.ok();
    assert_eq!((&reopened["closed_at"], &reopened["probability"]), (&Value::Null, &json!("75.00")));
    sales1.patch(&format!("/api/v1/deals/{deal}"), json!({ "amount": "9000.5", "currency": "EUR" })).await.ok();
    let again = go(&office, &sales1, &deal, "Won").await.ok();
    assert_eq!((&again["probability"], &again["amount"]), (&json!("100.00"), &json!("9000.50")));

    let found = owner.rows(&events).await;
    assert_eq!(found.len(), 1);
    let mut event = found[0].clone();
    for column in ["seq", "source_id", "occurred_on", "created_at", "created_by"] {
        event.as_object_mut().unwrap().shift_remove(column).unwrap();
    }
    assert_json_snapshot!(event, @r#"
    {
      "event": "crm.deal.won",
      "source_type": "crm_deal",
      "location_id": null,
      "party_id": null,
      "amount": "5000.00",
      "currency": "INR",
      "lines": []
    }
    "#);
    assert_eq!(found[0]["occurred_on"], office.text("select (now() at time zone 'Asia/Kolkata')::date::text").await);
    sales1.get(&events).await.problem(403);
    let log = sales1.rows(&format!("/api/v1/deal_stage_log?deal_id=eq.{deal}")).await;
    assert_eq!(log.len(), 4, "New, Won, Negotiation, Won");
}

#[tokio::test]
async fn a_lost_deal_has_a_reason_and_only_a_lost_one() {
    let office = Office::open().await;
    let (sales1, admin) = (office.user("sales1").await, office.user("admin").await);
    let deal = ripe_deal(&sales1).await;
    let (path, lost) = (format!("/api/v1/deals/{deal}"), office.stage("Lost").await);
    let reason = made(admin.post("/api/v1/lost_reasons", json!({ "name": "Flood" })).await);
    let refused = [("lost_reason", "#/lost_reason_id")];
    assert_eq!(faults(&go(&office, &sales1, &deal, "Lost").await.problem(422)), refused);
    let input = json!({ "stage_id": lost, "lost_reason_id": reason, "lost_note": "The river" });
    admin.patch(&format!("/api/v1/lost_reasons/{reason}"), json!({ "active": false })).await.ok();
    let act = format!("{path}/actions/move");
    assert_eq!(faults(&sales1.post(&act, input.clone()).await.problem(422)), refused, "the reason is out of use");
    admin.patch(&format!("/api/v1/lost_reasons/{reason}"), json!({ "active": true })).await.ok();

    let row = sales1.post(&act, input).await.ok();
    assert_eq!((&row["probability"], &row["lost_note"]), (&json!("0.00"), &json!("The river")));
    assert!(row["closed_at"].is_string());
    assert_eq!(faults(&sales1.patch(&path, json!({ "lost_reason_id": null })).await.problem(422)), refused);
    let row = go(&office, &sales1, &deal, "Proposal").await.ok();
    assert_eq!(
        (&row["lost_reason_id"], &row["lost_note"], &row["closed_at"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    for (field, patch) in [("lost_reason_id", json!(reason)), ("lost_note", json!("too early"))] {
        let problem = sales1.patch(&path, json!({ field: patch })).await.problem(422);
        assert_eq!(faults(&problem), [("not_lost", format!("#/{field}").as_str())]);
    }
    // The reason is part of the past of other deals.
    let used = office.text("select min(lost_reason_id::text) from crm_deal").await;
    let problem = admin.delete(&format!("/api/v1/lost_reasons/{used}")).await.problem(409);
    assert_eq!(problem["detail"], "This record is still used by deals.");
}

#[tokio::test]
async fn writing_the_stage_meets_the_rules_of_moving() {
    let office = Office::open().await;
    let (sales1, admin) = (office.user("sales1").await, office.user("admin").await);
    let (deal, contact) = young_deal(&sales1).await;
    let path = format!("/api/v1/deals/{deal}");
    let (won, lost) = (office.stage("Won").await, office.stage("Lost").await);
    for (stage, fault) in [
        (office.stage("Qualified").await, ("stage_requires", "#/contact_id")),
        (won.clone(), ("stage_requires", "#/amount")),
        (lost.clone(), ("lost_reason", "#/lost_reason_id")),
        (uuid::Uuid::now_v7().to_string(), ("wrong_pipeline", "#/stage_id")),
    ] {
        assert_eq!(faults(&sales1.patch(&path, json!({ "stage_id": stage })).await.problem(422)), [fault]);
        let new = json!({ "title": "Direct", "organization_id": office.text("select organization_id::text from crm_deal where title = 'Gravel'").await, "stage_id": stage });
        assert_eq!(faults(&sales1.post("/api/v1/deals", new).await.problem(422)), [fault]);
    }
    // A stage of another pipeline, also with its pipeline left behind.
    let pipeline = made(admin.post("/api/v1/pipelines", json!({ "name": "Partners" })).await);
    let stage = json!({ "pipeline_id": pipeline, "name": "Talk", "position": 1, "probability": 20 });
    let stage = made(admin.post("/api/v1/stages", stage).await);
    let moves = sales1.post(&format!("{path}/actions/move"), json!({ "stage_id": stage })).await;
    assert_eq!(faults(&moves.problem(422)), [("wrong_pipeline", "#/stage_id")]);
    assert_eq!(sales1.get(&path).await.ok()["stage_id"], office.stage("New").await);
    let row = sales1.patch(&path, json!({ "stage_id": stage, "pipeline_id": pipeline })).await.ok();
    assert_eq!(row["probability"], "20.00");

    // Stage and what it asks for may come together.
    let back = office.text("select id::text from crm_pipeline where is_default").await;
    let all = json!({ "stage_id": won, "pipeline_id": back, "amount": 12.5, "contact_id": contact });
    let row = sales1.patch(&path, all).await.ok();
    assert_eq!((&row["probability"], &row["amount"]), (&json!("100.00"), &json!("12.50")));
    assert_eq!(sales1.rows(&format!("/api/v1/deal_stage_log?deal_id=eq.{deal}")).await.len(), 3);
}

#[tokio::test]
async fn without_the_right_to_move_no_way_leads_to_another_stage() {
    let office = Office::open().await;
    let sales1 = office.user("sales1").await;
    let deal = ripe_deal(&sales1).await;
    office.db.batch_execute("delete from sys_role_grant where permission = 'deals.move'").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while go(&office, &sales1, &deal, "Qualified").await.status != 403 {
        assert!(Instant::now() < deadline, "the right is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = sales1.get(&format!("/api/v1/deals/{deal}")).await.ok();
    let patch = json!({ "stage_id": office.stage("Negotiation").await });
    let problem = sales1.patch(&format!("/api/v1/deals/{deal}"), patch).await.problem(403);
    assert_eq!(problem["detail"], "This needs the permission deals.move.");
    assert_eq!(sales1.get(&format!("/api/v1/deals/{deal}")).await.ok(), before);
}

#[tokio::test]
async fn a_closed_deal_keeps_what_reports_over_the_past_count() {
    let office = Office::open().await;
    let (manager, admin) = (office.user("manager").await, office.user("admin").await);
    let pipeline = made(admin.post("/api/v1/pipelines", json!({ "name": "Second" })).await);
    let won = json!({ "pipeline_id": pipeline, "name": "Done", "position": 1, "kind": "won", "probability": 100 });
    let won = made(admin.post("/api/v1/stages", won).await);
    let deal = ripe_deal(&manager).await;
    let path = format!("/api/v1/deals/{deal}");
    let reason = office.text("select id::text from crm_lost_reason where name = 'No budget'").await;
    for end in [
        json!({ "stage_id": office.stage("Won").await }),
        json!({ "stage_id": office.stage("Lost").await, "lost_reason_id": reason }),
    ] {
        let closed = manager.post(&format!("{path}/actions/move"), end).await.ok();
        for patch in [
            json!({ "amount": "1" }),
            json!({ "amount": null }),
            json!({ "currency": "USD" }),
            json!({ "pipeline_id": pipeline, "stage_id": won, "lost_reason_id": null, "lost_note": null }),
            json!({ "probability": 50 }),
        ] {
            let answer = manager.patch(&path, patch.clone()).await;
            assert_eq!(answer.problem(409)["code"], "closed", "{patch}");
        }
        assert_eq!(manager.delete(&path).await.problem(409)["code"], "closed");
        assert_eq!(manager.get(&path).await.ok(), closed);
        let renamed = manager.patch(&path, json!({ "title": "Gravel, again" })).await.ok();
        assert_eq!(renamed["closed_at"], closed["closed_at"]);
    }
    go(&office, &manager, &deal, "New").await.ok();
    assert_eq!(manager.patch(&path, json!({ "amount": "1" })).await.ok()["amount"], "1.00");
    assert_eq!(manager.delete(&path).await.status, 204);
    // Whatever happened above and in the demo: lost and reason, closed and probability belong together.
    let broken = "select d.title from crm_deal d join crm_stage s on s.id = d.stage_id
        where (s.kind = 'lost') <> (d.lost_reason_id is not null) or (s.kind <> 'open') <> (d.closed_at is not null)
           or (s.kind = 'won' and (d.probability <> 100 or d.amount is null)) or (s.kind = 'lost' and d.probability <> 0)";
    assert!(office.texts(broken).await.is_empty());
}

#[tokio::test]
async fn the_stage_log_is_complete_and_nobody_writes_it() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let entry = office.text("select min(id::text) from crm_deal_stage_log").await;
    let path = format!("/api/v1/deal_stage_log/{entry}");
    let before = office.json_rows("select * from crm_deal_stage_log").await;
    owner.post("/api/v1/deal_stage_log", json!({ "to_stage": office.stage("Won").await })).await.problem(405);
    owner.patch(&path, json!({ "amount": "1" })).await.problem(405);
    owner.delete(&path).await.problem(405);
    for sql in
        ["update crm_deal_stage_log set amount = 1", "delete from crm_deal_stage_log", "truncate crm_deal_stage_log"]
    {
        let refusal = office.db.batch_execute(sql).await.unwrap_err();
        assert_eq!(refusal.as_db_error().unwrap().detail(), Some("append_only"), "{sql}");
    }
    assert_eq!(office.json_rows("select * from crm_deal_stage_log").await, before);
    // Each deal's entries form one chain that ends where the deal is.
    let gaps = "select deal_id::text from (
          select l.*, lag(to_stage) over w as was, lead(id) over w is null as last
          from crm_deal_stage_log l window w as (partition by deal_id order by created_at, id)) l
        join crm_deal d on d.id = l.deal_id
        where l.from_stage is distinct from l.was or (l.last and l.to_stage <> d.stage_id)
        union select id::text from crm_deal where id not in (select deal_id from crm_deal_stage_log)";
    assert!(office.texts(gaps).await.is_empty());
}

#[tokio::test]
async fn a_deal_is_handed_over_with_its_open_work() {
    let office = Office::open().await;
    let (manager, sales1, sales2) =
        (office.user("manager").await, office.user("sales1").await, office.user("sales2").await);
    let deal = ripe_deal(&sales1).await;
    let task = json!({ "kind": "task", "subject": "Offer", "due_at": "2030-01-01T09:00:00Z", "deal_id": deal });
    let open = [
        made(sales1.post("/api/v1/activities", task.clone()).await),
        made(manager.post("/api/v1/activities", task).await),
    ];
    let note = json!({ "kind": "note", "subject": "History", "deal_id": deal });
    let done = made(sales1.post("/api/v1/activities", note).await);
    sales2.get(&format!("/api/v1/activities/{}", open[0])).await.problem(404);

    let (from, to) = (office.id("sales1").await, office.id("sales2").await);
    let row = manager.post(&format!("/api/v1/deals/{deal}/actions/reassign"), json!({ "owner_id": to })).await.ok();
    assert_eq!(row["owner_id"], to);
    for id in &open {
        assert_eq!(sales2.get(&format!("/api/v1/activities/{id}")).await.ok()["owner_id"], to);
    }
    assert_eq!(sales2.get(&format!("/api/v1/activities/{done}")).await.ok()["owner_id"], from);
    sales1.get(&format!("/api/v1/deals/{deal}")).await.problem(404);
    sales1.get(&format!("/api/v1/activities/{}", open[0])).await.problem(404);
    // Nobody gets work who cannot sign in.
    office.db.batch_execute(&format!("update sys_user set state = 'disabled' where id = '{from}'")).await.unwrap();
    let back = manager.post(&format!("/api/v1/deals/{deal}/actions/reassign"), json!({ "owner_id": from })).await;
    assert_eq!(faults(&back.problem(422)), [("owner_inactive", "#/owner_id")]);
}

#[tokio::test]
async fn an_open_deal_may_have_a_probability_of_its_own_until_it_moves() {
    let office = Office::open().await;
    let sales1 = office.user("sales1").await;
    let deal = ripe_deal(&sales1).await;
    let path = format!("/api/v1/deals/{deal}");
    assert_eq!(sales1.patch(&path, json!({ "probability": "33.3" })).await.ok()["probability"], "33.30");
    assert_eq!(sales1.patch(&path, json!({ "probability": null })).await.ok()["probability"], "10.00");
    for bad in [json!("100.01"), json!(-1)] {
        let problem = sales1.patch(&path, json!({ "probability": bad })).await.problem(422);
        assert_eq!(faults(&problem), [("invalid_value", "#/probability")]);
    }
    sales1.patch(&path, json!({ "probability": 99 })).await.ok();
    assert_eq!(go(&office, &sales1, &deal, "Qualified").await.ok()["probability"], "25.00");
}

#[tokio::test]
async fn a_stage_asks_for_a_field_once() {
    let office = Office::open().await;
    let admin = office.user("admin").await;
    let stage = format!("/api/v1/stages/{}", office.stage("Proposal").await);
    let problem = admin.patch(&stage, json!({ "requires": ["amount", "amount"] })).await.problem(422);
    assert_eq!(problem["errors"][0]["detail"], "may name each field once");
    admin
        .patch(&stage, json!({ "requires": ["organization_id", "amount", "expected_close", "contact_id"] }))
        .await
        .ok();
}
