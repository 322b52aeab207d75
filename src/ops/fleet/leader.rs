//! One migration of the fleet at a time: who runs it, how far it came, and whether somebody wants it to pause.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::Platform;
use super::log::Log;
use super::{Order, Summary};
use crate::audit;
use crate::db::{By, Control, Lock};
use crate::error::{Error, Result};

/// The advisory lock of whoever migrates the fleet.
pub(super) const LOCK: i64 = Lock::Fleet.key();

/// How often it is looked whether another run has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often it is written down how far a run has come, and looked whether it is to pause.
const WRITE_EVERY: Duration = Duration::from_millis(250);

/// Of so many runs before this one, what they told is kept.
const RUNS_TOLD: i64 = 20;

/// The right to migrate the fleet. It ends with the process, at the latest.
pub struct Leader {
    id: Uuid,
    control: Control,
    /// How much was told.
    told: i32,
}

impl Leader {
    /// Takes the lead, or says who has it.
    ///
    /// # Errors
    /// `conflict` while another run goes on.
    pub async fn claim(platform: &Platform, order: &Order, by: &By) -> Result<Self> {
        let mut control = platform.database.control().await?;
        if !control.try_lock(LOCK).await? {
            return Err(taken(&mut control).await?);
        }
        let id = Uuid::now_v7();
        let ordered = serde_json::to_value(order).map_err(Error::internal)?;
        let sql = "with ended as (
              update public.migration_runs set outcome = 'ended', finished_at = now() where outcome = 'running'),
            forgotten as (
              delete from public.migration_events where run_id not in (
                select id from public.migration_runs order by started_at desc limit $5))
            insert into public.migration_runs (id, actor, backend, total, ordered, resumes)
            values ($1, $2, pg_backend_pid(), 0, $3, $4)";
        let mut tx = control.begin_by(by).await?;
        tx.execute(sql, &[&id, &by.name, &ordered, &order.resumes, &RUNS_TOLD]).await?;
        audit::request(&mut tx, by, "migrate", ("migrations", id), &ordered).await?;
        Ok(Self { id, control: tx.commit_and_keep().await?, told: 0 })
    }

    /// The same, waiting for another run to end.
    pub async fn wait(platform: &Platform, order: &Order, by: &By) -> Result<Self> {
        loop {
            match Self::claim(platform, order, by).await {
                Err(error) if error.code() == "conflict" => sleep(LOOK_EVERY).await,
                other => return other,
            }
        }
    }

    /// The key of the run.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Says how many tenants are to be migrated, and how many are left out.
    pub(super) async fn begin(&mut self, total: usize, quarantined: usize) -> Result<()> {
        let sql = "update public.migration_runs set total = $2, quarantined = $3 where id = $1";
        self.control.execute(sql, &[&self.id, &number(total), &number(quarantined)]).await?;
        Ok(())
    }

    /// Until a run is `over`: writes down what it tells, and has it pause when somebody asks for that. A run whose lead
    /// is lost takes no further tenant.
    pub(super) async fn follow(
        &mut self,
        log: &Log,
        pause: &CancellationToken,
        over: &CancellationToken,
    ) -> Result<()> {
        loop {
            tokio::select! {
                () = over.cancelled() => {}
                () = sleep(WRITE_EVERY) => {}
            }
            // What is told while this is written down is written by the next round, and the last is after the end.
            let last = over.is_cancelled();
            match self.write_down(log).await {
                Ok(false) => {}
                Ok(true) => pause.cancel(),
                Err(error) => {
                    pause.cancel();
                    return Err(error.context("the lead is lost"));
                }
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Gives whether the run is to pause. Of a tenant that is being erased or renamed nothing is told: the lead waits for
    /// nobody.
    async fn write_down(&mut self, log: &Log) -> Result<bool> {
        let lines = log.take();
        let told = number(lines.kinds.len());
        if told == 0 {
            let sql = "select pause_asked_by is not null from public.migration_runs where id = $1";
            return Ok(self.control.query_opt(sql, &[&self.id]).await?.is_some_and(|row| row.get(0)));
        }
        let sql = "with told as (
              insert into public.migration_events (run_id, seq, tenant_id, kind, detail)
              select $1, $2 + e.at::int, e.tenant, e.kind, e.detail
              from unnest($3::uuid[], $4::text[], $5::jsonb[]) with ordinality e(tenant, kind, detail, at)
              where e.tenant is null
                or exists (select from public.tenants t where t.id = e.tenant and t.state <> 'deleted' for key share skip locked))
            update public.migration_runs set migrated = migrated + $6, failed = failed + $7 where id = $1
            returning pause_asked_by is not null";
        let (migrated, failed) = (lines.count("migrated"), lines.count("failed"));
        let row = self
            .control
            .query_opt(sql, &[&self.id, &self.told, &lines.tenants, &lines.kinds, &lines.details, &migrated, &failed])
            .await?;
        self.told += told;
        Ok(row.is_some_and(|row| row.get(0)))
    }

    /// Writes down what came of it, and gives the lead back.
    pub(super) async fn end(mut self, outcome: &Result<Summary>) -> Result<()> {
        let (state, halt, error) = match outcome {
            Ok(summary) => (summary.outcome(), summary.halt.and_then(|halt| halt.code()), None),
            Err(error) => ("failed", None, Some(error.message().into_owned())),
        };
        let sql = "update public.migration_runs set outcome = $2, halt = $3, error = $4, finished_at = now()
            where id = $1";
        self.control.execute(sql, &[&self.id, &state, &halt, &error]).await?;
        self.control.unlock(LOCK).await?;
        Ok(())
    }
}

fn number(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

async fn taken(control: &mut Control) -> Result<Error> {
    let who = running(control).await?.map(|who| format!(": {who}")).unwrap_or_default();
    Ok(Error::conflict(format!("The fleet is being migrated already{who}.")).hint(
        "Wait for its end (`insula migrate --wait`), or look how far it is with `insula migrate status` or \
         GET /api/v1/migrations.",
    ))
}

/// Who migrates the fleet now, and since when.
pub async fn running_migration(platform: &Platform) -> Result<Option<String>> {
    running(&mut platform.database.control().await?).await
}

async fn running(control: &mut Control) -> Result<Option<String>> {
    let sql = "select format('%s since %s, backend %s', r.actor,
          to_char(r.started_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS \"UTC\"'), r.backend)
        from public.migration_runs r
        join pg_locks l on l.pid = r.backend and l.locktype = 'advisory' and l.granted and l.objsubid = 1
          and (l.classid::bigint << 32 | l.objid::bigint) = $1
        where r.outcome = 'running' order by r.started_at desc limit 1";
    Ok(control.query_opt(sql, &[&LOCK]).await?.map(|row| row.get(0)))
}
