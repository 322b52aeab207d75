//! A transaction of several statements: all of them travel together with BEGIN, and with its end where that is known.

use std::time::Duration;

use futures_util::future::{join, join_all, join3};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::pool::{Connection, Lease, Try};
use super::{Answer, Database, Failure, Scope, Stop};
use crate::error::{Error, Kind};
use crate::ident::Ident;
use crate::sql::Sql;

/// What the way to the server and back may add to the time of its statements.
const SLACK: Duration = Duration::from_secs(1);

/// One step of the work.
#[derive(Debug, Clone)]
pub enum Step {
    /// A statement of shape `(count bigint, body text)`.
    Query(Sql),
    /// What follows is part of an action of a pack.
    EnterAction(Ident),
    /// What follows is not.
    LeaveAction,
    /// Everything sees the moment of the first query, and a row that changed since is refused (40001). First of all.
    OneMoment,
    /// Constraints that wait for the end are checked here.
    CheckConstraints,
}

/// How the work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It lasts.
    Commit,
    /// It was a trial.
    Rollback,
}

impl Ending {
    fn sql(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Rollback => "rollback",
        }
    }
}

/// Work that did not come to its end: nothing of it lasts.
pub struct Halt {
    /// The step that was refused.
    pub step: usize,
    /// Why.
    pub stop: Stop,
}

/// How often work is begun that others get in the way of: all who write in a tenant meet at the end of its audit, and
/// under REPEATABLE READ only the first of those who meet gets through.
pub const ATTEMPTS: usize = 20;

/// A moment's rest before work is begun again, so that not the same meet.
pub async fn step_aside() {
    let most_us = 10_000;
    tokio::time::sleep(Duration::from_micros(uuid::Uuid::new_v4().as_u64_pair().0 % most_us)).await;
}

impl Halt {
    fn at(step: usize, failure: impl Into<Failure>) -> Self {
        Self { step, stop: Stop::Failed(failure.into()) }
    }

    fn refused(error: Error) -> Self {
        Self { step: 0, stop: Stop::Refused(error) }
    }

    /// Whether the same work may succeed when run again.
    pub fn is_retryable(&self) -> bool {
        matches!(&self.stop, Stop::Failed(failure) if failure.is_retryable())
    }
}

/// Work whose end is still to be decided. Dropped, it is undone and its connection closed.
pub struct Open {
    lease: Lease,
    limit: Duration,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Database {
    /// Runs steps in one transaction and one round trip, in a task of its own: it comes to its end whatever happens to
    /// the caller. Gives the answers of the queries, in order. A serialization failure is tried again.
    pub async fn run_steps(&self, scope: &Scope, steps: Vec<Step>, ending: Ending) -> Result<Vec<Answer>, Halt> {
        let (this, scope) = (self.clone(), scope.clone());
        let work = tokio::spawn(async move {
            for _ in 1..ATTEMPTS {
                match this.whole(&scope, &steps, ending).await {
                    Err(halt) if halt.is_retryable() => step_aside().await,
                    other => return other,
                }
            }
            this.whole(&scope, &steps, ending).await
        });
        work.await.map_err(|panic| Halt::refused(Error::internal(panic)))?
    }

    async fn whole(&self, scope: &Scope, steps: &[Step], ending: Ending) -> Result<Vec<Answer>, Halt> {
        let mut open = self.open(scope, steps.len()).await?;
        let prelude = scope.prelude(&self.session_defaults());
        let connection = open.lease.connection();
        let exchange =
            join3(connection.batch_execute(&prelude), send(connection, steps), connection.batch_execute(ending.sql()));
        let (begun, replies, ended) = timeout(open.limit, exchange).await.map_err(|_| Halt::refused(too_late()))?;
        let answers = begun.map_err(|error| Halt::at(0, error)).and_then(|()| conclude(replies));
        if ended.is_ok() {
            open.lease.release();
        }
        let answers = answers?;
        ended.map_err(|error| Halt::at(steps.len().saturating_sub(1), error))?;
        Ok(answers)
    }

    /// Begins a transaction with steps, one round trip, and leaves its end to the caller.
    pub async fn begin_steps(&self, scope: &Scope, steps: &[Step]) -> Result<(Open, Vec<Answer>), Halt> {
        let mut open = self.open(scope, steps.len()).await?;
        let prelude = scope.prelude(&self.session_defaults());
        let connection = open.lease.connection();
        let exchange = join(connection.batch_execute(&prelude), send(connection, steps));
        let (begun, replies) = timeout(open.limit, exchange).await.map_err(|_| Halt::refused(too_late()))?;
        match begun.map_err(|error| Halt::at(0, error)).and_then(|()| conclude(replies)) {
            Ok(answers) => Ok((open, answers)),
            Err(halt) => {
                open.undo().await;
                Err(halt)
            }
        }
    }

    async fn open(&self, scope: &Scope, steps: usize) -> Result<Open, Halt> {
        let permit = self.admit(scope).await.map_err(Halt::refused)?;
        let lease = self.lease(scope, Try::First).await.map_err(Halt::refused)?;
        let steps = u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(1);
        let limit = scope.statement_timeout.saturating_mul(steps).saturating_add(SLACK);
        Ok(Open { lease, limit, _permit: permit })
    }
}

impl Open {
    /// Runs statements that may be refused: then they alone are undone, and the work goes on. One round trip, or two.
    pub async fn attempt(&mut self, statements: &[Sql]) -> Result<(), Stop> {
        let connection = self.lease.connection();
        let exchange = join3(
            connection.batch_execute("savepoint attempt"),
            join_all(statements.iter().map(|sql| query(connection, sql))),
            connection.batch_execute("release savepoint attempt"),
        );
        let (begun, replies, ended) = timeout(self.limit, exchange).await.map_err(|_| Stop::Refused(too_late()))?;
        let failed = |error: tokio_postgres::Error| Stop::Failed(error.into());
        begun.map_err(failed)?;
        match replies.into_iter().find_map(Result::err) {
            None => ended.map_err(failed),
            Some(refusal) => {
                let back = connection.batch_execute("rollback to savepoint attempt; release savepoint attempt");
                timeout(SLACK, back).await.map_err(|_| Stop::Refused(too_late()))?.map_err(failed)?;
                Err(failed(refusal))
            }
        }
    }

