//! What packs do by themselves, in every tenant whose module is on, once over all processes.
//!
//! A row of `public.tenant_jobs` says when a job is due. Who moves that time on, in one statement, runs the job; everybody
//! else finds it not due. The time is moved on so far that a process that died is followed by another. A job is one
//! transaction as the tenant's role, with its changes in the tenant's audit.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Platform;
use crate::billing::Gate;
use crate::db::{Acting, Scope, Seat, Stop};
use crate::error::{Error, Kind, Result};
use crate::pack::Job;
use crate::sql::Sql;
use crate::tenant::Tenants;

/// Jobs that a process takes on at a time, and runs at once.
const TAKEN: i64 = 8;
/// How long a job may take.
const LIMIT: Duration = Duration::from_secs(60);
/// After so long without an end, a job counts as given up.
const GIVEN_UP: Duration = Duration::from_secs(300);
/// The wait after a failure doubles from the first to the last.
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LAST_WAIT: Duration = Duration::from_secs(3600);

/// Who is taken on in one statement: rows are locked in one order.
const CLAIM: &str = "with declared as (
      select * from unnest($1::text[], $2::text[]) d (pack, job)),
    due as (
      select t.id as tenant_id, d.pack, d.job
      from public.tenants t
      join public.tenant_packs p on p.tenant_id = t.id
      join declared d on d.pack = p.pack
      left join public.tenant_jobs j on j.tenant_id = t.id and j.pack = d.pack and j.job = d.job
      where t.state = 'active' and (j.due_at is null or j.due_at <= now())
      order by j.due_at nulls first, t.id
      limit $3)
    insert into public.tenant_jobs as j (tenant_id, pack, job, due_at)
    select tenant_id, pack, job, now() + make_interval(secs => $4) from due order by tenant_id, pack, job
    on conflict (tenant_id, pack, job) do update
    set due_at = excluded.due_at, claim = j.claim + 1, started_at = now(), ended_at = null
    where j.due_at <= now()
    returning tenant_id, pack, job, claim, failures";

/// The end of a run, unless another run has begun since.
const END: &str = "update public.tenant_jobs
    set due_at = case when $5::text is null then started_at else now() end + make_interval(secs => $6), ended_at = now(),
      did = coalesce($7, did), failures = case when $5::text is null then 0 else failures + 1 end, sqlstate = $8, message = $5
    where tenant_id = $1 and pack = $2 and job = $3 and claim = $4";

/// What a round came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    /// Jobs that ran to their end.
    pub done: usize,
    /// Jobs that failed.
    pub failed: usize,
}

/// Runs what is due, until nothing is or `stop` is given.
pub async fn run_due_jobs(
    platform: &Platform,
    tenants: &Tenants,
    gate: &Gate,
    stop: &CancellationToken,
) -> Result<Round> {
    let mut round = Round::default();
    while !stop.is_cancelled() {
        let claims = claim(platform).await?;
        let last = claims.len() < usize::try_from(TAKEN).unwrap_or(usize::MAX);
        let outcomes = join_all(claims.iter().map(|claim| claim.settle(platform, tenants, gate))).await;
        round.done += outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Did(_))).count();
        round.failed += outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Failed { .. })).count();
        if last {
            break;
        }
    }
    Ok(round)
}

/// A job of a tenant that this process has taken on.
struct Claim<'a> {
    tenant: Uuid,
    job: &'a Job,
    number: i64,
    failures: i32,
}

enum Outcome {
    Did(i64),
    /// The module is off, or the tenant is no longer in service.
    NotNow(Duration),
    Failed {
        sqlstate: Option<String>,
        message: String,
    },
}

async fn claim(platform: &Platform) -> Result<Vec<Claim<'_>>> {
    let jobs = platform.catalog.jobs();
    let packs: Vec<&str> = jobs.iter().map(|job| &*job.module).collect();
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    let rows =
        platform.database.control().await?.query(CLAIM, &[&packs, &names, &TAKEN, &GIVEN_UP.as_secs_f64()]).await?;
    let read = |row: &tokio_postgres::Row| {
        let (pack, name): (&str, &str) = (row.get(1), row.get(2));
        let job = jobs.iter().find(|job| job.module == pack && job.name.as_str() == name)?;
        Some(Claim { tenant: row.get(0), job, number: row.get(3), failures: row.get(4) })
    };
    Ok(rows.iter().filter_map(read).collect())
}

