//! The boundary: what every request passes on its way in, and every answer on its way out.

use std::fmt::Write;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tower::ServiceExt;
use uuid::Uuid;

use super::error::{Problem, render};
use super::peer::Proxies;
use crate::access::{Impersonator, Standing};
use crate::app::App;
use crate::audit::Refusal;
use crate::db::Origin;
use crate::error::{Error, Kind, Result};
use crate::telemetry::metrics::{Gauge, RequestLabels};
use crate::tenant::{Host, Tenant};

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static IMPERSONATED_BY: HeaderName = HeaderName::from_static("insula-impersonated-by");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of a path that the audit keeps.
const LONGEST_PATH: usize = 200;

/// Characters of what somebody says who he is.
const LONGEST_SUBJECT: usize = 254;

/// What the boundary knows of a request.
#[derive(Debug, Clone)]
pub struct Context {
    /// What its host stands for.
    pub host: Host,
    /// The client.
    pub address: IpAddr,
    /// Its id, ours or the caller's.
    pub request_id: Arc<str>,
    /// What the log line says of it.
    pub notes: Arc<Notes>,
}

impl Context {
    /// Notes who somebody says he is, for the audit of failed attempts. PostgreSQL keeps no NUL in JSON: with one, the
    /// entries of all who failed at the same time would be lost.
    pub fn sign_in_of(&self, email: &str) {
        let _ = self.notes.subject.set(email.chars().filter(|c| *c != '\0').take(LONGEST_SUBJECT).collect());
    }

    /// Where changes come from, for the audit.
    pub fn origin(&self) -> Origin {
        Origin { request_id: self.request_id.clone(), address: self.address }
    }
}

/// What is found out on the way in, for the one log line on the way out.
#[derive(Debug, Default)]
pub struct Notes {
    /// The tenant.
    pub tenant: OnceLock<Arc<Tenant>>,
    /// Who somebody said he was when he signed in.
    pub subject: OnceLock<String>,
    /// Key of the user or operator.
    pub actor: OnceLock<Uuid>,
    /// The operator who works as the user.
    pub impersonator: OnceLock<Impersonator>,
    /// What is left of the tenant's quota.
    pub tenant_standing: OnceLock<Standing>,
    /// What is left of the credential's quota.
    pub key_standing: OnceLock<Standing>,
}

/// The faces of the service, by host.
pub struct Front {
    app: Arc<App>,
    tenant: Router,
    operator: Router,
    proxies: Proxies,
    timeout: Duration,
}

impl Front {
    /// The boundary before two route tables.
    pub fn new(app: Arc<App>, tenant: Router, operator: Router) -> Self {
        let timeout = Duration::from_millis(app.config.http.request_timeout_ms);
        let proxies = Proxies::new(&app.config.http);
        Self { app, tenant, operator, proxies, timeout }
    }

    /// Answers a request, whatever happens inside.
    pub async fn answer(&self, request: Request<Body>, peer: IpAddr) -> Response {
        let began = Instant::now();
        let address = self.proxies.client(peer, request.headers());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let (uri, host) = (request.uri().clone(), self.host(&request).ok());
        let request_id: Arc<str> = request_id(request.headers()).into();
        let notes = Arc::new(Notes::default());
        let _in_flight = InFlight::enter(&self.app.metrics.in_flight);
        let asked = (address, request_id.clone(), notes.clone());
        let guarded = AssertUnwindSafe(self.dispatch(request, asked)).catch_unwind();
        let outcome = tokio::time::timeout(self.timeout, guarded).await;
        let mut response = match outcome {
            Ok(Ok(response)) => response,
            Ok(Err(_panic)) => Problem::from(Error::internal("a handler panicked")).into_response(),
            Err(_) => Problem::from(Error::new(Kind::Timeout, "timeout", "This took too long and was stopped."))
                .into_response(),
        };
        let line = Line { method: &method, path: &path, request_id: &request_id, notes: &notes };
        let route = response.extensions_mut().remove::<Route>().map_or_else(|| "none".to_owned(), |route| route.0);
        let problem = response.extensions().get::<Problem>();
        let lost = problem.is_some_and(|Problem(error)| error.code() == "tenant_not_found");
        if let Some(address) = self.moved(&uri, host.filter(|_| lost)).await {
            response = (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, address)]).into_response();
        } else if let Some(Problem(error)) = response.extensions_mut().remove() {
            let allow = response.headers_mut().remove(header::ALLOW);
            log(&error, &line);
            if let Some(refusal) = line.refusal(&error, &route) {
                let place = notes.tenant.get().map(|tenant| tenant.place.clone());
                self.app.refusals.note(place, refusal, Origin { request_id: request_id.clone(), address });
            }
            response = render(&error, &self.app.config.domain, &path, &request_id);
            if let Some(allow) = allow {
                response.headers_mut().insert(header::ALLOW, allow);
            }
        }
        let took = began.elapsed();
        let status = response.status().as_u16();
        line.answered(status, took);
        self.app.metrics.answered(&RequestLabels { method: known(&method), route, status }, took);
        finish(response.headers_mut(), &request_id);
        quotas(response.headers_mut(), &notes);
        impersonation(response.headers_mut(), &notes);
        response
    }

    fn host(&self, request: &Request<Body>) -> Result<Host> {
        let authority = authority(request.uri(), request.headers())?;
        Ok(Host::parse(authority, &self.app.config.domain))
    }

    /// Where the same request finds the account that was at this address before, if there is none now.
    async fn moved(&self, uri: &Uri, host: Option<Host>) -> Option<String> {
        let Host::Subdomain(name) = host? else { return None };
        let now = self.app.tenants.moved(&name).await.ok().flatten()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Some(format!("{}{path}", self.app.tenant_url(&now)))
    }

    async fn dispatch(
        &self,
        mut request: Request<Body>,
        (address, request_id, notes): (IpAddr, Arc<str>, Arc<Notes>),
    ) -> Response {
        let host = match self.host(&request) {
            Ok(host) => host,
            Err(error) => return Problem::from(error).into_response(),
        };
        let router = if host == Host::Admin { &self.operator } else { &self.tenant };
        request.extensions_mut().insert(Context { host, address, request_id, notes });
        match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Counts a request as in flight, also when its client goes away in the middle.
struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn enter(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The route template of an answer, for metrics.
#[derive(Clone)]
struct Route(String);

/// Remembers which route answered.
pub async fn remember_route(
    path: Option<MatchedPath>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let mut response = next.run(request).await;
    if let Some(path) = path {
        response.extensions_mut().insert(Route(path.as_str().to_owned()));
    }
    response
}

/// Whom the request is for: the target's authority, else the one Host header (RFC 9112 section 3.2).
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(|value| value.to_str().map_err(|_| bad_host())).transpose()?;
    if hosts.next().is_some() {
        return Err(bad_host());
    }
    let named = match (uri.authority(), host) {
        (Some(target), Some(host)) if !target.as_str().eq_ignore_ascii_case(host) => return Err(bad_host()),
        (Some(target), _) => target.as_str(),
        (None, Some(host)) => host,
        (None, None) => return Err(bad_host()),
    };
    if named.contains([',', ' ', '@', '/']) { Err(bad_host()) } else { Ok(named) }
}

fn bad_host() -> Error {
    Error::malformed("The request must name exactly one host.")
}

/// A caller's request id is kept when it is short and plain, so that it can be logged.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |id: &&str| {
        !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain);
    given.map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned)
}

