//! API keys: made and ended by the service, which alone sees them whole; their rows are read like all others.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::Problem;
use super::incoming::Incoming;
use super::json::json;
use super::roles::check_codes;
use crate::access::{ApiKey, NewApiKey, Right};
use crate::app::App;
use crate::error::{Error, Result};

type Answer = Result<Response<Body>, Problem>;

/// A key as a body asks for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: String,
    permissions: Vec<String>,
    expires_at: Option<String>,
}

impl Form {
    fn check(self, app: &App, longest: Duration) -> Result<NewApiKey> {
        let mut faults = Error::validation();
        if !(1..=100).contains(&self.name.trim().chars().count()) {
            faults = faults.field("#/name", "invalid_value", "must have 1 to 100 characters");
        }
        if self.permissions.is_empty() || self.permissions.len() > 500 {
            faults = faults.field("#/permissions", "invalid_length", "must be 1 to 500 permissions");
        }
        if let Some(fault) = self.expires_at.as_deref().and_then(|text| bad_end(text, longest)) {
            faults = faults.field("#/expires_at", "invalid_value", fault);
        }
        faults = check_codes(faults, app.engine.catalog(), "#/permissions", &self.permissions);
        faults.if_any()?;
        Ok(NewApiKey { name: self.name, permissions: self.permissions, expires_at: self.expires_at })
    }
}

/// What is wrong with the end of a key.
fn bad_end(text: &str, longest: Duration) -> Option<String> {
    let Ok(end) = text.parse::<Timestamp>() else {
        return Some("must be a time such as 2030-01-31T12:00:00Z".to_owned());
    };
    let life = end.duration_since(Timestamp::now());
    let longest_life = SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX);
    let fits = life > SignedDuration::ZERO && life <= longest_life;
    (!fits).then(|| format!("must be in the future and at most {} days from now", longest.as_secs() / 86_400))
}

/// `POST /api/v1/api-keys`: the one answer that holds the key. It is kept nowhere, so an Idempotency-Key finds nothing to
/// repeat and is refused.
pub async fn create(app: &App, right: &Right, incoming: &Incoming) -> Answer {
    incoming.parameters(&[])?;
    incoming.prefer(&[])?;
    incoming.refuse_repetition()?;
    let longest = Duration::from_secs(u64::from(app.config.auth.api_key_days) * 86_400);
    // Whether the body is an object at all comes before what its fields are.
    incoming.object()?;
    let form = incoming.shape::<Form>()?.check(app, longest)?;
    let (row, key) = form.make(&app.platform.database, right, longest).await?;
    let mut body: Map<String, Value> = serde_json::from_str(&row).map_err(Error::internal)?;
    let id = body.get("id").and_then(Value::as_str).map(str::to_owned).unwrap_or_default();
    body.insert("key".to_owned(), key.into_text().into());
    let mut response = json(StatusCode::CREATED, &body)?;
    let location = HeaderValue::from_str(&format!("/api/v1/api_keys/{id}")).map_err(Error::internal)?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// `DELETE /api/v1/api-keys/{id}`: the key is over at once; its row stays, and says when.
pub async fn revoke(app: &App, right: &Right, id: &str) -> Answer {
    let id = id.parse().map_err(|_| Error::not_found())?;
    ApiKey::revoke(&app.platform.database, right, id).await?;
    right.forget(&app.sessions);
    Ok(StatusCode::NO_CONTENT.into_response())
}
