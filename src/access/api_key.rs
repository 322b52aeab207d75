//! API keys: opaque texts by which programs act for a user. The database knows their digests only.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::limits::Limits;
use super::permission::{Permissions, family};
use super::right::Right;
use super::session::{Session, SessionRow, Sessions, ended};
use crate::db::{Acting, Database, Place, Scope, Seat};
use crate::error::{Error, Kind, Result};
use crate::sql::{Sql, Value};
use crate::tenant::{Key, Loaded, Tenant};

/// Begins every key, so that a scanner for lost secrets knows one.
const BEGIN: &str = "insula_ak_";
/// Characters of a text that may be a key.
const LONGEST: usize = 128;
/// What `*` leaves out: who may do what, and who is signed in. A key may touch these where it names them.
const NAMED_ONLY: [&str; 4] = ["api_keys", "roles", "sessions", "users"];
/// How exact `last_used_at` is.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// A key as its owner sends it.
pub struct ApiKey(String);

impl ApiKey {
    /// Whether a bearer token is a key and not an access token.
    pub fn is_one(token: &str) -> bool {
        token.starts_with(BEGIN)
    }

    /// A key of 256 random bits behind a prefix of 48, which is no secret.
    fn generate() -> Result<(Self, String)> {
        let (mut name, mut bits) = ([0; 6], [0; 32]);
        getrandom::fill(&mut name).map_err(Error::internal)?;
        getrandom::fill(&mut bits).map_err(Error::internal)?;
        let prefix = name.iter().fold(String::new(), |mut prefix, byte| {
            let _ = write!(prefix, "{byte:02x}");
            prefix
        });
        let key = format!("{BEGIN}{prefix}_{}", URL_SAFE_NO_PAD.encode(bits));
        Ok((Self(key), prefix))
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// A key that a user wants.
#[derive(Debug)]
pub struct NewApiKey {
    /// What its owner calls it.
    pub name: String,
    /// What it may do at most.
    pub permissions: Vec<String>,
    /// RFC 3339; as late as possible when it is left out.
    pub expires_at: Option<String>,
}

impl NewApiKey {
    /// Makes the key for the caller; gives its row as JSON, and the key itself, which nobody can be told again.
    ///
    /// # Errors
    /// `not_held` for a permission that the caller lacks, `too_many_keys` beyond 50 that count.
    pub async fn make(self, database: &Database, right: &Right, longest: Duration) -> Result<(String, ApiKey)> {
        let (key, prefix) = ApiKey::generate()?;
        let mut sql = Sql::new("select 1::bigint, sys_api_key_create(");
        sql.bind(Value::text(self.name)).push("::text, ");
        sql.bind(Value::array(self.permissions.iter().map(|code| Some(code.as_str())))).push("::text[], ");
        sql.bind(self.expires_at.map_or_else(Value::null, Value::text)).push("::timestamptz, make_interval(days => ");
        sql.bind(Value::text((longest.as_secs() / 86_400).to_string())).push("::int), ");
        sql.bind(Value::text(prefix)).push("::text, decode(");
        sql.bind(Value::text(STANDARD.encode(digest(&key.0)))).push(", 'base64'), ");
        sql.bind(Value::text(right.session().to_string())).push("::uuid)::text");
        let answer = database.run(&right.write(database.statement_timeout()), &sql).await?;
        Ok((answer.body.ok_or_else(|| Error::internal("a key without a row"))?, key))
    }
}

impl ApiKey {
    /// The key, for its owner.
    pub fn into_text(self) -> String {
        self.0
    }

    /// Ends a key of the caller, or of a user whom he manages. One that is over stays over.
    pub async fn revoke(database: &Database, right: &Right, id: Uuid) -> Result<()> {
        let mut sql = Sql::new("select 1::bigint, sys_api_key_revoke(");
        sql.bind(Value::text(id.to_string())).push("::uuid)::text");
        database.run(&right.write(database.statement_timeout()), &sql).await?;
        Ok(())
    }
}

/// A key of a tenant; news about rights names the schema.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct KeyKey {
    schema: String,
    digest: [u8; 32],
}

impl Key for KeyKey {
    type Group = String;

