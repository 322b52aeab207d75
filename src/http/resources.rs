//! Reading resources and reports of the packs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::HeaderValue;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::error::Problem;
use super::extract::{Allowed, AllowedReport, Getting, Listing};
use super::formats;
use super::incoming::{PREFERENCE_APPLIED, preconditions, prefer};
use super::json::json_text;
use crate::access::Right;
use crate::app::App;
use crate::error::{Error, Result};
use crate::pack::{Parameter, Verb};
use crate::resource::{Format, ListRequest, Page, RowKey, Shape, etag};

type Answer = Result<Response<Body>, Problem>;

/// `GET /api/v1/{resource}`
pub async fn list(State(app): State<Arc<App>>, allowed: Allowed<Listing>, uri: Uri, headers: HeaderMap) -> Answer {
    let Allowed { right, resource, .. } = allowed;
    let (request, format) = asked(&[], &uri, &headers)?;
    if format.is_some() {
        right.also(resource.permission(Verb::Export), &resource.module)?;
    }
    let source = Source { right: &right, shape: Shape::from(&*resource), name: &resource.name };
    source.read(&app, &request, format, &uri, &headers).await
}

/// `GET /api/v1/reports/{report}`
pub async fn report(State(app): State<Arc<App>>, allowed: AllowedReport, uri: Uri, headers: HeaderMap) -> Answer {
    let AllowedReport { right, report } = allowed;
    let (request, format) = asked(report.parameters.as_deref().unwrap_or_default(), &uri, &headers)?;
    let source = Source { right: &right, shape: Shape::from(&*report), name: &report.name };
    source.read(&app, &request, format, &uri, &headers).await
}

/// What is asked, and in which form other than JSON.
fn asked(parameters: &[Parameter], uri: &Uri, headers: &HeaderMap) -> Result<(ListRequest, Option<Format>)> {
    let request = ListRequest::parse_for(parameters, uri.query().unwrap_or_default())?;
    let format = formats::wanted(&request, headers)?;
    Ok((request, format))
}

/// What is read, with the right to it.
struct Source<'a> {
    right: &'a Right,
    shape: Shape<'a>,
    name: &'a str,
}

impl Source<'_> {
    async fn read(
        &self,
        app: &App,
        request: &ListRequest,
        format: Option<Format>,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Answer {
        if let Some(format) = format {
            let export = app.engine.export(self.right, self.shape, request, format).await?;
            return Ok(formats::file(self.name, format, export)?);
        }
        let prefer = prefer(headers, &["count"])?;
        let page = app.engine.list(self.right, self.shape, request, prefer.count()).await?;
        let mut response = envelope(&page, uri)?;
        if let Some(applied) = prefer.applied() {
            let applied = HeaderValue::from_str(&applied).map_err(Error::internal)?;
            response.headers_mut().insert(PREFERENCE_APPLIED.clone(), applied);
        }
        Ok(response)
    }
}

/// The rows pass through untouched.
fn envelope(page: &Page, uri: &Uri) -> Result<Response> {
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

/// `GET /api/v1/{resource}/{id}`; 304 when the caller has this version already.
pub async fn get(
    State(app): State<Arc<App>>,
    allowed: Allowed<Getting>,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let (key, known) = (RowKey::parse(&allowed.resource, &id)?, preconditions(&headers)?.if_none_match);
    let request = ListRequest::parse(query.as_deref().unwrap_or_default())?;
    let row = app.engine.get(&allowed.right, &allowed.resource, &key, &request).await?;
    let mut response = match known.is_some_and(|known| known.hold(row.version)) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => json_text(StatusCode::OK, row.json),
    };
    if let Some(version) = row.version {
        response.headers_mut().insert(header::ETAG, HeaderValue::from_str(&etag(version)).map_err(Error::internal)?);
    }
    Ok(response)
}
