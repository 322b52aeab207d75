//! The proof that tenant, sign-in, module and permission were checked.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::session::Session;
use crate::billing::Gate;
use crate::db::{Acting, Scope, Seat};
use crate::error::{Error, Result};
use crate::ident::Ident;
use crate::tenant::Tenant;

/// A right to do one thing in one tenant. Only [`Right::to`] makes one, and only a right makes a scope for requests:
/// a handler that forgets a check does not compile.
#[derive(Debug, Clone)]
pub struct Right {
    tenant: Arc<Tenant>,
    session: Arc<Session>,
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
        gate.pass(tenant.id, module).await?;
        if !session.permissions.allow(permission) {
            return Err(Error::forbidden("Your role does not allow this.")
                .hint(format!("It needs the permission `{permission}`.")));
        }
        Ok(Self { tenant, session })
    }

    /// The tenant's key.
    pub fn tenant(&self) -> Uuid {
        self.tenant.id
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
