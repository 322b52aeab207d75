//! Signing in while the account changes, the sessions that are left behind, and signing up too often.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::faults::in_background;
use super::world::{Request, World};

const ANN: &str = "(select id from tenant_acme.sys_user where email = 'sales1@acme.test')";

fn sign_in(world: &World) -> Request {
    let credentials = json!({ "email": "sales1@acme.test", "password": insula::ops::DEMO_PASSWORD });
    world.request(Method::POST, "acme", "/api/v1/auth/login").json(&credentials)
}

/// Waits until a statement waits for somebody else's transaction.
async fn until_waiting(outside: &Client) {
    let began = Instant::now();
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while outside.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "nobody waits");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn sessions(outside: &Client, condition: &str) -> i64 {
    let sql = format!("select count(*) from tenant_acme.sys_session where user_id = {ANN} and {condition}");
    outside.query_one(&sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_password_that_is_changed_meanwhile_opens_no_session() {
    let world = World::new().await;
    let (outside, mut owner) = (world.superuser().await, world.superuser().await);
    for change in [
        format!("update tenant_acme.sys_credential set password_hash = password_hash || 'x' where user_id = {ANN}"),
        format!("delete from tenant_acme.sys_credential where user_id = {ANN}"),
    ] {
        let tx = owner.transaction().await.unwrap();
        assert_eq!(tx.execute(&change, &[]).await.unwrap(), 1);
        let waiting = in_background(sign_in(&world));
        until_waiting(&outside).await;
        tx.commit().await.unwrap();
        assert_eq!(waiting.await.unwrap().problem(401)["code"], "invalid_credentials");
        let restore = "update tenant_acme.sys_credential set password_hash = rtrim(password_hash, 'x')";
        owner.execute(restore, &[]).await.unwrap();
    }
    assert_eq!(sessions(&outside, "true").await, 0);
}

#[tokio::test]
async fn signing_in_clears_away_expired_sessions_a_hundred_at_a_time() {
    let world = World::new().await;
    let outside = world.superuser().await;
    let old = format!(
        "insert into tenant_acme.sys_session (user_id, created_at, expires_at)
         select {ANN}, now() - interval '2 hours', now() - n * interval '1 second' from generate_series(1, 150) n"
    );
    outside.execute(&old, &[]).await.unwrap();
    for left in [50, 0, 0] {
        sign_in(&world).send().await.ok();
        assert_eq!(sessions(&outside, "expires_at < now()").await, left);
    }
    assert_eq!(sessions(&outside, "true").await, 3, "those that still count stay");
}

fn sign_up(world: &World, subdomain: &str, email: &str, password: &str) -> Request {
    let form =
        json!({ "company": "New", "subdomain": subdomain, "email": email, "password": password, "first_name": "Ann" });
    world.request(Method::POST, "", "/api/v1/signup").json(&form)
}

#[tokio::test]
async fn an_address_signs_up_so_often_in_an_hour_and_mistakes_do_not_count() {
    let world = World::with(|mut config| {
        config.signup.hourly_per_address = 1;
        config
    })
    .await;
    let wrong = sign_up(&world, "xn--a", "nobody", "short").send().await.problem(422);
    let pointers: Vec<&str> =
        wrong["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["#/subdomain", "#/email", "#/password"], "all at once");
    assert_eq!(sign_up(&world, "new-one", "ann@new.test", "long enough").send().await.status, 201);
    let again = sign_up(&world, "new-two", "ann@new.test", "long enough").send().await;
    assert_eq!(again.problem(429)["code"], "too_many_requests");
    let wait: u64 = again.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
}
