//! Signing in, signing up, and what the caller is and has.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, body::Body};
use serde::Deserialize;
use serde_json::json as object;

use super::error::Problem;
use super::extract::{Entering, Reached};
use super::front::Context;
use super::json::{Json, json};
use super::metadata::grants;
use crate::access::Caller;
use crate::app::App;
use crate::auth::{Client, Credentials, normal_email, policy};
use crate::config::{self, SignupMode};
use crate::db::{By, Origin};
use crate::docs;
use crate::error::{Error, Result};
use crate::ident::Subdomain;
use crate::ops::{NewTenant, Owner, Term, tenant_check, tenant_create};
use crate::tenant::Host;

type Answer = Result<Response<Body>, Problem>;

/// `POST /api/v1/auth/login` on a tenant's host.
pub async fn login(
    State(app): State<Arc<App>>,
    Reached(tenant): Reached,
    client: Client,
    Extension(context): Extension<Context>,
    Json(credentials): Json<Credentials>,
) -> Answer {
    context.sign_in_of(&credentials.email);
    if let Some(address) = client.address() {
        app.limits.caller(tenant.id, address)?;
    }
    let signed_in = app.authenticator.sign_in(&tenant, credentials, &client).await?;
    Ok(json(StatusCode::OK, &signed_in)?)
}

/// What a client sends to stay signed in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The token, good once.
    pub refresh_token: String,
}

/// `POST /api/v1/auth/refresh`: the next tokens for a refresh token, which is used up.
pub async fn refresh(
    State(app): State<Arc<App>>,
    Reached(tenant): Reached,
    Extension(context): Extension<Context>,
    Json(Refresh { refresh_token }): Json<Refresh>,
) -> Answer {
    app.limits.caller(tenant.id, context.address)?;
    Ok(json(StatusCode::OK, &app.authenticator.refresh(&tenant, &refresh_token, context.origin()).await?)?)
}

/// `POST /api/v1/auth/logout`: the end of this session.
pub async fn logout(State(app): State<Arc<App>>, Entering(caller): Entering) -> Answer {
    app.sessions.end(&caller, false).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /api/v1/auth/logout-all`: the end of all sessions of the caller.
pub async fn logout_all(State(app): State<Arc<App>>, Entering(caller): Entering) -> Answer {
    app.sessions.end(&caller, true).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What somebody types who wants another password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The present one.
    pub old_password: String,
    /// The next one.
    pub password: String,
}

/// `POST /api/v1/me/password`: another password and new tokens; the caller's other sessions end.
pub async fn change_password(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(context): Extension<Context>,
    Json(Change { old_password, password }): Json<Change>,
) -> Answer {
    app.limits.caller(caller.tenant.id, context.address)?;
    let signed_in = app.authenticator.change_password(&caller, old_password, password).await?;
    Ok(json(StatusCode::OK, &signed_in)?)
}

/// `GET /api/v1/me/permissions`: what the caller may do with everything that his modules offer.
pub async fn permissions(State(app): State<Arc<App>>, caller: Caller) -> Answer {
    let grants = grants(&app, &caller).await?;
    Ok(json(StatusCode::OK, &docs::permissions(app.engine.catalog(), &grants))?)
}

/// `GET /api/v1/me`
pub async fn me(Entering(Caller { tenant, session, .. }): Entering) -> Answer {
    let body = object!({
        "object": "user",
        "id": session.user,
        "email": session.email,
        "first_name": session.first_name,
        "last_name": session.last_name,
        "roles": session.roles,
        "permissions": session.permissions.codes(),
        "api_key": session.is_key.then_some(session.id),
        "impersonator": session.impersonator,
        "tenant": { "id": tenant.id, "subdomain": tenant.subdomain, "name": tenant.name },
    });
    Ok(json(StatusCode::OK, &body)?)
}

/// `GET /api/v1/modules`
pub async fn modules(State(app): State<Arc<App>>, Caller { tenant, .. }: Caller) -> Answer {
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
    let (new, password) = form.check(&app.config.signup, context.origin())?;
    let place = app.signups.admit(context.address)?;
    // The place is held by the work, which goes on when the caller goes away.
    let work = async move {
        let signed_up = open_account(&app, new, password).await;
        drop(place);
        signed_up
    };
    tokio::spawn(work).await.map_err(Error::internal)?
}

impl Signup {
    /// The whole form, before it has cost anything.
    fn check(self, settings: &config::Signup, origin: Origin) -> Result<(NewTenant, String)> {
        let subdomain = Subdomain::new(&self.subdomain);
        let owner = Owner {
            email: normal_email(&self.email),
            first_name: self.first_name,
            last_name: self.last_name,
            password_hash: None,
        };
        let known = [&*owner.email, &*self.subdomain, &*self.company];
        let others = [tenant_check(&self.company, &owner).err(), policy::check(&self.password, &known).err()];
        let faults = subdomain.as_ref().err().cloned().into_iter().chain(others.into_iter().flatten());
        if let Some(faults) = faults.reduce(Error::joined) {
            return Err(faults);
        }
        let new = NewTenant {
            subdomain: subdomain?,
            name: self.company,
            plan: settings.plan.clone(),
            term: Term::Trial(settings.trial_days),
            owner,
            by: By { name: "signup".to_owned(), origin: Some(origin) },
        };
        Ok((new, self.password))
    }
}

async fn open_account(app: &App, mut new: NewTenant, password: String) -> Answer {
    new.owner.password_hash = Some(app.hasher.hash(password).await?);
    let (name, email) = (new.name.clone(), new.owner.email.clone());
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
        "refresh_token": signed_in.refresh_token,
        "user": signed_in.user,
    });
    Ok(json(StatusCode::CREATED, &body)?)
}
