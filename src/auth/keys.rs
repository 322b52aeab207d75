//! The keys of tokens: made on first use, sealed in the registry, shared by all processes, changed while everybody stays
//! signed in.

use std::fmt::Display;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use tokio::sync::{Mutex, Notify};
use uuid::Uuid;

use super::sign_in::unix_seconds;
use super::token::{Audience, Claims, Key, Keyring};
use crate::db::{Database, Lock, News, Topic, Transaction};
use crate::error::{Error, Result};

const LOCK: i64 = Lock::SigningKeys.key();
/// How often tokens of keys that nobody knows may have the keys read again.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// The keys in force in this process.
pub struct Keys {
    database: Database,
    ring: RwLock<Arc<Keyring>>,
    /// When a token of an unknown key had the keys read.
    read: Mutex<Option<Instant>>,
    changed: Notify,
}

impl Keys {
    /// Keys that were loaded.
    pub fn new(database: Database, ring: Keyring) -> Self {
        Self { database, ring: RwLock::new(Arc::new(ring)), read: Mutex::default(), changed: Notify::new() }
    }

    /// Signs for the audience of the claims.
    pub fn sign(&self, claims: &Claims) -> Result<String> {
        self.ring().sign(claims)
    }

    /// What a token for an audience says. One of a key that is not known here has the keys read again, at most once a
    /// second: another process signs with a new key before all have heard of it.
    pub async fn verify(&self, audience: Audience, token: &str) -> Result<Claims> {
        if self.ring().lacks_key_of(audience, token) {
            self.look_for_key_of(audience, token).await;
        }
        self.ring().verify(audience, token, unix_seconds(SystemTime::now()))
    }

    /// Who comes while the keys are being read waits for them.
    async fn look_for_key_of(&self, audience: Audience, token: &str) {
        let mut read = self.read.lock().await;
        if !self.ring().lacks_key_of(audience, token) || read.is_some_and(|at| at.elapsed() < READ_AGAIN) {
            return;
        }
        self.read_again().await.unwrap_or_else(|error| not_read(&error));
        *read = Some(Instant::now());
    }

    fn ring(&self) -> Arc<Keyring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read_again(&self) -> Result<()> {
        let rows = self.database.look_up(READ, &[]).await?;
        let ring = keyring(&self.database, self.ring().issuer(), &rows)?;
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        Ok(())
    }

    /// Takes note of news about keys.
    pub fn hear(&self, news: &News) {
        if matches!(news, News::Changed(Topic::Keys, _) | News::Resync) {
            self.changed.notify_one();
        }
    }

    /// Reads the keys if there was news about them.
    pub async fn catch_up(&self) -> Result<()> {
        match self.changed.notified().now_or_never() {
            Some(()) => self.read_again().await,
            None => Ok(()),
        }
    }

    /// Reads the keys whenever they changed, and at least every `lifetime`; never ends.
    pub async fn follow(&self, lifetime: Duration) {
        loop {
            let _ = tokio::time::timeout(lifetime, self.changed.notified()).await;
            while let Err(error) = self.read_again().await {
                not_read(&error);
                tokio::time::sleep(READ_AGAIN).await;
            }
        }
    }
}

fn not_read(error: &Error) {
    tracing::warn!(context = error.private_context(), "cannot read the keys of tokens: {error}");
}

/// A key that signs no more outlives what it signed: access tokens live for an hour at most.
const READ: &str = "select kid, audience, secret_sealed, retired_at is not null from public.signing_keys
    where retired_at is null or retired_at > now() - interval '2 hours' order by created_at, kid";

/// All keys, oldest first; the first start makes one per audience.
pub async fn load_keyring(database: &Database, issuer: &str) -> Result<Keyring> {
    let mut tx = begin(database).await?;
    for audience in [Audience::Tenant, Audience::Operator] {
        let sql = "select from public.signing_keys where audience = $1 and retired_at is null limit 1";
        if tx.query_opt(sql, &[&audience.as_str()]).await?.is_none() {
            create(database, &mut tx, audience).await?;
        }
    }
    let rows = tx.query(READ, &[]).await?;
    tx.commit().await?;
    keyring(database, issuer, &rows)
}

/// Gives an audience another key that signs; gives its id and how many keys were removed. Those that signed before
/// still verify, for two hours; in an emergency they are removed at once, and all access tokens with them.
pub async fn rotate_key(database: &Database, audience: Audience, emergency: bool) -> Result<(String, u64)> {
    let mut tx = begin(database).await?;
    let new = create(database, &mut tx, audience).await?;
    let sql =
        "update public.signing_keys set retired_at = now() where audience = $1 and kid <> $2 and retired_at is null";
    tx.execute(sql, &[&audience.as_str(), &new]).await?;
    let sql = "delete from public.signing_keys
        where audience = $1 and kid <> $2 and ($3 or retired_at < now() - interval '2 hours')";
    let removed = tx.execute(sql, &[&audience.as_str(), &new, &emergency]).await?;
    tx.commit().await?;
    Ok((new, removed))
}

/// One process at a time changes the keys.
async fn begin(database: &Database) -> Result<Transaction> {
    let mut tx = database.control().await?.begin().await?;
    tx.query("select pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    Ok(tx)
}

async fn create(database: &Database, tx: &mut Transaction, audience: Audience) -> Result<String> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(Error::internal)?;
    let kid = Uuid::now_v7().simple().to_string();
    let sealed = database.sealing().seal(&secret, &associated(&kid))?;
    let sql = "insert into public.signing_keys (kid, audience, secret_sealed) values ($1, $2, $3)";
    tx.execute(sql, &[&kid, &audience.as_str(), &sealed]).await?;
    Ok(kid)
}

fn keyring(database: &Database, issuer: &str, rows: &[tokio_postgres::Row]) -> Result<Keyring> {
    let keys = rows.iter().map(|row| {
        let (kid, audience): (String, Audience) = (row.get(0), row.get::<_, &str>(1).parse()?);
        let secret = database.sealing().open(row.get(2), &associated(&kid))?;
        Ok(Key { kid, audience, secret, retired: row.get(3) })
    });
    Keyring::new(issuer, keys.collect::<Result<Vec<_>>>()?)
}

fn associated(kid: impl Display) -> String {
    format!("signing_key:{kid}")
}
