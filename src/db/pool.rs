//! Connections and who may have them back.
//!
//! A connection returns to its pool only after the server has confirmed the end of the transaction to us. In every
//! other case (dropped future, deadline, panic, protocol error) the statement is cancelled and the connection closed:
//! deadpool's own recycling resets nothing.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics as Usage, Object, PoolError, RecycleResult, TimeoutType, Timeouts};
use deadpool_postgres::{ClientWrapper, ManagerConfig, RecyclingMethod};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use super::connect::Endpoint;
use super::statements::Statements;
use crate::error::{Error, Result};
use crate::telemetry::metrics::Metrics;

/// How long a cancel request may take before the connection is closed without it.
const CANCEL_LIMIT: Duration = Duration::from_secs(1);

/// How long quick work of others takes, and a tenant waits for a connection that knows it.
const MOMENT: Duration = Duration::from_millis(10);

/// How long a connection under suspicion may take to say a word.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// A connection and what it has prepared.
pub struct Connection {
    client: ClientWrapper,
    pub(super) statements: Statements,
}

impl Deref for Connection {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

/// Makes connections for one login.
pub struct Connector {
    inner: deadpool_postgres::Manager,
    statement_cache: usize,
}

impl managed::Manager for Connector {
    type Type = Connection;
    type Error = tokio_postgres::Error;

    async fn create(&self) -> Result<Connection, Self::Error> {
        let client = managed::Manager::create(&self.inner).await?;
        Ok(Connection { client, statements: Statements::new(self.statement_cache) })
    }

    async fn recycle(&self, connection: &mut Connection, usage: &Usage) -> RecycleResult<Self::Error> {
        managed::Manager::recycle(&self.inner, &mut connection.client, usage).await
    }
}

/// The first time a connection is taken as it is. The second time nothing that the first one may have failed on is
/// trusted: neither that an idle connection lives, nor that a prepared statement is still valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Try {
    /// The first.
    First,
    /// The second, after a failure that was not the caller's.
    Second,
}

type Refused = PoolError<tokio_postgres::Error>;

/// The connections of one login.
#[derive(Clone)]
pub struct Pool {
    inner: managed::Pool<Connector>,
    tls: MakeRustlsConnect,
    metrics: &'static Metrics,
}

/// The size of a pool and how long a caller waits for it.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Connections at most.
    pub connections: usize,
    /// Wait for a free one.
    pub wait: Duration,
    /// Wait for a new one to be established.
    pub connect: Duration,
    /// Prepared statements per connection.
    pub statement_cache: usize,
}

impl Pool {
    /// A pool that opens connections as they are needed.
    pub fn new(config: Config, endpoint: &Endpoint, limits: Limits, metrics: &'static Metrics) -> Result<Self> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let inner = deadpool_postgres::Manager::from_config(config, endpoint.tls(), recycling);
        let inner = managed::Pool::builder(Connector { inner, statement_cache: limits.statement_cache })
            .max_size(limits.connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(limits.wait))
            .create_timeout(Some(limits.connect))
            .build()
            .map_err(Error::internal)?;
        Ok(Self { inner, tls: endpoint.tls(), metrics })
    }

    /// Borrows a connection, waiting no longer than the limits say.
    pub async fn lease(&self, which: Try) -> Result<Lease> {
        self.lease_within(self.inner.timeouts(), which).await.map_err(|error| self.refused(error))
    }

    async fn lease_within(&self, limits: Timeouts, which: Try) -> Result<Lease, Refused> {
        let mut lease = self.borrow(&limits).await?;
        for _ in 0..self.inner.status().max_size {
            if which == Try::First || lease.answers().await {
                break;
            }
            lease = self.borrow(&limits).await?;
        }
        Ok(lease)
    }

    async fn borrow(&self, limits: &Timeouts) -> Result<Lease, Refused> {
        let connection = match self.inner.timeout_get(limits).await {
            // A backend that was ended while it greeted us says nothing about the next one.
            Err(PoolError::Backend(_)) => self.inner.timeout_get(limits).await?,
            other => other?,
        };
        let cleaner = Cleaner { tls: self.tls.clone(), metrics: self.metrics };
        Ok(Lease { connection: Some(connection), clean: false, pinned: false, cleaner, turn: None })
    }

    /// Callers that have or wait for a connection.
    fn load(&self) -> usize {
        let status = self.inner.status();
        status.size - status.available.min(status.size) + status.waiting
    }

    /// Closes all connections; later leases are refused.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.inner.status().size
    }

    fn refused(&self, error: Refused) -> Error {
        match error {
            PoolError::Timeout(TimeoutType::Wait) => {
                self.metrics.pool_timeouts.inc();
                Error::unavailable("All database connections are busy. Please try again.")
            }
            PoolError::Backend(error) => super::Failure::from(error).into(),
            other => Error::unavailable("The database does not answer. Please try again.").context(other),
        }
    }
}

