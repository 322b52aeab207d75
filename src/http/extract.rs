//! Rights as extractors: what a handler names in its arguments has been checked before it runs.

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::header::{ALLOW, AUTHORIZATION, IF_MATCH, IF_NONE_MATCH, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};

use super::error::Problem;
use super::front::Context;
use super::late::in_time;
use super::path::path;
use super::personal;
use crate::access::{ApiKey, Caller, Excess, OwnRight, Right, Standing, Taken};
use crate::app::App;
use crate::auth::Client;
use crate::auth::token::{Audience, Claims, unauthenticated};
use crate::error::{Error, Kind, Result};
use crate::pack::{Action, Method, Report, Resource, Verb};
use crate::tenant::{Host, Named, Tenant};

/// The module that keeps users and what is their own; every tenant has it.
const PEOPLE: &str = "system_admin";

/// The tenant that a public request means.
pub struct Reached(pub Arc<Tenant>);

/// A user of a tenant, signed in, who may still have to set up his second factor.
pub struct Entering(pub Caller);

/// The right of whoever is signed in to what is his own.
pub struct Own(pub OwnRight);

/// A resource and the right to one verb on it.
pub struct Allowed<V> {
    /// The right.
    pub right: Right,
    /// The resource.
    pub resource: Arc<Resource>,
    verb: PhantomData<V>,
}

impl<V: OnResource> Allowed<V> {
    /// Whether the service does this itself, and no statement on the table.
    pub fn by_service(&self) -> bool {
        self.resource.by_service.contains(&V::METHOD)
    }
}

/// A resource and the rights that a replacement of a row needs.
pub struct AllowedReplacement {
    /// The right.
    pub right: Right,
    /// The resource.
    pub resource: Arc<Resource>,
}

/// A resource's action and the right to it.
pub struct AllowedAction {
    /// The right.
    pub right: Right,
    /// The resource.
    pub resource: Arc<Resource>,
    /// The action.
    pub action: Action,
}

/// A report and the right to it.
pub struct AllowedReport {
    /// The right.
    pub right: Right,
    /// The report.
    pub report: Arc<Report>,
}

/// A verb as a type.
pub trait OnResource: Send + Sync {
    /// The permission that is needed.
    const VERB: Verb;
    /// The method that the resource must have.
    const METHOD: Method;
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $verb:ident by $method:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl OnResource for $name {
            const VERB: Verb = Verb::$verb;
            const METHOD: Method = Method::$method;
        }
    )*};
}

verbs! {
    /// Reading a list.
    Listing = View by List;
    /// Reading a row.
    Getting = View by Get;
    /// Making a row.
    Creating = Create by Create;
    /// Changing a row.
    Updating = Edit by Update;
    /// Removing a row.
    Deleting = Delete by Delete;
}

pub(super) fn context(parts: &Parts) -> Result<&Context> {
    parts.extensions.get().ok_or_else(|| Error::internal("a request came round the boundary"))
}

/// The bearer token, if one was sent (RFC 6750); two are refused.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    match (token, values.next()) {
        (Some((scheme, token)), None) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(unauthenticated("the Authorization header is not one bearer token")),
    }
}

/// A header that names the tenant. Two of a kind cannot agree with one tenant, so they are joined into no name at all.
fn tenant_header(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<String> =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// Notes what is left of a quota, also when nothing is.
fn counted(taken: Taken, noted: &OnceLock<Standing>) -> Result<()> {
    if let Ok(Some(standing)) | Err(Excess { standing, .. }) = &taken {
        let _ = noted.set(*standing);
    }
    Ok(taken.map(drop)?)
}

async fn resolve(parts: &Parts, app: &App, claims: Option<&Claims>) -> Result<Arc<Tenant>> {
    let named = Named {
        host: context(parts)?.host.clone(),
        id: tenant_header(&parts.headers, "x-tenant-id"),
        subdomain: tenant_header(&parts.headers, "x-tenant-subdomain"),
        claim: claims.and_then(|claims| claims.tid),
    };
    let tenant = named.resolve(&app.tenants).await?;
    let _ = context(parts)?.notes.tenant.set(tenant.clone());
    in_time(app, &tenant, || app.gate.works(tenant.id)).await?;
    Ok(tenant)
}

impl FromRequestParts<Arc<App>> for Reached {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let claims = match bearer(&parts.headers).ok().flatten() {
            Some(token) => app.authenticator.verify(Audience::Tenant, token).await.ok(),
            None => None,
        };
        Ok(Self(resolve(parts, app, claims.as_ref()).await?))
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Entering(caller) = Entering::from_request_parts(parts, app).await?;
        caller.session.ready()?;
        Ok(caller)
    }
}

