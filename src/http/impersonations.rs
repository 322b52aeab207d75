//! Operators who work as a user of a tenant.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json as object;
use uuid::Uuid;

use super::error::Problem;
use super::json::{Json, json};
use super::operator::find;
use super::path::InPath;
use super::staff::TenantAdmin;
use crate::app::App;
use crate::auth::{Impersonation, Whom};
use crate::error::{Error, Result};

type Answer = Result<Response<Body>, Problem>;

/// As whom an operator wants to work, why and for how long.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    user_id: Option<Uuid>,
    email: Option<String>,
    reason: String,
    #[serde(default = "minutes")]
    minutes: u8,
}

fn minutes() -> u8 {
    15
}

impl Form {
    fn read(self) -> Result<Impersonation> {
        let whom = match (self.user_id, self.email) {
            (Some(id), None) => Whom::Id(id),
            (None, Some(email)) => Whom::Email(email),
            _ => return Err(Error::validation_message("The body must name either `user_id` or `email`.")),
        };
        Ok(Impersonation { whom, reason: self.reason, minutes: self.minutes })
    }
}

/// `POST /api/v1/tenants/{id}/impersonations`
pub async fn begin(
    State(app): State<Arc<App>>,
    TenantAdmin(operator, by): TenantAdmin,
    InPath(id): InPath<String>,
    Json(form): Json<Form>,
) -> Answer {
    let wanted = form.read()?;
    let tenant = find(&app, &id).await?.in_service()?;
    let (session, signed_in) = app.authenticator.impersonate(&tenant, (&operator, &by), &wanted).await?;
    let body = object!({
        "object": "impersonation",
        "session": session,
        "access_token": signed_in.access_token,
        "token_type": signed_in.token_type,
        "expires_in": signed_in.expires_in,
        "url": app.tenant_url(&tenant.subdomain),
        "user": signed_in.user,
    });
    Ok(json(StatusCode::CREATED, &body)?)
}

/// `DELETE /api/v1/tenants/{id}/impersonations/{session}`
pub async fn end(
    State(app): State<Arc<App>>,
    TenantAdmin(_, by): TenantAdmin,
    InPath((id, session)): InPath<(String, String)>,
) -> Answer {
    let tenant = find(&app, &id).await?;
    let session = session.parse().ok().filter(|_| tenant.is_known()).ok_or_else(Error::not_found)?;
    app.authenticator.end_impersonation(&tenant, session, by.origin).await?;
    app.sessions.forget(&tenant);
    Ok(StatusCode::NO_CONTENT.into_response())
}
