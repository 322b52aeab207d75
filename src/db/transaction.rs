//! Work of several steps: a transaction in a scope, and the control connection for the registry.

use tokio::sync::OwnedSemaphorePermit;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Failure;
use super::pool::Lease;
use super::scope::By;
use super::statements::Known;
use crate::error::Result;

/// Values of a statement of ours.
pub type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// An open transaction. Dropped before [`Transaction::commit`] it is undone and its connection closed.
pub struct Transaction {
    pub(super) lease: Lease,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Transaction {
    pub(super) async fn begin(mut lease: Lease, permit: Option<OwnedSemaphorePermit>, prelude: &str) -> Result<Self> {
        lease.set_clean(false);
        lease.connection().batch_execute(prelude).await.map_err(Failure::from)?;
        Ok(Self { lease, _permit: permit })
    }

    /// Rows of a query.
    pub async fn query(&mut self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Failure> {
        Ok(self.lease.connection().query(sql, values).await?)
    }

    /// Rows of a query that this connection keeps prepared: for what is asked again and again. It must not depend on the
    /// search path, which PostgreSQL would plan it anew for.
    pub async fn query_kept(&mut self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, Failure> {
        let connection = self.lease.connection();
        let key = connection.statements.key(Uuid::nil(), sql);
        let statement = match connection.statements.touch(key) {
            Known::Ready(statement) => statement,
            Known::New | Known::Seen => {
                let statement = connection.prepare(sql).await?;
                connection.statements.keep(key, statement.clone());
                statement
            }
        };
        Ok(connection.query(&statement, values).await?)
    }

    /// The only row of a query, if there is one.
    pub async fn query_opt(&mut self, sql: &str, values: Values<'_>) -> Result<Option<Row>, Failure> {
        Ok(self.lease.connection().query_opt(sql, values).await?)
    }

    /// Rows changed by a statement.
    pub async fn execute(&mut self, sql: &str, values: Values<'_>) -> Result<u64, Failure> {
        Ok(self.lease.connection().execute(sql, values).await?)
    }

    /// Raises the limits of the control login for this transaction, which works on a whole tenant.
    pub async fn take_time(&mut self) -> Result<(), Failure> {
        let limits = "set local statement_timeout = '15min'; set local lock_timeout = '2min';
            set local idle_in_transaction_session_timeout = '2min'";
        self.batch(limits).await
    }

    /// Runs several statements that take no values.
    pub async fn batch(&mut self, sql: &str) -> Result<(), Failure> {
        Ok(self.lease.connection().batch_execute(sql).await?)
    }

    /// Makes the work last.
    pub async fn commit(mut self) -> Result<(), Failure> {
        self.lease.connection().batch_execute("commit").await?;
        self.lease.release();
        Ok(())
    }

    /// Undoes the work and goes on with the same control connection.
    pub async fn rollback(mut self) -> Result<Control, Failure> {
        self.lease.connection().batch_execute("rollback").await?;
        Ok(Control::new(self.lease))
    }

    /// Makes the work last and goes on with the same control connection.
    pub async fn commit_and_keep(mut self) -> Result<Control, Failure> {
        self.lease.connection().batch_execute("commit").await?;
        Ok(Control::new(self.lease))
    }
}

/// A connection of the control login: single statements, each a transaction of its own, or one begun here.
pub struct Control {
    lease: Lease,
}

impl Control {
    pub(super) fn new(mut lease: Lease) -> Self {
        lease.set_clean(true);
        Self { lease }
    }

    /// Rows of a query.
    pub async fn query(&mut self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Failure> {
        self.lease.set_clean(false);
        let answer = self.lease.connection().query(sql, values).await;
        self.settle(answer)
    }

    /// The only row of a query, if there is one.
    pub async fn query_opt(&mut self, sql: &str, values: Values<'_>) -> Result<Option<Row>, Failure> {
        self.lease.set_clean(false);
        let answer = self.lease.connection().query_opt(sql, values).await;
        self.settle(answer)
    }

    /// Rows changed by a statement.
    pub async fn execute(&mut self, sql: &str, values: Values<'_>) -> Result<u64, Failure> {
        self.lease.set_clean(false);
        let answer = self.lease.connection().execute(sql, values).await;
        self.settle(answer)
    }

    /// Begins a transaction on this connection.
    pub async fn begin(self) -> Result<Transaction> {
        Transaction::begin(self.lease, None, "begin").await
    }

    /// The same in the name of somebody.
    pub async fn begin_by(self, by: &By) -> Result<Transaction> {
        Transaction::begin(self.lease, None, &by.prelude()).await
    }

    /// Takes the session's advisory lock `key`; it ends with [`Control::unlock`] or with the connection, which is
    /// closed when this is dropped.
    pub async fn try_lock(&mut self, key: i64) -> Result<bool, Failure> {
        self.lease.set_pinned(true);
        let row = self.query("select pg_try_advisory_lock($1)", &[&key]).await?;
        let locked = row[0].try_get(0)?;
        self.lease.set_pinned(locked);
        Ok(locked)
    }

    /// Takes the session's advisory lock `key` beside others who share it, waiting as long as the session waits for locks.
    pub async fn lock_shared(&mut self, key: i64) -> Result<(), Failure> {
        self.lease.set_pinned(true);
        self.query("select pg_advisory_lock_shared($1)", &[&key]).await.map(drop)
    }

    /// Gives back what [`Control::lock_shared`] took.
    pub async fn unlock_shared(&mut self, key: i64) -> Result<(), Failure> {
        self.query("select pg_advisory_unlock_shared($1)", &[&key]).await?;
        self.lease.set_pinned(false);
        Ok(())
    }

    /// Gives the advisory lock back.
    pub async fn unlock(&mut self, key: i64) -> Result<(), Failure> {
        self.query("select pg_advisory_unlock($1)", &[&key]).await?;
        self.lease.set_pinned(false);
        Ok(())
    }

    /// Outside a transaction a completed statement leaves nothing behind, also when it failed.
    fn settle<T>(&mut self, answer: Result<T, tokio_postgres::Error>) -> Result<T, Failure> {
        let outcome = answer.map_err(Failure::from);
        self.lease.set_clean(!matches!(&outcome, Err(failure) if failure.is_connection()));
        outcome
    }
}
