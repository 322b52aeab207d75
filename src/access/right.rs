//! The proof that tenant, sign-in, module and permission were checked.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::session::Session;
use crate::billing::{Entitlements, Gate};
use crate::db::{Acting, BucketId, Scope, Seat};
use crate::error::{Error, Result};
use crate::ident::Ident;
use crate::tenant::Tenant;

/// A right to do one thing in one tenant. Only [`Right::to`] makes one, and only a right makes a scope for requests: a
/// handler that forgets a check does not compile.
#[derive(Debug, Clone)]
pub struct Right {
    tenant: Arc<Tenant>,
    session: Arc<Session>,
    entitlements: Arc<Entitlements>,
}

impl Right {
    /// Checks the module, then the permission. `tenant` is in service and `session` is signed in there.
    pub async fn to(
        permission: &str,
        module: &str,
        tenant: Arc<Tenant>,
        session: Arc<Session>,
        gate: &Gate,
    ) -> Result<Self> {
        session.ready()?;
        let entitlements = gate.pass(tenant.id, module).await?;
        let right = Self { tenant, session, entitlements };
        right.also(permission, module).map(|()| right)
    }

    /// Refuses what the same user may not do with another part of the tenant, in the same transaction.
    pub fn also(&self, permission: &str, module: &str) -> Result<()> {
        self.entitlements.require(module)?;
        if self.session.permissions.allow(permission) {
            return Ok(());
        }
        Err(Error::forbidden("Your role does not allow this.").hint(format!("It needs the permission `{permission}`.")))
    }

    /// The tenant's key.
    pub fn tenant(&self) -> Uuid {
        self.tenant.id
    }

    /// The session's key.
    pub fn session(&self) -> Uuid {
        self.session.id
    }

    /// The bucket that the tenant lives in.
    pub fn bucket(&self) -> BucketId {
        self.tenant.place.bucket
    }

    /// A read-only transaction in the tenant.
    pub fn read(&self, limit: Duration) -> Scope {
        Scope::read(self.tenant.place.clone(), Seat::Tenant, self.acting(), limit)
    }

    /// A transaction in the tenant.
    pub fn write(&self, limit: Duration) -> Scope {
        Scope::write(self.tenant.place.clone(), Seat::Tenant, self.acting(), limit)
    }

    /// A transaction that runs an action of a pack.
    pub fn act(&self, action: &Ident, limit: Duration) -> Scope {
        self.write(limit).in_action(action.clone())
    }

    fn acting(&self) -> Acting {
        Acting { user: Some(self.session.user), permissions: self.session.permissions.joined() }
    }
}

/// The right of whoever is signed in to what is his own and nobody else's, such as his operations: to look at it.
#[derive(Debug, Clone)]
pub struct OwnRight(Right);

impl OwnRight {
    /// `module` keeps what it is about.
    pub async fn new(module: &str, tenant: Arc<Tenant>, session: Arc<Session>, gate: &Gate) -> Result<Self> {
        session.ready()?;
        let entitlements = gate.pass(tenant.id, module).await?;
        Ok(Self(Right { tenant, session, entitlements }))
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
