//! Whoever has not signed in, at a tenant's address: he may do what packs declare public, and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::permission::Permissions;
use super::right::Caller;
use super::session::Session;
use crate::db::Origin;
use crate::tenant::Tenant;

/// What anybody may do.
pub struct Guest(Arc<Session>);

impl Guest {
    /// With the permissions of all that is public.
    pub fn new(permissions: BTreeSet<String>) -> Self {
        Self(Arc::new(Session {
            id: Uuid::nil(),
            user: Uuid::nil(),
            email: String::new(),
            first_name: String::new(),
            last_name: None,
            roles: Vec::new(),
            permissions: Permissions::new(permissions),
            is_key: false,
            is_guest: true,
            impersonator: None,
            factor_missing: false,
        }))
    }

    /// What he holds.
    pub fn permissions(&self) -> &Permissions {
        &self.0.permissions
    }

    /// Somebody at a tenant's address.
    pub fn at(&self, tenant: Arc<Tenant>, origin: Origin) -> Caller {
        Caller { tenant, session: self.0.clone(), origin }
    }
}
