//! Work that is answered before it is done: the answer names an operation, which tells how far the work has come.
//!
//! An operation is a row of the tenant's `sys_operation`. Its end is written in the transaction of its work, so it has
//! succeeded exactly when its rows are there. Who works on it says so several times a minute; otherwise, for example
//! when the process was killed, it counts as interrupted, and can no longer succeed.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::super::places::Place;
use super::super::run::Engine;
use super::{Bulk, Plan, Planner, Reply};
use crate::access::{OwnRight, Right};
use crate::error::{Error, Kind, Result};
use crate::pack::Verb;
use crate::sql::{Sql, Value};

/// How often the progress is written down.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often the end of a refused operation is tried to be written down, a second apart.
const LAST_WORDS: usize = 5;

/// The statement that writes a new operation down.
pub(super) fn begin(id: Uuid, bulk: &Bulk, trial: bool, session: Uuid) -> Sql {
    let mut sql = Sql::new("select sys_operation_begin(");
    sql.bind(Value::text(id.to_string())).push("::uuid, 'create_many', ");
    sql.bind(Value::text(bulk.resource().name.as_str())).push(", ");
    sql.bind(Value::text(bulk.count().to_string())).push("::int, ");
    sql.bind(Value::text(trial.to_string())).push("::boolean, ");
    sql.bind(Value::text(bulk.resource().permission(Verb::Create))).push(", ");
    sql.bind(Value::text(session.to_string())).push("::uuid), null::text");
    sql
}

/// 202, with the place where the operation can be followed.
pub(super) fn begun(id: Uuid) -> Reply {
    let body = json!({ "object": "operation", "id": id, "state": "running" });
    let location = Some(format!("/api/v1/operations/{id}"));
    Reply { location, ..Reply::new(202, Some(body.to_string())) }
}

impl Engine {
    /// Answers at once and makes the rows afterwards; a request that came before is only answered. Both go on when the
    /// caller goes away, so that no operation is written down on which nobody works.
    pub async fn begin(&self, right: &Right, planner: Planner, bulk: Bulk, plan: Plan) -> Result<Reply> {
        let place = match self.operations.enter(right.bucket(), right.tenant()) {
            Ok(place) => place,
            // It may be this very request that is being worked on.
            Err(busy) => return self.answered_before(right, plan.claim.as_ref()).await.unwrap_or(Err(busy)),
        };
        let (this, right) = (self.clone(), right.clone());
        let task = self.tasks.spawn(async move {
            let (id, trial) = (Uuid::now_v7(), plan.rollback);
            // What a trial did is not kept for the real request, which may bear the same key.
            let claim = plan.claim.filter(|_| !trial);
            let parts = vec![planner.begin(id, &bulk, trial, right.session())];
            let reply = this.write(&right, Plan { parts, rollback: false, claim, ..plan }).await?;
            if !reply.replayed {
                let operation = Operation { id, right, bulk, trial, _place: place };
                this.tasks.spawn(operation.work(this.clone()));
            }
            Ok(reply)
        });
        task.await.map_err(Error::internal)?
    }

    /// An operation of the caller, as JSON.
    pub async fn operation(&self, right: &OwnRight, id: Uuid) -> Result<String> {
        let mut sql = Sql::new("select 1::bigint, sys_operation_look(");
        sql.bind(Value::text(id.to_string())).push("::uuid)::text");
        self.run(&right.read(self.limit), &sql).await?.body.ok_or_else(Error::not_found)
    }

    /// A place for somebody who follows operations.
    pub fn follow(&self, right: &OwnRight) -> Result<Place> {
        self.followers.enter(right.bucket(), right.tenant())
    }
}

/// An operation that this process works on.
pub(super) struct Operation {
    id: Uuid,
    right: Right,
    bulk: Bulk,
    /// Whether everything is undone at the end.
    trial: bool,
    _place: Place,
}