impl FromRequestParts<Arc<App>> for Entering {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = match bearer(&parts.headers) {
            Ok(Some(token)) if ApiKey::is_one(token) => Caller::by_key(parts, app, token).await?,
            token => Caller::by_token(parts, app, token).await?,
        };
        let Caller { tenant, session, .. } = &caller;
        let notes = &context(parts)?.notes;
        if let Some(operator) = &session.impersonator {
            let _ = notes.impersonator.set(operator.clone());
        }
        // A handler may ask who is signed in twice; its request counts once. Strangers count for nobody, and one busy
        // credential does not use up what the tenant's others have.
        if notes.actor.set(session.user).is_ok() {
            counted(app.limits.key(session.id), &notes.key_standing)?;
            counted(app.limits.tenant(tenant.id), &notes.tenant_standing)?;
        }
        personal::check(parts, session)?;
        Ok(Self(caller))
    }
}

impl Caller {
    async fn by_token(parts: &Parts, app: &App, token: Result<Option<&str>>) -> Result<Self> {
        let claims = match token {
            Ok(Some(token)) => app.authenticator.verify(Audience::Tenant, token).await,
            Ok(None) => Err(unauthenticated("no Authorization header")),
            Err(error) => Err(error),
        };
        let claims = match claims {
            // Where the host names nobody, a header alone does not choose the tenant.
            Err(error) if context(parts)?.host == Host::Neutral => return Err(error),
            claims => claims,
        };
        let tenant = resolve(parts, app, claims.as_ref().ok()).await?;
        let claims = claims?;
        let session = app.sessions.get(&tenant, claims.sid, claims.sub).await?;
        Ok(Self { tenant, session, origin: context(parts)?.origin() })
    }

    /// A key says nothing of its tenant, so host and headers do; it is looked for there and nowhere else.
    async fn by_key(parts: &Parts, app: &App, key: &str) -> Result<Self> {
        let tenant = resolve(parts, app, None).await?;
        let session = app.sessions.by_key(&tenant, key, &app.limits, context(parts)?.address).await?;
        Ok(Self { tenant, session, origin: context(parts)?.origin() })
    }

    /// Whoever has not signed in, where that is enough; else the ordinary caller.
    async fn or_guest(parts: &mut Parts, app: &Arc<App>, public: bool) -> Result<Self, Problem> {
        let there = |parts: &Parts| -> Result<bool> {
            Ok(!parts.headers.contains_key(AUTHORIZATION) && context(parts)?.host != Host::Neutral)
        };
        if !public || !there(parts)? {
            return Self::from_request_parts(parts, app).await;
        }
        let tenant = resolve(parts, app, None).await?;
        let Context { address, notes, .. } = context(parts)?;
        counted(app.limits.guest(tenant.id, *address), &notes.key_standing)?;
        Ok(app.guest.at(tenant, context(parts)?.origin()))
    }

    async fn right(&self, app: &App, module: &str, permission: &str) -> Result<Right> {
        in_time(app, &self.tenant, || Right::to(permission, module, self.clone(), &app.gate)).await
    }

    /// The right to what needs several permissions of one module.
    pub async fn right_to_all(&self, app: &App, module: &str, permissions: &[&str]) -> Result<Right> {
        let (first, others) = permissions.split_first().ok_or_else(|| Error::internal("a right to nothing"))?;
        let right = self.right(app, module, first).await?;
        others.iter().try_for_each(|permission| right.also(permission, module))?;
        Ok(right)
    }
}

impl FromRequestParts<Arc<App>> for Own {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        Ok(Self(OwnRight::new(PEOPLE, caller, &app.gate).await?))
    }
}

fn resource(app: &App, name: &str) -> Result<Arc<Resource>> {
    let catalog = app.engine.catalog();
    catalog.resource(name).cloned().ok_or_else(|| {
        let known = catalog.resources().map(|resource| resource.name.as_str());
        match crate::error::nearest(name, known) {
            Some(meant) => Error::not_found().hint(format!("Did you mean `{meant}`?")),
            None => Error::not_found(),
        }
    })
}

