//! What is known of runs: where each stands, what it told, and how one is paused and gone on from.

use serde::Serialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::Platform;
use super::super::checks::pack_versions;
use super::leader::LOCK;
use super::{Order, Selection, pending_tenants};
use crate::audit;
use crate::db::By;
use crate::error::{Error, Result};

/// Runs that a list shows.
const RECENT: i64 = 20;

/// Events that are read at a time.
const EVENTS_AT_ONCE: i64 = 500;

/// $1 the leader's lock. Who is written down as running and does not hold it has died.
const RUN: &str = "select r.id,
      case when r.outcome <> 'running' then r.outcome
        when l.pid is null then 'ended'
        when r.pause_asked_by is not null then 'pausing'
        else 'running' end as state,
      r.actor, r.ordered, r.total, r.migrated, r.failed, r.quarantined, r.halt, r.error, r.resumes, r.pause_asked_by,
      r.started_at, r.finished_at
    from public.migration_runs r
    left join pg_locks l on r.outcome = 'running' and l.pid = r.backend and l.locktype = 'advisory' and l.granted
      and l.objsubid = 1 and (l.classid::bigint << 32 | l.objid::bigint) = $1";

/// A run: its state, and all of it as JSON.
#[derive(Debug)]
pub struct Run {
    /// `running`, `pausing`, `done`, `partly`, `paused`, `stopped`, `failed` or `ended`.
    pub state: String,
    /// All that is known of it.
    pub json: Box<RawValue>,
}

impl Run {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self { state: row.get(0), json: RawValue::from_string(row.get(1)).map_err(Error::internal)? })
    }

    /// Whether it takes tenants, or waits for the last that it took.
    pub fn goes_on(&self) -> bool {
        ["running", "pausing"].contains(&self.state.as_str())
    }
}

/// The last runs, the newest first.
pub async fn run_list(platform: &Platform) -> Result<Vec<Run>> {
    let sql = format!("select r.state, row_to_json(r)::text from ({RUN} order by r.started_at desc limit $2) r");
    platform.database.look_up(&sql, &[&LOCK, &RECENT]).await?.iter().map(Run::read).collect()
}

/// One run.
pub async fn run_show(platform: &Platform, id: Uuid) -> Result<Run> {
    let run = look(platform, id).await?;
    // Locks are seen as they are now, rows as they were when the look began: a run that ended in between did not die.
    if run.state == "ended" { look(platform, id).await } else { Ok(run) }
}

async fn look(platform: &Platform, id: Uuid) -> Result<Run> {
    let sql = format!("select r.state, row_to_json(r)::text from ({RUN} where r.id = $2) r");
    let rows = platform.database.look_up(&sql, &[&LOCK, &id]).await?;
    rows.first().map(Run::read).ok_or_else(Error::not_found)?
}

/// Something that a run told.
#[derive(Debug)]
pub struct RunEvent {
    /// Its number in the run.
    pub seq: i32,
    /// `wave`, `migrated` or `failed`.
    pub kind: String,
    /// The rest, as JSON.
    pub detail: String,
}

/// What a run told after the event of this number, or a first part of it.
pub async fn run_events(platform: &Platform, id: Uuid, after: i32) -> Result<Vec<RunEvent>> {
    let sql = "select seq, kind, detail::text from public.migration_events
        where run_id = $1 and seq > $2 order by seq limit $3";
    let rows = platform.database.look_up(sql, &[&id, &after, &EVENTS_AT_ONCE]).await?;
    Ok(rows.iter().map(|row| RunEvent { seq: row.get(0), kind: row.get(1), detail: row.get(2) }).collect())
}

/// Asks a run, whichever process it is of, to take no further tenant.
///
/// # Errors
/// `conflict` when it does not go on.
pub async fn pause_migration(platform: &Platform, id: Uuid, by: &By) -> Result<()> {
    let sql = "update public.migration_runs set pause_asked_by = coalesce(pause_asked_by, $2)
        where id = $1 and outcome = 'running'";
    if run_show(platform, id).await?.goes_on() {
        let mut tx = platform.database.control().await?.begin_by(by).await?;
        if tx.execute(sql, &[&id, &by.name]).await? == 1 {
            audit::request(&mut tx, by, "pause", ("migrations", id), &Json::Null).await?;
            return Ok(tx.commit().await?);
        }
    }
    let state = run_show(platform, id).await?.state;
    Err(Error::conflict(format!("The migration is {state}, not running.")))
}

/// The order of a run that did not come to its end, for another that goes on from there.
///
/// # Errors
/// `conflict` when nothing of it is left to be done.
pub async fn resumed_order(platform: &Platform, id: Uuid) -> Result<Order> {
    let state = run_show(platform, id).await?.state;
    if !["paused", "stopped", "failed", "ended"].contains(&state.as_str()) {
        return Err(Error::conflict(format!("The migration is {state}: there is nothing to go on from.")));
    }
    let rows = platform.database.look_up("select ordered from public.migration_runs where id = $1", &[&id]).await?;
    let ordered: Json = rows.first().ok_or_else(Error::not_found)?.get(0);
    let order: Order = serde_json::from_value(ordered).map_err(Error::internal)?;
    Ok(Order { resumes: Some(id), ..order })
}

/// A pack and how far the fleet is.
#[derive(Debug, Serialize)]
pub struct PackVersion {
    /// The pack.
    pub what: String,
    /// Its newest version.
    pub version: i32,
    /// Tenants that have it.
    pub tenants: i64,
    /// Tenants that lack it or have an older version.
    pub pending: usize,
}

/// All packs.
pub async fn fleet_versions(platform: &Platform) -> Result<Vec<PackVersion>> {
    let versions = pack_versions(&platform.database).await?;
    let pending = pending_tenants(platform, &Selection::default()).await?;
    let of = |code: &String, version: i32| PackVersion {
        what: code.clone(),
        version,
        tenants: versions.iter().filter(|(name, ..)| name == code).map(|(.., tenants)| tenants).sum(),
        pending: pending.iter().filter(|item| item.pack == *code).count(),
    };
    Ok(platform.catalog.packs().iter().map(|pack| of(&pack.manifest.code, pack.version())).collect())
}
