//! What people do who were sent a letter with a link, or ask for one.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json as object;

use super::error::Problem;
use super::extract::Reached;
use super::front::Context;
use super::json::{Json, json};
use crate::app::App;
use crate::auth::{Acceptance, Client, Replacement, is_email};
use crate::error::{Error, Kind, Result};

type Answer = Result<Response<Body>, Problem>;

/// `POST /api/v1/auth/accept`: who was invited chooses a password and is signed in.
pub async fn accept(
    State(app): State<Arc<App>>,
    Reached(tenant): Reached,
    Extension(context): Extension<Context>,
    client: Client,
    Json(form): Json<Acceptance>,
) -> Answer {
    app.limits.caller(tenant.id, context.address)?;
    Ok(json(StatusCode::OK, &app.authenticator.accept(&tenant, form, &client).await?)?)
}

/// Whose password was forgotten.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forgotten {
    email: String,
}

/// `POST /api/v1/auth/forgot-password`: the same answer for everybody; whether there is such an account is found out
/// after it, when the letter is written.
pub async fn forgot_password(
    State(app): State<Arc<App>>,
    Reached(tenant): Reached,
    Extension(context): Extension<Context>,
    Json(Forgotten { email }): Json<Forgotten>,
) -> Answer {
    app.limits.caller(tenant.id, context.address)?;
    if !app.mailer.is_on() {
        let message = "This service is not set up to send mail.";
        return Err(Error::new(Kind::Conflict, "mail_not_configured", message).into());
    }
    if !is_email(&email) {
        return Err(Error::validation().field("#/email", "invalid_format", "must be a valid e-mail address").into());
    }
    app.authenticator.forgot_password(&tenant, &email).await?;
    let detail = "If there is such an account, a letter with a link is on its way to it.";
    Ok(json(StatusCode::ACCEPTED, &object!({ "object": "message", "detail": detail }))?)
}

/// `POST /api/v1/auth/reset-password`: another password in place of the forgotten one; signed in anew, nowhere else.
pub async fn reset_password(
    State(app): State<Arc<App>>,
    Reached(tenant): Reached,
    Extension(context): Extension<Context>,
    client: Client,
    Json(form): Json<Replacement>,
) -> Answer {
    app.limits.caller(tenant.id, context.address)?;
    Ok(json(StatusCode::OK, &app.authenticator.reset_password(&tenant, form, &client).await?)?)
}
