//! Keys of access tokens change under way: nobody is signed out, in any process, unless they leaked.

use std::time::{Duration, Instant};

use insula::auth::rotate_key;
use insula::auth::token::Audience;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use super::second::Second;
use super::world::World;

const BOUND: Duration = Duration::from_secs(1);

async fn sign_in(world: &World) -> Value {
    let credentials = json!({ "email": "sales1@acme.test", "password": insula::ops::DEMO_PASSWORD });
    world.request(Method::POST, "acme", "/api/v1/auth/login").json(&credentials).send().await.ok()
}

async fn here(world: &World, host: &str, tokens: &Value) -> u16 {
    let token = tokens["access_token"].as_str().unwrap();
    world.request(Method::GET, host, "/api/v1/me").bearer(token).status().await
}

async fn there(second: &Second, host: &str, tokens: &Value) -> u16 {
    let request = second.http.get(format!("http://127.0.0.1:{}/api/v1/me", second.port));
    let request = request.header("host", format!("{host}.insula.test"));
    request.bearer_auth(tokens["access_token"].as_str().unwrap()).send().await.unwrap().status().as_u16()
}

async fn rotate(world: &World, args: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_insula"));
    let output = command.args(["key", "rotate"]).args(args).envs(world.environment()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The header of a token names its key.
fn header(tokens: &Value) -> &str {
    tokens["access_token"].as_str().unwrap().split('.').next().unwrap()
}

#[tokio::test]
async fn keys_change_and_nobody_is_signed_out() {
    let world = World::new().await;
    let second = Second::over(&world).await;
    let (old, staff) = (sign_in(&world).await, json!({ "access_token": world.operator().await }));
    assert_eq!((here(&world, "acme", &old).await, there(&second, "acme", &old).await), (200, 200));
    rotate(&world, &[]).await;
    let rotated = Instant::now();
    let new = loop {
        let new = sign_in(&world).await;
        if header(&new) != header(&old) {
            break new;
        }
        assert!(rotated.elapsed() < BOUND, "this process still signs with the old key");
    };
    for tokens in [&new, &old] {
        assert_eq!((here(&world, "acme", tokens).await, there(&second, "acme", tokens).await), (200, 200));
    }
    assert_eq!((here(&world, "admin", &staff).await, there(&second, "admin", &staff).await), (200, 200));
    let body = json!({ "refresh_token": old["refresh_token"] });
    let refreshed = world.request(Method::POST, "acme", "/api/v1/auth/refresh").json(&body).send().await.ok();
    assert_eq!(header(&refreshed), header(&new));
}

#[tokio::test]
async fn a_token_of_a_new_key_is_known_before_the_news_is_heard() {
    let world = World::new().await;
    let outside = world.superuser().await;
    outside.batch_execute("alter table public.signing_keys disable trigger zz_news").await.unwrap();
    rotate_key(&world.app.platform.database, Audience::Tenant, false).await.unwrap();
    // The second process starts with the new key; this one has heard nothing.
    let second = Second::over(&world).await;
    let request = second.http.post(format!("http://127.0.0.1:{}/api/v1/auth/login", second.port));
    let credentials = json!({ "email": "sales1@acme.test", "password": insula::ops::DEMO_PASSWORD });
    let request = request.header("host", "acme.insula.test").json(&credentials);
    let tokens: Value = request.send().await.unwrap().json().await.unwrap();
    let at_once = futures_util::future::join_all((0..8).map(|_| here(&world, "acme", &tokens))).await;
    assert_eq!(at_once, [200; 8]);
}

#[tokio::test]
async fn a_key_that_leaked_is_good_for_nothing_and_sessions_live_on() {
    let world = World::new().await;
    let second = Second::over(&world).await;
    let (old, staff) = (sign_in(&world).await, json!({ "access_token": world.operator().await }));
    assert_eq!((here(&world, "acme", &old).await, there(&second, "acme", &old).await), (200, 200));
    rotate(&world, &["--audience", "tenant", "--emergency"]).await;
    let rotated = Instant::now();
    while (here(&world, "acme", &old).await, there(&second, "acme", &old).await) != (401, 401) {
        assert!(rotated.elapsed() < BOUND, "a token of the leaked key is still accepted");
    }
    assert_eq!(here(&world, "admin", &staff).await, 200, "another audience");
    let body = json!({ "refresh_token": old["refresh_token"] });
    let next = world.request(Method::POST, "acme", "/api/v1/auth/refresh").json(&body).send().await.ok();
    assert_eq!((here(&world, "acme", &next).await, there(&second, "acme", &next).await), (200, 200));
}

#[tokio::test]
async fn keys_that_outlived_what_they_signed_are_good_for_nothing_and_are_removed() {
    let world = World::new().await;
    let database = &world.app.platform.database;
    let (outside, tokens) = (world.superuser().await, sign_in(&world).await);
    rotate_key(database, Audience::Tenant, false).await.unwrap();
    let old = "update public.signing_keys set retired_at = now() - interval '121 minutes' where retired_at is not null";
    assert_eq!(outside.execute(old, &[]).await.unwrap(), 1);
    let aged = Instant::now();
    while here(&world, "acme", &tokens).await != 401 {
        assert!(aged.elapsed() < BOUND, "it could still sign");
    }
    assert_eq!(rotate_key(database, Audience::Tenant, false).await.unwrap().1, 1);
    let left = "select count(*) filter (where retired_at is null), count(*) from public.signing_keys where audience = 'tenant'";
    let left = outside.query_one(left, &[]).await.unwrap();
    assert_eq!((left.get::<_, i64>(0), left.get::<_, i64>(1)), (1, 2));
}

#[tokio::test]
async fn forged_key_ids_cost_the_database_one_look_a_second() {
    use base64::Engine as _;
    let world = World::new().await;
    let outside = world.superuser().await;
    let forged = |n: usize| {
        let header = format!(r#"{{"alg":"HS256","kid":"forged{n}","typ":"at+jwt"}}"#);
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header);
        json!({ "access_token": format!("{header}.e30.x") })
    };
    assert_eq!(here(&world, "acme", &forged(0)).await, 401);
    // Whoever reads the keys now waits.
    let lock = "begin; lock table public.signing_keys in access exclusive mode";
    let began = Instant::now();
    outside.batch_execute(lock).await.unwrap();
    for n in 1..20 {
        if began.elapsed() > Duration::from_millis(700) {
            break;
        }
        assert_eq!(here(&world, "acme", &forged(n)).await, 401);
    }
    outside.batch_execute("commit").await.unwrap();
}