/// Why a right to a resource was not given.
pub enum Refusal {
    /// For a reason that the problem tells.
    Problem(Problem),
    /// The resource lacks the method, and has these (RFC 9110, section 15.5.6).
    NotOffered(Problem, HeaderValue),
}

impl<E: Into<Problem>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Problem(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::NotOffered(problem, allow) => ([(ALLOW, allow)], problem).into_response(),
        }
    }
}

/// Whether a resource has a method, for a row or for many. What the service does itself it does row by row.
fn offers(resource: &Resource, method: Method, row: bool) -> bool {
    resource.methods.contains(&method)
        && (row || method != Method::Delete || !resource.by_service.contains(&Method::Delete))
}

async fn not_offered(parts: &mut Parts, resource: &Resource) -> Result<Refusal> {
    let row = path(parts, "id").await.is_ok();
    let has = |method| offers(resource, method, row);
    let methods = [
        ("GET,HEAD", has(if row { Method::Get } else { Method::List })),
        ("POST", !row && has(Method::Create)),
        ("PUT", row && resource.replaceable()),
        ("PATCH", has(Method::Update)),
        ("DELETE", has(Method::Delete)),
    ];
    let offered: Vec<&str> = methods.iter().filter(|(_, offered)| *offered).map(|(method, _)| *method).collect();
    let message = format!("`{}` cannot be changed this way.", resource.name);
    let error = Error::new(Kind::MethodNotAllowed, "method_not_allowed", message);
    let allow = HeaderValue::from_str(&offered.join(",")).map_err(Error::internal)?;
    Ok(Refusal::NotOffered(error.into(), allow))
}

impl<V: OnResource> FromRequestParts<Arc<App>> for Allowed<V> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let found = path(parts, "resource").await.ok().and_then(|name| app.engine.catalog().resource(&name));
        let caller = Caller::or_guest(parts, app, found.is_some_and(|found| found.public.contains(&V::METHOD))).await?;
        let resource = resource(app, &path(parts, "resource").await?)?;
        let right = caller.right(app, &resource.module, resource.permission(V::VERB)).await?;
        if !offers(&resource, V::METHOD, path(parts, "id").await.is_ok()) {
            return Err(not_offered(parts, &resource).await?);
        }
        Ok(Self { right, resource, verb: PhantomData })
    }
}

impl FromRequestParts<Arc<App>> for AllowedReplacement {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let resource = resource(app, &path(parts, "resource").await?)?;
        let [create, edit] = [Verb::Create, Verb::Edit].map(|verb| resource.permission(verb));
        let permissions = match (parts.headers.contains_key(IF_MATCH), parts.headers.contains_key(IF_NONE_MATCH)) {
            (true, _) => vec![edit],
            (false, true) => vec![create],
            (false, false) => vec![create, edit],
        };
        let right = caller.right_to_all(app, &resource.module, &permissions).await?;
        if !resource.replaceable() {
            return Err(not_offered(parts, &resource).await?);
        }
        Ok(Self { right, resource })
    }
}

impl FromRequestParts<Arc<App>> for AllowedAction {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let named = (path(parts, "resource").await, path(parts, "action").await);
        let found = match &named {
            (Ok(resource), Ok(action)) => {
                app.engine.catalog().resource(resource).and_then(|found| found.action(action))
            }
            _ => None,
        };
        let caller = Caller::or_guest(parts, app, found.is_some_and(|action| action.public)).await?;
        let resource = resource(app, &named.0?)?;
        let action = resource.action(&named.1?).cloned().ok_or_else(Error::not_found)?;
        let right = caller.right(app, &resource.module, &action.permission).await?;
        Ok(Self { right, resource, action })
    }
}

impl FromRequestParts<Arc<App>> for AllowedReport {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let found = path(parts, "report").await.ok().and_then(|name| app.engine.catalog().report(&name));
        let caller = Caller::or_guest(parts, app, found.is_some_and(|report| report.public)).await?;
        let name = path(parts, "report").await?;
        let report = app.engine.catalog().report(&name).cloned().ok_or_else(Error::not_found)?;
        let right = caller.right(app, &report.module, &report.permission).await?;
        Ok(Self { right, report })
    }
}

impl FromRequestParts<Arc<App>> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let agent = agent.map(|text| text.chars().take(200).collect());
        Ok(Self { agent, origin: Some(context(parts)?.origin()) })
    }
}
