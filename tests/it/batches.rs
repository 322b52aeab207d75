//! Several requests as one: all of them happen, or none, and none may do what it may not do alone.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::crm_story::Office;
use super::world::{Answer, User};

async fn batch(user: &User<'_>, requests: Value) -> Answer {
    user.post("/api/v1/batch", json!({ "requests": requests })).await
}

fn contact(name: &str, number: u32) -> Value {
    json!({ "first_name": name, "phone": format!("+9198123{number:05}") })
}

#[tokio::test]
async fn all_requests_are_answered_as_if_sent_alone() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let id = Uuid::now_v7();
    let row = format!("/api/v1/contacts/{id}");
    let answer = batch(
        &owner,
        json!([
            { "method": "PUT", "path": row, "body": contact("Ravi", 1) },
            { "method": "PATCH", "path": row, "body": { "last_name": "Iyer" }, "if_match": "\"v1\"" },
            { "method": "POST", "path": format!("{row}/actions/archive") },
            { "method": "GET", "path": row },
            { "method": "POST", "path": "/api/v1/contacts", "body": contact("Rani", 2) },
            { "method": "PATCH", "path": row, "body": {} },
        ]),
    )
    .await
    .ok();
    let data = answer["data"].as_array().unwrap();
    let statuses: Vec<u64> = data.iter().map(|one| one["status"].as_u64().unwrap()).collect();
    assert_eq!((&answer["object"], statuses), (&json!("list"), vec![201, 200, 200, 200, 201, 200]));
    assert_eq!(data[0]["headers"], json!({ "etag": "\"v1\"", "location": row }));
    assert_eq!((&data[2]["headers"]["etag"], &data[2]["body"]["state"]), (&json!("\"v3\""), &json!("archived")));
    assert_eq!(data[3]["body"], owner.get(&row).await.ok());
    let gone = batch(&owner, json!([{ "method": "DELETE", "path": row }])).await.ok();
    assert_eq!(gone["data"], json!([{ "status": 204, "headers": {}, "body": null }]));
}

#[tokio::test]
async fn one_that_fails_undoes_the_others_and_is_named() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let before = owner.get("/api/v1/contacts?limit=500").await.text;
    let row = format!("/api/v1/contacts/{}", owner.rows("/api/v1/contacts").await[0]["id"].as_str().unwrap());
    let new = json!({ "method": "POST", "path": "/api/v1/contacts", "body": contact("Ravi", 1) });
    for (bad, status, pointer) in [
        (json!({ "method": "DELETE", "path": format!("/api/v1/contacts/{}", Uuid::now_v7()) }), 404, "#/requests/1"),
        (
            json!({ "method": "PATCH", "path": row, "body": { "title": "x" }, "if_match": "\"v77\"" }),
            412,
            "#/requests/1",
        ),
        (json!({ "method": "PATCH", "path": row, "body": { "phone": "x" } }), 422, "#/requests/1/body/phone"),
        (
            json!({ "method": "PATCH", "path": row, "body": { "organization_id": Uuid::now_v7() } }),
            422,
            "#/requests/1/body/organization_id",
        ),
        (json!({ "method": "PATCH", "path": row, "body": { "fist_name": "x" } }), 422, "#/requests/1/body/fist_name"),
        (json!({ "method": "POST", "path": "/api/v1/nothing", "body": {} }), 404, "#/requests/1"),
        (json!({ "method": "POST", "path": row, "body": {} }), 405, "#/requests/1"),
        (json!({ "method": "PATCH", "path": row }), 422, "#/requests/1/body"),
    ] {
        let problem = batch(&owner, json!([new, bad, new])).await.problem(status);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{bad}: {problem}");
        assert_eq!(owner.get("/api/v1/contacts?limit=500").await.text, before, "{bad}");
        assert_eq!(problem.get("current").is_some(), status == 412, "{problem}");
    }
    for wrong in [json!([]), json!(vec![new.clone(); 101]), json!([{ "method": "GET" }]), json!({})] {
        batch(&owner, wrong).await.problem(422);
    }
}

#[tokio::test]
async fn every_fault_that_is_seen_before_is_named_at_once() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let bad = json!({ "method": "POST", "path": "/api/v1/contacts", "body": { "x": 1, "first_name": 5 } });
    let problem = batch(&owner, json!([bad, bad])).await.problem(422);
    let named: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    assert_eq!(
        named,
        ["#/requests/0/body/x", "#/requests/0/body/first_name", "#/requests/1/body/x", "#/requests/1/body/first_name"]
    );
}

#[tokio::test]
async fn what_belongs_to_an_action_stays_so_beside_one() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let deal = office.text("select id::text from crm_deal where closed_at is null limit 1").await;
    let (row, stage) = (format!("/api/v1/deals/{deal}"), office.stage("Won").await);
    let to = office.id("sales2").await;
    let alone = owner.patch(&row, json!({ "stage_id": stage })).await;
    let beside = batch(
        &owner,
        json!([
            { "method": "POST", "path": format!("{row}/actions/reassign"), "body": { "owner_id": to } },
            { "method": "PATCH", "path": row, "body": { "stage_id": stage } },
        ]),
    )
    .await;
    assert!(!alone.status.is_success(), "the pack leaves stages to an action: {}", alone.text);
    assert_eq!((beside.status, beside.json()["code"].clone()), (alone.status, alone.json()["code"].clone()));
    assert!(beside.json()["errors"][0]["pointer"].as_str().unwrap().starts_with("#/requests/1"), "{}", beside.text);
}

#[tokio::test]
async fn a_trial_of_a_batch_leaves_nothing() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let new = json!({ "requests": [{ "method": "POST", "path": "/api/v1/contacts", "body": contact("Ravi", 1) }] });
    let trial = owner.request(Method::POST, "/api/v1/batch").header("prefer", "tx=rollback, return=minimal").json(&new);
    let trial = trial.send().await;
    assert_eq!(trial.headers["preference-applied"], "tx=rollback, return=minimal");
    let one = trial.ok()["data"][0].clone();
    assert_eq!((&one["status"], &one["body"]), (&json!(201), &Value::Null));
    assert_eq!(owner.get(one["headers"]["location"].as_str().unwrap()).await.status, 404);
}
