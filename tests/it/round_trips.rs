//! How often a request waits for PostgreSQL: once, when the caches are warm.

use std::time::Duration;

use insula::db::News;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::proxy::{Proxy, Traffic};
use super::world::{User, World};

/// Longer than the machine pauses, shorter than patience: what is sent within it was sent together.
const GATHER: Duration = Duration::from_millis(15);

/// What a request costs between the service and PostgreSQL.
struct Meter {
    proxy: Proxy,
    before: Traffic,
}

impl Meter {
    async fn new() -> (World, Self) {
        let (world, proxy) = Proxy::before_world(GATHER, |_| {}).await;
        let before = proxy.traffic();
        (world, Self { proxy, before })
    }

    /// Round trips and new connections since the last reading.
    fn read(&mut self) -> (usize, usize) {
        let now = self.proxy.traffic();
        let before = std::mem::replace(&mut self.before, now);
        (now.round_trips - before.round_trips, now.connections - before.connections)
    }
}

async fn contact(user: &User<'_>) -> String {
    let contacts = user.get("/api/v1/contacts?limit=1").await.ok();
    contacts["data"][0]["id"].as_str().unwrap().to_owned()
}

/// A service that has answered before, so that the statement is prepared; the third time is like all later ones.
macro_rules! third_time_costs {
    ($meter:ident, $expected:expr, $request:expr) => {
        let mut costs = Vec::new();
        for _ in 0..5 {
            $meter.read();
            $request;
            costs.push($meter.read());
        }
        // A busy machine may tear apart what was sent together, but nothing sends together what waits for an answer.
        assert_eq!(costs[2..].iter().min(), Some(&$expected), "{costs:?}");
    };
}

#[tokio::test]
async fn a_warm_read_is_one_round_trip() {
    let (world, mut meter) = Meter::new().await;
    let manager = world.user("acme", "manager").await;
    let row = format!("/api/v1/contacts/{}", contact(&manager).await);
    third_time_costs!(meter, (1, 0), manager.get(&row).await.ok());
    third_time_costs!(meter, (1, 0), manager.get("/api/v1/deals?limit=3").await.ok());
    third_time_costs!(meter, (1, 0), manager.get("/api/v1/reports/pipeline").await.ok());
}

#[tokio::test]
async fn a_warm_read_by_a_key_is_one_round_trip_too() {
    let (world, mut meter) = Meter::new().await;
    let mut robot = world.user("acme", "manager").await;
    let made = robot.post("/api/v1/api-keys", json!({ "name": "Robot", "permissions": ["deals.view"] })).await.ok();
    made["key"].as_str().unwrap().clone_into(&mut robot.token);
    third_time_costs!(meter, (1, 0), robot.get("/api/v1/deals?limit=3").await.ok());
}

#[tokio::test]
async fn a_warm_write_is_one_round_trip() {
    let (world, mut meter) = Meter::new().await;
    let manager = world.user("acme", "manager").await;
    let row = format!("/api/v1/contacts/{}", contact(&manager).await);
    third_time_costs!(meter, (1, 0), manager.patch(&row, json!({ "title": "Buyer" })).await.ok());
    let mut number = 0;
    third_time_costs!(meter, (1, 0), {
        number += 1;
        let email = format!("n{number}@trips.test");
        let made = manager.post("/api/v1/contacts", json!({ "first_name": "New", "email": email })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    });
}

#[tokio::test]
async fn a_write_that_may_come_again_is_two_and_a_batch_is_one() {
    let (world, mut meter) = Meter::new().await;
    let manager = world.user("acme", "manager").await;
    let row = format!("/api/v1/contacts/{}", contact(&manager).await);
    let change = json!({ "title": "Buyer" });
    // A pause of the machine can only add to what is counted, so the least of many is the cost.
    let mut costs = Vec::new();
    for number in 0..5 {
        meter.read();
        let request = manager.request(reqwest::Method::PATCH, &row).header("idempotency-key", &format!("k{number}"));
        request.json(&change).send().await.ok();
        let kept = meter.read();
        let wish = json!({ "method": "PATCH", "path": row, "body": change });
        manager.post("/api/v1/batch", json!({ "requests": vec![wish; 20] })).await.ok();
        costs.push((kept, meter.read()));
    }
    assert_eq!(costs.iter().min(), Some(&((2, 0), (1, 0))), "{costs:?}");
}

#[tokio::test]
async fn what_is_refused_costs_nothing() {
    let (world, mut meter) = Meter::new().await;
    let sales = world.user("acme", "sales1").await;
    sales.get("/api/v1/contacts?limit=1").await.ok();
    meter.read();
    assert_eq!(sales.get("/api/v1/roles").await.status, StatusCode::FORBIDDEN);
    assert_eq!(sales.get("/api/v1/contacts?nothing=eq.1").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(sales.post("/api/v1/contacts", json!({ "nothing": 1 })).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(sales.get("/api/v1/nothing").await.status, StatusCode::NOT_FOUND);
    let stranger = world.request(Method::GET, "acme", "/api/v1/contacts").send().await;
    assert_eq!(stranger.problem(401)["code"], "unauthenticated");
    assert_eq!(meter.read(), (0, 0));
}

/// The first request of a user of a tenant that this process has not met: name, tenant, entitlements and session are
/// looked up, and the bucket's login and first connection are set up.
#[tokio::test]
async fn a_cold_read_is_bounded_and_the_next_is_nearly_warm() {
    let (world, mut meter) = Meter::new().await;
    let manager = world.user("acme", "manager").await;
    // Signing in has met the tenant already.
    world.app.tenants.hear(&News::Resync);
    meter.read();
    manager.get("/api/v1/contacts?limit=1").await.ok();
    let (trips, connections) = meter.read();
    println!("a cold read: {trips} round trips, {connections} new connections");
    assert!((2..=COLD.0).contains(&trips) && connections <= COLD.1, "{trips} round trips, {connections} connections");
    manager.get("/api/v1/contacts?limit=2").await.ok();
    let next = meter.read();
    assert!(next.0 <= 2 && next.1 == 0, "{next:?}");
}

/// Look-ups of two trips each and a sign-in to the server of four; and where the look-ups take turns on two connections,
/// what closes their statements travels alone, though nobody waits for it.
const COLD: (usize, usize) = (18, 1);
