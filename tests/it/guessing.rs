//! Guessing passwords: what waits, who does not, and that nobody learns which accounts there are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use insula::ops::DEMO_PASSWORD;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_postgres::Client;

use super::second::Second;
use super::world::{Answer, Request, World};

fn login(world: &World, host: &str, credentials: Value) -> Request {
    world.request(Method::POST, host, "/api/v1/auth/login").header("x-request-id", "same").json(&credentials)
}

fn attempt(world: &World, mailbox: &str, password: &str) -> Request {
    login(world, "acme", json!({ "email": format!("{mailbox}@acme.test"), "password": password }))
}

/// As if everybody had waited long enough.
async fn time_passes(outside: &Client) {
    let sql =
        "update tenant_acme.sys_attempt set free_at = last_at; update public.operator_attempts set free_at = last_at";
    outside.batch_execute(sql).await.unwrap();
}

/// As if who must wait at all had to wait for an hour.
async fn an_hour_begins(outside: &Client) {
    let longer = "set free_at = now() + interval '1 hour' where free_at > last_at + interval '0.5 s'";
    let sql = format!("update tenant_acme.sys_attempt {longer}; update public.operator_attempts {longer}");
    outside.batch_execute(&sql).await.unwrap();
}

fn wait(answer: &Answer) -> u64 {
    assert_eq!(answer.problem(429)["code"], "too_many_requests");
    answer.headers["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn five_are_free_and_then_the_waits_double() {
    let world = World::new().await;
    let outside = world.superuser().await;
    let waits = async || {
        let sql = "select round(extract(epoch from free_at - last_at))::int from tenant_acme.sys_attempt";
        outside.query_one(sql, &[]).await.unwrap().get::<_, i32>(0)
    };
    for expected in [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        assert_eq!(attempt(&world, "sales1", "wrong").send().await.problem(401)["code"], "invalid_credentials");
        assert_eq!(waits().await, expected);
        if expected > 0 {
            an_hour_begins(&outside).await;
            let left = wait(&attempt(&world, "sales1", DEMO_PASSWORD).send().await);
            assert!((3590..=3600).contains(&left), "{left}: even the right password waits");
        }
        time_passes(&outside).await;
    }
    attempt(&world, "sales2", DEMO_PASSWORD).send().await.ok();
    attempt(&world, "sales1", DEMO_PASSWORD).send().await.ok();
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(attempt(&world, "sales1", "wrong").send().await.status, 401, "all is forgiven");
        }
        attempt(&world, "SALES1", DEMO_PASSWORD).send().await.ok();
    }
}

#[tokio::test]
async fn of_many_guesses_at_once_no_more_get_through() {
    let world = World::new().await;
    let second = Second::over(&world).await;
    let here = (0..20).map(|_| attempt(&world, "sales1", "wrong").status());
    let there = (0..20).map(|_| async {
        let request = second.http.post(format!("http://127.0.0.1:{}/api/v1/auth/login", second.port));
        let body = json!({ "email": "sales1@acme.test", "password": "wrong" });
        request.header("host", "acme.insula.test").json(&body).send().await.unwrap().status().as_u16()
    });
    let began = Instant::now();
    let (here, there) = join(join_all(here), join_all(there)).await;
    // A slow machine may sit out the first waits: 1, 2, 4, … seconds.
    let sat_out = (began.elapsed().as_secs_f64() + 1.0).log2() as usize;
    let looked_at = here.iter().chain(&there).filter(|status| **status == 401).count();
    assert!((1..=5 + sat_out).contains(&looked_at), "{here:?} {there:?}");
    assert!(here.iter().chain(&there).all(|status| [401, 429].contains(status)), "{here:?} {there:?}");
}

fn from_device(world: &World, mailbox: &str, password: &str, device: &Value) -> Request {
    let credentials = json!({ "email": format!("{mailbox}@acme.test"), "password": password, "device": device });
    login(world, "acme", credentials)
}

