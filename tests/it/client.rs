//! Requests and answers, and those who send them.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::world::World;

/// Somebody who is signed in.
pub struct User<'w> {
    pub(super) world: &'w World,
    pub subdomain: String,
    pub token: String,
}

impl<'w> User<'w> {
    /// Somebody who signed in elsewhere.
    pub fn with_token(world: &'w World, subdomain: &str, token: &str) -> Self {
        Self { world, subdomain: subdomain.to_owned(), token: token.to_owned() }
    }
}

impl User<'_> {
    pub fn world(&self) -> &World {
        self.world
    }

    pub fn request(&self, method: Method, path: &str) -> Request {
        self.world.request(method, &self.subdomain, path).bearer(&self.token)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).send().await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.request(Method::POST, path).json(&body).send().await
    }

    pub async fn put(&self, path: &str) -> Answer {
        self.request(Method::PUT, path).send().await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.request(Method::PATCH, path).json(&body).send().await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path).send().await
    }

    /// All rows of a list; the limit is the largest there is.
    pub async fn rows(&self, path: &str) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let answer = self.get(&format!("{path}{separator}limit=500")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["data"].as_array().unwrap().clone()
    }
}

/// A request under construction.
pub struct Request(pub(super) reqwest::RequestBuilder);

impl Request {
    pub fn bearer(self, token: &str) -> Self {
        Self(self.0.bearer_auth(token))
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    pub fn body(self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.header("content-type", content_type).body(body))
    }

    /// Only the status, whatever the body holds.
    pub async fn status(self) -> u16 {
        self.0.send().await.unwrap().status().as_u16()
    }

    /// A body that is not text.
    pub async fn bytes(self) -> Vec<u8> {
        self.0.send().await.unwrap().bytes().await.unwrap().to_vec()
    }

    pub async fn send(self) -> Answer {
        let response = self.0.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The machine code of a problem, checked to be one.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], self.headers["x-request-id"].to_str().unwrap());
        problem
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.json()
    }
}
