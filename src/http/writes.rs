//! Changes of resources, and their actions.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;

use super::api_keys;
use super::error::Problem;
use super::extract::{Allowed, AllowedAction, AllowedReplacement, Creating, Deleting, Updating};
use super::incoming::{Incoming, New, ON_A_ROW, ON_MANY_ROWS, ON_NEW_ROWS, ON_NEW_ROWS_NOW, ON_OPERATIONS};
use crate::app::App;
use crate::error::{Error, Result};
use crate::pack::Verb;
use crate::resource::{Bulk, Prefer, RowKey};

type Answer = Result<Response<Body>, Problem>;

/// `POST /api/v1/{resource}`: a row, or many as JSON array, NDJSON or CSV.
pub async fn create(State(app): State<Arc<App>>, allowed: Allowed<Creating>, incoming: Incoming) -> Answer {
    if allowed.by_service() {
        return api_keys::create(&app, &allowed.right, &incoming).await;
    }
    let (prefer, resource) = (incoming.prefer(&ON_NEW_ROWS)?, &allowed.resource);
    let query = incoming.parameters(&["columns", "on_conflict"])?;
    let named = |name: &str| query.get(name).map(String::as_str);
    let planner = incoming.planner(resource, &prefer)?;
    let upsert = match prefer.resolution() {
        Some(resolution) => {
            allowed.right.also(resource.permission(Verb::Edit), &resource.module)?;
            Some(planner.conflicts(resolution, named("on_conflict"))?)
        }
        None => None,
    };
    let part = match (incoming.new_rows(resource)?, &upsert) {
        (New::Row(row), None) => planner.create(&row)?,
        (New::Row(row), Some(upsert)) => planner.upsert(&row, upsert)?,
        (New::Rows(mut rows), _) => {
            planner.narrow(&mut rows, named("columns"))?;
            let bulk = Bulk::new(resource.clone(), rows, prefer.resolution(), named("on_conflict"))?;
            if prefer.respond_async() || bulk.is_long() {
                return incoming.begin(&app, &allowed.right, planner.clone(), bulk, &prefer.only(&ON_OPERATIONS)).await;
            }
            planner.create_many(bulk)?
        }
    };
    incoming.run(&app, &allowed.right, part, &prefer.only(&ON_NEW_ROWS_NOW)).await
}

/// `PATCH /api/v1/{resource}?…`: a merge patch of all rows that the query describes.
pub async fn update_many(State(app): State<Arc<App>>, allowed: Allowed<Updating>, incoming: Incoming) -> Answer {
    let (prefer, resource, right) = (incoming.prefer(&ON_MANY_ROWS)?, &allowed.resource, &allowed.right);
    let (most, planner) = (most(&prefer)?, incoming.planner(resource, &prefer)?);
    let (request, body) = (incoming.list_request()?, incoming.object()?);
    let part = app.engine.described(right, resource, &request, |plan| planner.update_where(plan, &body, most))?;
    incoming.run(&app, right, part, &prefer).await
}

/// `DELETE /api/v1/{resource}?…`: the end of all rows that the query describes.
pub async fn delete_many(State(app): State<Arc<App>>, allowed: Allowed<Deleting>, incoming: Incoming) -> Answer {
    let (prefer, resource, right) = (incoming.prefer(&ON_MANY_ROWS)?, &allowed.resource, &allowed.right);
    let (most, planner) = (most(&prefer)?, incoming.planner(resource, &prefer)?);
    let request = incoming.list_request()?;
    let part = app.engine.described(right, resource, &request, |plan| planner.delete_where(plan, most))?;
    incoming.run(&app, right, part, &prefer).await
}

/// Who changes many rows at once says how many he expects.
fn most(prefer: &Prefer) -> Result<u64> {
    prefer.max_affected().ok_or_else(|| {
        let error = Error::malformed("A change of many rows must say how many rows it may affect.");
        error.hint("Send the header Prefer: handling=strict, max-affected=<number>.")
    })
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
    if allowed.by_service() {
        return api_keys::revoke(&app, &allowed.right, &id).await;
    }
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
