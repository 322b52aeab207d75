//! Signing in, signing up, and what the caller is and has.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, body::Body};
use serde::Deserialize;
use serde_json::json as object;
use uuid::Uuid;

use super::error::Problem;
use super::extract::{Reached, SignedIn};
use super::front::Context;
use super::json::{Json, json};
use crate::app::App;
use crate::auth::{Client, Credentials, normal_email};
use crate::config::SignupMode;
use crate::error::Error;
use crate::ident::Subdomain;
use crate::ops::{NewTenant, Owner, Term, tenant_create};
use crate::tenant::Host;

type Answer = Result<Response<Body>, Problem>;

/// `POST /api/v1/auth/login` on a tenant's host.
pub async fn login(
    State(app): State<Arc<App>>,
    Reached(tenant): Reached,
    client: Client,
    Json(credentials): Json<Credentials>,
) -> Answer {
    if let Some(address) = client.address {
        app.limits.caller(tenant.id, address)?;
    }
    let signed_in = app.authenticator.sign_in(&tenant, credentials, &client).await?;
    Ok(json(StatusCode::OK, &signed_in)?)
}

/// `GET /api/v1/me`
pub async fn me(SignedIn { tenant, session }: SignedIn) -> Answer {
    let body = object!({
        "object": "user",
        "id": session.user,
        "email": session.email,
        "first_name": session.first_name,
        "last_name": session.last_name,
        "roles": session.roles,
        "permissions": session.permissions.codes(),
        "tenant": { "id": tenant.id, "subdomain": tenant.subdomain, "name": tenant.name },
    });
    Ok(json(StatusCode::OK, &body)?)
}

/// `GET /api/v1/modules`
pub async fn modules(State(app): State<Arc<App>>, SignedIn { tenant, .. }: SignedIn) -> Answer {
    let entitlements = app.gate.entitlements(tenant.id).await?;
    let data: Vec<_> = entitlements.visible().collect();
    Ok(json(StatusCode::OK, &object!({ "object": "list", "data": data }))?)
}

/// What a new customer types.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signup {
    company: String,
    subdomain: String,
    email: String,
    password: String,
    first_name: String,
    #[serde(default)]
    last_name: String,
}

/// `POST /api/v1/signup` on the apex: a company becomes a tenant, and its owner is signed in.
pub async fn signup(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    Json(form): Json<Signup>,
) -> Answer {
    if context.host != Host::Neutral {
        return Err(Error::not_found().into());
    }
    if app.config.signup.mode == SignupMode::Closed {
        return Err(Error::forbidden("New accounts are made by our staff only.").into());
    }
    app.limits.caller(Uuid::nil(), context.address)?;
    let (subdomain, name) = (Subdomain::new(&form.subdomain)?, form.company);
    let email = normal_email(&form.email);
    let password_hash = Some(app.hasher.hash(form.password).await?);
    let new = NewTenant {
        subdomain,
        name: name.clone(),
        plan: app.config.signup.plan.clone(),
        term: Term::Trial(app.config.signup.trial_days),
        owner: Owner { email: email.clone(), first_name: form.first_name, last_name: form.last_name, password_hash },
        actor: format!("signup {}", context.address),
    };
    let made = tenant_create(&app.platform, new).await?;
    app.tenants.forget_new(made.id, &made.subdomain);
    let signed_in = app.authenticator.sign_in_known(made.id, &made.place, &email).await?;
    let url = app.tenant_url(&made.subdomain);
    let body = object!({
        "tenant": { "id": made.id, "subdomain": made.subdomain, "name": name, "url": url },
        "url": url,
        "access_token": signed_in.access_token,
        "token_type": signed_in.token_type,
        "expires_in": signed_in.expires_in,
        "user": signed_in.user,
    });
    Ok(json(StatusCode::CREATED, &body)?)
}
