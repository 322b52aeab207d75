//! Operators as extractors: what their role allows has been checked before a handler runs.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::error::Problem;
use super::extract::{bearer, context};
use crate::app::App;
use crate::auth::token::unauthenticated;
use crate::auth::{Operator, OperatorRole};
use crate::db::By;
use crate::error::{Error, Result};

/// An operator, signed in, and what the audit says of him.
pub struct Staff(pub Operator, pub By);

/// An operator who may change tenants.
pub struct TenantAdmin(pub Operator, pub By);

/// An operator who may change operators.
pub struct PlatformOwner(pub Operator, pub By);

impl FromRequestParts<Arc<App>> for Staff {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let token = bearer(&parts.headers)?.ok_or_else(|| unauthenticated("no Authorization header"))?;
        let operator = app.authenticator.operator(token).await?;
        let _ = context(parts)?.notes.actor.set(operator.id);
        let by = By { name: format!("operator {}", operator.email), origin: Some(context(parts)?.origin()) };
        Ok(Self(operator, by))
    }
}

impl Staff {
    fn who(&self, may: fn(OperatorRole) -> bool, roles: &str) -> Result<()> {
        if may(self.0.role) {
            return Ok(());
        }
        Err(Error::forbidden("Your role does not allow this.").hint(format!("It needs an operator of role {roles}.")))
    }
}

impl FromRequestParts<Arc<App>> for TenantAdmin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let staff = Staff::from_request_parts(parts, app).await?;
        staff.who(OperatorRole::may_change_tenants, "owner or support")?;
        Ok(Self(staff.0, staff.1))
    }
}

impl FromRequestParts<Arc<App>> for PlatformOwner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let staff = Staff::from_request_parts(parts, app).await?;
        staff.who(OperatorRole::may_change_operators, "owner")?;
        Ok(Self(staff.0, staff.1))
    }
}