impl Operation {
    async fn work(self, engine: Engine) {
        let made = tokio::select! {
            made = timeout(engine.long_work, self.make(&engine)) => made.unwrap_or_else(|_| Err(too_slow())),
            () = engine.stop.cancelled() => Err(stopped()),
        };
        let Err(error) = made else { return };
        let context = error.private_context();
        match error.kind() {
            Kind::Internal => tracing::error!(operation = %self.id, context, "an operation failed"),
            _ => tracing::info!(operation = %self.id, context, code = error.code(), "an operation was refused"),
        }
        for _ in 0..LAST_WORDS {
            match self.end(&engine, Some(&error)).await {
                Err(error) if error.kind() != Kind::Conflict => {
                    tracing::warn!(operation = %self.id, context = error.private_context(), "its end cannot be told yet");
                    sleep(TELL_EVERY).await;
                }
                _ => return,
            }
        }
    }

    async fn make(&self, engine: &Engine) -> Result<()> {
        let scope = self.right.write(engine.limit);
        let (mut open, _) = engine.database.begin_steps(&scope, &[]).await.map_err(|halt| engine.meaning(halt.stop))?;
        let made = engine.make_rows(&mut open, &self.bulk, Progress::of(self)).await;
        let made = match made {
            Ok(()) if self.trial => open.check_constraints().await.map_err(|stop| engine.meaning(stop)),
            other => other,
        };
        if self.trial || made.is_err() {
            open.undo().await;
            made?;
            return self.end(engine, None).await;
        }
        open.commit_with(&self.ending(None)).await.map_err(|stop| engine.meaning(stop))
    }

    async fn tell(&self, engine: &Engine, done: usize) -> Result<()> {
        let mut sql = Sql::new("select sys_operation_tell(");
        sql.bind(Value::text(self.id.to_string())).push("::uuid, ");
        sql.bind(Value::text(done.to_string())).push("::int), null::text");
        engine.run(&self.right.write(engine.limit), &sql).await.map(drop)
    }

    async fn end(&self, engine: &Engine, problem: Option<&Error>) -> Result<()> {
        engine.run(&self.right.write(engine.limit), &self.ending(problem)).await.map(drop)
    }

    fn ending(&self, problem: Option<&Error>) -> Sql {
        let problem = problem.map(|error| {
            let (code, detail) = (error.code(), error.message());
            let problem =
                json!({ "code": code, "detail": detail, "hint": error.hint_text(), "errors": error.faults() });
            // PostgreSQL keeps no NUL, which the name of a field in a body may hold.
            problem.to_string().replace("\\u0000", "\\ufffd")
        });
        let mut sql = Sql::new("select sys_operation_end(");
        sql.bind(Value::text(self.id.to_string())).push("::uuid, ");
        sql.bind(problem.map_or_else(Value::null, Value::text)).push("::jsonb), null::text");
        sql
    }
}

fn too_slow() -> Error {
    Error::new(Kind::Timeout, "timeout", "The operation took too long and was stopped.")
        .hint("Send the rows in several requests.")
}

fn stopped() -> Error {
    Error::new(Kind::Unavailable, "interrupted", "The operation was interrupted; nothing of it was done.")
        .hint("Send it again, with another Idempotency-Key.")
}

/// How far rows have come, told to whoever follows an operation.
pub(super) struct Progress<'a> {
    operation: Option<&'a Operation>,
    told: Instant,
}

impl<'a> Progress<'a> {
    fn of(operation: &'a Operation) -> Self {
        Self { operation: Some(operation), told: Instant::now() }
    }

    /// Nobody follows.
    pub fn untold() -> Self {
        Self { operation: None, told: Instant::now() }
    }

    /// So many rows are made. That a busy moment keeps this from being told does not matter; that the operation was
    /// given up meanwhile does.
    pub async fn come_to(&mut self, engine: &Engine, done: usize) -> Result<()> {
        let Some(operation) = self.operation.filter(|_| self.told.elapsed() >= TELL_EVERY) else { return Ok(()) };
        self.told = Instant::now();
        match operation.tell(engine, done).await {
            Err(error) if error.code() != "interrupted" => {
                tracing::debug!(operation = %operation.id, context = error.private_context(), "progress was not told");
                Ok(())
            }
            other => other,
        }
    }
}
