//! Resources, actions and reports of the packs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{HeaderValue, LOCATION};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::error::Problem;
use super::extract::{Allowed, AllowedAction, AllowedReport, Creating, Deleting, Getting, Listing, Updating};
use super::json::{Json, json_text};
use crate::access::Right;
use crate::app::App;
use crate::error::Error;
use crate::resource::{ListRequest, RowKey, Shape};

type Answer = Result<Response<Body>, Problem>;
type Object = Json<Map<String, Value>>;

/// `GET /api/v1/{resource}`
pub async fn list(State(app): State<Arc<App>>, allowed: Allowed<Listing>, RawQuery(query): RawQuery) -> Answer {
    page(&app, &allowed.right, Shape::from(&*allowed.resource), query.as_deref()).await
}

/// `GET /api/v1/reports/{report}`
pub async fn report(State(app): State<Arc<App>>, allowed: AllowedReport, RawQuery(query): RawQuery) -> Answer {
    page(&app, &allowed.right, Shape::from(&*allowed.report), query.as_deref()).await
}

async fn page(app: &App, right: &Right, shape: Shape<'_>, query: Option<&str>) -> Answer {
    let request = ListRequest::parse(query.unwrap_or_default())?;
    let listing = app.engine.list(right, shape, &request).await?;
    let mut body = String::with_capacity(listing.data.len() + 96);
    body.push_str(r#"{"object":"list","data":"#);
    body.push_str(&listing.data);
    body.push_str(if listing.has_more { r#","has_more":true"# } else { r#","has_more":false"# });
    body.push_str(r#","next_cursor":null,"total_count":null}"#);
    Ok(json_text(StatusCode::OK, body))
}

/// `GET /api/v1/{resource}/{id}`
pub async fn get(
    State(app): State<Arc<App>>,
    allowed: Allowed<Getting>,
    Path((_, id)): Path<(String, String)>,
) -> Answer {
    let key = RowKey::parse(&allowed.resource, &id)?;
    Ok(json_text(StatusCode::OK, app.engine.get(&allowed.right, &allowed.resource, &key).await?))
}

/// `POST /api/v1/{resource}`
pub async fn create(State(app): State<Arc<App>>, allowed: Allowed<Creating>, Json(body): Object) -> Answer {
    let row = app.engine.create(&allowed.right, &allowed.resource, &body).await?;
    let key = allowed.resource.key_of(&row);
    let mut response = json_text(StatusCode::CREATED, row);
    if let Some(key) = key {
        let location = format!("/api/v1/{}/{key}", allowed.resource.name);
        response.headers_mut().insert(LOCATION, HeaderValue::from_str(&location).map_err(Error::internal)?);
    }
    Ok(response)
}

/// `PATCH /api/v1/{resource}/{id}`: a merge patch (RFC 7396).
pub async fn update(
    State(app): State<Arc<App>>,
    allowed: Allowed<Updating>,
    Path((_, id)): Path<(String, String)>,
    Json(body): Object,
) -> Answer {
    let key = RowKey::parse(&allowed.resource, &id)?;
    Ok(json_text(StatusCode::OK, app.engine.update(&allowed.right, &allowed.resource, &key, &body).await?))
}

/// `DELETE /api/v1/{resource}/{id}`
pub async fn delete(
    State(app): State<Arc<App>>,
    allowed: Allowed<Deleting>,
    Path((_, id)): Path<(String, String)>,
) -> Answer {
    let key = RowKey::parse(&allowed.resource, &id)?;
    app.engine.delete(&allowed.right, &allowed.resource, &key).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/v1/{resource}/{id}/actions/{action}`; a row that left the caller's sight answers 204.
pub async fn act(
    State(app): State<Arc<App>>,
    allowed: AllowedAction,
    Path((_, id, _)): Path<(String, String, String)>,
    body: ActionBody,
) -> Answer {
    let key = RowKey::parse(&allowed.resource, &id)?;
    match app.engine.act(&allowed.right, &allowed.resource, &allowed.action, &key, &body.0).await? {
        Some(row) => Ok(json_text(StatusCode::OK, row)),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// An action's body may be left out when the action needs no input.
pub struct ActionBody(Map<String, Value>);

impl axum::extract::FromRequest<Arc<App>> for ActionBody {
    type Rejection = Problem;

    async fn from_request(request: axum::extract::Request, app: &Arc<App>) -> Result<Self, Problem> {
        let empty = request.headers().get(header::CONTENT_TYPE).is_none()
            && axum::body::HttpBody::is_end_stream(request.body());
        if empty {
            return Ok(Self(Map::new()));
        }
        let Json(body) = Json::from_request(request, app).await?;
        Ok(Self(body))
    }
}
