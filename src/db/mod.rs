//! The one door to SQL.
//!
//! A caller names a [`Scope`] and gets one transaction in it: [`Database::run`] for the one-statement, one-round-trip
//! work of requests, [`Database::begin`] for work of several steps. The registry in `public` is reached through
//! [`Database::control`].

#![expect(clippy::disallowed_methods, reason = "this is the wrapper that the ban points to")]

mod bucket;
mod connect;
mod failure;
mod listen;
mod locks;
mod migrate;
mod pool;
mod run;
mod scope;
pub mod seal;
pub mod server;
mod statements;
mod stream;
mod transaction;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, RwLock, Semaphore};
use tokio_postgres::Row;
use uuid::Uuid;

pub use bucket::{bucket_with_room, choose_bucket};
pub use connect::Endpoint;
pub use failure::Failure;
pub use listen::{News, Topic, listen};
pub use locks::Lock;
pub use migrate::{Apart, migrate_public, pending_public};
pub use pool::{Lease, Pool};
pub use run::{Answer, Stop};
use scope::SessionDefaults;
pub use scope::{Acting, BucketId, By, Origin, Place, Scope, Seat};
pub use stream::{CopyIn, CopyOut, Rows, TextRows};
pub use transaction::{Control, Transaction};
pub use work::{ATTEMPTS, Ending, Halt, Open, Step, step_aside};

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::ident::Ident;
use crate::telemetry::metrics::Metrics;
use pool::{Bucket, Limits, Try};
use seal::SealingKey;
use transaction::Values;

/// Session settings of the control login. `jit` costs more than it gives on short statements.
const CONTROL_SESSION: &str = "-c search_path=public -c timezone=UTC -c jit=off";

/// Limits of the control pool: whatever hangs, its connections come back. Work on whole tenants gives itself more
/// ([`Transaction::take_time`]); migrations of `public` and the listener have sessions of their own.
const CONTROL_LIMITS: &str = "-c lock_timeout=30s -c idle_in_transaction_session_timeout=60s";

/// Session settings of a bucket's login: without a scope it sees nothing.
///
/// `app.timezone` is the zone that tenants have unless they choose another.
const BUCKET_SESSION: &str = "-c search_path=pg_catalog -c timezone=UTC -c jit=off \
     -c idle_in_transaction_session_timeout=15s -c client_connection_check_interval=1s -c app.timezone=Asia/Kolkata";
const DEFAULT_TIMEZONE: &str = "Asia/Kolkata";

/// All pools of one process.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    instance: Ident,
    endpoint: Endpoint,
    control: Pool,
    buckets: RwLock<HashMap<BucketId, Arc<Bucket>>>,
    tenants: Mutex<HashMap<Uuid, Arc<Semaphore>>>,
    settings: crate::config::Database,
    sealing: SealingKey,
    /// `app.mail`: whether there is a way for letters.
    mail: &'static str,
    metrics: &'static Metrics,
}

impl Database {
    /// Prepares the pools; no connection is opened yet.
    pub fn new(config: &Config, sealing: SealingKey, metrics: &'static Metrics) -> Result<Self> {
        let endpoint = Endpoint::parse(&config.database)?;
        let instance = Ident::new(config.instance.clone())?;
        let timeout = config.database.control_statement_timeout_ms;
        let mail = if config.mail.url.expose().is_empty() { "off" } else { "on" };
        let options = format!("{CONTROL_SESSION} {CONTROL_LIMITS} -c app.mail={mail} -c statement_timeout={timeout}");
        let session = endpoint.session("insula control", &options);
        let limits = limits(&config.database, config.database.control_pool);
        let control = Pool::new(session, &endpoint, limits, metrics)?;
        let settings = config.database.clone();
        let (buckets, tenants) = Default::default();
        Ok(Self(Arc::new(Inner { instance, endpoint, control, buckets, tenants, settings, sealing, mail, metrics })))
    }

    /// The prefix of this installation's roles.
    pub fn instance(&self) -> &Ident {
        &self.0.instance
    }

    /// How to reach the server, for connections outside the pools.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// How many connections of the control login there are at most.
    pub fn control_connections(&self) -> usize {
        self.0.settings.control_pool
    }

    /// The key that protects stored credentials.
    pub fn sealing(&self) -> &SealingKey {
        &self.0.sealing
    }

