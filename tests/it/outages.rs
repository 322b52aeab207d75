//! PostgreSQL goes away, stands still, or breaks off in the middle of a COMMIT.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use insula::db::News;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::faults::{in_background, slow_report, until_sleeping};
use super::proxy::{Network, Proxy};
use super::world::{Answer, User, World};

const CONTACTS: &str = "/api/v1/contacts?limit=1";

/// The status of a page of the port for machines.
async fn ops(world: &World, path: &str) -> StatusCode {
    let url = format!("http://127.0.0.1:{}{path}", world.ops_port);
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
        .get(url)
        .send()
        .await
        .unwrap()
        .status()
}

/// Repeats a read until it is answered; gives how long that took.
async fn until_served(user: &User<'_>) -> Duration {
    let began = Instant::now();
    while user.get(CONTACTS).await.status != StatusCode::OK {
        assert!(began.elapsed() < Duration::from_secs(10), "never served again");
        sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

/// Has a tenant's reads open so many connections of its bucket.
async fn open_all_connections(outside: &Client, user: &User<'_>, connections: usize) {
    user.get(CONTACTS).await.ok();
    slow_report(outside, &user.subdomain, 30.0).await;
    let held: Vec<_> =
        (0..connections).map(|_| in_background(user.request(Method::GET, "/api/v1/reports/lost_reasons"))).collect();
    until_sleeping(outside, i64::try_from(connections).unwrap()).await;
    // Ended by the server, not by us: so the connections are clean and stay.
    let cancel = "select pg_cancel_backend(pid) from pg_stat_activity
        where wait_event = 'PgSleep' and datname = current_database()";
    outside.query(cancel, &[]).await.unwrap();
    for report in held {
        assert_eq!(report.await.unwrap().status, StatusCode::GATEWAY_TIMEOUT);
    }
}

async fn timed(answer: impl Future<Output = Answer>) -> (Answer, Duration) {
    let began = Instant::now();
    (answer.await, began.elapsed())
}

#[tokio::test]
async fn without_postgresql_it_says_so_at_once_and_comes_back_by_itself() {
    let (world, proxy) = Proxy::before_world(Duration::ZERO, |_| {}).await;
    let manager = world.user("acme", "manager").await;
    manager.get(CONTACTS).await.ok();
    assert_eq!(ops(&world, "/ready").await, StatusCode::OK);

    proxy.set(Network::Away);
    for path in [CONTACTS, "/api/v1/deals?limit=1", "/api/v1/contacts/00000000-0000-7000-8000-000000000000"] {
        let (answer, took) = timed(manager.get(path)).await;
        assert_eq!(answer.problem(503)["code"], "unavailable");
        assert_eq!(answer.headers["retry-after"], "1");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    let write = manager.post("/api/v1/contacts", json!({ "first_name": "Un", "email": "un@heard.test" })).await;
    assert_eq!(write.problem(503)["code"], "unavailable");
    let stranger = world.request(Method::POST, "techstart", "/api/v1/auth/login");
    let login = stranger.json(&json!({ "email": "owner@techstart.test", "password": "x" })).send().await;
    assert_eq!(login.problem(503)["code"], "unavailable");
    assert_eq!(ops(&world, "/live").await, StatusCode::OK);
    assert_eq!(ops(&world, "/ready").await, StatusCode::SERVICE_UNAVAILABLE);

    proxy.set(Network::Open);
    let took = until_served(&manager).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(ops(&world, "/ready").await, StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_stands_still_holds_nobody_for_long() {
    let (world, proxy) = Proxy::before_world(Duration::ZERO, |config| {
        config.database.bucket_pool = 2;
        config.database.control_pool = 2;
        config.database.wait_ms = 300;
        config.database.connect_timeout_ms = 400;
        config.database.statement_timeout_ms = 500;
        config.http.request_timeout_ms = 1500;
    })
    .await;
    let manager = world.user("acme", "manager").await;
    let outside = world.superuser().await;
    open_all_connections(&outside, &manager, 2).await;

    proxy.set(Network::Frozen);
    let body = json!({ "first_name": "Frozen", "email": "frozen@solid.test" });
    let write = || manager.post("/api/v1/contacts", body.clone());
    // The writes hold all connections of the bucket; they have no client that could give them up.
    let writes = join_all([timed(write()), timed(write())]).await;
    let reads = join_all([timed(manager.get(CONTACTS)), timed(manager.get(CONTACTS))]).await;
    for (answer, took) in writes.into_iter().chain(reads) {
        assert!(matches!(answer.status.as_u16(), 503 | 504), "{} {}", answer.status, answer.text);
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    assert_eq!(ops(&world, "/live").await, StatusCode::OK);
    let began = Instant::now();
    assert_eq!(ops(&world, "/ready").await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

    // What was caught stays caught: the service has to let go of it, writes and news included.
    proxy.set(Network::Open);
    let took = until_served(&manager).await;
    assert!(took < Duration::from_secs(4), "{took:?}");
    outside
        .execute("update public.tenants set state = 'suspended', suspended_reason = 'x' where subdomain = 'acme'", &[])
        .await
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(8);
    while manager.get(CONTACTS).await.status != StatusCode::FORBIDDEN {
        assert!(Instant::now() < deadline, "no news any more");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn connections_that_died_unnoticed_fail_no_read() {
    let (world, proxy) = Proxy::before_world(Duration::ZERO, |_| {}).await;
    let outside = world.superuser().await;
    let manager = world.user("acme", "manager").await;
    open_all_connections(&outside, &manager, 4).await;
    join_all((0..4).map(|_| world.token("techstart", "owner"))).await;
    let open = world.app.platform.database.open_connections().await;
    assert!(open >= 6, "only {open} connections are open");

    // All that is cached is old as well, so that every look-up meets a dead connection of its own.
    proxy.set(Network::Stale);
    world.app.tenants.hear(&News::Resync);
    world.app.gate.hear(&News::Resync);
    world.app.sessions.hear(&News::Resync);
    manager.get(CONTACTS).await.ok();
    manager.get("/api/v1/deals?limit=1").await.ok();
}

async fn cut_in_the_middle_of_commit(network: Network, kept: i64) {
    let (world, proxy) = Proxy::before_world(Duration::ZERO, |config| config.database.bucket_pool = 1).await;
    let manager = world.user("acme", "manager").await;
    let outside = world.superuser().await;
    let write = |name: &str| manager.post("/api/v1/contacts", json!({ "first_name": name, "phone": "+919876543210" }));
    assert_eq!(write("Before").await.status, StatusCode::CREATED);
    manager.get(CONTACTS).await.ok();
    let before = proxy.traffic().connections;

    proxy.set(network);
    assert_eq!(write("Unknown").await.problem(503)["code"], "unavailable");
    proxy.set(Network::Open);

    manager.get(CONTACTS).await.ok();
    assert!(proxy.traffic().connections > before, "the broken connection was handed on");
    let sql = "select count(*) from tenant_acme.crm_contact where first_name = 'Unknown'";
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let found: i64 = outside.query_one(sql, &[]).await.unwrap().get(0);
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and xact_start is not null
            and pid <> pg_backend_pid()";
        let open: i64 = outside.query_one(sql, &[]).await.unwrap().get(0);
        if (found, open) == (kept, 0) {
            return;
        }
        assert!(Instant::now() < deadline, "{found} rows, {open} open transactions");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_not_tried_again() {
    cut_in_the_middle_of_commit(Network::CutAfterCommit, 1).await;
}

#[tokio::test]
async fn a_commit_that_never_arrived_leaves_nothing() {
    cut_in_the_middle_of_commit(Network::CutBeforeCommit, 0).await;
}