    /// Checks now what is checked at the end.
    pub async fn check_constraints(&mut self) -> Result<(), Stop> {
        let check = self.lease.connection().batch_execute("set constraints all immediate");
        timeout(self.limit, check)
            .await
            .map_err(|_| Stop::Refused(too_late()))?
            .map_err(|error| Stop::Failed(error.into()))
    }

    /// Runs a last statement and makes the work last, one round trip.
    pub async fn commit_with(mut self, last: &Sql) -> Result<(), Stop> {
        let connection = self.lease.connection();
        let exchange = join(query(connection, last), connection.batch_execute(Ending::Commit.sql()));
        let (reply, ended) = timeout(self.limit, exchange).await.map_err(|_| Stop::Refused(too_late()))?;
        if ended.is_ok() {
            self.lease.release();
        }
        reply.map_err(|error| Stop::Failed(error.into()))?;
        ended.map_err(|error| Stop::Failed(error.into()))
    }

    /// Undoes the work.
    pub async fn undo(mut self) {
        if let Ok(Ok(())) = timeout(SLACK, self.lease.connection().batch_execute("rollback")).await {
            self.lease.release();
        }
    }
}

fn too_late() -> Error {
    Error::new(Kind::Timeout, "timeout", "This took too long and was stopped.")
        .context("the server stands still, or the network does")
}

type Reply<T> = Result<T, tokio_postgres::Error>;

/// Sends all steps without waiting in between; behind the first that fails, PostgreSQL refuses the others.
async fn send(connection: &Connection, steps: &[Step]) -> Vec<Reply<Option<Row>>> {
    join_all(steps.iter().map(|step| async move {
        let setting = match step {
            Step::Query(sql) => return query(connection, sql).await.map(Some),
            Step::EnterAction(name) => &format!("set local app.action = '{}'", name.as_str()),
            Step::LeaveAction => "set local app.action = ''",
            Step::OneMoment => "set transaction isolation level repeatable read",
            Step::CheckConstraints => "set constraints all immediate",
        };
        connection.batch_execute(setting).await.map(|()| None)
    }))
    .await
}

async fn query(connection: &Connection, sql: &Sql) -> Reply<Row> {
    // `unknown` lets PostgreSQL infer the type from where the value stands.
    let values: Vec<(&(dyn ToSql + Sync), Type)> =
        sql.values().iter().map(|value| (value as &(dyn ToSql + Sync), Type::UNKNOWN)).collect();
    connection.query_typed_one(sql.text(), &values).await
}

fn conclude(replies: Vec<Reply<Option<Row>>>) -> Result<Vec<Answer>, Halt> {
    let mut answers = Vec::with_capacity(replies.len());
    for (at, reply) in replies.into_iter().enumerate() {
        let Some(row) = reply.map_err(|error| Halt::at(at, error))? else { continue };
        let read = |error| Halt::at(at, Failure::from(error));
        answers.push(Answer { count: row.try_get(0).map_err(read)?, body: row.try_get(1).map_err(read)? });
    }
    Ok(answers)
}
