//! Work that is answered before it is done: many new rows as an operation, with its progress, its end and its refusals.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::crm_story::Office;
use super::world::{Answer, User};

const CONTACTS: &str = "/api/v1/contacts";

fn person(number: usize) -> Value {
    json!({ "first_name": format!("Bulk {number}"), "phone": format!("+9198{number:08}"), "source": "bulk" })
}

fn lines(rows: impl Iterator<Item = Value>) -> String {
    rows.map(|row| format!("{row}\n")).collect()
}

async fn send(user: &User<'_>, prefer: &str, key: Option<&str>, body: String) -> Answer {
    let request = user.request(Method::POST, CONTACTS).header("prefer", prefer).body("application/x-ndjson", body);
    key.into_iter().fold(request, |request, key| request.header("idempotency-key", key)).send().await
}

#[track_caller]
fn begun(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.text);
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(location, format!("/api/v1/operations/{}", answer.json()["id"].as_str().unwrap()));
    location
}

/// The operation at its end.
async fn ended(user: &User<'_>, location: &str) -> Value {
    for _ in 0..1500 {
        let operation = user.get(location).await.ok();
        if operation["state"] != "running" {
            return operation;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{location} does not end");
}

async fn made(office: &Office) -> String {
    office.text("select count(*)::text from crm_contact where source = 'bulk'").await
}

#[tokio::test]
async fn more_rows_than_anybody_waits_for_are_made_after_the_answer() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let answer = send(&owner, "return=representation", None, lines((0..10_001).map(person))).await;
    let location = begun(&answer);
    let events = owner.request(Method::GET, &format!("{location}/events")).bytes().await;
    let events = String::from_utf8(events).unwrap();
    assert!(events.contains("event: succeeded\ndata: {"), "{events}");
    let operation = ended(&owner, &location).await;
    assert_eq!((&operation["state"], &operation["rows_done"]), (&json!("succeeded"), &json!(10_001)));
    assert_eq!((&operation["problem"], &operation["resource"]), (&Value::Null, &json!("contacts")));
    assert_eq!(made(&office).await, "10001");
    let (sales, techstart) = (office.user("sales1").await, office.world.user("techstart", "owner").await);
    for stranger in [&sales, &techstart] {
        assert_eq!(stranger.get(&location).await.status, 404);
        assert_eq!(stranger.get(&format!("{location}/events")).await.status, 404);
    }
    assert_eq!(owner.get("/api/v1/operations/x").await.status, 404);
}

#[tokio::test]
async fn every_refused_row_is_named_and_nothing_is_made() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let mut rows: Vec<Value> = (0..1200).map(person).collect();
    rows[3]["phone"] = json!("none");
    rows[700]["owner_id"] = json!("0190a0b0-0000-7000-8000-000000000001");
    rows[1199]["email"] = json!("not an address");
    let location = begun(&send(&owner, "respond-async", None, lines(rows.clone().into_iter())).await);
    let operation = ended(&owner, &location).await;
    let pointers = |problem: &Value| -> Vec<String> {
        let faults = problem["errors"].as_array().unwrap().iter();
        faults.map(|fault| fault["pointer"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((&operation["state"], &operation["rows_done"]), (&json!("failed"), &json!(0)));
    assert_eq!(pointers(&operation["problem"]), ["#/3/phone", "#/700/owner_id", "#/1199/email"], "{operation}");
    let told = send(&owner, "return=minimal", None, lines(rows.into_iter())).await;
    assert_eq!(pointers(&told.problem(422)), ["#/3/phone", "#/700/owner_id", "#/1199/email"], "and so at once");
    let typed = lines((0..60).map(|n| json!({ "first_name": n, "source": "bulk" })));
    let operation = ended(&owner, &begun(&send(&owner, "respond-async", None, typed).await)).await;
    assert_eq!(operation["problem"]["errors"].as_array().unwrap().len(), 50);
    assert_eq!(operation["problem"]["code"], "validation_failed");
    assert_eq!(made(&office).await, "0");
}

#[tokio::test]
async fn a_request_that_comes_again_begins_nothing() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let body = lines((0..20).map(person));
    let first = send(&owner, "respond-async", Some("one"), body.clone()).await;
    assert_eq!(first.headers["preference-applied"], "respond-async");
    ended(&owner, &begun(&first)).await;
    let again = send(&owner, "respond-async", Some("one"), body).await;
    assert_eq!((begun(&again), &again.headers["idempotent-replayed"]), (begun(&first), &"true".parse().unwrap()));
    assert_eq!(made(&office).await, "20");
    let trial = send(&owner, "respond-async, tx=rollback", Some("two"), lines((50..60).map(person))).await;
    let trial = ended(&owner, &begun(&trial)).await;
    assert_eq!((&trial["state"], &trial["trial"]), (&json!("succeeded"), &json!(true)));
    assert_eq!(made(&office).await, "20", "a trial leaves nothing");
    let real = send(&owner, "respond-async", Some("two"), lines((50..60).map(person))).await;
    assert_eq!(ended(&owner, &begun(&real)).await["trial"], false, "a trial is not kept for its key");
    assert_eq!(made(&office).await, "30");
    let merged = format!("{CONTACTS}?on_conflict=id");
    let id = office.text("select id::text from crm_contact where source = 'bulk' limit 1").await;
    let twice = format!("{{\"id\":\"{id}\",\"title\":\"a\",\"first_name\":\"A\"}}\n").repeat(2);
    let request = owner.request(Method::POST, &merged).header("prefer", "resolution=merge-duplicates, respond-async");
    let operation = ended(&owner, &begun(&request.body("application/x-ndjson", twice).send().await)).await;
    assert_eq!(operation["problem"]["errors"][0]["detail"], "is about the same record as #/0", "{operation}");
}

#[tokio::test]
async fn what_stood_still_counts_as_interrupted_and_cannot_succeed_later() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let mut other = office.world.superuser().await;
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("lock table tenant_acme.crm_contact in share mode").await.unwrap();
    let body = lines((0..5).map(person));
    let location = begun(&send(&owner, "respond-async", Some("k"), body.clone()).await);
    let again = send(&owner, "respond-async", Some("k"), body.clone()).await;
    assert_eq!((begun(&again), &again.headers["idempotent-replayed"]), (location.clone(), &"true".parse().unwrap()));
    let other = send(&owner, "respond-async", Some("k"), body + "{}").await;
    assert_eq!(other.problem(422)["code"], "idempotency_key_reused");
    let second = send(&owner, "respond-async", None, lines((5..9).map(person))).await;
    assert_eq!(second.problem(429)["code"], "too_many_requests", "one of a tenant at once");
    assert_eq!(owner.get(&location).await.ok()["state"], "running");
    office.db.batch_execute("update sys_operation set alive_until = now() - interval '1 second'").await.unwrap();
    let operation = owner.get(&location).await.ok();
    assert_eq!((&operation["state"], &operation["problem"]["code"]), (&json!("failed"), &json!("interrupted")));
    drop(lock);
    for _ in 0..500 {
        if office.text("select state from sys_operation").await == "failed" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(owner.get(&location).await.ok()["problem"]["code"], "interrupted");
    assert_eq!(made(&office).await, "0");
}

#[tokio::test]
async fn a_process_that_ends_in_order_undoes_it_and_says_so() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let mut other = office.world.superuser().await;
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("lock table tenant_acme.crm_contact in share mode").await.unwrap();
    begun(&send(&owner, "respond-async", None, lines((0..5).map(person))).await);
    office.world.app.engine.drain().await;
    lock.rollback().await.unwrap();
    let (state, code) = (
        office.text("select state from sys_operation").await,
        office.text("select problem ->> 'code' from sys_operation").await,
    );
    assert_eq!((state.as_str(), code.as_str(), made(&office).await.as_str()), ("failed", "interrupted", "0"));
}

#[tokio::test]
async fn what_is_more_than_memory_should_hold_is_refused() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let csv = "first_name\n".to_owned() + &"x\n".repeat(100_001);
    let refused = owner.request(Method::POST, CONTACTS).body("text/csv", csv).send().await;
    assert_eq!(refused.problem(413)["code"], "too_many_rows");
    let nul = send(&owner, "respond-async", None, "{\"a\\u0000\": 1}\n".to_owned()).await;
    assert_eq!(ended(&owner, &begun(&nul)).await["problem"]["code"], "validation_failed");
}

