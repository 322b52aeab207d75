//! One migration of the fleet at a time: who runs it, and how far it came.

use std::time::Duration;

use uuid::Uuid;

use super::super::Platform;
use super::Summary;
use crate::db::Control;
use crate::error::{Error, Result};

/// The advisory lock of whoever migrates the fleet.
const LOCK: i64 = 0x1_6e5_0a3;

/// How often it is looked whether another run has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The right to migrate the fleet. It ends with the process, at the latest.
pub struct Leader {
    id: Uuid,
    control: Control,
}

impl Leader {
    /// Takes the lead, or says who has it.
    ///
    /// # Errors
    /// `conflict` while another run goes on.
    pub async fn claim(platform: &Platform, actor: &str) -> Result<Self> {
        let mut control = platform.database.control().await?;
        if !control.try_lock(LOCK).await? {
            return Err(taken(&mut control).await?);
        }
        let id = Uuid::now_v7();
        let sql = "with ended as (
              update public.migration_runs set outcome = 'ended', finished_at = now() where outcome = 'running')
            insert into public.migration_runs (id, actor, backend, total) values ($1, $2, pg_backend_pid(), 0)";
        control.execute(sql, &[&id, &actor]).await?;
        Ok(Self { id, control })
    }

    /// The same, waiting for another run to end.
    pub async fn wait(platform: &Platform, actor: &str) -> Result<Self> {
        loop {
            match Self::claim(platform, actor).await {
                Err(error) if error.code() == "conflict" => tokio::time::sleep(LOOK_EVERY).await,
                other => return other,
            }
        }
    }

    /// Says how many tenants are to be migrated.
    pub(super) async fn begin(&mut self, total: usize) -> Result<()> {
        let total = i32::try_from(total).unwrap_or(i32::MAX);
        self.control.execute("update public.migration_runs set total = $2 where id = $1", &[&self.id, &total]).await?;
        Ok(())
    }

    /// Writes down what came of it, and gives the lead back.
    pub async fn end(mut self, summary: &Summary) -> Result<()> {
        let number = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let sql = "update public.migration_runs set outcome = $2, migrated = $3, failed = $4, finished_at = now()
            where id = $1";
        let (migrated, failed) = (number(summary.migrated), number(summary.failed));
        self.control.execute(sql, &[&self.id, &summary.outcome(), &migrated, &failed]).await?;
        self.control.unlock(LOCK).await?;
        Ok(())
    }
}

async fn taken(control: &mut Control) -> Result<Error> {
    let who = running(control).await?.map(|who| format!(": {who}")).unwrap_or_default();
    Ok(Error::conflict(format!("The fleet is being migrated already{who}."))
        .hint("Wait for it with --wait, or look with `insula migrate status`."))
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
