//! Changes of resources, and their actions.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::Problem;
use super::extract::{Allowed, AllowedAction, AllowedReplacement, Creating, Deleting, Updating};
use super::incoming::{Incoming, ON_A_ROW};
use crate::app::App;
use crate::resource::RowKey;

type Answer = Result<Response<Body>, Problem>;

/// `POST /api/v1/{resource}`
pub async fn create(State(app): State<Arc<App>>, allowed: Allowed<Creating>, incoming: Incoming) -> Answer {
    let prefer = incoming.prefer(&ON_A_ROW)?;
    let part = incoming.planner(&allowed.resource, &prefer)?.create(&incoming.object()?)?;
    incoming.run(&app, &allowed.right, part, &prefer).await
}

/// `PATCH /api/v1/{resource}/{id}`: a merge patch (RFC 7396).
pub async fn update(
    State(app): State<Arc<App>>,
    allowed: Allowed<Updating>,
    Path((_, id)): Path<(String, String)>,
    incoming: Incoming,
) -> Answer {
    let (key, prefer) = (RowKey::parse(&allowed.resource, &id)?, incoming.prefer(&ON_A_ROW)?);
    let part = incoming.planner(&allowed.resource, &prefer)?.update(key, &incoming.object()?)?;
    incoming.run(&app, &allowed.right, part, &prefer).await
}

/// `PUT /api/v1/{resource}/{id}`: the row wholly as the body says, made if it is not there.
pub async fn replace(
    State(app): State<Arc<App>>,
    allowed: AllowedReplacement,
    Path((_, id)): Path<(String, String)>,
    incoming: Incoming,
) -> Answer {
    let (key, prefer) = (RowKey::parse(&allowed.resource, &id)?, incoming.prefer(&ON_A_ROW)?);
    let part = incoming.planner(&allowed.resource, &prefer)?.replace(key, &incoming.object()?)?;
    incoming.run(&app, &allowed.right, part, &prefer).await
}

/// `DELETE /api/v1/{resource}/{id}`
pub async fn delete(
    State(app): State<Arc<App>>,
    allowed: Allowed<Deleting>,
    Path((_, id)): Path<(String, String)>,
    incoming: Incoming,
) -> Answer {
    let (key, prefer) = (RowKey::parse(&allowed.resource, &id)?, incoming.prefer(&ON_A_ROW)?);
    let part = incoming.planner(&allowed.resource, &prefer)?.delete(key)?;
    incoming.run(&app, &allowed.right, part, &prefer).await
}

/// `POST /api/v1/{resource}/{id}/actions/{action}`; a row that left the caller's sight answers 204.
pub async fn act(
    State(app): State<Arc<App>>,
    allowed: AllowedAction,
    Path((_, id, _)): Path<(String, String, String)>,
    incoming: Incoming,
) -> Answer {
    let (key, prefer) = (RowKey::parse(&allowed.resource, &id)?, incoming.prefer(&ON_A_ROW)?);
    let input = incoming.optional_object()?;
    let part = incoming.planner(&allowed.resource, &prefer)?.act(key, &allowed.action, &input)?;
    incoming.run(&app, &allowed.right, part, &prefer).await
}
