//! Nobody overwrites what he has not seen: entity tags, If-Match, If-None-Match.

use reqwest::Method;
use serde_json::{Value, json};

use super::crm_story::{Office, made};
use super::world::{Answer, User};

/// The entity tag of an answer.
#[track_caller]
fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

async fn contact(user: &User<'_>, name: &str) -> String {
    format!(
        "/api/v1/contacts/{}",
        made(user.post("/api/v1/contacts", json!({ "first_name": name, "phone": "+919812345678" })).await)
    )
}

async fn patch(user: &User<'_>, row: &str, if_match: &str, body: Value) -> Answer {
    user.request(Method::PATCH, row).header("if-match", if_match).json(&body).send().await
}

#[tokio::test]
async fn every_answer_about_one_row_names_its_version() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let made = owner.post("/api/v1/contacts", json!({ "first_name": "Ravi", "phone": "+919812345678" })).await;
    assert_eq!(tag(&made), "\"v1\"");
    let row = made.headers["location"].to_str().unwrap();
    let read = owner.get(row).await;
    assert_eq!((tag(&read), &read.text), ("\"v1\"".to_owned(), &made.text));
    let changed = owner.patch(row, json!({ "last_name": "Iyer" })).await;
    assert_eq!((tag(&changed), &changed.ok()["row_version"]), ("\"v2\"".to_owned(), &json!(2)));
    let archived = owner.post(&format!("{row}/actions/archive"), json!({})).await;
    assert_eq!((tag(&archived), &archived.ok()["state"]), ("\"v3\"".to_owned(), &json!("archived")));
    let lines = owner.get("/api/v1/reporting_lines").await.ok();
    let line = format!("/api/v1/reporting_lines/{}", lines["data"][0]["user_id"].as_str().unwrap());
    let versioned = office.world.app.engine.catalog().resource("reporting_lines").unwrap().version().is_some();
    assert_eq!(owner.get(&line).await.headers.contains_key("etag"), versioned);
}

#[tokio::test]
async fn what_the_caller_has_already_is_not_sent_again() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let row = contact(&owner, "Ravi").await;
    let ask = async |known: &str| owner.request(Method::GET, &row).header("if-none-match", known).send().await;
    let same = ask("\"v1\"").await;
    assert_eq!((same.status.as_u16(), tag(&same), same.text.as_str()), (304, "\"v1\"".to_owned(), ""));
    assert_eq!(ask("\"v7\", W/\"v1\"").await.status, 304, "reading compares weakly");
    assert_eq!(ask("*").await.status, 304);
    assert_eq!(ask("\"v2\"").await.status, 200);
    assert_eq!(ask("v1").await.problem(400)["errors"][0]["parameter"], "If-None-Match");
}

#[tokio::test]
async fn the_second_of_two_editors_sees_what_the_first_one_wrote() {
    let office = Office::open().await;
    let (owner, manager) = (office.user("owner").await, office.user("manager").await);
    let row = contact(&owner, "Ravi").await;
    patch(&owner, &row, "\"v1\"", json!({ "last_name": "Iyer" })).await.ok();
    let late = patch(&owner, &row, "\"v1\"", json!({ "last_name": "Rao" })).await.problem(412);
    assert_eq!((&late["code"], &late["current"]["last_name"]), (&json!("precondition_failed"), &json!("Iyer")));
    assert_eq!(late["current"], owner.get(&row).await.ok(), "the row as any reader gets it");
    for (tags, status) in [("W/\"v2\"", 412), ("\"x\"", 412), ("\"v1\", \"v2\"", 200), ("*", 200)] {
        assert_eq!(patch(&owner, &row, tags, json!({ "title": tags })).await.status, status, "{tags}");
    }
    assert_eq!(patch(&owner, &row, "\"v1\"", json!({})).await.status, 412, "also when nothing is to be changed");
    let gone = owner.request(Method::DELETE, &row).header("if-match", "\"v1\"").send().await;
    assert_eq!(gone.problem(412)["current"]["row_version"], 4);
    assert_eq!(owner.request(Method::DELETE, &row).header("if-match", "\"v4\"").send().await.status, 204);

    let absent = "/api/v1/contacts/018f0000-0000-7000-8000-000000000000";
    let secret = contact(&owner, "Board").await;
    let mut answers = Vec::new();
    for row in [absent, &secret] {
        for if_match in ["\"v1\"", "\"v9\"", "*"] {
            let answer = manager
                .request(Method::PATCH, row)
                .header("if-match", if_match)
                .header("x-request-id", "same")
                .json(&json!({ "title": "x" }))
                .send()
                .await;
            assert_eq!(answer.status, 404);
            answers.push(answer.text.replace(row, "{row}"));
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "what is out of sight reads like what is not there: {answers:?}");
}

#[tokio::test]
async fn an_action_runs_only_on_the_version_that_the_caller_saw() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let row = contact(&owner, "Ravi").await;
    owner.patch(&row, json!({ "last_name": "Iyer" })).await.ok();
    let archive = format!("{row}/actions/archive");
    let act = async |tags: &str| owner.request(Method::POST, &archive).header("if-match", tags).send().await;
    assert_eq!(act("\"v1\"").await.problem(412)["current"]["state"], "active");
    assert_eq!(owner.get(&row).await.ok()["state"], "active");
    let done = act("\"v2\"").await;
    assert_eq!((tag(&done), &done.ok()["state"]), ("\"v3\"".to_owned(), &json!("archived")));
}

#[tokio::test]
async fn of_many_who_saw_the_same_version_one_may_act() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let contact = office.text("select id::text from crm_contact limit 1").await;
    let deal = made(owner.post("/api/v1/deals", json!({ "title": "Ten hands", "contact_id": contact })).await);
    let path = format!("/api/v1/deals/{deal}/actions/reassign");
    let to = office.id("sales1").await;
    let act =
        || owner.request(Method::POST, &path).header("if-match", "\"v1\"").json(&json!({ "owner_id": to })).send();
    let answers = futures_util::future::join_all((0..10).map(|_| act())).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 409, 412, 429].contains(status)), "{statuses:?}");
    assert_eq!(owner.get(&format!("/api/v1/deals/{deal}")).await.ok()["row_version"], 2);
}
