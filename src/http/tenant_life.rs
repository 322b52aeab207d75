//! What operators do with the life of tenants on `admin.<domain>`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::error::Problem;
use super::json::Json;
use super::operator::{show, tenant_key};
use super::path::InPath;
use super::staff::{PlatformOwner, TenantAdmin};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ident::Subdomain;
use crate::ops;

type Answer = Result<Response<Body>, Problem>;

/// The name that a tenant gets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewName {
    subdomain: String,
}

/// `POST /api/v1/tenants/{id}/actions/rename`
pub async fn rename(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    InPath(id): InPath<String>,
    Json(form): Json<NewName>,
) -> Answer {
    let (id, new) = (tenant_key(&id)?, Subdomain::new(&form.subdomain)?);
    ops::tenant_rename(&app.platform, id, &new, app.config.tenants.redirect_days, &by).await?;
    app.tenants.forget_new(id, new.as_str());
    show(&app, id).await
}

/// The subdomain once more, by who means it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    confirm: String,
    grace_days: Option<u32>,
}

/// `POST /api/v1/tenants/{id}/actions/delete`
pub async fn delete(
    State(app): State<Arc<App>>,
    TenantAdmin(operator, by): TenantAdmin,
    InPath(id): InPath<String>,
    Json(form): Json<Deletion>,
) -> Answer {
    let id = tenant_key(&id)?;
    let usual = app.config.tenants.grace_days;
    let days = form.grace_days.unwrap_or(usual);
    if days > 3660 {
        return Err(Error::validation().field("#/grace_days", "invalid_value", "must be at most 3660").into());
    }
    // Who erases at once what others could bring back is an owner.
    if days < usual && !operator.role.may_change_operators() {
        return Err(Error::forbidden("Less time than usual needs an operator of role owner.").into());
    }
    confirmed(&app, id, &form.confirm).await?;
    ops::tenant_delete(&app.platform, id, days, &by).await?;
    app.tenants.forget(id);
    show(&app, id).await
}

/// Nothing but the tenant's key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// `POST /api/v1/tenants/{id}/actions/undelete`
pub async fn undelete(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    InPath(id): InPath<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Answer {
    let id = tenant_key(&id)?;
    ops::tenant_undelete(&app.platform, id, &by).await?;
    app.tenants.forget(id);
    show(&app, id).await
}

/// The subdomain once more, by who means it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    confirm: String,
}

/// `POST /api/v1/tenants/{id}/actions/purge`
pub async fn purge(
    State(app): State<Arc<App>>,
    PlatformOwner(_, by): PlatformOwner,
    InPath(id): InPath<String>,
    Json(form): Json<Purge>,
) -> Answer {
    let id = tenant_key(&id)?;
    confirmed(&app, id, &form.confirm).await?;
    ops::tenant_purge(&app.platform, id, &by).await?;
    app.tenants.forget(id);
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn confirmed(app: &App, id: uuid::Uuid, typed: &str) -> Result<()> {
    let subdomain = ops::tenant_subdomain(&app.platform, id).await?;
    if typed == subdomain {
        return Ok(());
    }
    Err(Error::validation().field("#/confirm", "invalid_value", "must be the subdomain of the tenant"))
}
