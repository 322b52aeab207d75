//! The Prefer header: less in the answer, a trial run, and no wish silently dropped.

use reqwest::Method;
use serde_json::json;

use super::crm_story::{Office, made};
use super::world::{Answer, User};

async fn send(user: &User<'_>, method: Method, path: &str, prefer: &str, body: serde_json::Value) -> Answer {
    user.request(method, path).header("prefer", prefer).json(&body).send().await
}

fn applied(answer: &Answer) -> Option<&str> {
    answer.headers.get("preference-applied").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn less_comes_back_for_those_who_want_less() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let body = json!({ "first_name": "Ravi", "phone": "+919812345678" });
    let made = send(&owner, Method::POST, "/api/v1/contacts", "return=minimal", body.clone()).await;
    assert_eq!((made.status.as_u16(), made.text.as_str(), applied(&made)), (201, "", Some("return=minimal")));
    assert_eq!(made.headers["etag"], "\"v1\"");
    let row = made.headers["location"].to_str().unwrap();
    let changed = send(&owner, Method::PATCH, row, "return=headers-only", json!({ "title": "Buyer" })).await;
    assert_eq!((changed.status.as_u16(), changed.text.as_str()), (204, ""));
    assert_eq!(
        (&changed.headers["etag"], applied(&changed)),
        (&"\"v2\"".parse().unwrap(), Some("return=headers-only"))
    );
    let full = send(&owner, Method::PATCH, row, "return=representation, unheard-of", body).await;
    assert_eq!((&full.ok()["title"], applied(&full)), (&json!("Buyer"), Some("return=representation")));
}

#[tokio::test]
async fn a_trial_answers_as_if_and_leaves_nothing() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let contact = format!(
        "/api/v1/contacts/{}",
        made(owner.post("/api/v1/contacts", json!({ "first_name": "Ravi", "phone": "+919812345678" })).await)
    );
    let before = owner.get("/api/v1/contacts?limit=500").await.text;
    let trial =
        send(&owner, Method::PATCH, &contact, "tx=rollback", json!({ "first_name": "Rani", "phone": "+919812345678" }))
            .await;
    assert_eq!((&trial.ok()["first_name"], applied(&trial)), (&json!("Rani"), Some("tx=rollback")));
    let made = send(
        &owner,
        Method::POST,
        "/api/v1/contacts",
        "tx=rollback",
        json!({ "first_name": "New", "phone": "+919812345678" }),
    )
    .await;
    assert_eq!(made.status, 201);
    assert_eq!(owner.get(made.headers["location"].to_str().unwrap()).await.status, 404);
    let archived = send(&owner, Method::POST, &format!("{contact}/actions/archive"), "tx=rollback", json!({})).await;
    assert_eq!(archived.ok()["state"], "archived");
    let refused =
        send(&owner, Method::POST, "/api/v1/deals", "tx=rollback", json!({ "title": "x", "owner_id": contact[17..] }))
            .await;
    assert!(refused.status.is_client_error(), "what would be refused is refused: {}", refused.text);
    assert_eq!(send(&owner, Method::DELETE, &contact, "tx=rollback", json!({})).await.status, 204);
    assert_eq!(owner.get("/api/v1/contacts?limit=500").await.text, before);
}

#[tokio::test]
async fn the_strict_are_told_what_is_not_honoured() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let body = json!({ "first_name": "Ravi", "phone": "+919812345678" });
    let problem =
        send(&owner, Method::POST, "/api/v1/contacts", "handling=strict, count=exact, retrun=minimal", body.clone());
    let problem = problem.await.problem(400);
    assert_eq!(problem["errors"][0]["detail"], "`count` is not honoured here");
    assert_eq!(problem["errors"][1]["detail"], "`retrun` is not a preference; did you mean `return`?");
    let made = send(&owner, Method::POST, "/api/v1/contacts", "handling=strict, return=minimal", body.clone()).await;
    assert_eq!(applied(&made), Some("handling=strict, return=minimal"));
    let lenient = send(&owner, Method::POST, "/api/v1/contacts", "handling=lenient, respond-async", body).await;
    assert_eq!((lenient.status.as_u16(), applied(&lenient)), (201, Some("handling=lenient")));
}

#[tokio::test]
async fn who_may_change_but_not_view_sees_nothing_of_what_he_changes() {
    let office = Office::open().await;
    let (owner, sales) = (office.user("owner").await, office.user("sales1").await);
    let sales1 = office.id("sales1").await;
    let body = json!({ "first_name": "Ravi", "phone": "+919812345678", "owner_id": sales1 });
    let contact = format!("/api/v1/contacts/{}", made(owner.post("/api/v1/contacts", body).await));
    let taken = "delete from sys_role_grant where permission in ('contacts.view', 'contacts.*')
        and role_id = (select id from sys_role where code = 'salesperson')";
    office.db.batch_execute(taken).await.unwrap();
    while sales.get(&contact).await.status != 403 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let new = sales.post("/api/v1/contacts", json!({ "first_name": "Nobody", "phone": "+919812345679" })).await;
    assert_eq!((new.status.as_u16(), new.text.as_str()), (201, ""));
    for patch in [json!({}), json!({ "title": "Buyer" })] {
        let answer = sales.patch(&contact, patch).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    }
    let stale = sales.request(Method::PATCH, &contact).header("if-match", "\"v1\"").json(&json!({ "title": "x" }));
    assert_eq!(stale.send().await.problem(412)["current"], json!(null));
    let acted = sales.post(&format!("{contact}/actions/archive"), json!({})).await;
    assert_eq!((acted.status.as_u16(), acted.text.as_str()), (204, ""));
    let wish = json!({ "requests": [{ "method": "PATCH", "path": contact, "body": { "title": "y" } }] });
    assert_eq!(sales.post("/api/v1/batch", wish).await.ok()["data"][0]["body"], json!(null));
    let guess = sales.request(Method::PATCH, "/api/v1/contacts?first_name=eq.Ravi");
    let guess = guess.header("prefer", "handling=strict, max-affected=5").json(&json!({ "title": "z" })).send().await;
    assert_eq!(guess.problem(403)["hint"], "It needs the permission `contacts.view`.");
}
