//! PUT: a row under a key of the caller's choice, wholly as the body says.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::crm_story::Office;
use super::world::{Answer, User};

async fn put(user: &User<'_>, path: &str, header: Option<(&str, &str)>, body: Value) -> Answer {
    let request = user.request(Method::PUT, path).json(&body);
    let request = match header {
        Some((name, value)) => request.header(name, value),
        None => request,
    };
    request.send().await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

const ONLY_NEW: Option<(&str, &str)> = Some(("if-none-match", "*"));

#[tokio::test]
async fn the_same_request_makes_a_row_and_then_replaces_it() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let id = Uuid::now_v7().to_string();
    let path = format!("/api/v1/contacts/{id}");
    let first =
        put(&owner, &path, None, json!({ "first_name": "Ravi", "phone": "+919812345678", "title": "Buyer" })).await;
    assert_eq!((first.status.as_u16(), header(&first, "location"), header(&first, "etag")), (201, &*path, "\"v1\""));
    let second = put(&owner, &path, None, json!({ "id": id, "first_name": "Rani", "phone": "+919812345678" })).await;
    assert_eq!((second.status.as_u16(), header(&second, "location"), header(&second, "etag")), (200, "", "\"v2\""));
    let row = second.ok();
    let fresh = owner.post("/api/v1/contacts", json!({ "first_name": "Rani", "phone": "+919812345678" })).await.ok();
    for (name, value) in fresh.as_object().unwrap() {
        if !["id", "created_at", "updated_at", "row_version"].contains(&name.as_str()) {
            assert_eq!(row[name], *value, "{name} is what it is in a new row of the same body");
        }
    }
    assert_eq!((&row["id"], &row["title"]), (&json!(id), &Value::Null));
}

#[tokio::test]
async fn a_caller_may_ask_for_one_of_the_two_only() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let path = format!("/api/v1/contacts/{}", Uuid::now_v7());
    let body = json!({ "first_name": "Ravi", "phone": "+919812345678" });
    put(&owner, &path, Some(("if-match", "*")), body.clone()).await.problem(404);
    assert_eq!(put(&owner, &path, ONLY_NEW, body.clone()).await.status, 201);
    let there = put(&owner, &path, ONLY_NEW, body.clone()).await.problem(412);
    assert_eq!(there["current"]["first_name"], "Ravi");
    assert_eq!(
        put(&owner, &path, Some(("if-match", "\"v1\"")), json!({ "first_name": "Rani", "phone": "+919812345678" }))
            .await
            .status,
        200
    );
    let late = put(&owner, &path, Some(("if-match", "\"v1\"")), body.clone()).await.problem(412);
    assert_eq!(late["current"]["first_name"], "Rani");
    put(&owner, &path, Some(("if-none-match", "\"v1\"")), body.clone()).await.problem(400);
}

#[tokio::test]
async fn a_replacement_is_held_to_the_rules_of_a_new_row() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let path = format!("/api/v1/deals/{}", Uuid::now_v7());
    let faults = put(&owner, &path, None, json!({ "titel": "x", "party_id": Uuid::now_v7(), "amount": "1.005" })).await;
    let faults = faults.problem(422);
    let named: Vec<String> = faults["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| format!("{} {}", fault["pointer"].as_str().unwrap(), fault["code"].as_str().unwrap()))
        .collect();
    insta::assert_snapshot!(named.join("\n"), @r"
    #/titel unknown_field
    #/party_id read_only
    #/amount too_precise
    #/title required
    ");
    let other = json!({ "id": Uuid::now_v7(), "title": "x" });
    assert_eq!(put(&owner, &path, None, other).await.problem(422)["errors"][0]["code"], "read_only");
    let refused = owner
        .post("/api/v1/contacts", json!({ "id": Uuid::now_v7(), "first_name": "x", "phone": "+919812345678" }))
        .await
        .problem(422);
    assert_eq!(refused["errors"][0]["code"], "read_only", "POST chooses the key itself");
}

#[tokio::test]
async fn it_needs_the_rights_for_what_it_may_do() {
    let office = Office::open().await;
    office
        .db
        .batch_execute(
            "delete from sys_role_grant where permission in ('contacts.create') and role_id =
             (select id from sys_role where code = 'salesperson')",
        )
        .await
        .unwrap();
    let sales = office.user("sales1").await;
    let path = format!("/api/v1/contacts/{}", Uuid::now_v7());
    let body = json!({ "first_name": "Ravi", "phone": "+919812345678" });
    let hint = "It needs the permission `contacts.create`.";
    assert_eq!(put(&sales, &path, None, body.clone()).await.problem(403)["hint"], hint);
    assert_eq!(put(&sales, &path, ONLY_NEW, body.clone()).await.problem(403)["hint"], hint);
    put(&sales, &path, Some(("if-match", "*")), body.clone()).await.problem(404);
    let own = sales.get("/api/v1/contacts?limit=1").await.ok()["data"][0].clone();
    let own = format!("/api/v1/contacts/{}", own["id"].as_str().unwrap());
    assert_eq!(
        put(&sales, &own, Some(("if-match", "*")), json!({ "first_name": "New", "phone": "+919812345678" }))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_key_that_is_a_word_can_be_put_too() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let path = "/api/v1/settings/fy_start_month";
    let body = json!({ "value": 4 });
    assert!([200, 201].contains(&put(&owner, path, None, body.clone()).await.status.as_u16()));
    assert_eq!(put(&owner, path, None, json!({ "value": 7 })).await.ok()["value"], 7);
    assert_eq!(owner.get(path).await.ok()["value"], 7);
}

#[tokio::test]
async fn under_a_key_of_the_neighbour_one_makes_a_row_of_ones_own() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let theirs = owner.get("/api/v1/contacts?limit=1").await.ok()["data"][0].clone();
    let path = format!("/api/v1/contacts/{}", theirs["id"].as_str().unwrap());
    let neighbour = office.world.user("techstart", "owner").await;
    let made = put(&neighbour, &path, None, json!({ "first_name": "Own", "phone": "+919812345678" })).await;
    assert_eq!((made.status.as_u16(), &made.ok()["first_name"]), (201, &json!("Own")));
    assert_eq!(owner.get(&path).await.ok(), theirs);
}
