//! The journal: what is being done to whole tenants, written before it is begun.
//!
//! Who works on an operation holds the session's advisory lock of its id; the lock dies with the process. So an
//! unfinished operation whose lock is free was abandoned, and the next start finishes or undoes it.

use serde_json::Value as Json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::life::{arrival, task};
use super::{Platform, provision};
use crate::db::{Control, Failure, Transaction};
use crate::error::{Error, Result};

/// An operation that this process works on.
pub struct Operation {
    /// Its key.
    pub id: Uuid,
    /// The connection that holds its lock and does its work.
    pub control: Control,
}

impl Operation {
    /// Locks a new operation; its row is written with [`Operation::record`], together with its first step.
    pub async fn start(platform: &Platform) -> Result<Self> {
        let id = Uuid::now_v7();
        let mut control = platform.database.control().await?;
        control.try_lock(lock_key(id)).await?;
        Ok(Self { id, control })
    }

    /// Writes the row of a new operation.
    pub async fn record(
        id: Uuid,
        tx: &mut Transaction,
        kind: &str,
        tenant: Uuid,
        subject: &str,
        actor: &str,
    ) -> Result<(), Failure> {
        let sql = "insert into public.operations (id, kind, tenant_id, subject, state, step, input, actor)
            values ($1, $2, $3, $4, 'running', 'reserve', $5, $6)";
        tx.execute(sql, &[&id, &kind, &tenant, &subject, &Json::Object(serde_json::Map::new()), &actor]).await.map(drop)
    }

    /// Writes down which step comes next.
    pub async fn step(&mut self, name: &str) -> Result<()> {
        self.control.execute("update public.operations set step = $2 where id = $1", &[&self.id, &name]).await?;
        Ok(())
    }

    /// Gives the lock back; the connection returns to its pool.
    pub async fn end(mut self) -> Result<()> {
        self.control.unlock(lock_key(self.id)).await?;
        Ok(())
    }
}

/// An operation as the journal has it, as JSON.
pub async fn operation_show(platform: &Platform, id: Uuid) -> Result<Box<RawValue>> {
    let sql = "select row_to_json(r)::text from (
          select o.id, o.kind, o.tenant_id, o.subject, o.state, o.step, o.input, o.error, o.actor, o.created_at, o.finished_at
          from public.operations o where o.id = $1) r";
    let rows = platform.database.look_up(sql, &[&id]).await?;
    let row = rows.first().ok_or_else(Error::not_found)?;
    RawValue::from_string(row.get(0)).map_err(Error::internal)
}

/// The outcome of an operation, in the transaction that brings it about.
pub async fn conclude(tx: &mut Transaction, id: Uuid, state: &str, error: Option<&str>) -> Result<(), Failure> {
    let sql = "update public.operations set state = $2, error = $3, finished_at = now() where id = $1";
    tx.execute(sql, &[&id, &state, &error]).await.map(drop)
}

fn lock_key(id: Uuid) -> i64 {
    id.as_u64_pair().1 as i64
}

/// Finishes or undoes what a process left behind when it died. Gives what was done, for the log.
pub async fn recover(platform: &Platform) -> Result<Vec<String>> {
    let sql = "select id, kind, tenant_id, subject from public.operations where state in ('pending', 'running') order by created_at";
    let rows = platform.database.control().await?.query(sql, &[]).await?;
    let mut done = Vec::new();
    for row in rows {
        let (id, kind, tenant, subject): (Uuid, String, Option<Uuid>, String) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let mut control = platform.database.control().await?;
        if !control.try_lock(lock_key(id)).await? {
            continue;
        }
        // Between the list and the lock, its own process may have come to the end.
        let unfinished = "select from public.operations where id = $1 and finished_at is null";
        let abandoned = control.query_opt(unfinished, &[&id]).await?.is_some();
        let operation = Operation { id, control };
        match (kind.as_str(), tenant) {
            (provision::KIND, Some(tenant)) if abandoned => {
                let outcome = provision::settle(operation, tenant).await.unwrap_or_else(|error| {
                    tracing::warn!(
                        context = error.private_context(),
                        "creation of {subject} cannot be settled: {error}"
                    );
                    "not settled, see the log"
                });
                done.push(format!("creation of {subject}: {outcome}"));
            }
            (kind, Some(tenant)) if abandoned && arrival::KINDS.contains(&kind) => {
                done.push(format!("{kind} of {subject}: {}", provision::settle(operation, tenant).await?));
            }
            (kind, _) if abandoned && task::KINDS.contains(&kind) => {
                done.push(format!("{kind} of {subject}: {}", task::settle(operation).await?));
            }
            _ => operation.end().await?,
        }
    }
    Ok(done)
}
