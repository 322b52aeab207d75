//! Reads whose rows are too many to hold: they come one after the other, as fast as they are taken.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio_postgres::types::Type;
use tokio_postgres::{CopyInSink, CopyOutStream, Row, RowStream};

use super::pool::{Lease, Try};
use super::run::Stop;
use super::{Database, Failure, Scope, Transaction};
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

/// A table on its way out, in the text form of COPY.
pub struct CopyOut(Pin<Box<CopyOutStream>>);

impl CopyOut {
    /// The next row or part of one; nothing after the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        Ok(self.0.try_next().await?)
    }
}

/// A table on its way in. Dropped before [`CopyIn::finish`], PostgreSQL takes none of it.
pub struct CopyIn(Pin<Box<CopyInSink<Bytes>>>);

impl CopyIn {
    /// Hands over a piece of any length.
    pub async fn send(&mut self, piece: Bytes) -> Result<(), Failure> {
        Ok(self.0.send(piece).await?)
    }

    /// Ends it; gives the number of rows that PostgreSQL took.
    pub async fn finish(mut self) -> Result<u64, Failure> {
        Ok(self.0.as_mut().finish().await?)
    }
}

/// Rows of a query inside a transaction, as fast as they are taken.
pub struct TextRows(Pin<Box<RowStream>>);

impl TextRows {
    /// The next row; nothing after the last.
    pub async fn next(&mut self) -> Result<Option<Row>, Failure> {
        Ok(self.0.try_next().await?)
    }
}

impl Transaction {
    /// Begins `copy … to stdout`. It must be read to its end before anything else is asked.
    pub async fn copy_out(&mut self, sql: &str) -> Result<CopyOut, Failure> {
        Ok(CopyOut(Box::pin(self.lease.connection().copy_out(sql).await?)))
    }

    /// Begins `copy … from stdin`.
    pub async fn copy_in(&mut self, sql: &str) -> Result<CopyIn, Failure> {
        Ok(CopyIn(Box::pin(self.lease.connection().copy_in(sql).await?)))
    }

    /// Begins a query without values, whose rows are too many to hold.
    pub async fn text_rows(&mut self, sql: &str) -> Result<TextRows, Failure> {
        let none: [(String, Type); 0] = [];
        Ok(TextRows(Box::pin(self.lease.connection().query_typed_raw(sql, none).await?)))
    }
}
