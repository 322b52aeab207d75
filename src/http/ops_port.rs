//! The port for machines that watch: `/live`, `/ready`, `/metrics`, `/version`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json as object;
use tokio::time::timeout;

use super::json::json;
use crate::app::App;
use crate::db::pending_public;
use crate::error::Error;

/// How long the database may take to answer before we are not ready; shorter than the patience of those who ask.
const READY_LIMIT: Duration = Duration::from_millis(900);

/// The ops port's routes.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/live", get(async || "ok\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .with_state(app)
}

/// Ready when the control database answers and is up to date; packs were loaded before this port opened.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let reason = match timeout(READY_LIMIT, pending_public(&app.platform.database)).await {
        _ if app.draining.is_cancelled() => Some("shutting down".to_owned()),
        Ok(Ok(pending)) if pending.is_empty() => None,
        Ok(Ok(pending)) => Some(format!("{} migrations are pending", pending.len())),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("the database does not answer in time".to_owned()),
    };
    let (status, body) = match reason {
        None => (StatusCode::OK, object!({ "ready": true })),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, object!({ "ready": false, "reasons": [reason] })),
    };
    answer(json(status, &body))
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    answer(app.metrics.text().map(|text| ([(CONTENT_TYPE, kind)], text).into_response()))
}

async fn version() -> Response {
    answer(json(StatusCode::OK, &object!({ "name": "insula", "version": env!("CARGO_PKG_VERSION") })))
}

fn answer(result: Result<Response, Error>) -> Response {
    result.unwrap_or_else(|error| {
        tracing::error!(context = error.private_context(), "the ops port failed");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}