#[tokio::test]
async fn who_signs_out_ends_what_he_began() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let mut other = office.world.superuser().await;
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("lock table tenant_acme.crm_contact in share mode").await.unwrap();
    begun(&send(&owner, "respond-async", None, lines((0..5).map(person))).await);
    assert_eq!(owner.post("/api/v1/auth/logout", json!(null)).await.status, 204);
    lock.rollback().await.unwrap();
    while office.text("select state from sys_operation").await == "running" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        (office.text("select state from sys_operation").await.as_str(), made(&office).await.as_str()),
        ("failed", "0")
    );
}

#[tokio::test]
async fn a_tenant_that_is_suspended_gets_nothing_done() {
    let office = Office::open().await;
    let (owner, staff) = (office.user("owner").await, office.world.staff().await);
    let mut other = office.world.superuser().await;
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("lock table tenant_acme.crm_contact in share mode").await.unwrap();
    begun(&send(&owner, "respond-async", None, lines((0..5).map(person))).await);
    let suspend = format!("/api/v1/tenants/{}/actions/suspend", office.world.tenant_id("acme").await);
    staff.post(&suspend, json!({ "reason": "unpaid" })).await.ok();
    lock.rollback().await.unwrap();
    while office.text("select state from sys_operation").await == "running" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let state = office.text("select state from sys_operation").await;
    assert_eq!((state.as_str(), made(&office).await.as_str()), ("failed", "0"));
}
