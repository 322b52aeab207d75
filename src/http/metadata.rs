//! The API about itself, for programs: what the caller may use, JSON Schema, OpenAPI.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::error::Problem;
use super::extract::{Allowed, AllowedReport, Listing, Reached};
use super::front::Context;
use super::json::{json, json_text};
use super::routes::{Route, operator_routes, tenant_routes};
use super::staff::Staff;
use crate::access::Caller;
use crate::app::App;
use crate::docs::{self, Document, Endpoint, Grants, Reader};
use crate::error::{Error, Result};
use crate::tenant::Host;

type Answer = Result<Response<Body>, Problem>;

/// `GET /api/v1`
pub async fn directory(State(app): State<Arc<App>>, caller: Caller) -> Answer {
    let grants = grants(&app, &caller).await?;
    Ok(json(StatusCode::OK, &docs::directory(app.engine.catalog(), &grants))?)
}

/// What the caller may do.
pub async fn grants(app: &App, Caller { tenant, session, .. }: &Caller) -> Result<Grants> {
    let entitlements = app.gate.entitlements(tenant.id).await?;
    Ok(Grants::new(entitlements.enabled(), session.permissions.clone()))
}

/// `GET /api/v1/{resource}/schema`
pub async fn schema(State(app): State<Arc<App>>, caller: Caller, allowed: Allowed<Listing>) -> Answer {
    let grants = grants(&app, &caller).await?;
    Ok(json(StatusCode::OK, &docs::resource_schema(app.engine.catalog(), &grants, &allowed.resource))?)
}

/// `GET /api/v1/reports/{report}/schema`
pub async fn report_schema(allowed: AllowedReport) -> Answer {
    Ok(json(StatusCode::OK, &docs::report_schema(&allowed.report))?)
}

/// A face of the service: who reads its documents, and its route table.
pub trait Face: FromRequestParts<Arc<App>, Rejection = Problem> + Send + Sync {
    /// For whom the document is made.
    fn reader(&self) -> &Reader;
    /// The table.
    fn routes() -> Vec<Route>;
}

/// Whoever asks on a tenant's host or on the apex: with a token a user, without one anybody.
pub struct TenantFace(Reader);

impl Face for TenantFace {
    fn reader(&self) -> &Reader {
        &self.0
    }

    fn routes() -> Vec<Route> {
        tenant_routes()
    }
}

impl FromRequestParts<Arc<App>> for TenantFace {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if parts.headers.contains_key(AUTHORIZATION) {
            let caller = Caller::from_request_parts(parts, app).await?;
            return Ok(Self(Reader::User(grants(app, &caller).await?)));
        }
        if parts.extensions.get::<Context>().is_some_and(|context| context.host == Host::Neutral) {
            return Ok(Self(Reader::Visitor));
        }
        let Reached(tenant) = Reached::from_request_parts(parts, app).await?;
        let entitlements = app.gate.entitlements(tenant.id).await?;
        let grants = Grants::new(entitlements.enabled(), app.guest.permissions().clone()).of_guest();
        // Nobody learns which modules an account has, but for those that show themselves.
        Ok(Self(Reader::TenantVisitor(grants)))
    }
}

/// Whoever asks on the operators' host.
pub struct OperatorFace(Reader);

impl Face for OperatorFace {
    fn reader(&self) -> &Reader {
        &self.0
    }

    fn routes() -> Vec<Route> {
        operator_routes()
    }
}

impl FromRequestParts<Arc<App>> for OperatorFace {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(Self(Reader::StaffVisitor));
        }
        let Staff(operator, _) = Staff::from_request_parts(parts, app).await?;
        Ok(Self(Reader::Operator(operator.role)))
    }
}

/// The document of a face's reader.
pub async fn document<F: Face>(app: &App, face: &F) -> Result<Arc<Document>> {
    let endpoint = |route: Route| Endpoint { method: route.method.to_string(), path: route.path };
    app.documents.openapi(face.reader(), || F::routes().into_iter().map(endpoint).collect()).await
}

/// `GET /openapi.json`
pub async fn openapi<F: Face>(State(app): State<Arc<App>>, face: F, headers: HeaderMap) -> Answer {
    let document = document(&app, &face).await?;
    let mut response = if holds(&headers, &document.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        json_text(StatusCode::OK, document.text.clone())
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_str(&document.etag).map_err(Error::internal)?);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("authorization"));
    Ok(response)
}

/// Whether If-None-Match names the tag; it compares weakly (RFC 9110 section 13.1.2).
fn holds(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}
