//! What operators do with tenants on `admin.<domain>`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json as object;
use uuid::Uuid;

use super::error::Problem;
use super::json::{Json, json};
use super::path::InPath;
use super::staff::{Staff, TenantAdmin};
use crate::app::App;
use crate::auth::policy;
use crate::error::{Error, Result};
use crate::ident::Subdomain;
use crate::ops::{self, NewTenant, Owner, Term};
use crate::tenant::{Tenant, tenant_not_found};

type Answer = Result<Response<Body>, Problem>;

/// A page of tenants; the cursor is the last subdomain of the page before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    limit: Option<i64>,
    cursor: Option<String>,
}

/// `GET /api/v1/tenants`
pub async fn tenants(
    State(app): State<Arc<App>>,
    _: Staff,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(page) = page.map_err(|error| Error::malformed(error.body_text()))?;
    let limit = limited(page.limit)?;
    let mut data = ops::tenant_list(&app.platform, page.cursor.as_deref(), limit).await?;
    let has_more = data.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    data.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let last = data.last().filter(|_| has_more).and_then(|row| serde_json::from_str::<Listed>(row.get()).ok());
    let next_cursor = last.map(|row| row.subdomain);
    let body = object!({ "object": "list", "data": data, "has_more": has_more, "next_cursor": next_cursor, "total_count": null });
    Ok(json(StatusCode::OK, &body)?)
}

/// How many rows a page has.
pub(super) fn limited(limit: Option<i64>) -> Result<i64> {
    let limit = limit.unwrap_or(50);
    if (1..=500).contains(&limit) {
        return Ok(limit);
    }
    let why = "must be a number from 1 to 500";
    Err(Error::malformed("The query is not valid.").parameter("limit", "invalid_parameter", why))
}

#[derive(Deserialize)]
struct Listed {
    subdomain: String,
}

/// `GET /api/v1/tenants/{id}`
pub async fn tenant(State(app): State<Arc<App>>, _: Staff, InPath(id): InPath<String>) -> Answer {
    show(&app, tenant_key(&id)?).await
}

pub(super) async fn show(app: &App, id: Uuid) -> Answer {
    Ok(json(StatusCode::OK, &ops::tenant_show(&app.platform, id).await?)?)
}

/// What an operator types for a new tenant; the names are those of sign-up.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTenantForm {
    #[serde(alias = "name")]
    company: String,
    subdomain: String,
    plan: String,
    #[serde(alias = "owner_email")]
    email: String,
    password: Option<String>,
    #[serde(default = "owner_name")]
    first_name: String,
    #[serde(default)]
    last_name: String,
    trial_days: Option<u16>,
}

fn owner_name() -> String {
    "Owner".to_owned()
}

/// `POST /api/v1/tenants`
pub async fn tenant_create(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    Json(form): Json<NewTenantForm>,
) -> Answer {
    let password_hash = match form.password {
        Some(password) => {
            policy::check(&password, &[&form.email, &form.subdomain, &form.company])?;
            Some(app.hasher.hash(password).await?)
        }
        None => None,
    };
    let new = NewTenant {
        subdomain: Subdomain::new(&form.subdomain)?,
        name: form.company,
        plan: form.plan,
        term: form.trial_days.map_or(Term::Active, Term::Trial),
        owner: Owner { email: form.email, first_name: form.first_name, last_name: form.last_name, password_hash },
        by,
    };
    let made = ops::tenant_create(&app.platform, new).await?;
    app.tenants.forget_new(made.id, &made.subdomain);
    let mut response = json(StatusCode::CREATED, &ops::tenant_show(&app.platform, made.id).await?)?;
    let location = HeaderValue::from_str(&format!("/api/v1/tenants/{}", made.id)).map_err(Error::internal)?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// Why a tenant is closed or opened again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    #[serde(default)]
    reason: String,
}

/// `POST /api/v1/tenants/{id}/actions/suspend`
pub async fn suspend(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    InPath(id): InPath<String>,
    Json(form): Json<Reason>,
) -> Answer {
    let id = tenant_key(&id)?;
    ops::tenant_suspend(&app.platform, id, &form.reason, &by).await?;
    app.tenants.forget(id);
    show(&app, id).await
}

/// `POST /api/v1/tenants/{id}/actions/resume`
pub async fn resume(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    InPath(id): InPath<String>,
    Json(form): Json<Reason>,
) -> Answer {
    let id = tenant_key(&id)?;
    ops::tenant_resume(&app.platform, id, &form.reason, &by).await?;
    app.tenants.forget(id);
    show(&app, id).await
}

/// `PUT /api/v1/tenants/{id}/modules/{code}`
pub async fn module_enable(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    InPath((id, code)): InPath<(String, String)>,
) -> Answer {
    let tenant = find(&app, &id).await?;
    ops::module_enable(&app.platform, &tenant, &code, &by).await?;
    app.gate.forget(tenant.id);
    let entitlements = app.gate.entitlements(tenant.id).await?;
    let module = entitlements.visible().find(|entitlement| entitlement.code == code);
    Ok(json(StatusCode::OK, &module)?)
}

/// `DELETE /api/v1/tenants/{id}/modules/{code}`
pub async fn module_disable(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    InPath((id, code)): InPath<(String, String)>,
) -> Answer {
    let tenant = find(&app, &id).await?;
    ops::module_disable(&app.platform, &tenant, &code, &by).await?;
    app.gate.forget(tenant.id);
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn find(app: &App, id: &str) -> Result<Arc<Tenant>> {
    app.tenants.by_id(tenant_key(id)?).await
}

pub(super) fn tenant_key(text: &str) -> Result<Uuid> {
    text.parse().map_err(|_| tenant_not_found())
}
