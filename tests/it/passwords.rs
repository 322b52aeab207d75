//! A password that was forgotten: the letter, its link, and what strangers learn from asking.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use insula::ops::DEMO_PASSWORD;
use reqwest::Method;
use serde_json::{Value, json};

use super::crm_story::Office;
use super::letters::{accept, forgot, letters_to, post, reset, settled, sign_in, token};
use super::world::{Answer, World};

const SALES: &str = "sales1@acme.test";
const PASSWORD: &str = "seven green bottles";

/// The tokens of all links to a new password that a user was sent, the oldest first.
async fn tokens(office: &Office, email: &str) -> Vec<String> {
    let letters = letters_to(&office.world, &office.db, "acme", email).await;
    letters.iter().filter(|letter| letter.text.contains("/reset-password#")).map(token).collect()
}

async fn subjects(office: &Office, email: &str) -> Vec<String> {
    letters_to(&office.world, &office.db, "acme", email).await.into_iter().map(|letter| letter.subject).collect()
}

async fn me(office: &Office, tokens: &Value) -> u16 {
    let bearer = tokens["access_token"].as_str().unwrap();
    office.world.request(Method::GET, "acme", "/api/v1/me").bearer(bearer).send().await.status.as_u16()
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_the_link_of_a_letter_once() {
    let office = Office::open().await;
    let world = &office.world;
    let old = sign_in(world, SALES, DEMO_PASSWORD).await.ok();
    let asked = forgot(world, " Sales1@ACME.test ").await;
    assert_eq!((asked.status.as_u16(), asked.json()["object"].clone()), (202, json!("message")));
    let tokens = tokens(&office, SALES).await;
    let [link] = tokens.as_slice() else { panic!("{tokens:?}") };
    let letter = letters_to(world, &office.db, "acme", SALES).await.pop().unwrap();
    assert!(letter.text.contains(&format!("\n{}/reset-password#{link}\n", world.app.tenant_url("acme"))));
    let kept = office.json_rows("select * from sys_mail m full join sys_link l on l.user_id = m.user_id").await;
    assert!(!kept.concat().contains(link.as_str()), "only a digest is kept");

    let obvious = reset(world, link, "sales1@acme.test").await.problem(422);
    assert_eq!(obvious["errors"][0]["code"], "too_obvious");
    let new = reset(world, link, PASSWORD).await.ok();
    assert_eq!((me(&office, &new).await, &new["user"]["email"]), (200, &json!(SALES)));
    while me(&office, &old).await != 401 {}
    let refreshed = post(world, "acme", "refresh", json!({ "refresh_token": old["refresh_token"] })).await;
    assert_eq!(refreshed.status, 401);
    assert_eq!(reset(world, link, "yet another one").await.problem(401)["code"], "invalid_link");
    assert_eq!(sign_in(world, SALES, DEMO_PASSWORD).await.status, 401);
    assert!(sign_in(world, SALES, PASSWORD).await.status.is_success());
    let told =
        ["Another password for Acme Industrial Supplies", "Your password for Acme Industrial Supplies was changed"];
    assert_eq!(subjects(&office, SALES).await, told);
}

#[tokio::test]
async fn api_keys_of_an_account_that_may_have_been_in_other_hands_end_too() {
    let office = Office::open().await;
    let manager = office.user("manager").await;
    let made =
        manager.post("/api/v1/api-keys", json!({ "name": "Robot", "permissions": ["contacts.view"] })).await.ok();
    let key = json!({ "access_token": made["key"] });
    assert_eq!(me(&office, &key).await, 200);
    forgot(&office.world, "manager@acme.test").await;
    let link = tokens(&office, "manager@acme.test").await.pop().unwrap();
    reset(&office.world, &link, PASSWORD).await.ok();
    while me(&office, &key).await != 401 {}
}

#[tokio::test]
async fn who_asks_learns_nothing_about_the_account() {
    let office = Office::open().await;
    let (world, admin) = (&office.world, office.user("admin").await);
    let body = json!({ "email": "nina@example.com", "first_name": "Nina" });
    admin.post("/api/v1/users", body).await.ok();
    office.db.batch_execute("update sys_user set state = 'disabled' where email like 'sales2@%'").await.unwrap();
    let seen = |answer: &Answer| {
        let headers = answer.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let own = |name: &str| ["date", "x-request-id"].contains(&name);
        let headers: BTreeMap<String, String> =
            headers.filter(|(name, _)| !own(name)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        (answer.status, headers, answer.text.clone())
    };
    let known = forgot(world, SALES).await;
    assert_eq!(known.status, 202);
    for email in ["nobody@acme.test", "sales2@acme.test", "nina@example.com", "owner@techstart.test"] {
        assert_eq!(seen(&forgot(world, email).await), seen(&known), "{email}");
    }
    settled(&office.db, "acme").await;
    let letters = world.app.mailer.kept(100).await.unwrap();
    let to: Vec<&str> = letters.iter().map(|letter| letter.to.as_str()).collect();
    assert_eq!(to.iter().filter(|to| to.contains(SALES)).count(), 1);
    assert_eq!(to.len(), 2, "one to him, and the invitation: {to:?}");
    assert_eq!(
        office.text("select count(*)::text from sys_mail where email is not null").await,
        "0",
        "nothing is kept"
    );
    assert_eq!(forgot(world, "not an address").await.problem(422)["errors"][0]["pointer"], "#/email");
}

#[tokio::test]
async fn an_account_is_sent_three_letters_an_hour_and_the_newest_counts() {
    let office = Office::open().await;
    for _ in 0..5 {
        assert_eq!(forgot(&office.world, SALES).await.status, 202);
        settled(&office.db, "acme").await;
    }
    let sent = tokens(&office, SALES).await;
    let [first, second, third] = sent.as_slice() else { panic!("{sent:?}") };
    for old in [first, second] {
        assert_eq!(reset(&office.world, old, PASSWORD).await.status, 401, "a newer one was sent");
    }
    office.db.batch_execute("update sys_mail set created_at = created_at - interval '61 minutes'").await.unwrap();
    assert_eq!(forgot(&office.world, SALES).await.status, 202);
    let sent = tokens(&office, SALES).await;
    assert_eq!(sent.len(), 4, "an hour later there is another");
    assert_eq!(reset(&office.world, third, PASSWORD).await.status, 401);
    assert!(reset(&office.world, &sent[3], PASSWORD).await.status.is_success());
}

#[tokio::test]
async fn a_link_is_void_when_its_time_is_over_or_things_have_changed() {
    let office = Office::open().await;
    let world = &office.world;
    forgot(world, SALES).await;
    let link = tokens(&office, SALES).await.pop().unwrap();
    let life =
        "select (expires_at - now() between interval '29 minutes' and interval '30 minutes')::text from sys_link";
    assert_eq!(office.text(life).await, "true");
    office.db.batch_execute("update sys_link set expires_at = now()").await.unwrap();
    assert_eq!(reset(world, &link, PASSWORD).await.problem(401)["code"], "invalid_link");
    office.db.batch_execute("update sys_link set expires_at = now() + interval '30 minutes'").await.unwrap();
    assert_eq!(accept(world, &link, PASSWORD).await.status, 401, "it is no invitation");
    let elsewhere = json!({ "token": link, "password": PASSWORD });
    assert_eq!(post(world, "techstart", "reset-password", elsewhere).await.status, 401);
    for no_token in [String::new(), "insula_lt_x".to_owned(), "x".repeat(5000), link.to_lowercase()] {
        assert_eq!(reset(world, &no_token, PASSWORD).await.problem(401)["code"], "invalid_link");
    }

    let signed_in = sign_in(world, SALES, DEMO_PASSWORD).await.ok();
    let change =
        world.request(Method::POST, "acme", "/api/v1/me/password").bearer(signed_in["access_token"].as_str().unwrap());
    change.json(&json!({ "old_password": DEMO_PASSWORD, "password": PASSWORD })).send().await.ok();
    assert_eq!(reset(world, &link, "yet another one").await.status, 401, "he knows his password again");
    assert_eq!(
        subjects(&office, SALES).await.last().unwrap(),
        "Your password for Acme Industrial Supplies was changed"
    );

    forgot(world, SALES).await;
    let link = tokens(&office, SALES).await.pop().unwrap();
    office.db.batch_execute("update sys_user set state = 'disabled' where email like 'sales1@%'").await.unwrap();
    assert_eq!(reset(world, &link, "yet another one").await.status, 401);
    office.db.batch_execute("update sys_user set state = 'active' where email like 'sales1@%'").await.unwrap();
    assert_eq!(reset(world, &link, "yet another one").await.status, 401, "also when he is back");
}

#[tokio::test]
async fn of_twenty_who_come_with_one_link_one_changes_the_password() {
    let office = Office::open().await;
    forgot(&office.world, SALES).await;
    let link = tokens(&office, SALES).await.pop().unwrap();
    let passwords: Vec<String> = (0..20).map(|n| format!("{PASSWORD} {n}")).collect();
    let come = passwords.iter().map(|password| reset(&office.world, &link, password));
    let (answers, _) = futures_util::join!(join_all(come), sign_in(&office.world, SALES, DEMO_PASSWORD));
    assert!(answers.iter().all(|answer| [200, 401, 429].contains(&answer.status.as_u16())));
    let winners: Vec<usize> = (0..20).filter(|n| answers[*n].status.is_success()).collect();
    let [winner] = winners.as_slice() else { panic!("{winners:?}") };
    assert_eq!(me(&office, &answers[*winner].json()).await, 200);
    assert!(sign_in(&office.world, SALES, &passwords[*winner]).await.status.is_success());
    let live = "select count(*)::text from sys_session s join sys_user u on u.id = s.user_id
        where u.email like 'sales1@%' and s.revoked_at is null";
    assert_eq!(office.text(live).await, "2");
}

#[tokio::test]
async fn an_owner_whom_an_operator_made_without_a_password_gets_one_by_a_letter() {
    let world = World::new().await;
    let staff = world.staff().await;
    let form = json!({ "company": "Globex", "subdomain": "globex", "plan": "crm", "email": "hank@globex.test" });
    staff.post("/api/v1/tenants", form).await.ok();
    let db = world.superuser().await;
    post(&world, "globex", "forgot-password", json!({ "email": "hank@globex.test" })).await.ok();
    let letters = letters_to(&world, &db, "globex", "hank@globex.test").await;
    let body = json!({ "token": token(&letters[0]), "password": PASSWORD });
    let signed_in = post(&world, "globex", "reset-password", body).await.ok();
    assert_eq!(signed_in["user"]["roles"], json!(["owner"]));
    assert_eq!(letters_to(&world, &db, "globex", "hank@globex.test").await.len(), 1, "there was none to be changed");
}

#[tokio::test]
async fn what_happens_to_one_user_at_once_waits_in_one_order() {
    let office = Office::open().await;
    let (world, admin) = (&office.world, office.user("admin").await);
    let id = office.id("sales1").await;
    for round in 0..4 {
        forgot(world, SALES).await;
        let links = tokens(&office, SALES).await;
        let link = links.last().unwrap();
        let act = |action: &'static str| {
            let request = admin.request(Method::POST, &format!("/api/v1/users/{id}/actions/{action}"));
            request.json(&json!({})).send()
        };
        let password = format!("{PASSWORD} {round}");
        let (a, b, c, d, e, f) = futures_util::join!(
            reset(world, link, &password),
            sign_in(world, SALES, DEMO_PASSWORD),
            forgot(world, SALES),
            act("deactivate"),
            sign_in(world, SALES, &password),
            act("reactivate"),
        );
        for answer in [a, b, c, d, e, f] {
            assert!(answer.status.as_u16() < 500, "{}", answer.text);
        }
        settled(&office.db, "acme").await;
        act("reactivate").await;
        office.db.batch_execute("update sys_mail set created_at = created_at - interval '61 minutes'").await.unwrap();
    }
    let deadlocks = "select deadlocks::text from pg_stat_database where datname = current_database()";
    assert_eq!(office.text(deadlocks).await, "0");
}