#[tokio::test]
async fn a_device_that_has_signed_in_before_is_not_held_up_by_strangers() {
    let world = World::new().await;
    let outside = world.superuser().await;
    let with = |password: &str, device: &Value| from_device(&world, "sales1", password, device);
    let device = attempt(&world, "sales1", DEMO_PASSWORD).send().await.ok()["device_token"].clone();
    let others = attempt(&world, "sales2", DEMO_PASSWORD).send().await.ok()["device_token"].clone();
    let kept = "select count(*), bool_and(octet_length(token_hash) = 32) from tenant_acme.sys_device";
    let kept = outside.query_one(kept, &[]).await.unwrap();
    assert_eq!((kept.get::<_, i64>(0), kept.get::<_, bool>(1)), (2, true));
    for _ in 0..5 {
        assert_eq!(attempt(&world, "sales1", "wrong").send().await.status, 401);
    }
    an_hour_begins(&outside).await;
    for pretended in [&others, &json!("insula_dt_x"), &json!("x"), &Value::Null] {
        wait(&with(DEMO_PASSWORD, pretended).send().await);
    }
    let again = with(DEMO_PASSWORD, &device).send().await.ok();
    assert_eq!(again["device_token"], device);
    for _ in 0..5 {
        assert_eq!(with("wrong", &device).send().await.status, 401);
    }
    an_hour_begins(&outside).await;
    assert_eq!(with(DEMO_PASSWORD, &device).send().await.status, 429, "it counts for itself");
    let old = "update tenant_acme.sys_device set last_used_at = now() - interval '91 days';
        delete from tenant_acme.sys_attempt where key <> sha256('account:sales1@acme.test')";
    outside.batch_execute(old).await.unwrap();
    assert_eq!(with(DEMO_PASSWORD, &device).send().await.status, 429, "after 90 days it is a stranger");
}

#[tokio::test]
async fn of_each_user_the_last_twenty_devices_are_known() {
    let world = World::new().await;
    for _ in 0..23 {
        attempt(&world, "sales1", DEMO_PASSWORD).send().await.ok();
    }
    let known = world.superuser().await.query_one("select count(*) from tenant_acme.sys_device", &[]).await.unwrap();
    assert_eq!(known.get::<_, i64>(0), 20);
}

