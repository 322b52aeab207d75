//! How often everybody may ask.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::world::{Answer, World};

async fn limited(tenant: u32, key: u32, sign_in: u32) -> World {
    World::with(|mut config| {
        config.limits.tenant_per_minute = tenant;
        config.limits.key_per_minute = key;
        config.limits.sign_in_per_minute = sign_in;
        config
    })
    .await
}

fn header(answer: &Answer, name: &str) -> String {
    answer.headers.get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn headers_count_down_and_beyond_the_quota_is_429() {
    let world = limited(1000, 5, 0).await;
    let (manager, owner) = (world.user("acme", "manager").await, world.user("acme", "owner").await);
    let first = manager.get("/api/v1/me").await;
    assert_eq!(header(&first, "ratelimit-policy"), "\"tenant\";q=1000;w=60, \"key\";q=5;w=60");
    let left = header(&first, "ratelimit");
    assert!(left.starts_with("\"tenant\";r=99") && left.ends_with(", \"key\";r=4;t=12"), "{left}");
    for _ in 0..4 {
        assert_eq!(manager.get("/api/v1/contacts?limit=1").await.status, StatusCode::OK);
    }
    let refused = manager.get("/api/v1/contacts?limit=1").await;
    assert_eq!(refused.problem(429)["code"], "too_many_requests");
    assert!(header(&refused, "retry-after").parse::<u64>().unwrap() <= 13, "{:?}", refused.headers);
    assert!(header(&refused, "ratelimit").contains("\"key\";r=0"), "{:?}", refused.headers);
    assert_eq!(owner.get("/api/v1/contacts?limit=1").await.status, StatusCode::OK, "another session is unaffected");
}

#[tokio::test]
async fn a_tenant_that_asks_too_much_takes_nothing_from_others() {
    let world = limited(4, 0, 0).await;
    let (manager, neighbour) = (world.user("acme", "manager").await, world.user("techstart", "manager").await);
    for token in ["garbage", ""] {
        for _ in 0..10 {
            let stranger = world.request(Method::GET, "acme", "/api/v1/me").bearer(token).send().await;
            assert_eq!(stranger.problem(401)["code"], "unauthenticated", "strangers use up nothing of the tenant's");
        }
    }
    let mut last = StatusCode::OK;
    for _ in 0..5 {
        last = manager.get("/api/v1/me").await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(neighbour.get("/api/v1/me").await.status, StatusCode::OK);
    let stranger = world.request(Method::GET, "nowhere", "/api/v1/me").send().await;
    assert_eq!((stranger.status.as_u16(), header(&stranger, "ratelimit")), (404, String::new()));
}

#[tokio::test]
async fn signing_in_is_counted_by_account_and_address() {
    let world = limited(0, 0, 3).await;
    let wrong = json!({ "email": "owner@acme.test", "password": "not this one" });
    for expected in [401, 401, 401, 429] {
        let answer = world.request(Method::POST, "acme", "/api/v1/auth/login").json(&wrong).send().await;
        assert_eq!(answer.status.as_u16(), expected, "{}", answer.text);
    }
    world.token("techstart", "owner").await;
    let operator = || world.request(Method::POST, "admin", "/api/v1/auth/login").json(&wrong).send();
    for expected in [401, 401, 401, 429] {
        assert_eq!(operator().await.status.as_u16(), expected);
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_counts_for_himself() {
    let wrong = json!({ "email": "owner@acme.test", "password": "not this one" });
    let behind = async |trusted: &'static str| {
        let world = World::with(|mut config| {
            (config.limits.sign_in_per_minute, config.http.trusted_proxies) = (2, trusted.to_owned());
            config.http.max_connections_per_address = if trusted.is_empty() { 100 } else { 1 };
            config
        })
        .await;
        let mut statuses = Vec::new();
        for client in ["203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2", "6.6.6.6, 203.0.113.1"] {
            let request = world.request(Method::POST, "admin", "/api/v1/auth/login").json(&wrong);
            statuses.push(request.header("x-forwarded-for", client).send().await.status.as_u16());
        }
        statuses
    };
    assert_eq!(behind("127.0.0.0/8").await, [401, 401, 429, 401, 429]);
    assert_eq!(behind("").await, [401, 401, 429, 429, 429], "nobody is believed who is not known");
}

#[tokio::test]
async fn a_request_counts_once_and_only_when_it_is_taken() {
    let world = limited(100, 2, 0).await;
    let (manager, owner) = (world.user("acme", "manager").await, world.user("acme", "owner").await);
    // This looks at the session twice.
    let schema = manager.get("/api/v1/contacts/schema").await;
    assert!(header(&schema, "ratelimit").contains("\"key\";r=1;"), "{:?}", schema.headers);
    let body = json!({ "requests": [
        { "method": "POST", "path": "/api/v1/organizations", "body": { "name": "One" } },
        { "method": "POST", "path": "/api/v1/organizations", "body": { "name": "Two" } },
    ]});
    let batch = manager.post("/api/v1/batch", body).await;
    assert!(header(&batch, "ratelimit").contains("\"key\";r=0;"), "{:?}", batch.headers);
    for _ in 0..20 {
        manager.get("/api/v1/me").await.problem(429);
    }
    // The two requests that were taken, and this; a moment's recovery may hide one or two.
    let left = header(&owner.get("/api/v1/me").await, "ratelimit");
    assert!(left.starts_with("\"tenant\";r=9"), "what was refused to one is not taken from all: {left}");
}
