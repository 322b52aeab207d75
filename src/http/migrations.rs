//! What operators do with the fleet as a whole on `admin.<domain>`.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use serde_json::json as object;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::error::Problem;
use super::extract::bearer;
use super::json::{Json, json};
use super::path::Id;
use super::staff::{Staff, TenantAdmin};
use super::tenant_life::Nothing;
use crate::app::App;
use crate::auth::token::unauthenticated;
use crate::error::{Error, Result};
use crate::ops::{self, Order, Run};

type Answer = Result<Response<Body>, Problem>;

/// How often it is looked for what a run has told.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often it is looked whether a listener is still signed in.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// `GET /api/v1/migrations`: versions, what is behind and why, and the last runs.
pub async fn status(State(app): State<Arc<App>>, _: Staff) -> Answer {
    let platform = &app.platform;
    let runs = ops::run_list(platform).await?;
    let body = object!({
        "public_version": ops::applied_public(&platform.database).await?,
        "versions": ops::fleet_versions(platform).await?,
        "failing": ops::troubled_tenants(platform).await?,
        "running": runs.iter().find(|run| run.goes_on()).map(|run| &run.json),
        "runs": runs.iter().map(|run| &run.json).collect::<Vec<_>>(),
    });
    Ok(json(StatusCode::OK, &body)?)
}

/// `POST /api/v1/migrations`
pub async fn begin(State(app): State<Arc<App>>, TenantAdmin(_, by): TenantAdmin, Json(order): Json<Order>) -> Answer {
    if order.dry_run {
        return rehearse(&app, &order).await;
    }
    begun(&app, app.background.migrate(order, &by).await?).await
}

async fn rehearse(app: &App, order: &Order) -> Answer {
    order.check(&app.platform).await?;
    let trial = ops::rehearse(&app.platform, order).await?;
    let nothing = || object!({ "subdomain": null, "files": [], "error": null });
    Ok(json(StatusCode::OK, &trial.map_or_else(nothing, |trial| trial.json()))?)
}

async fn begun(app: &App, id: Uuid) -> Answer {
    accepted(&format!("/api/v1/migrations/{id}"), &ops::run_show(&app.platform, id).await?.json)
}

/// Work goes on; where it is followed.
pub(super) fn accepted(location: &str, body: &impl Serialize) -> Answer {
    let mut response = json(StatusCode::ACCEPTED, body)?;
    response.headers_mut().insert(LOCATION, HeaderValue::from_str(location).map_err(Error::internal)?);
    Ok(response)
}

/// `GET /api/v1/migrations/{id}`
pub async fn run(State(app): State<Arc<App>>, _: Staff, Id(id): Id) -> Answer {
    Ok(json(StatusCode::OK, &ops::run_show(&app.platform, id).await?.json)?)
}

/// `POST /api/v1/migrations/{id}/actions/pause`
pub async fn pause(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    Id(id): Id,
    Json(Nothing {}): Json<Nothing>,
) -> Answer {
    ops::pause_migration(&app.platform, id, &by).await?;
    Ok(json(StatusCode::OK, &ops::run_show(&app.platform, id).await?.json)?)
}

/// `POST /api/v1/migrations/{id}/actions/resume`: a new run with the same selection and pace.
pub async fn resume(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    Id(id): Id,
    Json(Nothing {}): Json<Nothing>,
) -> Answer {
    let order = ops::resumed_order(&app.platform, id).await?;
    begun(&app, app.background.migrate(order, &by).await?).await
}

/// `GET /api/v1/migrations/{id}/events`: what a run tells, from whichever process it is, until its end or that of the
/// listener's sign-in, as Server-Sent Events (HTML Living Standard, 9.2). `Last-Event-ID` goes on where it was left.
pub async fn events(State(app): State<Arc<App>>, _: Staff, Id(id): Id, headers: HeaderMap) -> Answer {
    let token = bearer(&headers)?.ok_or_else(|| unauthenticated("no Authorization header"))?.to_owned();
    ops::run_show(&app.platform, id).await?;
    let place = app.background.follow()?;
    let after = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok()).unwrap_or(0);
    let watch =
        Watch { app, id, token, checked: Instant::now(), after, wait: Duration::ZERO, over: false, _place: place };
    let pieces =
        stream::unfold(watch, |mut watch| async move { Some((Ok::<_, Infallible>(watch.piece().await?), watch)) });
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(pieces)).into_response())
}

/// A listener.
struct Watch {
    app: Arc<App>,
    id: Uuid,
    token: String,
    checked: Instant,
    /// The number of the last event that was told.
    after: i32,
    wait: Duration,
    over: bool,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    /// The next events; a comment while there are none, so that proxies keep the connection.
    async fn piece(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        tokio::select! {
            () = sleep(self.wait) => {}
            () = self.app.draining.cancelled() => return None,
        }
        self.still_signed_in().await?;
        // The run first: when it has ended, all that it told is there.
        let run = ops::run_show(&self.app.platform, self.id).await.ok()?;
        let text = self.told().await?;
        self.wait = if text.is_empty() { LOOK_EVERY } else { Duration::ZERO };
        match (text.is_empty(), run) {
            (false, _) => Some(text.into()),
            (true, run) if run.goes_on() => Some(Bytes::from_static(b":\n\n")),
            (true, Run { json, .. }) => {
                self.over = true;
                Some(format!("event: end\ndata: {json}\n\n").into())
            }
        }
    }

    async fn still_signed_in(&mut self) -> Option<()> {
        if self.checked.elapsed() > CHECK_EVERY {
            self.app.authenticator.operator(&self.token).await.ok()?;
            self.checked = Instant::now();
        }
        Some(())
    }

    async fn told(&mut self) -> Option<String> {
        let mut text = String::new();
        for event in ops::run_events(&self.app.platform, self.id, self.after).await.ok()? {
            let _ = write!(text, "id: {}\nevent: {}\ndata: {}\n\n", event.seq, event.kind, event.detail);
            self.after = event.seq;
        }
        Some(text)
    }
}
