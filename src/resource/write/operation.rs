//! Work that is answered before it is done: the answer names an operation, which tells how far the work has come.
//!
//! An operation is a row of the tenant's `sys_operation`. Its end is written in the transaction of its work, so it has
//! succeeded exactly when its rows are there. Who works on it says so several times a minute; otherwise, for example
//! when the process was killed, it counts as interrupted, and can no longer succeed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use super::super::places::Place;
use super::super::run::Engine;
use super::{Bulk, Plan, Planner, Reply};
use crate::access::Right;
use crate::error::{Error, Kind, Result};
use crate::sql::{Sql, Value};

/// How often the progress is written down.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The statement that writes a new operation down.
pub(super) fn begin(id: Uuid, bulk: &Bulk) -> Sql {
    let mut sql = Sql::new("select sys_operation_begin(");
    sql.bind(Value::text(id.to_string())).push("::uuid, 'create_many', ");
    sql.bind(Value::text(bulk.resource().name.as_str())).push(", ");
    sql.bind(Value::text(bulk.count().to_string())).push("::int), null::text");
    sql
}

/// 202, with the place where the operation can be followed.
pub(super) fn begun(id: Uuid) -> Reply {
    let body = json!({ "object": "operation", "id": id, "state": "running" });
    let location = Some(format!("/api/v1/operations/{id}"));
    Reply { location, ..Reply::new(202, Some(body.to_string())) }
}

impl Engine {
    /// Answers at once and makes the rows afterwards; a request that came before is only answered.
    pub async fn begin(&self, right: &Right, planner: &Planner, bulk: Bulk, plan: Plan) -> Result<Reply> {
        let place = self.operations.enter(right.tenant())?;
        let (id, trial) = (Uuid::now_v7(), plan.rollback);
        let reply = self.write(right, Plan { parts: vec![planner.begin(id, &bulk)], rollback: false, ..plan }).await?;
        if !reply.replayed {
            let operation = Operation { id, right: right.clone(), bulk: Arc::new(bulk), trial, _place: place };
            tokio::spawn(operation.work(self.clone()));
        }
        Ok(reply)
    }

    /// An operation of the caller, as JSON.
    pub async fn operation(&self, right: &Right, id: Uuid) -> Result<String> {
        let mut sql = Sql::new("select 1::bigint, sys_operation_look(");
        sql.bind(Value::text(id.to_string())).push("::uuid)::text");
        self.run(&right.read(self.limit), &sql).await?.body.ok_or_else(Error::not_found)
    }
}

/// An operation that this process works on.
pub(super) struct Operation {
    id: Uuid,
    right: Right,
    bulk: Arc<Bulk>,
    /// Whether everything is undone at the end.
    trial: bool,
    _place: Place,
}

impl Operation {
    async fn work(self, engine: Engine) {
        let Err(error) = self.make(&engine).await else { return };
        let context = error.private_context();
        match error.kind() {
            Kind::Internal => tracing::error!(operation = %self.id, context, "an operation failed"),
            _ => tracing::info!(operation = %self.id, context, code = error.code(), "an operation was refused"),
        }
        if let Err(error) = self.end(&engine, Some(&error)).await {
            tracing::warn!(operation = %self.id, context = error.private_context(), "the end of an operation is lost");
        }
    }

    async fn make(&self, engine: &Engine) -> Result<()> {
        let scope = self.right.write(engine.limit);
        let (mut open, _) = engine.database.begin_steps(&scope, &[]).await.map_err(|halt| engine.meaning(halt.stop))?;
        if let Err(error) = engine.make_rows(&mut open, &self.bulk, Progress::of(self)).await {
            open.undo().await;
            return Err(error);
        }
        if self.trial {
            open.undo().await;
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
            json!({ "code": code, "detail": detail, "hint": error.hint_text(), "errors": error.faults() }).to_string()
        });
        let mut sql = Sql::new("select sys_operation_end(");
        sql.bind(Value::text(self.id.to_string())).push("::uuid, ");
        sql.bind(problem.map_or_else(Value::null, Value::text)).push("::jsonb), null::text");
        sql
    }
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

    /// So many rows are made.
    pub async fn come_to(&mut self, engine: &Engine, done: usize) -> Result<()> {
        let Some(operation) = self.operation.filter(|_| self.told.elapsed() >= TELL_EVERY) else { return Ok(()) };
        self.told = Instant::now();
        operation.tell(engine, done).await
    }
}
