//! Sessions: who is signed in, with what rights, cached per session.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::api_key::{KeyKey, KnownKey, families};
use super::permission::Permissions;
use super::reach::narrowing;
use super::right::Caller;
use crate::config;
use crate::db::{Acting, Database, News, Place, Scope, Seat, Topic};
use crate::error::{Error, Kind, Result};
use crate::sql::{Sql, Value};
use crate::tenant::{Cache, Key, Loaded, Tenant};

/// A user who is signed in, or for whom a key acts.
#[derive(Debug)]
pub struct Session {
    /// Its key, or that of the API key.
    pub id: Uuid,
    /// The user's key.
    pub user: Uuid,
    /// The user's address.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: Option<String>,
    /// Codes of the user's roles.
    pub roles: Vec<String>,
    /// What the roles grant; of it what an API key may do.
    pub permissions: Permissions,
    /// Whether an API key acts for the user.
    pub is_key: bool,
    /// Whether nobody has signed in.
    pub is_guest: bool,
    /// The operator who works as the user, if one does.
    pub impersonator: Option<Impersonator>,
    /// The account wants a second factor of everybody, and this user has none.
    pub factor_missing: bool,
}

impl Session {
    /// Refuses who must set up his second factor first.
    pub fn ready(&self) -> Result<()> {
        if !self.factor_missing {
            return Ok(());
        }
        let message = "Your account needs a second factor. Please set it up first.";
        Err(Error::new(Kind::Forbidden, "second_factor_setup_required", message)
            .hint("Begin with `POST /api/v1/me/totp`, then confirm it with `POST /api/v1/me/totp/confirm`."))
    }
}

/// An operator of the platform who works as a user of a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Impersonator {
    /// The operator's key.
    pub id: Uuid,
    /// The operator's address.
    pub email: String,
    /// Why he does.
    pub reason: String,
}

/// What is read of a session and of a key alike.
#[derive(Deserialize)]
pub(super) struct SessionRow {
    user: Uuid,
    email: String,
    first_name: String,
    last_name: Option<String>,
    roles: Vec<String>,
    factor_missing: bool,
    seconds_left: f64,
    #[serde(default)]
    impersonator: Option<Impersonator>,
}

impl SessionRow {
    pub(super) fn valid_for(&self) -> Option<Duration> {
        Some(Duration::from_secs_f64(self.seconds_left.max(0.0)))
    }

    pub(super) fn into_session(self, id: Uuid, permissions: Permissions, is_key: bool) -> Session {
        let Self { user, email, first_name, last_name, roles, impersonator, factor_missing, .. } = self;
        Session {
            id,
            user,
            email,
            first_name,
            last_name,
            roles,
            permissions,
            is_key,
            is_guest: false,
            impersonator,
            factor_missing,
        }
    }
}

#[derive(Deserialize)]
struct Row {
    #[serde(flatten)]
    session: SessionRow,
    permissions: Vec<String>,
}

/// A session of a tenant; news about rights names the schema.
#[derive(Clone, PartialEq, Eq, Hash)]
struct SessionKey {
    schema: String,
    session: Uuid,
}

impl Key for SessionKey {
    type Group = String;

    fn group(&self) -> &String {
        &self.schema
    }
}

/// Sessions and API keys of all tenants, cached until news about their schema.
pub struct Sessions {
    pub(super) database: Database,
    cache: Cache<SessionKey, Arc<Session>>,
    pub(super) keys: Cache<KeyKey, Arc<KnownKey>>,
    /// What `*` means for a key.
    pub(super) families: Vec<String>,
    /// Permissions by which a user sees less.
    pub(super) narrowing: Vec<String>,
    pub(super) began: Instant,
}

impl Sessions {
    /// Empty caches over a database; `permissions` are all that packs define.
    pub fn new(database: Database, permissions: &BTreeSet<String>, settings: &config::Cache) -> Self {
        let lifetime = Duration::from_secs(settings.seconds);
        let (cache, keys) = (Cache::new(lifetime, settings.capacity), Cache::new(lifetime, settings.capacity));
        let (families, narrowing) = (families(permissions), narrowing(permissions));
        Self { database, cache, keys, families, narrowing, began: Instant::now() }
    }