    fn group(&self) -> &String {
        &self.schema
    }
}

/// A key that counts.
pub(super) struct KnownKey {
    session: Arc<Session>,
    /// When its use is written down next, in milliseconds since [`Sessions`] began.
    note_at: AtomicU64,
}

#[derive(Deserialize)]
struct Row {
    #[serde(flatten)]
    session: SessionRow,
    id: Uuid,
    chosen: Vec<String>,
    held: Vec<String>,
    seconds_unused: Option<f64>,
}

/// The families of permissions that `*` means for a key.
pub(super) fn families(permissions: &BTreeSet<String>) -> Vec<String> {
    let all: BTreeSet<&str> = permissions.iter().map(|code| family(code)).collect();
    all.into_iter().filter(|family| !NAMED_ONLY.contains(family)).map(|family| format!("{family}.*")).collect()
}

/// What was chosen of what the user holds, and whatever narrows what he sees: a key that leaves that out would see more.
fn within(chosen: impl Iterator<Item = String>, held: &Permissions, narrowing: &[String]) -> Permissions {
    let both = Permissions::new(chosen).meet(held);
    let narrowed = narrowing.iter().filter(|code| held.allow(code));
    Permissions::new(both.codes().iter().chain(narrowed).cloned())
}

impl Sessions {
    /// Whom a key acts for, and within which rights: those chosen for it that its user has too. Keys that are none are
    /// counted by address, so that nobody looks for one.
    pub async fn by_key(&self, tenant: &Tenant, key: &str, limits: &Limits, address: IpAddr) -> Result<Arc<Session>> {
        if key.len() > LONGEST {
            return Err(ended("longer than any key"));
        }
        let digest = digest(key);
        let cached = KeyKey { schema: tenant.place.schema.as_str().to_owned(), digest };
        let load = async || {
            limits.may_guess(tenant.id, address)?;
            self.load_key(tenant.place.clone(), &digest).await
        };
        match self.keys.get(&cached, load).await {
            Ok(known) => {
                self.note_use(&tenant.place, &known);
                Ok(known.session.clone())
            }
            Err(error) => {
                if error.kind() == Kind::Unauthenticated {
                    limits.guessed(tenant.id, address);
                }
                Err(error)
            }
        }
    }

    async fn load_key(&self, place: Arc<Place>, digest: &[u8]) -> Result<Loaded<Arc<KnownKey>>> {
        let scope = Scope::read(place, Seat::Owner, Acting::service(), self.database.statement_timeout());
        let mut sql = Sql::new(include_str!("api_key.sql"));
        sql.bind(Value::text(STANDARD.encode(digest))).push(", 'base64')) found");
        let answer = self.database.run(&scope, &sql).await?;
        let rows: Vec<Row> = match answer.body {
            Some(body) => serde_json::from_str(&body).map_err(Error::internal)?,
            None => Vec::new(),
        };
        let row = rows.into_iter().next().ok_or_else(|| ended("no key that counts, or its user is disabled"))?;
        let everything = row.chosen.iter().any(|code| code == "*");
        let named = row.chosen.into_iter().filter(|code| code != "*");
        let chosen = named.chain(self.families.iter().filter(|_| everything).cloned());
        let permissions = within(chosen, &Permissions::new(row.held), &self.narrowing);
        let wait = NOTED_EVERY.as_secs_f64() - row.seconds_unused.unwrap_or(f64::MAX);
        let note_at = self.now() + Duration::from_secs_f64(wait.max(0.0));
        let note_at = AtomicU64::new(milliseconds(note_at));
        let valid_for = row.session.valid_for();
        let session = Arc::new(row.session.into_session(row.id, permissions, true));
        Ok(Loaded { value: Arc::new(KnownKey { session, note_at }), valid_for })
    }

    /// Writes down that a key is in use, once a minute and beside the request.
    fn note_use(&self, place: &Arc<Place>, known: &KnownKey) {
        let (now, due) = (milliseconds(self.now()), known.note_at.load(Ordering::Relaxed));
        let next = now + milliseconds(NOTED_EVERY);
        if now < due || known.note_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let mut sql = Sql::new("with used as (update sys_api_key set last_used_at = now() where id = ");
        sql.bind(Value::text(known.session.id.to_string()));
        sql.push(" and coalesce(last_used_at < now() - interval '1 minute', true) returning 1)");
        sql.push(" select count(*), null::text from used");
        let (database, limit) = (self.database.clone(), self.database.statement_timeout());
        let scope = Scope::write(place.clone(), Seat::Owner, Acting::service(), limit);
        tokio::spawn(async move {
            if let Err(error) = database.run(&scope, &sql).await.map_err(Error::from) {
                tracing::warn!(context = error.private_context(), "cannot write down that a key is in use");
            }
        });
    }

    fn now(&self) -> Duration {
        Instant::now().duration_since(self.began)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_show_their_prefix_only() {
        let ((one, prefix), (two, _)) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        assert_ne!(digest(&one.0), digest(&two.0));
        let text = one.into_text();
        assert!(ApiKey::is_one(&text) && text.len() < LONGEST, "{text}");
        let (begin, secret) = text.split_at(BEGIN.len() + prefix.len());
        assert_eq!((begin, secret.len()), (&*format!("{BEGIN}{prefix}"), 1 + 43));
    }

    #[test]
    fn a_key_sees_no_further_than_its_user() {
        let narrowing = ["customers.scope.own".to_owned()];
        let key = |chosen: &str, held: &[&str]| {
            let held = Permissions::new(held.iter().map(|&code| code.to_owned()));
            within([chosen.to_owned()].into_iter(), &held, &narrowing).joined()
        };
        let narrowed = "customers.scope.own,customers.view";
        assert_eq!(&*key("customers.view", &["customers.view", "customers.scope.own"]), narrowed);
        assert_eq!(&*key("customers.view", &["customers.*"]), narrowed);
        assert_eq!(&*key("customers.view", &["customers.view", "deals.view"]), "customers.view");
    }

    #[test]
    fn everything_is_every_family_but_those_that_decide_who_may_what() {
        let codes = ["deals.view", "deals.move", "users.manage", "sessions.revoke", "api_keys.create", "roles.manage"];
        assert_eq!(families(&codes.map(str::to_owned).into()), ["deals.*"]);
    }
}
