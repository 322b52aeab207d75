//! Operators about themselves and about each other.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json as object;
use uuid::Uuid;

use super::account::{Change, Refresh};
use super::error::Problem;
use super::front::Context;
use super::json::{Json, json};
use super::path::Id;
use super::staff::{PlatformOwner, Staff};
use crate::app::App;
use crate::auth::{Client, Credentials, OperatorRole, operator_create, policy};
use crate::error::{Error, Result};
use crate::ops::{OperatorChange, operator_change, operator_list, operator_show};

type Answer = Result<Response<Body>, Problem>;

/// `POST /api/v1/auth/login`
pub async fn login(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    client: Client,
    Json(credentials): Json<Credentials>,
) -> Answer {
    app.limits.operator(context.address)?;
    context.sign_in_of(&credentials.email);
    Ok(json(StatusCode::OK, &app.authenticator.sign_in_operator(credentials, &client).await?)?)
}

/// `POST /api/v1/auth/refresh`: the next tokens for a refresh token, which is used up.
pub async fn refresh(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    Json(Refresh { refresh_token }): Json<Refresh>,
) -> Answer {
    app.limits.operator(context.address)?;
    Ok(json(StatusCode::OK, &app.authenticator.refresh_operator(&refresh_token).await?)?)
}

/// `POST /api/v1/auth/logout`: the end of this session, and of those in which its operator works as users.
pub async fn logout(State(app): State<Arc<App>>, Staff(operator, by): Staff) -> Answer {
    app.authenticator.sign_out_operator(&operator, &by, false).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/v1/auth/logout-all`: the end of all sessions of the operator.
pub async fn logout_all(State(app): State<Arc<App>>, Staff(operator, by): Staff) -> Answer {
    app.authenticator.sign_out_operator(&operator, &by, true).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/v1/me/password`: another password and new tokens; the operator's other sessions end.
pub async fn change_password(
    State(app): State<Arc<App>>,
    Staff(operator, by): Staff,
    Extension(context): Extension<Context>,
    Json(Change { old_password, password }): Json<Change>,
) -> Answer {
    app.limits.operator(context.address)?;
    let signed_in = app.authenticator.change_operator_password(operator, &by, old_password, password).await?;
    Ok(json(StatusCode::OK, &signed_in)?)
}

/// `GET /api/v1/me`
pub async fn me(Staff(operator, _): Staff) -> Answer {
    Ok(json(StatusCode::OK, &operator)?)
}

/// `GET /api/v1/operators`: all of them, which are few.
pub async fn list(State(app): State<Arc<App>>, _: Staff) -> Answer {
    let data = operator_list(&app.platform.database).await?;
    let body = object!({ "object": "list", "data": data, "has_more": false, "next_cursor": null, "total_count": null });
    Ok(json(StatusCode::OK, &body)?)
}

/// `GET /api/v1/operators/{id}`
pub async fn get(State(app): State<Arc<App>>, _: Staff, Id(id): Id) -> Answer {
    show(&app, StatusCode::OK, id).await
}

/// A new operator.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewOperator {
    email: String,
    name: String,
    role: OperatorRole,
    password: String,
}

/// `POST /api/v1/operators`
pub async fn create(
    State(app): State<Arc<App>>,
    PlatformOwner(_, by): PlatformOwner,
    Json(form): Json<NewOperator>,
) -> Answer {
    let NewOperator { email, name, role, password } = form;
    policy::check(&password, &[&email, &name])?;
    let hash = app.hasher.hash(password).await?;
    let id = operator_create(&app.platform.database, &by, &email, &name, role, &hash).await?;
    let mut response = show(&app, StatusCode::CREATED, id).await?;
    let location = HeaderValue::from_str(&format!("/api/v1/operators/{id}")).map_err(Error::internal)?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// `PATCH /api/v1/operators/{id}`
pub async fn update(
    State(app): State<Arc<App>>,
    PlatformOwner(owner, by): PlatformOwner,
    Id(id): Id,
    Json(change): Json<OperatorChange>,
) -> Answer {
    operator_change(&app.platform.database, &by, Some(owner.id), id, &change).await?;
    show(&app, StatusCode::OK, id).await
}

async fn show(app: &App, status: StatusCode, id: Uuid) -> Answer {
    Ok(json(status, &operator_show(&app.platform.database, id).await?)?)
}
