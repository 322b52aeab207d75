//! Resources, actions and reports of the packs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{HeaderValue, LOCATION};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::error::Problem;
use super::extract::{Allowed, AllowedAction, AllowedReport, Creating, Deleting, Getting, Listing, Updating};
use super::formats;
use super::json::{Json, json_text};
use crate::access::Right;
use crate::app::App;
use crate::error::Error;
use crate::pack::Verb;
use crate::resource::{Count, ListRequest, Page, RowKey, Shape};

type Answer = Result<Response<Body>, Problem>;
type Object = Json<Map<String, Value>>;

/// `GET /api/v1/{resource}`
pub async fn list(State(app): State<Arc<App>>, allowed: Allowed<Listing>, uri: Uri, headers: HeaderMap) -> Answer {
    let Allowed { right, resource, .. } = allowed;
    let export = || right.also(resource.permission(Verb::Export), &resource.module);
    read(&app, &right, Shape::from(&*resource), &resource.name, export, &uri, &headers).await
}

/// `GET /api/v1/reports/{report}`
pub async fn report(State(app): State<Arc<App>>, allowed: AllowedReport, uri: Uri, headers: HeaderMap) -> Answer {
    let AllowedReport { right, report } = allowed;
    read(&app, &right, Shape::from(&*report), &report.name, || Ok(()), &uri, &headers).await
}

async fn read(
    app: &App,
    right: &Right,
    shape: Shape<'_>,
    name: &str,
    may_export: impl Fn() -> Result<(), Error>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Answer {
    let request = ListRequest::parse(uri.query().unwrap_or_default())?;
    match formats::wanted(&request, headers)? {
        Some(format) => {
            may_export()?;
            Ok(formats::file(name, format, app.engine.export(right, shape, &request, format).await?)?)
        }
        None => {
            let page = app.engine.list(right, shape, &request, count_preference(headers)).await?;
            Ok(envelope(&page, uri)?)
        }
    }
}

/// The rows pass through untouched.
fn envelope(page: &Page, uri: &Uri) -> Result<Response, Error> {
    let mut body = String::with_capacity(page.data.len() + 256);
    body.push_str(r#"{"object":"list","data":"#);
    body.push_str(&page.data);
    body.push_str(if page.has_more {
        r#","has_more":true,"next_cursor":"#
    } else {
        r#","has_more":false,"next_cursor":"#
    });
    body.push_str(&serde_json::to_string(&page.next_cursor).map_err(Error::internal)?);
    body.push_str(r#","total_count":"#);
    body.push_str(&serde_json::to_string(&page.total_count).map_err(Error::internal)?);
    body.push('}');
    let mut response = json_text(StatusCode::OK, body);
    if let Some(cursor) = &page.next_cursor {
        let pairs =
            form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).filter(|(name, _)| name != "cursor");
        let query =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).append_pair("cursor", cursor).finish();
        let link = format!("<{}?{query}>; rel=\"next\"", uri.path());
        response.headers_mut().insert(header::LINK, HeaderValue::from_str(&link).map_err(Error::internal)?);
    }
    Ok(response)
}

fn count_preference(headers: &HeaderMap) -> Option<Count> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).find_map(|word| match word.trim() {
        "count=exact" => Some(Count::Exact),
        "count=planned" => Some(Count::Planned),
        "count=estimated" => Some(Count::Estimated),
        _ => None,
    })
}

/// `GET /api/v1/{resource}/{id}`
pub async fn get(
    State(app): State<Arc<App>>,
    allowed: Allowed<Getting>,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Answer {
    let key = RowKey::parse(&allowed.resource, &id)?;
    let request = ListRequest::parse(query.as_deref().unwrap_or_default())?;
    let row = app.engine.get(&allowed.right, &allowed.resource, &key, &request).await?;
    Ok(json_text(StatusCode::OK, row.json))
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
