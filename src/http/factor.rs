//! The second factor of whoever is signed in.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json as object;

use super::error::Problem;
use super::extract::Entering;
use super::front::Context;
use super::json::{Json, json, json_text};
use crate::app::App;
use crate::error::Result;

type Answer = Result<Response<Body>, Problem>;

/// `GET /api/v1/me/totp`
pub async fn state(State(app): State<Arc<App>>, Entering(caller): Entering) -> Answer {
    Ok(json_text(StatusCode::OK, app.authenticator.factor_state(&caller).await?))
}

/// Who begins types his password again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    password: String,
}

/// `POST /api/v1/me/totp`: a secret, which counts once it is confirmed.
pub async fn begin(
    State(app): State<Arc<App>>,
    Entering(caller): Entering,
    Extension(context): Extension<Context>,
    Json(Begin { password }): Json<Begin>,
) -> Answer {
    app.limits.caller(caller.tenant.id, context.address)?;
    Ok(json(StatusCode::OK, &app.authenticator.factor_begin(&caller, password).await?)?)
}

/// A code of the new authenticator.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    code: String,
}

/// `POST /api/v1/me/totp/confirm`: the factor counts; the answer is the only one with the recovery codes.
pub async fn confirm(
    State(app): State<Arc<App>>,
    Entering(caller): Entering,
    Extension(context): Extension<Context>,
    Json(Confirm { code }): Json<Confirm>,
) -> Answer {
    app.limits.caller(caller.tenant.id, context.address)?;
    let codes = app.authenticator.factor_confirm(&caller, &code).await?;
    app.sessions.forget(&caller.tenant);
    Ok(json(StatusCode::OK, &object!({ "recovery_codes": codes }))?)
}

/// Both factors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Both {
    password: String,
    code: String,
}

/// `DELETE /api/v1/me/totp`
pub async fn remove(
    State(app): State<Arc<App>>,
    Entering(caller): Entering,
    Extension(context): Extension<Context>,
    Json(Both { password, code }): Json<Both>,
) -> Answer {
    app.limits.caller(caller.tenant.id, context.address)?;
    app.authenticator.factor_remove(&caller, password, &code).await?;
    app.sessions.forget(&caller.tenant);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/v1/me/totp/recovery-codes`: other codes in place of those that there are.
pub async fn renew(
    State(app): State<Arc<App>>,
    Entering(caller): Entering,
    Extension(context): Extension<Context>,
    Json(Both { password, code }): Json<Both>,
) -> Answer {
    app.limits.caller(caller.tenant.id, context.address)?;
    let codes = app.authenticator.factor_renew(&caller, password, &code).await?;
    Ok(json(StatusCode::OK, &object!({ "recovery_codes": codes }))?)
}