/// What every log line of a request says.
struct Line<'a> {
    method: &'a Method,
    path: &'a str,
    request_id: &'a str,
    notes: &'a Notes,
}

impl Line<'_> {
    fn tenant(&self) -> &str {
        self.notes.tenant.get().map_or("", |tenant| &tenant.subdomain)
    }

    /// Every request at debug level: proxies write access logs, `/metrics` counts.
    fn answered(&self, status: u16, took: Duration) {
        let Self { method, path, request_id, notes } = self;
        let took_us = took.as_micros();
        tracing::debug!(%method, path, status, took_us, request_id, tenant = self.tenant(), actor = ?notes.actor.get(), "answered");
    }
}

impl Line<'_> {
    /// What the audit says of a refusal: somebody who is known may not do this, or has not proven who he is. Whoever comes
    /// too often is counted and not named, so that a flood of names fills no audit.
    fn refusal(&self, error: &Error, route: &str) -> Option<Refusal> {
        let (actor, subject) = (self.notes.actor.get().copied(), self.notes.subject.get().cloned());
        let action = match (error.kind(), &actor, &subject) {
            (Kind::Forbidden, Some(_), _) => "refused",
            (Kind::Unauthenticated | Kind::Forbidden | Kind::TooMany, None, Some(_)) => "sign_in_failed",
            _ => return None,
        };
        let (route, path) = (format!("{} {route}", self.method), self.path.chars().take(LONGEST_PATH).collect());
        let subject = subject.filter(|_| error.kind() != Kind::TooMany);
        let impersonator = self.notes.impersonator.get().map(|operator| operator.id);
        Some(Refusal { action, actor, impersonator, subject, route, path, code: error.code().to_owned() })
    }
}

/// Errors are written down here and nowhere else.
fn log(error: &Error, line: &Line<'_>) {
    let Line { method, path, request_id, notes } = line;
    let (tenant, actor) = (line.tenant(), notes.actor.get());
    let (code, context) = (error.code(), error.private_context());
    match error.kind() {
        Kind::Internal => tracing::error!(%method, path, code, context, request_id, tenant, ?actor, "failed"),
        Kind::Unavailable | Kind::Timeout => {
            tracing::warn!(%method, path, code, context, request_id, tenant, ?actor, "not served");
        }
        _ => tracing::info!(%method, path, code, context, request_id, tenant, ?actor, "refused"),
    }
}

fn finish(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID.clone(), value);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Who works as the user, on whatever is answered to him.
fn impersonation(headers: &mut HeaderMap, notes: &Notes) {
    let operator =
        notes.impersonator.get().and_then(|operator| HeaderValue::from_bytes(operator.email.as_bytes()).ok());
    if let Some(operator) = operator {
        headers.insert(IMPERSONATED_BY.clone(), operator);
    }
}

/// What is left of which quota (draft-ietf-httpapi-ratelimit-headers-10).
fn quotas(headers: &mut HeaderMap, notes: &Notes) {
    let (mut policies, mut standings) = (String::new(), String::new());
    for (name, standing) in [("tenant", &notes.tenant_standing), ("key", &notes.key_standing)] {
        let Some(Standing { quota, remaining, reset_seconds }) = standing.get() else { continue };
        let comma = if policies.is_empty() { "" } else { ", " };
        let _ = write!(policies, "{comma}\"{name}\";q={quota};w=60");
        let _ = write!(standings, "{comma}\"{name}\";r={remaining};t={reset_seconds}");
    }
    for (name, text) in [(&RATE_LIMIT_POLICY, policies), (&RATE_LIMIT, standings)] {
        if let Some(value) = HeaderValue::try_from(text).ok().filter(|value| !value.is_empty()) {
            headers.insert(name.clone(), value);
        }
    }
}

/// Method names as labels; a caller cannot invent new ones.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
