//! Sessions: who is signed in, with what rights, cached per session.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use super::permission::Permissions;
use crate::config;
use crate::db::{Acting, Database, News, Place, Scope, Seat, Topic};
use crate::error::{Error, Kind, Result};
use crate::sql::{Sql, Value};
use crate::tenant::{Cache, Key, Loaded, Tenant};

/// A user who is signed in.
#[derive(Debug)]
pub struct Session {
    /// Its key.
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
    /// What the roles grant.
    pub permissions: Permissions,
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

#[derive(Deserialize)]
struct Row {
    user: Uuid,
    email: String,
    first_name: String,
    last_name: Option<String>,
    roles: Vec<String>,
    permissions: Vec<String>,
    factor_missing: bool,
    seconds_left: f64,
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

/// Sessions of all tenants, cached until news about their schema.
pub struct Sessions {
    database: Database,
    cache: Cache<SessionKey, Arc<Session>>,
}

impl Sessions {
    /// An empty cache over a database.
    pub fn new(database: Database, settings: &config::Cache) -> Self {
        let cache = Cache::new(Duration::from_secs(settings.seconds), settings.capacity);
        Self { database, cache }
    }

    /// The session of an accepted token, unless it ended or its user was disabled.
    pub async fn get(&self, tenant: &Tenant, session: Uuid, user: Uuid) -> Result<Arc<Session>> {
        let key = SessionKey { schema: tenant.place.schema.as_str().to_owned(), session };
        let found = self.cache.get(&key, || self.load(tenant.place.clone(), session)).await?;
        if found.user == user { Ok(found) } else { Err(ended("the session belongs to another user")) }
    }

    async fn load(&self, place: Arc<Place>, session: Uuid) -> Result<Loaded<Arc<Session>>> {
        let scope = Scope::read(place, Seat::Owner, Acting::service(), self.database.statement_timeout());
        let mut sql = Sql::new(include_str!("session.sql"));
        sql.bind(Value::text(session.to_string())).push(") found");
        let answer = self.database.run(&scope, &sql).await?;
        let rows: Vec<Row> = match answer.body {
            Some(body) => serde_json::from_str(&body).map_err(Error::internal)?,
            None => Vec::new(),
        };
        let row = rows.into_iter().next().ok_or_else(|| ended("the session is over or its user disabled"))?;
        let session = Session {
            id: session,
            user: row.user,
            email: row.email,
            first_name: row.first_name,
            last_name: row.last_name,
            roles: row.roles,
            permissions: Permissions::new(row.permissions),
            factor_missing: row.factor_missing,
        };
        let valid_for = Some(Duration::from_secs_f64(row.seconds_left.max(0.0)));
        Ok(Loaded { value: Arc::new(session), valid_for })
    }

    /// Forgets what is cached of a tenant, here and at once; news does the same everywhere in a moment.
    pub fn forget(&self, tenant: &Tenant) {
        self.cache.invalidate(&tenant.place.schema.as_str().to_owned());
    }

    /// Ends a session, or with `everywhere` all sessions of its user. Here it is over at once, in other processes as soon
    /// as they hear of it.
    pub async fn end(&self, tenant: &Tenant, session: &Session, everywhere: bool) -> Result<()> {
        let mut sql = Sql::new(
            "with ended as (update sys_session set revoked_at = now() where revoked_at is null and user_id = ",
        );
        sql.bind(Value::text(session.user.to_string()));
        if !everywhere {
            sql.push(" and id = ").bind(Value::text(session.id.to_string()));
        }
        sql.push(" returning 1) select count(*), null::text from ended");
        let limit = self.database.statement_timeout();
        let scope = Scope::write(tenant.place.clone(), Seat::Owner, Acting::service(), limit);
        self.database.run(&scope, &sql).await?;
        self.forget(tenant);
        Ok(())
    }

    /// Drops what news made old.
    pub fn hear(&self, news: &News) {
        match news {
            News::Changed(Topic::Access, schema) => self.cache.invalidate(schema),
            News::Changed(..) => {}
            News::Resync => self.cache.invalidate_all(),
        }
    }
}

fn ended(reason: &str) -> Error {
    Error::new(Kind::Unauthenticated, "unauthenticated", "The access token is missing, invalid or expired.")
        .context(reason)
}