/// The connections of a bucket, each of which serves some of its tenants first of all.
///
/// What a PostgreSQL backend has cached for a tenant (plans, catalogue entries) costs memory and, when it is missing,
/// time. So a tenant keeps to a few neighbouring connections. Only when these stay busy for longer than quick work
/// takes, with slow work of its own or of others at home there, it goes to any that is free (delay scheduling).
pub struct Bucket {
    slots: Vec<Pool>,
    /// As many as there are slots, given out in the order of asking: nobody who comes later is served before.
    turns: Arc<Semaphore>,
    share: usize,
    limits: Limits,
}

impl Bucket {
    /// Connections for `login`, of which a tenant uses at most `share`.
    pub fn new(
        login: &Config,
        endpoint: &Endpoint,
        limits: Limits,
        share: usize,
        metrics: &'static Metrics,
    ) -> Result<Self> {
        let one = Limits { connections: 1, ..limits };
        let slots = (0..limits.connections).map(|_| Pool::new(login.clone(), endpoint, one, metrics));
        let turns = Arc::new(Semaphore::new(limits.connections));
        Ok(Self { slots: slots.collect::<Result<_>>()?, turns, share: share.min(limits.connections), limits })
    }

    /// Borrows the least busy connection of those that a tenant keeps to, or of all after a moment.
    pub async fn lease(&self, tenant: Uuid, which: Try) -> Result<Lease> {
        let home = tenant.as_u64_pair().1 as usize % self.slots.len();
        let turn = timeout(self.limits.wait, self.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| self.slots[home].refused(PoolError::Timeout(TimeoutType::Wait)))?;
        let turn = turn.map_err(Error::internal)?;
        let deadline = Instant::now() + self.limits.wait;
        let mut reach = self.share;
        loop {
            let candidates = (0..reach).map(|step| &self.slots[(home + step) % self.slots.len()]);
            let slot = candidates.min_by_key(|slot| slot.load()).unwrap_or(&self.slots[home]);
            let limits = Timeouts { wait: Some(MOMENT.min(self.limits.wait)), ..slot.inner.timeouts() };
            match slot.lease_within(limits, which).await {
                // Who has a turn finds a free one: there are no more turns than slots.
                Err(PoolError::Timeout(TimeoutType::Wait)) if Instant::now() < deadline => reach = self.slots.len(),
                Ok(mut lease) => {
                    lease.turn = Some(turn);
                    return Ok(lease);
                }
                Err(error) => return Err(slot.refused(error)),
            }
        }
    }

    /// Closes all connections; later leases are refused.
    pub fn close(&self) {
        self.slots.iter().for_each(Pool::close);
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.slots.iter().map(Pool::open).sum()
    }
}

/// A borrowed connection. Unless it was declared clean, dropping it cancels what runs and closes it.
pub struct Lease {
    connection: Option<Object<Connector>>,
    clean: bool,
    pinned: bool,
    cleaner: Cleaner,
    /// Given back after the connection.
    turn: Option<OwnedSemaphorePermit>,
}

#[derive(Clone)]
struct Cleaner {
    tls: MakeRustlsConnect,
    metrics: &'static Metrics,
}

impl Lease {
    /// The connection.
    pub fn connection(&mut self) -> &mut Connection {
        // Some until drop, which is the only place that takes it.
        self.connection.as_mut().unwrap_or_else(|| unreachable!("a lease holds its connection until it is dropped"))
    }

    async fn answers(&mut self) -> bool {
        matches!(timeout(PROBE_LIMIT, self.connection().batch_execute("")).await, Ok(Ok(())))
    }

    /// The server has confirmed the end of the transaction: the connection may be used by anybody.
    pub fn release(mut self) {
        self.clean = true;
    }

    /// Says whether the session holds something that outlives transactions, such as an advisory lock: then it is never
    /// given back, only closed.
    pub fn set_pinned(&mut self, pinned: bool) {
        self.pinned = pinned;
    }

    /// Says whether the server is known to be outside a transaction right now.
    pub fn set_clean(&mut self, clean: bool) {
        self.clean = clean;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(object) = self.connection.take() else { return };
        if self.clean && !self.pinned {
            return;
        }
        self.cleaner.metrics.connections_discarded.inc();
        let connection = Object::take(object);
        let tls = self.cleaner.tls.clone();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                // The connection is closed after the cancel request was answered, so the cancel cannot hit anything else.
                let _ = timeout(CANCEL_LIMIT, connection.cancel_token().cancel_query(tls)).await;
                drop(connection);
            });
        }
    }
}
