//! Refresh tokens (RFC 9700, section 4.14): opaque, each good for one use, known to the database as digests only.

use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use super::secret::Secret;
use super::sign_in::{Authenticator, SignedIn, User};
use crate::config;
use crate::db::{Acting, Origin, Scope, Seat};
use crate::error::{Error, Kind, Result};
use crate::sql::{Sql, Value};
use crate::tenant::Tenant;

/// Begins every token, so that a scanner for lost secrets knows one.
const PREFIX: &str = "insula_rt_";

/// How long what belongs to a sign-in lives.
#[derive(Debug, Clone, Copy)]
pub struct Lives {
    /// An access token.
    pub access: Duration,
    /// A session from one refresh to the next.
    pub refresh: Duration,
    /// A session altogether.
    pub session: Duration,
    /// A session of an operator altogether.
    pub operator: Duration,
}

impl From<&config::Auth> for Lives {
    fn from(settings: &config::Auth) -> Self {
        Self {
            access: Duration::from_secs(settings.access_token_seconds),
            refresh: Duration::from_secs(settings.refresh_token_seconds),
            session: Duration::from_secs(settings.session_seconds),
            operator: Duration::from_secs(settings.operator_session_seconds),
        }
    }
}

/// A new token.
pub struct RefreshToken(Secret);

impl RefreshToken {
    /// 256 random bits.
    pub fn generate() -> Result<Self> {
        Secret::generate(PREFIX).map(Self)
    }

    /// What the database keeps of it, in base64.
    pub fn digest(&self) -> String {
        self.0.digest()
    }

    /// The token, for its owner.
    pub fn into_text(self) -> String {
        self.0.into_text()
    }
}

/// The digest of a text that came as a token, in base64; `None` when it cannot be one.
pub(super) fn digest_of(token: &str) -> Option<String> {
    Secret::may_be(PREFIX, token).then(|| Secret::digest_of(token))
}

#[derive(Deserialize)]
struct Refreshed {
    session: Uuid,
    user: User,
}

impl Authenticator {
    /// Takes a refresh token, and gives the next one with a new access token. A token that comes a second time ends its
    /// whole session: one of the two who sent it had stolen it. The audit says from where it came then.
    pub async fn refresh(&self, tenant: &Tenant, token: &str, origin: Origin) -> Result<SignedIn<User>> {
        let digest = digest_of(token).ok_or_else(not_good)?;
        let next = RefreshToken::generate()?;
        let mut sql = Sql::new("select 1::bigint, sys_refresh(decode(");
        sql.bind(Value::text(digest)).push(", 'base64'), decode(");
        sql.bind(Value::text(next.digest())).push(", 'base64')");
        for life in [self.lives.refresh, self.lives.session] {
            sql.push(", make_interval(secs => ").bind(Value::text(life.as_secs().to_string())).push("::int)");
        }
        sql.push(")::text");
        let limit = self.database.statement_timeout();
        let scope = Scope::write(tenant.place.clone(), Seat::Owner, Acting::service().on(Some(origin)), limit);
        let body = self.database.run(&scope, &sql).await?.body.ok_or_else(not_good)?;
        let Refreshed { session, user } = serde_json::from_str(&body).map_err(Error::internal)?;
        self.signed_in(tenant.id, session, next, user)
    }
}

pub(super) fn not_good() -> Error {
    Error::new(Kind::Unauthenticated, "invalid_refresh_token", "The refresh token is used, expired or unknown.")
        .hint("Sign in again.")
}
