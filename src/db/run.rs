//! One statement, one transaction, one round trip.

use std::time::Duration;

use futures_util::future::{join, join_all, join3};
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Statement};

use super::pool::{Connection, Lease, Try};
use super::statements::{Key, Known};
use super::{Database, Failure, Scope};
use crate::error::{Error, Kind, Result};
use crate::sql::{Sql, Value};

/// What the way to the server and back may add to the time of its statements.
const SLACK: Duration = Duration::from_secs(1);

/// Longer texts are sent as they are: prepared, each would hold megabytes of plans on the server.
const LONGEST_PREPARED: usize = 8 * 1024;

/// The one shape that every generated statement returns: how many rows, and their JSON made by PostgreSQL.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Rows read or changed.
    pub count: i64,
    /// JSON text, passed through untouched.
    pub body: Option<String>,
}

/// Why a run did not answer.
pub enum Stop {
    /// No connection, or not in time.
    Refused(Error),
    /// PostgreSQL said no.
    Failed(Failure),
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(error) => error,
            Stop::Failed(failure) => failure.into(),
        }
    }
}

impl Database {
    /// Runs a statement of shape `(count bigint, body text)` in a transaction of its own.
    ///
    /// A read is cancelled on the server when the caller goes away, and tried once more when its connection turns out
    /// dead. A write runs to its end in a task of its own, whatever happens to the caller.
    pub async fn run(&self, scope: &Scope, sql: &Sql) -> Result<Answer, Stop> {
        self.run_all(scope, vec![sql.clone()]).await
    }

    /// Runs two statements in one transaction and one round trip; the second gives the answer.
    pub async fn run_then(&self, scope: &Scope, first: &Sql, second: &Sql) -> Result<Answer, Stop> {
        self.run_all(scope, vec![first.clone(), second.clone()]).await
    }

    async fn run_all(&self, scope: &Scope, statements: Vec<Sql>) -> Result<Answer, Stop> {
        if scope.read_only {
            return self
                .twice(scope, &statements, |failure| failure.is_connection() || failure.is_stale_statement())
                .await;
        }
        let (this, scope) = (self.clone(), scope.clone());
        let write = tokio::spawn(async move {
            this.twice(&scope, &statements, |failure| failure.is_retryable() || failure.is_stale_statement()).await
        });
        write.await.map_err(|panic| Stop::Refused(Error::internal(panic)))?
    }

    async fn twice(&self, scope: &Scope, statements: &[Sql], again: fn(&Failure) -> bool) -> Result<Answer, Stop> {
        match self.attempt(scope, statements, Try::First).await {
            Err(Stop::Failed(failure)) if again(&failure) => self.attempt(scope, statements, Try::Second).await,
            other => other,
        }
    }

    async fn attempt(&self, scope: &Scope, statements: &[Sql], which: Try) -> Result<Answer, Stop> {
        let _permit = self.admit(scope).await.map_err(Stop::Refused)?;
        let mut lease = self.lease(scope, which).await.map_err(Stop::Refused)?;
        if which == Try::Second {
            let known = &mut lease.connection().statements;
            statements.iter().for_each(|sql| known.forget(known.key(scope.place.tenant, sql.text())));
        }
        let prelude = scope.prelude(&self.session_defaults());
        let exchange = exchange(lease, scope, &prelude, statements);
        match timeout(patience(scope, statements.len()), exchange).await {
            Ok(answer) => answer.map_err(Stop::Failed),
            Err(_) => Err(Stop::Refused(
                Error::new(Kind::Timeout, "timeout", "This took too long and was stopped.")
                    .context("the server stands still, or the network does"),
            )),
        }
    }
}

/// How long the server, which limits each statement by itself, may need for all of them and the COMMIT. A server that
/// takes longer does not answer at all; without a limit of ours, a write would hold its connection for ever.
fn patience(scope: &Scope, statements: usize) -> Duration {
    scope.statement_timeout * (u32::try_from(statements).unwrap_or(u32::MAX).saturating_add(1)) + SLACK
}

type Reply<T> = Result<T, tokio_postgres::Error>;

/// Sends BEGIN with the scope, the statements and COMMIT without waiting in between; PostgreSQL answers in order.
///
/// When a statement fails, the COMMIT behind it ends the transaction as a ROLLBACK, so its answer proves the
/// connection clean either way. A statement seen for the second time is prepared first, which waits once.
async fn exchange(mut lease: Lease, scope: &Scope, prelude: &str, statements: &[Sql]) -> Result<Answer, Failure> {
    let connection = lease.connection();
    let keys: Vec<Key> =
        statements.iter().map(|sql| connection.statements.key(scope.place.tenant, sql.text())).collect();
    let mut known: Vec<Known> = keys.iter().map(|key| connection.statements.touch(*key)).collect();
    for (known, sql) in known.iter_mut().zip(statements) {
        if sql.text().len() > LONGEST_PREPARED {
            *known = Known::New;
        }
    }
    let (begun, rows, ended) = if known.iter().any(|known| matches!(known, Known::Seen)) {
        let (begun, prepared) = join(connection.batch_execute(prelude), prepare(connection, statements, &known)).await;
        for (at, statement) in prepared {
            if let Ok(statement) = statement {
                connection.statements.keep(keys[at], statement.clone());
                known[at] = Known::Ready(statement);
            }
        }
        let (rows, ended) = join(query(connection, statements, &known), connection.batch_execute("commit")).await;
        (begun, rows, ended)
    } else {
        join3(
            connection.batch_execute(prelude),
            query(connection, statements, &known),
            connection.batch_execute("commit"),
        )
        .await
    };
    let answer = conclude(begun, rows, &ended);
    if matches!(&answer, Err(failure) if failure.is_stale_statement()) {
        keys.iter().for_each(|key| connection.statements.forget(*key));
    }
    if ended.is_ok() {
        lease.release();
    }
    answer
}

async fn prepare(connection: &Connection, statements: &[Sql], known: &[Known]) -> Vec<(usize, Reply<Statement>)> {
    let seen = known.iter().enumerate().filter(|(_, known)| matches!(known, Known::Seen));
    join_all(seen.map(|(at, _)| async move { (at, connection.prepare(statements[at].text()).await) })).await
}

async fn query(connection: &Connection, statements: &[Sql], known: &[Known]) -> Vec<Reply<Row>> {
    join_all(statements.iter().zip(known).map(|(sql, known)| async move {
        match known {
            Known::Ready(statement) => connection.query_one(statement, &binds(sql)).await,
            Known::New | Known::Seen => {
                let values: Vec<(&(dyn ToSql + Sync), Type)> = sql.values().iter().map(untyped).collect();
                connection.query_typed_one(sql.text(), &values).await
            }
        }
    }))
    .await
}

/// The first failure in the order of sending is the cause of those behind it.
fn conclude(begun: Reply<()>, rows: Vec<Reply<Row>>, ended: &Reply<()>) -> Result<Answer, Failure> {
    begun?;
    let last = rows.into_iter().collect::<Reply<Vec<Row>>>()?.pop();
    if let Err(error) = ended {
        return Err(error.into());
    }
    let row = last.ok_or_else(|| Failure::internal("no statement was run"))?;
    Ok(Answer { count: row.try_get(0)?, body: row.try_get(1)? })
}

fn binds(sql: &Sql) -> Vec<&(dyn ToSql + Sync)> {
    sql.values().iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// `unknown` lets PostgreSQL infer the type from where the value stands, as for a prepared statement.
fn untyped(value: &Value) -> (&(dyn ToSql + Sync), Type) {
    (value, Type::UNKNOWN)
}
