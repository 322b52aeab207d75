//! The second factor: setting it up, proving it once, losing it, and an account that wants one of everybody.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use insula::ops::DEMO_PASSWORD;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use super::crm_story::Office;
use super::letters::{forgot, letters_to, post, token};
use super::world::{Answer, Request, User, World};

/// What an authenticator shows so many steps from now (RFC 6238).
fn code(secret: &str, away: i64) -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let step = i64::try_from(seconds / 30).unwrap() + away;
    let key = BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
    let hash =
        Hmac::<sha1::Sha1>::new_from_slice(&key).unwrap().chain_update(step.to_be_bytes()).finalize().into_bytes();
    let at = usize::from(hash[19] & 15);
    let word = u32::from_be_bytes(hash[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", word % 1_000_000)
}

fn sign_in(world: &World, mailbox: &str, code: Option<&str>) -> Request {
    let mut credentials = json!({ "email": format!("{mailbox}@acme.test"), "password": DEMO_PASSWORD });
    if let Some(code) = code {
        credentials["code"] = code.into();
    }
    world.request(Method::POST, "acme", "/api/v1/auth/login").json(&credentials)
}

/// Sets the factor up; gives the secret and the recovery codes.
async fn set_up(user: &User<'_>) -> (String, Vec<String>) {
    let setup = user.post("/api/v1/me/totp", json!({ "password": DEMO_PASSWORD })).await.ok();
    let secret = setup["secret"].as_str().unwrap().to_owned();
    assert!(setup["otpauth_url"].as_str().unwrap().contains(&secret));
    let confirmed = user.post("/api/v1/me/totp/confirm", json!({ "code": code(&secret, 0) })).await.ok();
    let codes = confirmed["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned());
    (secret, codes.collect())
}

async fn remove(user: &User<'_>, password: &str, code: &str) -> Answer {
    let body = json!({ "password": password, "code": code });
    user.request(Method::DELETE, "/api/v1/me/totp").json(&body).send().await
}

/// As if the last code had been used long ago.
async fn time_passes(office: &Office) {
    office.db.batch_execute("update sys_credential set totp_step = 0").await.unwrap();
}

#[tokio::test]
async fn a_letter_does_not_replace_the_factor() {
    let office = Office::open().await;
    let (world, email) = (&office.world, "sales1@acme.test");
    let (secret, recovery) = set_up(&office.user("sales1").await).await;
    let acme = world.app.tenants.by_subdomain("acme").await.unwrap();
    let known = world.app.authenticator.sign_in_known(acme.id, &acme.place, email).await.err().unwrap();
    assert_eq!(known.code(), "second_factor_required", "`insula dev token` says what is missing");
    time_passes(&office).await;
    let link = async || {
        forgot(world, email).await;
        token(letters_to(world, &office.db, "acme", email).await.iter().rfind(|one| one.text.contains('#')).unwrap())
    };
    let reset = async |token: &str, code: Option<&str>| {
        let body = json!({ "token": token, "password": "seven green bottles", "code": code });
        post(world, "acme", "reset-password", body).await
    };
    let first = link().await;
    assert_eq!(reset(&first, None).await.problem(401)["code"], "second_factor_required");
    for wrong in ["000000", "aaaa-bbbb-cccc-dddd"] {
        let token = link().await;
        assert_eq!(reset(&token, Some(wrong)).await.problem(401)["code"], "invalid_second_factor");
        let again = reset(&token, Some(&code(&secret, 0))).await;
        assert_eq!(again.problem(401)["code"], "invalid_link", "nobody tries codes by one token");
    }
    sign_in(world, "sales1", Some(&recovery[0])).send().await.ok();
    office.db.batch_execute("update sys_mail set created_at = created_at - interval '61 minutes'").await.unwrap();
    let seen = code(&secret, 1);
    let here = sign_in(world, "sales1", Some(&seen)).send().await.ok();
    for used in [&*seen, &recovery[0]] {
        assert_eq!(reset(&link().await, Some(used)).await.problem(401)["code"], "invalid_second_factor");
    }
    let still_in = world.request(Method::GET, "acme", "/api/v1/me").bearer(here["access_token"].as_str().unwrap());
    assert_eq!(still_in.status().await, 200, "a code that was used replaces no password");
    time_passes(&office).await;
    office.db.batch_execute("update sys_mail set created_at = created_at - interval '61 minutes'").await.unwrap();
    let token = link().await;
    let signed_in = reset(&token, Some(&code(&secret, 0))).await.ok();
    assert_eq!(signed_in["user"]["email"], email);
}

#[tokio::test]
async fn a_factor_counts_once_it_is_confirmed_and_each_code_once() {
    let office = Office::open().await;
    let world = &office.world;
    let (here, there) = (office.user("sales1").await, office.user("sales1").await);
    assert_eq!(
        here.post("/api/v1/me/totp/confirm", json!({ "code": "123456" })).await.problem(409)["code"],
        "second_factor_not_begun"
    );
    let wrong = here.post("/api/v1/me/totp", json!({ "password": "wrong" })).await.problem(422);
    assert_eq!(
        (&wrong["errors"][0]["pointer"], &wrong["errors"][0]["code"]),
        (&json!("#/password"), &json!("wrong_password"))
    );
    let setup = here.post("/api/v1/me/totp", json!({ "password": DEMO_PASSWORD })).await.ok();
    let secret = setup["secret"].as_str().unwrap();
    let state = here.get("/api/v1/me/totp").await.ok();
    assert_eq!((&state["enabled"], &state["pending"]), (&json!(false), &json!(true)));
    sign_in(world, "sales1", None).send().await.ok();

    let wrong = here.post("/api/v1/me/totp/confirm", json!({ "code": code(secret, 5) })).await.problem(422);
    assert_eq!(wrong["errors"][0]["code"], "wrong_code");
    let first = code(secret, 0);
    here.post("/api/v1/me/totp/confirm", json!({ "code": first })).await.ok();
    assert_eq!(here.get("/api/v1/me").await.status, 200);
    assert_eq!(there.get("/api/v1/me").await.status, 401, "it was opened without a code");
    let state = here.get("/api/v1/me/totp").await.ok();
    assert_eq!((&state["enabled"], &state["recovery_codes_left"]), (&json!(true), &json!(10)));
    assert_eq!(
        here.post("/api/v1/me/totp", json!({ "password": DEMO_PASSWORD })).await.problem(409)["code"],
        "second_factor_on"
    );

    assert_eq!(sign_in(world, "sales1", None).send().await.problem(401)["code"], "second_factor_required");
    let next = code(secret, 1);
    for (typed, status) in [(first.as_str(), 401), ("000 00", 401), (&next, 200), (&next, 401)] {
        let answer = sign_in(world, "sales1", Some(typed)).send().await;
        assert_eq!(answer.status, status, "{typed}: {}", answer.text);
        assert!(status == 200 || answer.problem(401)["code"] == "invalid_second_factor");
    }
    sign_in(world, "sales2", Some("123456")).send().await.ok();
}

#[tokio::test]
async fn of_many_who_send_one_code_at_once_one_gets_in() {
    let world = World::with(|mut config| {
        config.auth.wrong_per_account = 100;
        config
    })
    .await;
    let user = world.user("acme", "sales1").await;
    let (secret, recovery) = set_up(&user).await;
    for typed in [code(&secret, 1), recovery[0].clone()] {
        let all = (0..8).map(|_| sign_in(&world, "sales1", Some(&typed)).send());
        let answers = futures_util::future::join_all(all).await;
        let won = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(won, 1, "{:?}", answers.iter().map(|answer| &answer.text).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn wrong_codes_are_wrong_attempts_and_a_right_password_alone_forgives_none() {
    let office = Office::open().await;
    let (world, user) = (&office.world, office.user("sales1").await);
    let (secret, _) = set_up(&user).await;
    for _ in 0..7 {
        assert_eq!(sign_in(world, "sales1", None).send().await.problem(401)["code"], "second_factor_required");
    }
    let wrong = || sign_in(world, "sales1", Some("000000"));
    for n in 1..5 {
        assert_eq!(wrong().send().await.problem(401)["code"], "invalid_second_factor");
        assert_eq!(sign_in(world, "sales1", None).send().await.problem(401)["code"], "second_factor_required");
        assert_eq!(office.text("select wrong::text from sys_attempt").await, n.to_string());
    }
    assert_eq!(wrong().send().await.status, 401);
    office.db.batch_execute("update sys_attempt set free_at = now() + interval '1 hour'").await.unwrap();
    assert_eq!(sign_in(world, "sales1", None).send().await.status, 429);
    assert_eq!(
        sign_in(world, "sales1", Some(&code(&secret, 1))).send().await.problem(429)["code"],
        "too_many_requests"
    );
    office.db.batch_execute("update sys_attempt set free_at = last_at").await.unwrap();
    sign_in(world, "sales1", Some(&code(&secret, 1))).send().await.ok();
    assert_eq!(office.text("select count(*)::text from sys_attempt").await, "0");
}

#[tokio::test]
async fn recovery_codes_are_good_once_and_new_ones_replace_them() {
    let office = Office::open().await;
    let (world, user) = (&office.world, office.user("sales1").await);
    let (secret, old) = set_up(&user).await;
    assert_eq!(old.len(), 10);
    sign_in(world, "sales1", Some(&old[0].replace('-', "").to_uppercase())).send().await.ok();
    assert_eq!(sign_in(world, "sales1", Some(&old[0])).send().await.problem(401)["code"], "invalid_second_factor");
    assert_eq!(user.get("/api/v1/me/totp").await.ok()["recovery_codes_left"], 9);
    let renew = async |password: &str, code: &str| {
        user.post("/api/v1/me/totp/recovery-codes", json!({ "password": password, "code": code })).await
    };
    assert_eq!(renew("wrong", &code(&secret, 1)).await.problem(422)["errors"][0]["pointer"], "#/password");
    assert_eq!(renew(DEMO_PASSWORD, "000000").await.problem(422)["errors"][0]["pointer"], "#/code");
    let new = renew(DEMO_PASSWORD, &old[1]).await.ok();
    assert_eq!(sign_in(world, "sales1", Some(&old[2])).send().await.status, 401);
    sign_in(world, "sales1", new["recovery_codes"][2].as_str()).send().await.ok();
}

#[tokio::test]
async fn a_factor_is_taken_off_with_both_factors_only() {
    let office = Office::open().await;
    let user = office.user("sales1").await;
    assert_eq!(remove(&user, DEMO_PASSWORD, "123456").await.problem(409)["code"], "second_factor_off");
    let (secret, _) = set_up(&user).await;
    time_passes(&office).await;
    for (password, typed) in [("wrong", code(&secret, 0)), (DEMO_PASSWORD, "000000".to_owned())] {
        assert_eq!(remove(&user, password, &typed).await.status, 422);
    }
    assert_eq!(remove(&user, DEMO_PASSWORD, &code(&secret, 0)).await.status, 204);
    assert_eq!(user.get("/api/v1/me").await.status, 200);
    sign_in(&office.world, "sales1", None).send().await.ok();
    let left = office.text("select count(*)::text from sys_recovery_code").await;
    assert_eq!(left, "0");
}

#[tokio::test]
async fn what_the_tables_hold_lets_nobody_in() {
    let office = Office::open().await;
    let (one, two) = (office.user("sales1").await, office.user("sales2").await);
    let ((secret, recovery), _) = (set_up(&one).await, set_up(&two).await);
    let rows = office.db.query(
        "select to_jsonb(c)::text from sys_credential c union all select to_jsonb(r)::text from sys_recovery_code r",
        &[],
    );
    let held: String = rows.await.unwrap().iter().map(|row| row.get::<_, String>(0)).collect();
    let hex = data_encoding::HEXLOWER.encode(&BASE32_NOPAD.decode(secret.as_bytes()).unwrap());
    for secret in [&secret, &hex, &recovery[0], &recovery[0].replace('-', "")] {
        assert!(!held.contains(secret.as_str()));
    }
    // A secret that is copied to another user does not open there.
    let copy = "update sys_credential set totp_step = 0, totp_sealed = (
          select totp_sealed from sys_credential join sys_user on id = user_id where email like 'sales1@%')
        where user_id = (select id from sys_user where email like 'sales2@%')";
    office.db.batch_execute(copy).await.unwrap();
    assert_eq!(sign_in(&office.world, "sales2", Some(&code(&secret, 1))).send().await.status, 500);
}

#[tokio::test]
async fn who_lost_his_factor_is_helped_by_who_may_do_as_much() {
    let office = Office::open().await;
    let (owner, admin, sales) = (office.user("owner").await, office.user("admin").await, office.user("sales1").await);
    let reset = async |user: &User<'_>, mailbox: &str| {
        let path = format!("/api/v1/users/{}/actions/reset_totp", office.id(mailbox).await);
        user.post(&path, json!({})).await
    };
    assert_eq!(reset(&admin, "sales1").await.problem(409)["code"], "no_second_factor");
    for user in [&owner, &admin, &sales] {
        set_up(user).await;
    }
    assert_eq!(reset(&sales, "sales2").await.problem(403)["code"], "forbidden");
    assert_eq!(reset(&admin, "owner").await.problem(403)["code"], "outranked");
    assert_eq!(reset(&admin, "admin").await.problem(409)["code"], "own_account");
    reset(&admin, "sales1").await.ok();
    while sales.get("/api/v1/me").await.status != 401 {
        tokio::task::yield_now().await;
    }
    sign_in(&office.world, "sales1", None).send().await.ok();
}

#[tokio::test]
async fn an_account_may_want_a_factor_of_everybody() {
    let office = Office::open().await;
    let (admin, sales) = (office.user("admin").await, office.user("sales1").await);
    let (contacts, setting) = ("/api/v1/contacts?limit=1", "security.require_second_factor");
    sales.get(contacts).await.ok();
    let wish = |value: Value| json!({ "key": setting, "value": value });
    assert_eq!(sales.post("/api/v1/settings", wish(json!(true))).await.status, 403);
    assert_eq!(admin.post("/api/v1/settings", wish(json!("yes"))).await.status, 422);
    admin.post("/api/v1/settings", wish(json!(true))).await.ok();
    while sales.get(contacts).await.status == 200 {
        tokio::task::yield_now().await;
    }
    let again = sign_in(&office.world, "sales1", None).send().await.ok();
    let again = User::with_token(&office.world, "acme", again["access_token"].as_str().unwrap());
    for user in [&sales, &again] {
        for path in [contacts, "/api/v1", "/api/v1/modules", "/api/v1/me/permissions", "/api/v1/reports/pipeline"] {
            assert_eq!(user.get(path).await.problem(403)["code"], "second_factor_setup_required", "{path}");
        }
        let change = json!({ "old_password": DEMO_PASSWORD, "password": "correct horse" });
        assert_eq!(user.post("/api/v1/me/password", change).await.status, 403);
        assert_eq!(user.get("/api/v1/me").await.status, 200);
    }
    assert_eq!(again.get("/api/v1/me/totp").await.ok()["required"], true);
    set_up(&again).await;
    again.get(contacts).await.ok();
    assert_eq!(sales.get("/api/v1/me").await.status, 401);

    let path = format!("/api/v1/settings/{setting}");
    assert_eq!(admin.delete(&path).await.status, 403, "he has none himself");
    set_up(&admin).await;
    let third = office.world.request(Method::POST, "acme", "/api/v1/auth/login");
    let third = third.json(&json!({ "email": "sales2@acme.test", "password": DEMO_PASSWORD })).send().await.ok();
    let third = User::with_token(&office.world, "acme", third["access_token"].as_str().unwrap());
    assert_eq!(third.get(contacts).await.status, 403);
    admin.patch(&path, json!({ "value": false })).await.ok();
    while third.get(contacts).await.status != 200 {
        tokio::task::yield_now().await;
    }
    let out = third.post("/api/v1/auth/logout", json!({})).await;
    assert_eq!(out.status, 204);
}

/// The program, and what it prints.
async fn insula(world: &World, args: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_insula"));
    command.args(args).arg("--json").envs(world.environment());
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

#[tokio::test]
async fn operators_have_one_too() {
    let world = World::new().await;
    let login = async |code: Option<&str>| {
        let credentials = json!({ "email": "operator@insula.test", "password": DEMO_PASSWORD, "code": code });
        world.request(Method::POST, "admin", "/api/v1/auth/login").json(&credentials).send().await
    };
    let made = insula(&world, &["operator", "totp", "operator@insula.test"]).await;
    let url = made["otpauth_url"].as_str().unwrap();
    let secret = url.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    let recovery = made["recovery_codes"][0].as_str().unwrap();
    assert_eq!(login(None).await.problem(401)["code"], "second_factor_required");
    let good = code(secret, 0);
    for (typed, status) in [("000000", 401), (&*good, 200), (&*good, 401), (recovery, 200), (recovery, 401)] {
        assert_eq!(login(Some(typed)).await.status, status, "{typed}");
    }
    insula(&world, &["operator", "totp", "operator@insula.test", "--remove"]).await;
    login(None).await.ok();
}

#[tokio::test]
async fn an_operator_who_forgot_his_password_gets_another_and_need_not_wait() {
    let world = World::new().await;
    let login = async |password: &str| {
        let credentials = json!({ "email": "operator@insula.test", "password": password });
        world.request(Method::POST, "admin", "/api/v1/auth/login").json(&credentials).send().await
    };
    let (there, new) = (world.staff().await, "seven green bottles");
    while login("is it this one?").await.status != 429 {}
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), new).unwrap();
    let path = file.path().to_str().unwrap();
    insula(&world, &["operator", "set-password", "operator@insula.test", "--password-file", path]).await;
    login(new).await.ok();
    assert_eq!(there.get("/api/v1/me").await.status, 401, "whoever knew the old one is out");
    login(DEMO_PASSWORD).await.problem(401);
}
