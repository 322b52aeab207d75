//! Slow statements, vanished clients, exhausted pools, greedy tenants, killed backends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::world::{User, World};

const LOCATIONS: &str = "/api/v1/locations?limit=1";
const REPORT: &str = "/api/v1/reports/lost_reasons";

/// Makes the report of lost reasons take its time in a tenant, as one over too many rows would.
pub async fn slow_report(outside: &Client, subdomain: &str, seconds: f64) {
    let schema = format!("tenant_{subdomain}");
    let sql = format!(
        "alter view {schema}.crm_v_lost_reasons rename to quick_lost_reasons;
         create view {schema}.crm_v_lost_reasons as
           select q.* from (select pg_sleep({seconds}) offset 0) s left join {schema}.quick_lost_reasons q on true;
         grant select on {schema}.crm_v_lost_reasons to it_t_{subdomain}"
    );
    outside.batch_execute(&sql).await.unwrap();
}

/// Makes every new contact of a tenant take its time.
async fn slow_contacts(outside: &Client, subdomain: &str, seconds: f64) {
    let schema = format!("tenant_{subdomain}");
    let sql = format!(
        "create function {schema}.take_time() returns trigger language plpgsql as
           $$ begin perform pg_sleep({seconds}); return new; end $$;
         grant execute on function {schema}.take_time() to it_t_{subdomain};
         create trigger take_time before insert on {schema}.crm_contact
           for each row execute function {schema}.take_time()"
    );
    outside.batch_execute(&sql).await.unwrap();
}

/// Makes the locations of a tenant take their time; every tenant has those.
async fn slow_locations(outside: &Client, subdomain: &str) {
    let schema = format!("tenant_{subdomain}");
    let sql = format!(
        "alter table {schema}.sys_location rename to quick_location;
         create view {schema}.sys_location as
           select q.* from (select pg_sleep(30) offset 0) s left join {schema}.quick_location q on true;
         grant select on {schema}.sys_location to it_t_{subdomain}"
    );
    outside.batch_execute(&sql).await.unwrap();
}