#[tokio::test]
async fn an_address_waits_whatever_accounts_and_tenants_it_tries() {
    let world = World::with(|mut config| {
        config.auth.wrong_per_address = 2;
        config
    })
    .await;
    let device = attempt(&world, "sales1", DEMO_PASSWORD).send().await.ok()["device_token"].clone();
    for n in 0..10 {
        attempt(&world, "sales1", DEMO_PASSWORD).send().await.ok();
        assert_eq!(attempt(&world, &format!("nobody{n}"), "wrong").send().await.status, 401);
        if n == 0 {
            continue;
        }
        let left = wait(&attempt(&world, "sales1", DEMO_PASSWORD).send().await);
        if left > 4 {
            break;
        }
        sleep(Duration::from_secs(left)).await;
    }
    let counted = async || {
        let sql = "select count(*) from tenant_acme.sys_attempt";
        world.superuser().await.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    let before = counted().await;
    wait(&from_device(&world, "nobody", "wrong", &json!("insula_dt_x")).send().await);
    assert_eq!(counted().await, before, "who waits leaves nothing behind");
    for (host, mailbox) in [("techstart", "owner@techstart.test"), ("admin", "operator@insula.test")] {
        wait(&login(&world, host, json!({ "email": mailbox, "password": DEMO_PASSWORD })).send().await);
    }
    from_device(&world, "sales1", DEMO_PASSWORD, &device).send().await.ok();
}

#[tokio::test]
async fn passwords_of_who_is_signed_in_are_guessed_as_slowly() {
    let world = World::new().await;
    let (user, outside) = (world.user("acme", "sales1").await, world.superuser().await);
    let change = async |old: &str| {
        user.post("/api/v1/me/password", json!({ "old_password": old, "password": "correct horse" })).await
    };
    for _ in 0..3 {
        assert_eq!(change("wrong").await.status, 422);
    }
    for _ in 0..2 {
        assert_eq!(user.post("/api/v1/me/totp", json!({ "password": "wrong" })).await.status, 422);
    }
    an_hour_begins(&outside).await;
    wait(&change(DEMO_PASSWORD).await);
    wait(&user.post("/api/v1/me/totp", json!({ "password": DEMO_PASSWORD })).await);
    attempt(&world, "sales1", DEMO_PASSWORD).send().await.ok();
    time_passes(&outside).await;
    change(DEMO_PASSWORD).await.ok();
}

#[tokio::test]
async fn attempts_are_forgotten_after_a_day() {
    let world = World::new().await;
    let outside = world.superuser().await;
    let old = "insert into tenant_acme.sys_attempt (key, wrong, last_at, free_at)
        select sha256(n::text::bytea), 9, now() - interval '25 hours', now() from generate_series(1, 15) n";
    outside.execute(old, &[]).await.unwrap();
    for left in [5 + 1, 1] {
        assert_eq!(attempt(&world, "sales1", "wrong").send().await.status, 401);
        let rows = outside.query_one("select count(*) from tenant_acme.sys_attempt", &[]).await.unwrap();
        assert_eq!(rows.get::<_, i64>(0), left);
    }
    outside
        .batch_execute("update tenant_acme.sys_attempt set wrong = 50, last_at = last_at - interval '2 days'")
        .await
        .unwrap();
    for _ in 0..5 {
        assert_eq!(attempt(&world, "sales1", "wrong").send().await.status, 401);
    }
    an_hour_begins(&outside).await;
    assert_eq!(attempt(&world, "sales1", "wrong").send().await.status, 429);
}

/// Accounts that nobody may tell apart, and the host on which they sign in.
const ACCOUNTS: [(&str, &[&str]); 2] = [
    ("acme", &["sales1@acme.test", "sales2@acme.test", "manager@acme.test", "admin@acme.test", "nobody@acme.test"]),
    ("admin", &["operator@insula.test", "disabled@insula.test", "factor@insula.test", "nobody@insula.test"]),
];

/// Some are disabled, some have no password, some a second factor.
const UNEQUAL: &str = "
    update tenant_acme.sys_user set state = 'disabled' where email like 'sales2@%';
    update tenant_acme.sys_credential set totp_sealed = 'x', totp_confirmed_at = now()
      where user_id = (select id from tenant_acme.sys_user where email like 'admin@%');
    delete from tenant_acme.sys_credential where user_id = (select id from tenant_acme.sys_user where email like 'manager@%');
    insert into public.operators (email, name, role, password_hash, state, totp_sealed, totp_confirmed_at)
      select v.email, 'x', 'support', o.password_hash, v.state, 'x', now()
      from public.operators o, (values ('disabled@insula.test', 'disabled'), ('factor@insula.test', 'active')) v(email, state);";

/// Everything of an answer but the time.
type Shown = (u16, BTreeMap<String, String>, String);

fn shown(answer: Answer) -> Shown {
    let timeless = answer.headers.iter().filter(|(name, _)| !["date", "retry-after"].contains(&name.as_str()));
    let headers = timeless.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let left = answer.headers.get("retry-after").map(|left| left.to_str().unwrap().parse::<u64>().unwrap());
    assert!(left.is_none_or(|left| (3590..=3600).contains(&left)), "{left:?}");
    assert_eq!(left.is_some(), answer.status == 429);
    (answer.status.as_u16(), headers, answer.text)
}

#[tokio::test]
async fn accounts_cannot_be_told_apart() {
    let world = World::with(|mut config| {
        config.auth.wrong_per_address = 0;
        config
    })
    .await;
    let outside = world.superuser().await;
    outside.batch_execute(UNEQUAL).await.unwrap();
    for (host, accounts) in ACCOUNTS {
        for more in [json!({}), json!({ "code": "123456" }), json!({ "device": "insula_dt_unknown" })] {
            for round in 0..7 {
                let mut answers = Vec::new();
                for email in accounts {
                    let mut credentials = more.clone();
                    (credentials["email"], credentials["password"]) = ((*email).into(), "wrong".into());
                    answers.push(shown(login(&world, host, credentials).send().await));
                }
                let same = answers.iter().all(|answer| *answer == answers[0]);
                assert!(same, "{host} {more} {round}: {answers:?}");
                assert_eq!(answers[0].0, if round < 5 { 401 } else { 429 });
                an_hour_begins(&outside).await;
            }
            outside
                .batch_execute("delete from tenant_acme.sys_attempt; delete from public.operator_attempts")
                .await
                .unwrap();
        }
    }
}
