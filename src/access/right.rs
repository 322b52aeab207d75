//! The proof that tenant, sign-in, module and permission were checked.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::session::{Session, Sessions, ended};
use crate::billing::{Entitlements, Gate};
use crate::db::{Acting, BucketId, Origin, Scope, Seat};
use crate::error::{Error, Kind, Result};
use crate::ident::Ident;
use crate::tenant::Tenant;

/// Who is signed in where, and the request that he makes.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Where.
    pub tenant: Arc<Tenant>,
    /// Who.
    pub session: Arc<Session>,
    /// The request.
    pub origin: Origin,
}

impl Caller {
    /// What the service does because the caller asks for it: his own account is not behind rights.
    pub fn served(&self) -> Acting {
        Acting { user: Some(self.session.user), ..Acting::service().on(Some(self.origin.clone())) }
    }
}

/// A right to do one thing in one tenant. Only [`Right::to`] makes one, and only a right makes a scope for requests: a
/// handler that forgets a check does not compile.
#[derive(Debug, Clone)]
pub struct Right {
    caller: Caller,
    entitlements: Arc<Entitlements>,
}

impl Right {
    /// Checks the module, then the permission. The caller's tenant is in service.
    pub async fn to(permission: &str, module: &str, caller: Caller, gate: &Gate) -> Result<Self> {
        caller.session.ready()?;
        let entitlements = match gate.pass(caller.tenant.id, module).await {
            // Strangers do not learn what an account has bought.
            Err(error) if caller.session.is_guest && error.kind() == Kind::Forbidden => return Err(stranger()),
            other => other?,
        };
        let right = Self { caller, entitlements };
        right.also(permission, module).map(|()| right)
    }

    /// Refuses what the same user may not do with another part of the tenant, in the same transaction.
    pub fn also(&self, permission: &str, module: &str) -> Result<()> {
        self.entitlements.require(module)?;
        if self.caller.session.permissions.allow(permission) {
            return Ok(());
        }
        if self.is_guest() {
            return Err(stranger());
        }
        Err(Error::forbidden("Your role does not allow this.").hint(format!("It needs the permission `{permission}`.")))
    }

    /// The tenant's key.
    pub fn tenant(&self) -> Uuid {
        self.caller.tenant.id
    }

    /// Whether nobody has signed in.
    pub fn is_guest(&self) -> bool {
        self.caller.session.is_guest
    }

    /// The session's key.
    pub fn session(&self) -> Uuid {
        self.caller.session.id
    }

    /// The bucket that the tenant lives in.
    pub fn bucket(&self) -> BucketId {
        self.caller.tenant.place.bucket
    }

    /// Drops what is known of the tenant's sessions and keys, without waiting for the news of an own change.
    pub fn forget(&self, sessions: &Sessions) {
        sessions.forget(&self.caller.tenant);
    }

    /// A read-only transaction in the tenant.
    pub fn read(&self, limit: Duration) -> Scope {
        Scope::read(self.caller.tenant.place.clone(), Seat::Tenant, self.acting(), limit)
    }

    /// A transaction in the tenant.
    pub fn write(&self, limit: Duration) -> Scope {
        let scope = Scope::write(self.caller.tenant.place.clone(), Seat::Tenant, self.acting(), limit);
        scope.with_user_limit(self.entitlements.user_limit())
    }

    /// A transaction that runs an action of a pack.
    pub fn act(&self, action: &Ident, limit: Duration) -> Scope {
        self.write(limit).in_action(action.clone())
    }

    fn acting(&self) -> Acting {
        let Caller { session, origin, .. } = &self.caller;
        Acting {
            user: (!session.is_guest).then_some(session.user),
            permissions: session.permissions.joined(),
            impersonator: session.impersonator.as_ref().map(|impersonator| impersonator.id),
            origin: Some(origin.clone()),
        }
    }
}

fn stranger() -> Error {
    ended("this is not public")
}

/// The right of whoever is signed in to what is his own and nobody else's, such as his operations: to look at it.
#[derive(Debug, Clone)]
pub struct OwnRight(Right);

impl OwnRight {
    /// `module` keeps what it is about.
    pub async fn new(module: &str, caller: Caller, gate: &Gate) -> Result<Self> {
        caller.session.ready()?;
        let entitlements = gate.pass(caller.tenant.id, module).await?;
        Ok(Self(Right { caller, entitlements }))
    }

    /// The tenant's key.
    pub fn tenant(&self) -> Uuid {
        self.0.tenant()
    }

    /// The bucket that the tenant lives in.
    pub fn bucket(&self) -> BucketId {
        self.0.bucket()
    }

    /// A read-only transaction in the tenant.
    pub fn read(&self, limit: Duration) -> Scope {
        self.0.read(limit)
    }
}
