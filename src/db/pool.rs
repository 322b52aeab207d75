//! Connections and who may have them back.
//!
//! A connection returns to its pool only after the server has confirmed the end of the transaction to us. In every
//! other case (dropped future, deadline, panic, protocol error) the statement is cancelled and the connection closed:
//! deadpool's own recycling resets nothing.

use std::ops::Deref;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics as Usage, Object, PoolError, RecycleResult, TimeoutType};
use deadpool_postgres::{ClientWrapper, ManagerConfig, RecyclingMethod};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect::Endpoint;
use super::statements::Statements;
use crate::error::{Error, Result};
use crate::telemetry::metrics::Metrics;

/// How long a cancel request may take before the connection is closed without it.
const CANCEL_LIMIT: Duration = Duration::from_secs(1);

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
    pub async fn lease(&self) -> Result<Lease> {
        let connection = self.inner.get().await.map_err(|error| self.refused(error))?;
        let cleaner = Cleaner { tls: self.tls.clone(), metrics: self.metrics };
        Ok(Lease { connection: Some(connection), clean: false, pinned: false, cleaner })
    }

    /// Closes all connections; later leases are refused.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.inner.status().size
    }

    fn refused(&self, error: PoolError<tokio_postgres::Error>) -> Error {
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

/// A borrowed connection. Unless it was declared clean, dropping it cancels what runs and closes it.
pub struct Lease {
    connection: Option<Object<Connector>>,
    clean: bool,
    pinned: bool,
    cleaner: Cleaner,
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
