//! What operators do with copies of tenants on `admin.<domain>`: backups, restores, clones. All of it is answered before it
//! is done.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json as object;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::error::Problem;
use super::json::{Json, json};
use super::migrations::accepted;
use super::operator::{limited, tenant_key};
use super::path::{Id, InPath};
use super::staff::{Staff, TenantAdmin};
use super::tenant_life::{Nothing, confirmed};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ident::Subdomain;
use crate::ops::{self, BackupName};

type Answer = Result<Response<Body>, Problem>;

/// `GET /api/v1/operations/{id}`: how far work on a tenant has come.
pub async fn operation(State(app): State<Arc<App>>, _: Staff, Id(id): Id) -> Answer {
    Ok(json(StatusCode::OK, &ops::operation_show(&app.platform, id).await?)?)
}

async fn begun(app: &App, id: Uuid) -> Answer {
    accepted(&format!("/api/v1/operations/{id}"), &ops::operation_show(&app.platform, id).await?)
}

/// A page of backups; the cursor is the last name of the page before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    tenant: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

/// `GET /api/v1/backups`
pub async fn list(State(app): State<Arc<App>>, _: Staff, page: Result<Query<Page>, QueryRejection>) -> Answer {
    let Query(Page { tenant, limit, cursor }) = page.map_err(|error| Error::malformed(error.body_text()))?;
    let limit = usize::try_from(limited(limit)?).map_err(Error::internal)?;
    let tenant = match tenant {
        Some(name) => Some(ops::tenant_find(&app.platform, &name).await.map_err(|error| unknown(&name, error))?),
        None => None,
    };
    let bad = |_| Error::malformed("The query is not valid.").parameter("cursor", "invalid_parameter", "is no cursor");
    let after = cursor.map(|name| name.parse::<BackupName>()).transpose().map_err(bad)?;
    let mut data = ops::backup_list(&app.platform, &app.config.backup, tenant, after, limit).await?;
    let has_more = data.len() > limit;
    data.truncate(limit);
    let next_cursor = data.last().filter(|_| has_more).map(|last| &last.name);
    let body = object!({ "object": "list", "data": data, "has_more": has_more, "next_cursor": next_cursor, "total_count": null });
    Ok(json(StatusCode::OK, &body)?)
}

/// What cannot be a subdomain is at fault in the query, not in a body.
fn unknown(name: &str, error: Error) -> Error {
    match Subdomain::new(name) {
        Ok(_) => error,
        Err(_) => {
            Error::malformed("The query is not valid.").parameter("tenant", "invalid_parameter", "is no subdomain")
        }
    }
}

/// `POST /api/v1/tenants/{id}/actions/backup`
pub async fn backup(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    InPath(id): InPath<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Answer {
    let (tenant, settings, never) = (tenant_key(&id)?, app.config.backup.clone(), CancellationToken::new());
    let work = |platform, tell| async move { ops::backup_save(&platform, &settings, tenant, &by, &never, tell).await };
    begun(&app, app.background.begin(work).await?).await
}

/// `POST /api/v1/backups/{name}/actions/verify`
pub async fn verify(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    InPath(name): InPath<String>,
    Json(Nothing {}): Json<Nothing>,
) -> Answer {
    let (name, settings) = (name.parse()?, app.config.backup.clone());
    let work = |platform, tell| async move { ops::backup_try(&platform, &settings, name, &by, tell).await };
    begun(&app, app.background.begin(work).await?).await
}

/// A backup, and the subdomain of its tenant by who means it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    backup: String,
    confirm: String,
}

/// `POST /api/v1/tenants/{id}/actions/restore`
pub async fn restore(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    InPath(id): InPath<String>,
    Json(Restore { backup, confirm }): Json<Restore>,
) -> Answer {
    let id = tenant_key(&id)?;
    confirmed(&app, id, &confirm).await?;
    let (folder, days) = (app.config.backup.clone(), app.config.tenants.shelf_days);
    let work =
        |platform, tell| async move { ops::backup_restore(&platform, &folder, (id, &backup), days, &by, tell).await };
    begun(&app, app.background.begin(work).await?).await
}

/// The tenant that a backup becomes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreAs {
    subdomain: String,
    plan: Option<String>,
}

/// `POST /api/v1/backups/{name}/actions/restore-as`
pub async fn restore_as(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    InPath(name): InPath<String>,
    Json(RestoreAs { subdomain, plan }): Json<RestoreAs>,
) -> Answer {
    let (name, settings) = (name.parse()?, app.config.backup.clone());
    let new = (Subdomain::new(&subdomain)?, plan);
    let work = |platform, tell| async move { ops::backup_restore_as(&platform, &settings, name, new, &by, tell).await };
    begun(&app, app.background.begin(work).await?).await
}

/// The subdomain of the tenant, by who means it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unrestore {
    confirm: String,
}

/// `POST /api/v1/tenants/{id}/actions/unrestore`
pub async fn unrestore(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    InPath(id): InPath<String>,
    Json(Unrestore { confirm }): Json<Unrestore>,
) -> Answer {
    let (tenant, days) = (tenant_key(&id)?, app.config.tenants.shelf_days);
    confirmed(&app, tenant, &confirm).await?;
    let work = |platform, tell| async move { ops::tenant_unrestore(&platform, tenant, days, &by, tell).await };
    begun(&app, app.background.begin(work).await?).await
}

/// The copy of a tenant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    subdomain: String,
    name: Option<String>,
}

/// `POST /api/v1/tenants/{id}/actions/clone`
pub async fn clone(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    InPath(id): InPath<String>,
    Json(Sandbox { subdomain, name }): Json<Sandbox>,
) -> Answer {
    let (tenant, new) = (tenant_key(&id)?, Subdomain::new(&subdomain)?);
    let work = |platform, tell| async move { ops::tenant_clone(&platform, tenant, new, name, &by, tell).await };
    begun(&app, app.background.begin(work).await?).await
}
