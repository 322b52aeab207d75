//! Reads whose rows are too many to hold: they come one after the other, as fast as they are taken.

use std::pin::Pin;

use futures_util::TryStreamExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, RowStream};

use super::pool::{Lease, Try};
use super::run::Stop;
use super::{Database, Failure, Scope};
use crate::sql::Sql;

/// Rows on their way. PostgreSQL sends no faster than they are taken; dropped before its end, the query is cancelled.
pub struct Rows {
    stream: Pin<Box<RowStream>>,
    lease: Option<Lease>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Database {
    /// Begins a read in a transaction of its own and gives its rows.
    pub async fn stream(&self, scope: &Scope, sql: &Sql) -> Result<Rows, Stop> {
        let permit = self.admit(scope).await.map_err(Stop::Refused)?;
        let mut lease = self.lease(scope, Try::Second).await.map_err(Stop::Refused)?;
        let prelude = scope.prelude(&self.session_defaults());
        let connection = lease.connection();
        connection.batch_execute(&prelude).await.map_err(|error| Stop::Failed(error.into()))?;
        let values = sql.values().iter().map(|value| (value, Type::UNKNOWN));
        let rows = connection.query_typed_raw(sql.text(), values).await.map_err(|error| Stop::Failed(error.into()))?;
        Ok(Rows { stream: Box::pin(rows), lease: Some(lease), _permit: permit })
    }
}

impl Rows {
    /// The next row; after the last one the transaction is over and the connection back in its pool.
    pub async fn next(&mut self) -> Result<Option<Row>, Failure> {
        if self.lease.is_none() {
            return Ok(None);
        }
        if let Some(row) = self.stream.try_next().await? {
            return Ok(Some(row));
        }
        if let Some(mut lease) = self.lease.take() {
            lease.connection().batch_execute("commit").await?;
            lease.release();
        }
        Ok(None)
    }
}
