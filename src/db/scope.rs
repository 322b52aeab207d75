//! The scope of a transaction: in whose rooms it runs, as whom, and what it may do there.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::ident::Ident;
use crate::sql::literal;

/// The number of a bucket: up to 500 tenants that share logins, a pool and an owner role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BucketId(pub i32);

/// Where a tenant lives in PostgreSQL.
#[derive(Debug, Clone)]
pub struct Place {
    /// The tenant's key.
    pub tenant: Uuid,
    /// Its bucket.
    pub bucket: BucketId,
    /// Its schema.
    pub schema: Ident,
    /// Its role: DML on the schema as granted, owns nothing.
    pub role: Ident,
    /// The role that owns the schema's objects.
    pub owner: Ident,
    /// IANA name of the tenant's time zone, for `app_today()`.
    pub timezone: Arc<str>,
}

/// Which role a transaction takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// The tenant's role on a connection of its bucket: what requests of users run as.
    Tenant,
    /// The owner of the tenant's objects on a control connection: provisioning, migration, sign-in.
    Owner,
}

/// The request that a change comes from, for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its id.
    pub request_id: Arc<str>,
    /// The client's address.
    pub address: IpAddr,
}

/// Who works on the platform itself: an operator, somebody at the command line, the service.
#[derive(Debug, Clone)]
pub struct By {
    /// How the journal and the audit call him.
    pub name: String,
    /// The request, if there is one.
    pub origin: Option<Origin>,
}

impl By {
    /// `BEGIN` with what the audit says of all changes that follow, one message.
    pub(super) fn prelude(&self) -> String {
        let origin = self.origin.as_ref().map_or_else(String::new, |o| format!("{} {}", o.request_id, o.address));
        format!("begin; set local app.actor = {}; set local app.origin = {}", literal(&self.name), literal(&origin))
    }
}

/// Who acts, and what they were granted.
#[derive(Debug, Clone)]
pub struct Acting {
    /// The user, if one is signed in.
    pub user: Option<Uuid>,
    /// Granted permission codes, comma-separated; a checked alphabet.
    pub permissions: Arc<str>,
    /// Where it comes from; none for what the service does by itself.
    pub origin: Option<Origin>,
    /// The operator who works as the user, if one does.
    pub impersonator: Option<Uuid>,
}

impl Acting {
    /// The service itself, with every permission.
    pub fn service() -> Self {
        Self { user: None, permissions: "*".into(), impersonator: None, origin: None }
    }

    /// The same because of a request.
    #[must_use]
    pub fn on(self, origin: Option<Origin>) -> Self {
        Self { origin, ..self }
    }
}

/// What a session of a bucket's login holds from its start.
#[derive(Debug, Clone)]
pub struct SessionDefaults {
    /// `statement_timeout`.
    pub statement_timeout: Duration,
    /// `app.timezone`.
    pub timezone: &'static str,
}

/// Everything a transaction is limited to. It is set transaction-locally, in the message that begins it.
#[derive(Debug, Clone)]
pub struct Scope {
    pub(super) place: Arc<Place>,
    pub(super) seat: Seat,
    acting: Acting,
    action: Option<Ident>,
    user_limit: Option<i64>,
    pub(super) read_only: bool,
    pub(super) statement_timeout: Duration,
}

impl Scope {
    /// A transaction that may write.
    pub fn write(place: Arc<Place>, seat: Seat, acting: Acting, statement_timeout: Duration) -> Self {
        Self { place, seat, acting, action: None, user_limit: None, read_only: false, statement_timeout }
    }

    /// A READ ONLY transaction: a statement in it that writes fails with 25006.
    pub fn read(place: Arc<Place>, seat: Seat, acting: Acting, statement_timeout: Duration) -> Self {
        Self { read_only: true, ..Self::write(place, seat, acting, statement_timeout) }
    }

    /// Marks the transaction as running an action of a pack, for triggers that refuse everything else.
    #[must_use]
    pub fn in_action(mut self, name: Ident) -> Self {
        self.action = Some(name);
        self
    }

    /// Tells the triggers that count users how many there may be.
    #[must_use]
    pub fn with_user_limit(mut self, most: Option<i64>) -> Self {
        self.user_limit = most;
        self
    }