    /// The time limit of a statement in a tenant.
    pub fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.0.settings.statement_timeout_ms)
    }

    /// How long an export may take, its reader included, and an operation.
    pub fn long_work_timeout(&self) -> Duration {
        Duration::from_millis(self.0.settings.long_work_timeout_ms)
    }

    /// How many exports, and as many operations, may hold a connection at once: other work of their bucket finds one.
    pub fn most_long_work(&self) -> usize {
        (self.0.settings.bucket_pool / 4).max(1)
    }

    /// A connection of the control login, outside any tenant.
    pub async fn control(&self) -> Result<Control> {
        Ok(Control::new(self.0.control.lease(Try::First).await?))
    }

    /// Rows of a query of the control login that changes nothing; asked once more when its connection turns out dead.
    pub async fn look_up(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>> {
        match self.control().await?.query(sql, values).await {
            Err(failure) if failure.is_connection() => {
                Ok(Control::new(self.0.control.lease(Try::Second).await?).query(sql, values).await?)
            }
            other => Ok(other?),
        }
    }

    /// Begins a transaction in a scope.
    pub async fn begin(&self, scope: &Scope) -> Result<Transaction> {
        let permit = self.admit(scope).await?;
        let prelude = scope.prelude(&self.session_defaults());
        Transaction::begin(self.lease(scope, Try::First).await?, permit, &prelude).await
    }

    /// Connections open now, over all pools.
    pub async fn open_connections(&self) -> usize {
        self.0.control.open() + self.0.buckets.read().await.values().map(|bucket| bucket.open()).sum::<usize>()
    }

    /// Closes all pools.
    pub async fn close(&self) {
        self.0.control.close();
        self.0.buckets.read().await.values().for_each(|bucket| bucket.close());
    }

    fn session_defaults(&self) -> SessionDefaults {
        SessionDefaults { statement_timeout: self.statement_timeout(), timezone: DEFAULT_TIMEZONE }
    }

    async fn lease(&self, scope: &Scope, which: Try) -> Result<Lease> {
        match scope.seat {
            Seat::Owner => self.0.control.lease(which).await,
            Seat::Tenant => self.bucket(scope.place.bucket).await?.lease(scope.place.tenant, which).await,
        }
    }

    async fn bucket(&self, id: BucketId) -> Result<Arc<Bucket>> {
        if let Some(pool) = self.0.buckets.read().await.get(&id) {
            return Ok(pool.clone());
        }
        let (login, password) = bucket::credentials(self, id).await?;
        let mut buckets = self.0.buckets.write().await;
        if let Some(pool) = buckets.get(&id) {
            return Ok(pool.clone());
        }
        let timeout = self.0.settings.statement_timeout_ms;
        let mail = self.0.mail;
        let options = format!("{BUCKET_SESSION} -c app.mail={mail} -c statement_timeout={timeout}");
        let mut session = self.0.endpoint.session("insula", &options);
        session.user(login).password(password);
        let limits = limits(&self.0.settings, self.0.settings.bucket_pool);
        let share = self.0.settings.tenant_connections;
        let pool = Arc::new(Bucket::new(&session, &self.0.endpoint, limits, share, self.0.metrics)?);
        buckets.insert(id, pool.clone());
        Ok(pool)
    }

    /// One tenant cannot take all connections of its bucket: beyond its share it waits, then is told to slow down.
    async fn admit(&self, scope: &Scope) -> Result<Option<OwnedSemaphorePermit>> {
        if scope.seat == Seat::Owner {
            return Ok(None);
        }
        let gate = {
            let mut tenants = self.0.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            let share = self.0.settings.tenant_connections;
            tenants.entry(scope.place.tenant).or_insert_with(|| Arc::new(Semaphore::new(share))).clone()
        };
        if let Ok(permit) = gate.clone().try_acquire_owned() {
            return Ok(Some(permit));
        }
        let wait = Duration::from_millis(self.0.settings.wait_ms);
        match tokio::time::timeout(wait, gate.acquire_owned()).await {
            Ok(permit) => permit.map(Some).map_err(Error::internal),
            Err(_) => Err(Error::new(Kind::TooMany, "too_many_requests", "Too many requests of this account at once.")
                .retry_after(Duration::from_secs(1))),
        }
    }
}

fn limits(settings: &crate::config::Database, connections: usize) -> Limits {
    Limits {
        connections,
        wait: Duration::from_millis(settings.wait_ms),
        connect: Duration::from_millis(settings.connect_timeout_ms),
        statement_cache: settings.statement_cache,
    }
}