    /// The session of an accepted token, unless it ended or its user was disabled.
    pub async fn get(&self, tenant: &Tenant, session: Uuid, user: Uuid) -> Result<Arc<Session>> {
        let key = SessionKey { schema: tenant.place.schema.as_str().to_owned(), session };
        let found = self.cache.get(&key, || self.load(tenant.place.clone(), session)).await?;
        if found.user == user { Ok(found) } else { Err(ended("the session belongs to another user")) }
    }

    async fn load(&self, place: Arc<Place>, session: Uuid) -> Result<Loaded<Arc<Session>>> {
        let tenant = place.tenant;
        let scope = Scope::read(place, Seat::Owner, Acting::service(), self.database.statement_timeout());
        let mut sql = Sql::new(include_str!("session.sql"));
        sql.bind(Value::text(session.to_string())).push(") found");
        let answer = self.database.run(&scope, &sql).await?;
        let rows: Vec<Row> = match answer.body {
            Some(body) => serde_json::from_str(&body).map_err(Error::internal)?,
            None => Vec::new(),
        };
        let row = rows.into_iter().next().ok_or_else(|| ended("the session is over or its user disabled"))?;
        if let Some(operator) = &row.session.impersonator {
            self.still_there(tenant, session, operator.id).await?;
        }
        let valid_for = row.session.valid_for();
        let session = row.session.into_session(session, Permissions::new(row.permissions), false);
        Ok(Loaded { value: Arc::new(session), valid_for })
    }

    /// Refuses a session whose operator has signed out, was disabled, or may no longer work as others.
    async fn still_there(&self, tenant: Uuid, session: Uuid, operator: Uuid) -> Result<()> {
        let sql = "select from public.impersonations i
            join public.operator_sessions s on s.id = i.operator_session_id
            join public.operators o on o.id = s.operator_id
            where i.session_id = $1 and i.tenant_id = $2 and o.id = $3 and o.state = 'active'
              and o.role in ('owner', 'support') and s.revoked_at is null and s.expires_at > now()";
        let found = self.database.look_up(sql, &[&session, &tenant, &operator]).await?;
        if found.is_empty() { Err(ended("the operator has left")) } else { Ok(()) }
    }

    /// Ends a session, or with `everywhere` all sessions of its user. Here it is over at once, in other processes as soon
    /// as they hear of it.
    pub async fn end(&self, caller: &Caller, everywhere: bool) -> Result<()> {
        let Caller { tenant, session, .. } = caller;
        let mut sql = Sql::new(
            "with ended as (update sys_session set revoked_at = now() where revoked_at is null and user_id = ",
        );
        sql.bind(Value::text(session.user.to_string()));
        if !everywhere {
            sql.push(" and id = ").bind(Value::text(session.id.to_string()));
        }
        sql.push(" returning 1) select count(*), null::text from ended");
        let limit = self.database.statement_timeout();
        let scope = Scope::write(tenant.place.clone(), Seat::Owner, caller.served(), limit);
        self.database.run(&scope, &sql).await?;
        self.forget(tenant);
        Ok(())
    }

    /// Drops what is known of a tenant's sessions and keys, without waiting for the news of an own change.
    pub fn forget(&self, tenant: &Tenant) {
        self.forget_schema(&tenant.place.schema.as_str().to_owned());
    }

    fn forget_schema(&self, schema: &String) {
        self.cache.invalidate(schema);
        self.keys.invalidate(schema);
    }

    /// Drops what news made old.
    pub fn hear(&self, news: &News) {
        match news {
            News::Changed(Topic::Access, schema) => self.forget_schema(schema),
            News::Changed(..) => {}
            News::Resync => {
                self.cache.invalidate_all();
                self.keys.invalidate_all();
            }
        }
    }
}

pub(super) fn ended(reason: &str) -> Error {
    Error::new(Kind::Unauthenticated, "unauthenticated", "The access token is missing, invalid or expired.")
        .context(reason)
}
