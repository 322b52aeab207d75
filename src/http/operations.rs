//! Operations: work that was answered before it was done.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::error::Problem;
use super::extract::Own;
use super::json::json_text;
use super::path::Id;
use crate::access::OwnRight;
use crate::app::App;
use crate::error::Result;
use crate::resource::Place;

/// How often progress is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long one listener is told: no longer than any answer about his rights is trusted. He may come again.
const LONGEST: Duration = Duration::from_secs(300);

/// `GET /api/v1/operations/{id}`: one of the caller's own.
pub async fn operation(State(app): State<Arc<App>>, Own(right): Own, Id(id): Id) -> Result<Response, Problem> {
    Ok(json_text(StatusCode::OK, app.engine.operation(&right, id).await?))
}

/// `GET /api/v1/operations/{id}/events`: the operation whenever it changed, until its end, as Server-Sent Events (HTML
/// Living Standard, 9.2). An event is named after the state.
pub async fn events(State(app): State<Arc<App>>, Own(right): Own, Id(id): Id) -> Result<Response, Problem> {
    let first = app.engine.operation(&right, id).await?;
    let place = app.engine.follow(&right)?;
    let until = Instant::now() + LONGEST;
    let watch = Watch { app, right, id, new: Some(first), told: String::new(), until, _place: place };
    let events =
        stream::unfold(watch, |mut watch| async move { Some((Ok::<_, Infallible>(watch.event().await?), watch)) });
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response())
}

/// A listener.
struct Watch {
    app: Arc<App>,
    right: OwnRight,
    id: Uuid,
    /// What was found and not told yet.
    new: Option<String>,
    told: String,
    until: Instant,
    _place: Place,
}

/// What an event is named after.
#[derive(Deserialize)]
struct Named {
    state: String,
}

impl Watch {
    /// The next event; a comment while nothing changes, so that proxies keep the connection.
    async fn event(&mut self) -> Option<Bytes> {
        let now = match self.new.take() {
            Some(first) => first,
            None if Instant::now() >= self.until => return None,
            None => {
                tokio::select! {
                    () = sleep(LOOK_EVERY) => {}
                    () = self.app.draining.cancelled() => return None,
                }
                self.app.engine.operation(&self.right, self.id).await.ok()?
            }
        };
        if now == self.told {
            return Some(Bytes::from_static(b":\n\n"));
        }
        let Named { state } = serde_json::from_str(&now).ok()?;
        if state != "running" {
            self.until = Instant::now();
        }
        let event = format!("event: {state}\ndata: {now}\n\n");
        self.told = now;
        Some(event.into())
    }
}
