//! The letters that a world's tenants were sent, and what stands in their links.

use std::time::Duration;

use insula::mail::Kept;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::world::{Answer, World};

/// Letters to an address, the oldest first, when nothing waits to be sent in a tenant any more.
pub async fn letters_to(world: &World, db: &Client, tenant: &str, address: &str) -> Vec<Kept> {
    settled(db, tenant).await;
    let mut letters = world.app.mailer.kept(1000).await.unwrap();
    letters.retain(|letter| letter.to.contains(&format!("<{address}>")));
    letters.reverse();
    letters
}

/// Until no letter of a tenant waits.
pub async fn settled(db: &Client, tenant: &str) {
    let sql = format!("select count(*) from tenant_{tenant}.sys_mail where ended_at is null");
    for _ in 0..2000 {
        if db.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("letters still wait");
}

/// The token behind the link of a letter.
pub fn token(letter: &Kept) -> String {
    let (_, rest) = letter.text.split_once('#').unwrap_or_else(|| panic!("no link: {}", letter.text));
    rest.split_whitespace().next().unwrap().to_owned()
}

/// What a visitor of a tenant posts.
pub async fn post(world: &World, tenant: &str, path: &str, body: Value) -> Answer {
    world.request(reqwest::Method::POST, tenant, &format!("/api/v1/auth/{path}")).json(&body).send().await
}

pub async fn accept(world: &World, token: &str, password: &str) -> Answer {
    post(world, "acme", "accept", json!({ "token": token, "password": password })).await
}

pub async fn forgot(world: &World, email: &str) -> Answer {
    post(world, "acme", "forgot-password", json!({ "email": email })).await
}

pub async fn reset(world: &World, token: &str, password: &str) -> Answer {
    post(world, "acme", "reset-password", json!({ "token": token, "password": password })).await
}

pub async fn sign_in(world: &World, email: &str, password: &str) -> Answer {
    post(world, "acme", "login", json!({ "email": email, "password": password })).await
}