    /// `BEGIN` and all settings, one message.
    ///
    /// `SET LOCAL` and not `set_config()`: only the former reaches the node that holds the tenant on Citus.
    /// What the login's session holds already is left out: every statement here is paid for by every request.
    pub(super) fn prelude(&self, session: &SessionDefaults) -> String {
        let Place { schema, role, owner, timezone, .. } = &*self.place;
        let role = if self.seat == Seat::Tenant { role } else { owner };
        let mode = if self.read_only { " read only" } else { "" };
        let mut sql = String::with_capacity(320);
        let _ = write!(
            sql,
            "begin{mode}; set local role {role}; set local search_path = {schema}, insula, pg_temp; set local app.perms = {}",
            literal(&self.acting.permissions)
        );
        if self.seat == Seat::Owner || self.statement_timeout != session.statement_timeout {
            let _ = write!(sql, "; set local statement_timeout = {}", self.statement_timeout.as_millis());
        }
        if self.seat == Seat::Owner || **timezone != *session.timezone {
            let _ = write!(sql, "; set local app.timezone = {}", literal(timezone));
        }
        if let Some(user) = self.acting.user {
            let _ = write!(sql, "; set local app.user_id = '{user}'");
        }
        if let Some(Origin { request_id, address }) = self.acting.origin.as_ref().filter(|_| !self.read_only) {
            let _ = write!(sql, "; set local app.origin = {}", literal(&format!("{request_id} {address}")));
        }
        // Who reads changes nothing that his operator could answer for.
        if let Some(operator) = self.acting.impersonator.filter(|_| !self.read_only) {
            let _ = write!(sql, "; set local app.impersonator = '{operator}'");
        }
        if let Some(action) = &self.action {
            let _ = write!(sql, "; set local app.action = '{}'", action.as_str());
        }
        if let Some(most) = self.user_limit {
            let _ = write!(sql, "; set local app.user_limit = {most}");
        }
        sql
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn acme() -> Arc<Place> {
        Arc::new(Place {
            tenant: Uuid::from_u128(7),
            bucket: BucketId(1),
            schema: Ident::new("tenant_acme").unwrap(),
            role: Ident::new("insula_t_acme").unwrap(),
            owner: Ident::new("insula_b1_owner").unwrap(),
            timezone: "Asia/Kolkata".into(),
        })
    }

    #[test]
    fn the_prelude_sets_everything_transaction_locally() {
        let acting = Acting {
            user: Some(Uuid::from_u128(9)),
            permissions: "deals.view,crm.scope.all".into(),
            impersonator: None,
            origin: Some(Origin { request_id: "r-1".into(), address: [127, 0, 0, 1].into() }),
        };
        let scope = Scope::write(acme(), Seat::Tenant, acting.clone(), Duration::from_secs(5));
        let session = SessionDefaults { statement_timeout: Duration::from_secs(9), timezone: "UTC" };
        assert!(scope.prelude(&session).ends_with("; set local app.origin = 'r-1 127.0.0.1'"));
        let scope = Scope::read(acme(), Seat::Tenant, acting, Duration::from_secs(5));
        insta::assert_snapshot!(scope.prelude(&session).replace("; ", ";\n"), @r#"
        begin read only;
        set local role "insula_t_acme";
        set local search_path = "tenant_acme", insula, pg_temp;
        set local app.perms = 'deals.view,crm.scope.all';
        set local statement_timeout = 5000;
        set local app.timezone = 'Asia/Kolkata';
        set local app.user_id = '00000000-0000-0000-0000-000000000009'
        "#);
    }

    #[test]
    fn an_operator_who_works_as_a_user_is_named_where_something_may_change() {
        let acting = Acting { impersonator: Some(Uuid::from_u128(3)), ..Acting::service() };
        let session = SessionDefaults { statement_timeout: Duration::from_secs(9), timezone: "UTC" };
        let named = |scope: Scope| scope.prelude(&session).contains("app.impersonator = '00000000");
        assert!(named(Scope::write(acme(), Seat::Tenant, acting.clone(), Duration::from_secs(5))));
        assert!(!named(Scope::read(acme(), Seat::Tenant, acting, Duration::from_secs(5))));
    }

    #[test]
    fn what_the_session_holds_is_not_said_again() {
        let scope = Scope::read(acme(), Seat::Tenant, Acting::service(), Duration::from_secs(9));
        let session = SessionDefaults { statement_timeout: Duration::from_secs(9), timezone: "Asia/Kolkata" };
        let prelude = scope.prelude(&session);
        assert!(!prelude.contains("statement_timeout") && !prelude.contains("timezone"), "{prelude}");
    }
}
