//! Requests that come again: with an Idempotency-Key they happen once, whatever the network and the processes do.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::crm_story::Office;
use super::proxy::{Network, Proxy};
use super::second::Second;
use super::world::{Answer, User, World};

const CONTACTS: &str = "/api/v1/contacts";

fn body() -> Value {
    json!({ "first_name": "Once", "phone": "+919812345678" })
}

async fn post(user: &User<'_>, key: &str, body: Value) -> Answer {
    user.request(Method::POST, CONTACTS).header("idempotency-key", key).json(&body).send().await
}

fn replayed(answer: &Answer) -> bool {
    answer.headers.contains_key("idempotent-replayed")
}

/// Asks until the answer is final, as a client does that heeds Retry-After.
async fn persist(user: &User<'_>, key: &str) -> Answer {
    loop {
        let answer = post(user, key, body()).await;
        if !answer.headers.contains_key("retry-after") {
            return answer;
        }
        assert!([409, 429, 503].contains(&answer.status.as_u16()), "{}", answer.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn made(office: &Office) -> String {
    office.text("select count(*)::text from crm_contact where first_name = 'Once'").await
}

#[tokio::test]
async fn a_repeat_gets_the_answer_of_the_first_time() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let first = post(&owner, "a-key", body()).await;
    assert_eq!((first.status.as_u16(), replayed(&first)), (201, false));
    owner.patch(first.headers["location"].to_str().unwrap(), json!({ "title": "Changed" })).await.ok();
    let again = post(&owner, "a-key", body()).await;
    assert_eq!((again.status.as_u16(), &again.text, replayed(&again)), (201, &first.text, true));
    for header in ["etag", "location", "content-type"] {
        assert_eq!(again.headers[header], first.headers[header]);
    }
    assert_eq!(made(&office).await, "1");
    let other = post(&owner, "a-key", json!({ "first_name": "Once", "phone": "+919812345679" })).await;
    assert_eq!(other.problem(422)["code"], "idempotency_key_reused");
    assert_eq!(post(&owner, "another", body()).await.status, 201);
    assert_eq!(post(&office.user("manager").await, "a-key", body()).await.status, 201, "another user, another request");
    assert_eq!(made(&office).await, "3");
    let neighbour = office.world.user("techstart", "owner").await;
    assert!(!replayed(&post(&neighbour, "a-key", body()).await), "another tenant, another request");
    for bad in ["", "a key", &"x".repeat(256)] {
        assert_eq!(post(&owner, bad, body()).await.problem(400)["errors"][0]["parameter"], "Idempotency-Key");
    }
}

#[tokio::test]
async fn every_kind_of_change_can_come_again() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let row = format!("{CONTACTS}/{}", Uuid::now_v7());
    let archive = format!("{row}/actions/archive");
    let more = json!({ "requests": [{ "method": "PATCH", "path": row, "body": { "title": "Batch" } }] });
    for (version, (method, path, body)) in (1..).zip([
        (Method::PUT, &*row, body()),
        (Method::PATCH, &*row, json!({ "title": "Patch" })),
        (Method::POST, "/api/v1/batch", more),
        (Method::POST, &*archive, json!({})),
    ]) {
        let send = || owner.request(method.clone(), path).header("idempotency-key", "k").json(&body).send();
        let (first, again) = (send().await, send().await);
        assert!(first.status.is_success(), "{method} {path}: {}", first.text);
        assert_eq!((first.status, &first.text), (again.status, &again.text), "{method} {path}");
        assert_eq!((replayed(&first), replayed(&again)), (false, true), "{method} {path}");
        assert_eq!(owner.get(&row).await.ok()["row_version"], version, "{method} {path} happened once");
    }
}

#[tokio::test]
async fn a_refusal_is_repeated_too_and_a_fault_of_ours_is_not() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let bad = json!({ "first_name": "Once" });
    let first = post(&owner, "bad", bad.clone()).await.problem(422);
    office.db.batch_execute("alter table crm_contact drop constraint crm_contact_reachable").await.unwrap();
    let again = post(&owner, "bad", bad.clone()).await;
    assert!(replayed(&again));
    let mut again = again.problem(422);
    again["request_id"] = first["request_id"].clone();
    assert_eq!(again, first, "each answer has a request id of its own, the rest is the same");
    let missing = format!("{CONTACTS}/{}", Uuid::now_v7());
    let patch =
        || owner.request(Method::PATCH, &missing).header("idempotency-key", "m").json(&json!({ "title": "x" })).send();
    assert_eq!((patch().await.status, replayed(&patch().await)), (reqwest::StatusCode::NOT_FOUND, true));

    office.db.batch_execute("alter table crm_contact rename to away").await.unwrap();
    assert_eq!(post(&owner, "fault", body()).await.status, 500);
    office.db.batch_execute("alter table away rename to crm_contact").await.unwrap();
    assert_eq!(post(&owner, "fault", body()).await.status, 201);
}

#[tokio::test]
async fn fifty_at_once_make_one_row_and_get_one_answer() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let answers = futures_util::future::join_all((0..50).map(|_| persist(&owner, "fifty"))).await;
    let first = &answers[0];
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), &answer.text), (201, &first.text));
        assert_eq!(answer.headers["location"], first.headers["location"]);
    }
    assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1);
    assert_eq!(made(&office).await, "1");
}