impl Claim<'_> {
    async fn settle(&self, platform: &Platform, tenants: &Tenants, gate: &Gate) -> Outcome {
        let outcome = self.run(platform, tenants, gate).await;
        let (pack, job, tenant) = (&self.job.module, self.job.name.as_str(), self.tenant);
        match &outcome {
            Outcome::Did(did) => tracing::debug!(%tenant, pack, job, did, "a job is done"),
            Outcome::NotNow(_) => {}
            Outcome::Failed { sqlstate, message } => {
                let failures = self.failures + 1;
                tracing::warn!(%tenant, pack, job, ?sqlstate, message, failures, "a job failed and will be tried again");
            }
        }
        if let Err(error) = self.write_down(platform, &outcome).await {
            let context = error.private_context();
            tracing::warn!(%tenant, pack, job, context, "the end of a job cannot be written down: it will run again");
        }
        outcome
    }

    /// As the tenant's role, in the name of nobody; the audit says by which job something was changed.
    async fn run(&self, platform: &Platform, tenants: &Tenants, gate: &Gate) -> Outcome {
        let refused = |error: &Error| match error.kind() {
            Kind::Forbidden | Kind::NotFound => Outcome::NotNow(self.job.every),
            _ => Outcome::Failed { sqlstate: None, message: format!("{} {}", error.code(), error.private_context()) },
        };
        let tenant = match tenants.by_id(self.tenant).await.and_then(|tenant| tenant.in_service()) {
            Ok(tenant) => tenant,
            Err(error) => return refused(&error),
        };
        if let Err(error) = gate.pass(tenant.id, &self.job.module).await {
            return refused(&error);
        }
        let scope = Scope::write(tenant.place.clone(), Seat::Tenant, Acting::service(), LIMIT);
        let mut sql = Sql::new("select coalesce(");
        sql.ident(&self.job.function).push("(), 0)::bigint, null::text");
        match platform.database.run(&scope.in_action(self.job.name.clone()), &sql).await {
            Ok(answer) => Outcome::Did(answer.count),
            Err(Stop::Refused(error)) => refused(&error),
            Err(Stop::Failed(failure)) => {
                Outcome::Failed { sqlstate: Some(failure.code().to_owned()), message: failure.message }
            }
        }
    }

    async fn write_down(&self, platform: &Platform, outcome: &Outcome) -> Result<()> {
        let doublings = u32::try_from(self.failures).unwrap_or(0).min(10);
        let wait = (FIRST_WAIT * 2_u32.pow(doublings)).min(LAST_WAIT);
        let (next, did, sqlstate, message) = match outcome {
            Outcome::Did(did) => (self.job.every, Some(*did), None, None),
            Outcome::NotNow(later) => (*later, None, None, None),
            Outcome::Failed { sqlstate, message } => (wait, None, sqlstate.as_deref(), Some(message.as_str())),
        };
        let (pack, job, next) = (&self.job.module, self.job.name.as_str(), next.as_secs_f64());
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
            [&self.tenant, pack, &job, &self.number, &message, &next, &did, &sqlstate];
        platform.database.control().await?.execute(END, &values).await?;
        Ok(())
    }
}

/// How the jobs of tenants went the last time, as JSON: of one tenant, or of all; only those that fail, or all.
pub async fn job_list(platform: &Platform, tenant: Option<Uuid>, failing: bool) -> Result<Vec<Box<RawValue>>> {
    let sql = "select row_to_json(r)::text from (
          select t.subdomain as tenant, j.pack, j.job, j.started_at, j.ended_at, j.did, j.failures, j.sqlstate, j.message, j.due_at
          from public.tenant_jobs j join public.tenants t on t.id = j.tenant_id
          where ($1::uuid is null or t.id = $1) and (not $2 or j.failures > 0)
          order by t.subdomain, j.pack, j.job) r";
    let rows = platform.database.control().await?.query(sql, &[&tenant, &failing]).await?;
    rows.iter().map(|row| RawValue::from_string(row.get(0)).map_err(Error::internal)).collect()
}