/// Waits until so many statements of this database sleep; gives how long that took.
pub async fn until_sleeping(outside: &Client, expected: i64) -> Duration {
    let began = Instant::now();
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    while outside.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) != expected {
        assert!(began.elapsed() < Duration::from_secs(10), "never {expected} sleeping");
        sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

async fn contacts_named(outside: &Client, subdomain: &str, name: &str) -> i64 {
    let sql = format!("select count(*) from tenant_{subdomain}.crm_contact where first_name = $1");
    outside.query_one(&sql, &[&name]).await.unwrap().get(0)
}

/// Sends a request from a task of its own; aborting the task closes the client's connection.
pub fn in_background(request: super::world::Request) -> tokio::task::JoinHandle<super::world::Answer> {
    tokio::spawn(request.send())
}

/// The first answer fills the caches, so that what follows needs the bucket's pool only.
async fn warm<'w>(world: &'w World, subdomain: &str) -> User<'w> {
    let user = world.user(subdomain, "manager").await;
    user.get("/api/v1/contacts?limit=1").await.ok();
    user
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_is_cancelled_on_the_server() {
    let world = World::new().await;
    let outside = world.superuser().await;
    slow_report(&outside, "acme", 30.0).await;
    let manager = warm(&world, "acme").await;

    let waiting = in_background(manager.request(Method::GET, REPORT));
    until_sleeping(&outside, 1).await;
    waiting.abort();

    let took = until_sleeping(&outside, 0).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    manager.get("/api/v1/contacts?limit=1").await.ok();
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_is_finished() {
    let world = World::new().await;
    let outside = world.superuser().await;
    slow_contacts(&outside, "acme", 0.5).await;
    let manager = warm(&world, "acme").await;

    let body = json!({ "first_name": "Nobody", "email": "nobody@waits.test" });
    let waiting = in_background(manager.request(Method::POST, "/api/v1/contacts").json(&body));
    until_sleeping(&outside, 1).await;
    waiting.abort();

    until_sleeping(&outside, 0).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while contacts_named(&outside, "acme", "Nobody").await == 0 {
        assert!(Instant::now() < deadline, "the write was given up");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_stopped() {
    let world = World::with(|mut config| {
        config.database.statement_timeout_ms = 100;
        config
    });
    let world = world.await;
    let outside = world.superuser().await;
    slow_report(&outside, "acme", 30.0).await;
    slow_contacts(&outside, "acme", 30.0).await;
    let manager = warm(&world, "acme").await;

    let began = Instant::now();
    let read = manager.get(REPORT).await.problem(504);
    assert_eq!(read["code"], "timeout");
    assert!(began.elapsed() < Duration::from_secs(1), "the server did not stop it by itself: {:?}", began.elapsed());
    let write = manager.post("/api/v1/contacts", json!({ "first_name": "Too", "email": "too@slow.test" })).await;
    assert_eq!(write.problem(504)["code"], "timeout");

    until_sleeping(&outside, 0).await;
    assert_eq!(contacts_named(&outside, "acme", "Too").await, 0);
    manager.get("/api/v1/contacts?limit=1").await.ok();
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_stopped_on_the_server_too() {
    let world = World::with(|mut config| {
        config.http.request_timeout_ms = 700;
        config
    });
    let world = world.await;
    let outside = world.superuser().await;
    slow_report(&outside, "acme", 30.0).await;
    let manager = warm(&world, "acme").await;

    assert_eq!(manager.get(REPORT).await.problem(504)["code"], "timeout");
    let took = until_sleeping(&outside, 0).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn an_exhausted_pool_is_waited_for_and_then_503() {
    let world = World::with(|mut config| {
        config.database.bucket_pool = 1;
        config.database.wait_ms = 300;
        config
    });
    let world = world.await;
    let outside = world.superuser().await;
    slow_report(&outside, "acme", 30.0).await;
    let (acme, techstart) = (warm(&world, "acme").await, warm(&world, "techstart").await);

    let holder = in_background(acme.request(Method::GET, REPORT));
    until_sleeping(&outside, 1).await;
    let began = Instant::now();
    let answer = techstart.get("/api/v1/contacts?limit=1").await;
    assert_eq!(answer.problem(503)["code"], "unavailable");
    assert_eq!(answer.headers["retry-after"], "1");
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(300) && waited < Duration::from_secs(2), "{waited:?}");

    holder.abort();
    until_sleeping(&outside, 0).await;
    techstart.get("/api/v1/contacts?limit=1").await.ok();
}

#[tokio::test]
async fn a_tenant_beyond_its_share_is_slowed_down_and_no_neighbour_is() {
    let world = World::with(|mut config| {
        config.database.bucket_pool = 2;
        config.database.tenant_connections = 1;
        config.database.wait_ms = 300;
        config
    });
    let world = world.await;
    let outside = world.superuser().await;
    // Three tenants and two connections: whichever connections they like best, two of them like the same one.
    for greedy in ["acme", "techstart", "testcompany"] {
        slow_locations(&outside, greedy).await;
        let flooder = world.user(greedy, "owner").await;
        flooder.get("/api/v1/users?limit=1").await.ok();
        let flood = in_background(flooder.request(Method::GET, LOCATIONS));
        until_sleeping(&outside, 1).await;
        let refused = flooder.get(LOCATIONS).await;
        assert_eq!(refused.problem(429)["code"], "too_many_requests");
        assert_eq!(refused.headers["retry-after"], "1");
        for neighbour in ["acme", "techstart", "testcompany"].into_iter().filter(|name| *name != greedy) {
            world.user(neighbour, "owner").await.get("/api/v1/users?limit=1").await.ok();
        }
        flood.abort();
        until_sleeping(&outside, 0).await;
    }
}

#[tokio::test]
async fn quick_work_does_not_queue_behind_slow_work_while_a_connection_is_free() {
    let world = World::with(|mut config| {
        config.database.bucket_pool = 4;
        config.database.tenant_connections = 4;
        config.database.wait_ms = 1000;
        config
    });
    let world = world.await;
    let outside = world.superuser().await;
    slow_report(&outside, "acme", 30.0).await;
    let (manager, neighbour) = (warm(&world, "acme").await, warm(&world, "techstart").await);
    let reports: Vec<_> = (0..3).map(|_| in_background(manager.request(Method::GET, REPORT))).collect();
    until_sleeping(&outside, 3).await;
    for _ in 0..10 {
        let quick = futures_util::future::join_all((0..4).map(|_| neighbour.get("/api/v1/contacts?limit=1"))).await;
        quick.iter().for_each(|answer| drop(answer.ok()));
    }
    reports.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_backends_fail_no_read() {
    let world = Arc::new(World::new().await);
    let outside = world.superuser().await;
    let token = world.token("acme", "manager").await;
    let counters: Vec<Arc<AtomicUsize>> = (0..4).map(|_| Arc::default()).collect();
    let readers = counters.iter().map(|reads| tokio::spawn(read_on(world.clone(), token.clone(), reads.clone())));
    let readers: Vec<_> = readers.collect();
    for _ in 0..20 {
        // Everybody gets on between two blows, so that no request is hit twice.
        let before: Vec<usize> = counters.iter().map(|reads| reads.load(Ordering::SeqCst)).collect();
        while counters.iter().zip(&before).any(|(reads, before)| reads.load(Ordering::SeqCst) < before + 3) {
            assert!(!readers.iter().any(tokio::task::JoinHandle::is_finished), "a read failed");
            sleep(Duration::from_millis(2)).await;
        }
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()";
        assert!(!outside.query(sql, &[]).await.unwrap().is_empty());
    }
    readers.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn read_on(world: Arc<World>, token: String, reads: Arc<AtomicUsize>) {
    loop {
        let read = reads.fetch_add(1, Ordering::SeqCst);
        let path = if read.is_multiple_of(2) { "/api/v1/contacts?limit=5" } else { "/api/v1/me" };
        let answer = world.request(Method::GET, "acme", path).bearer(&token).send().await;
        assert_eq!(answer.status, 200, "read {read} of {path}: {}", answer.text);
    }
}