#[tokio::test]
async fn a_repeat_is_refused_like_any_request_when_the_right_is_gone() {
    let office = Office::open().await;
    let (owner, staff) = (office.user("owner").await, office.world.staff().await);
    assert_eq!(post(&owner, "k", body()).await.status, 201);
    let acme = office.world.tenant_id("acme").await;
    staff.delete(&format!("/api/v1/tenants/{acme}/modules/crm")).await;
    let refused = post(&owner, "k", body()).await;
    assert_eq!((refused.problem(403)["code"].as_str(), replayed(&refused)), (Some("module_not_enabled"), false));
}

#[tokio::test]
async fn answers_are_forgotten_after_a_day_and_a_trial_is_never_kept() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    for key in ["a", "b", "c"] {
        assert_eq!(post(&owner, key, body()).await.status, 201);
    }
    office.db.batch_execute("update sys_idempotency set expires_at = now() - interval '1 second'").await.unwrap();
    let again = post(&owner, "a", json!({ "first_name": "Once", "phone": "+919812345670" })).await;
    assert_eq!((again.status.as_u16(), replayed(&again)), (201, false), "also with another body");
    assert_eq!(office.text("select count(*)::text from sys_idempotency").await, "1", "the others are swept away");
    let trial = || {
        let request =
            owner.request(Method::POST, CONTACTS).header("idempotency-key", "t").header("prefer", "tx=rollback");
        request.json(&body()).send()
    };
    assert_eq!((trial().await.status.as_u16(), replayed(&trial().await)), (201, false));
}

#[tokio::test]
async fn a_caller_who_goes_away_changes_nothing_about_it() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let holder = office.world.superuser().await;
    holder.batch_execute("begin; lock table tenant_acme.crm_contact in exclusive mode").await.unwrap();
    tokio::select! {
        answer = post(&owner, "k", body()) => panic!("nobody holds it back: {}", answer.text),
        () = waits(&office) => {}
    }
    let meanwhile = post(&owner, "k", body()).await;
    assert_eq!(
        (meanwhile.problem(409)["code"].as_str(), &meanwhile.headers["retry-after"]),
        (Some("idempotency_in_progress"), &"1".parse().unwrap())
    );
    holder.batch_execute("rollback").await.unwrap();
    let again = persist(&owner, "k").await;
    assert_eq!((again.status.as_u16(), replayed(&again)), (201, true));
    assert_eq!(made(&office).await, "1");
}

/// Until somebody in the database waits for a lock.
async fn waits(office: &Office) {
    let waiting =
        "select count(*)::text from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    while office.text(waiting).await == "0" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_connection_that_breaks_around_the_commit_never_makes_two_rows() {
    for network in [Network::CutAfterCommit, Network::CutBeforeCommit] {
        let (world, proxy) = Proxy::before_world(Duration::ZERO, |_| {}).await;
        let owner = world.user("acme", "owner").await;
        owner.get(&format!("{CONTACTS}?limit=1")).await.ok();
        proxy.set(network);
        let lost = post(&owner, "k", body()).await;
        assert_eq!(lost.status, 503, "{network:?}: {}", lost.text);
        proxy.set(Network::Open);
        let again = persist(&owner, "k").await;
        let expected = network == Network::CutAfterCommit;
        assert_eq!((again.status.as_u16(), replayed(&again)), (201, expected), "{network:?}: {}", again.text);
        assert_eq!(count(&world).await, 1, "{network:?}");
    }
}

async fn count(world: &World) -> i64 {
    let sql = "select count(*) from tenant_acme.crm_contact where first_name = 'Once'";
    world.superuser().await.query_one(sql, &[]).await.unwrap().get(0)
}

/// A request to a process of its own that never comes back: the process is killed (SIGKILL) once `there` rows are made.
async fn killed_when(world: &World, network: Network, there: i64) {
    let (proxy, url) = Proxy::beside(world);
    let second = Second::with(world, &[("DATABASE_URL", &url)]).await;
    let token = world.token("acme", "owner").await;
    let ask = async |method: Method, path: &str| {
        let request = second.http.request(method, format!("http://127.0.0.1:{}{path}", second.port));
        let request = request.header("host", "acme.insula.test").header("idempotency-key", "k").bearer_auth(&token);
        request.json(&body()).send().await
    };
    ask(Method::GET, &format!("{CONTACTS}?limit=1")).await.unwrap();
    proxy.set(network);
    tokio::select! {
        answer = ask(Method::POST, CONTACTS) => panic!("nobody holds it back: {answer:?}"),
        () = async {
            while count(world).await != there || writing(world).await != (network == Network::Open) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        } => {}
    }
    second.kill().await;
}

/// Whether a transaction waits for a lock on the contacts.
async fn writing(world: &World) -> bool {
    let sql =
        "select exists (select from pg_locks where not granted and relation = 'tenant_acme.crm_contact'::regclass)";
    world.superuser().await.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_process_that_is_killed_between_effect_and_answer_leaves_both_or_neither() {
    let world = World::new().await;
    let owner = world.user("acme", "owner").await;
    let mut other = world.superuser().await;
    let hold = other.transaction().await.unwrap();
    hold.batch_execute("lock table tenant_acme.crm_contact in share mode").await.unwrap();
    killed_when(&world, Network::Open, 0).await;
    hold.rollback().await.unwrap();
    while writing(&world).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(count(&world).await, 0, "killed in the middle, it did nothing");
    killed_when(&world, Network::HoldAfterCommit, 1).await;
    let again = persist(&owner, "k").await;
    assert_eq!((again.status.as_u16(), replayed(&again)), (201, true), "{}", again.text);
    assert_eq!(count(&world).await, 1);
}
