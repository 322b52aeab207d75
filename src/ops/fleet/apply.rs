//! One pack of one tenant: its pending files, its rights, its version, in one transaction.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::Row;

use super::super::life::fault::reach;
use super::super::{Platform, modules};
use super::pending::Pending;
use super::{Pace, record};
use crate::db::{Apart, Database, Failure, Place, Transaction};
use crate::error::{Error, Result};
use crate::pack::{File, Pack, audit_sql, offers_digest, offers_sql};

/// How often work is begun that others stand in the way of.
const ATTEMPTS: u32 = 5;

/// The first wait between attempts; each is twice as long as the one before, give or take a half.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// An index that is made beside the work of others waits for all of it, and nobody waits for the index.
const BESIDE: &str =
    "set lock_timeout = '2min'; set statement_timeout = '60min'; set client_connection_check_interval = '1s';";

/// Why a pack of a tenant could not be brought up to date.
#[derive(Debug)]
pub struct Fault {
    /// The file at fault, where it was one.
    pub file: Option<String>,
    /// SQLSTATE; empty when there was no answer.
    pub sqlstate: String,
    /// What the server said.
    pub message: String,
    /// Backends that held locks in the schema.
    pub blocked_by: Vec<i32>,
    /// Whether others stood in the way: the next run tries again.
    pub passing: bool,
}

impl Fault {
    fn of(file: Option<&File>, failure: Failure) -> Self {
        Self {
            file: file.map(|file| file.name.clone()),
            sqlstate: failure.code().to_owned(),
            passing: failure.is_in_the_way() || failure.is_connection(),
            message: failure.message,
            blocked_by: Vec::new(),
        }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::of(None, failure)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let message = format!("{} {}", error.message(), error.private_context()).trim().to_owned();
        let passing = error.kind() == crate::error::Kind::Unavailable;
        Self { file: None, sqlstate: String::new(), message, blocked_by: Vec::new(), passing }
    }
}

/// Brings a pack of a tenant to its newest version, and writes down what came of it.
pub(super) async fn bring_up(platform: &Platform, item: &Pending, pace: &Pace) -> Result<(), Fault> {
    let Some(pack) = platform.catalog.packs().get(&item.pack) else { return Ok(()) };
    let mut wait = FIRST_WAIT;
    for attempt in 1.. {
        let mut fault = match advance(platform, item, pack, pace, attempt).await {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        if fault.passing && attempt < ATTEMPTS {
            sleep(jittered(wait)).await;
            wait *= 2;
            continue;
        }
        if let Err(error) = record::failure(platform, item, attempt, &mut fault).await {
            tracing::warn!(
                tenant = item.subdomain,
                context = error.private_context(),
                "cannot write down a failure: {error}"
            );
        }
        return Err(fault);
    }
    Ok(())
}

/// Half of it to one and a half: runners that met once do not meet again.
fn jittered(wait: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    wait.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX))
}

/// Goes on from where the tenant is, whoever brought it there, to the newest version.
async fn advance(platform: &Platform, item: &Pending, pack: &Pack, pace: &Pace, attempt: u32) -> Result<(), Fault> {
    loop {
        let mut tx = platform.database.control().await?.begin().await?;
        let done = stretch(platform, &mut tx, item, pack, pace, attempt).await;
        match done {
            Ok(Next::Done) => {
                reach("migrate.end")?;
                return Ok(tx.commit().await?);
            }
            Ok(Next::More) => tx.commit().await?,
            Ok(Next::Apart(version)) => {
                drop(tx.rollback().await?);
                apart(&platform.database, &item.place, &pack.files[version]).await?;
                let mut tx = platform.database.control().await?.begin().await?;
                let ended = end_apart(platform, &mut tx, item, pack, version, pace, attempt).await;
                match ended {
                    Ok(()) => tx.commit().await?,
                    Err(fault) => {
                        drop(tx.rollback().await?);
                        return Err(fault);
                    }
                }
            }
            Err(fault) => {
                // What PostgreSQL refused is undone; a connection that is gone cannot be asked.
                if !fault.sqlstate.is_empty() {
                    drop(tx.rollback().await?);
                }
                return Err(fault);
            }
        }
    }
}

enum Next {
    /// The newest version, or a tenant that is no longer there.
    Done,
    /// There are further files.
    More,
    /// The file behind this version runs outside a transaction.
    Apart(usize),
}

/// Everything up to the next file that cannot be part of a transaction.
async fn stretch(
    platform: &Platform,
    tx: &mut Transaction,
    item: &Pending,
    pack: &Pack,
    pace: &Pace,
    attempt: u32,
) -> Result<Next, Fault> {
    let Some(now) = enter(tx, item, pace).await? else { return Ok(Next::Done) };
    let version = now.version;
    let files = pack.files.get(version..).unwrap_or_default();
    if files.is_empty() {
        return Ok(Next::Done);
    }
    // A new schema has no rows and nobody to disturb.
    let end = if version == 0 { None } else { files.iter().position(|file| file.steps.is_some()) };
    if end == Some(0) {
        return Ok(Next::Apart(version));
    }
    run_files(tx, &item.place, &files[..end.unwrap_or(files.len())]).await?;
    let reached = version + end.unwrap_or(files.len());
    arrive(platform, tx, item, pack, (&now, reached), attempt).await?;
    Ok(if end.is_some() { Next::More } else { Next::Done })
}

async fn run_files(tx: &mut Transaction, place: &Place, files: &[File]) -> Result<(), Fault> {
    for file in files {
        let sql = format!("{}{}\n{}", modules::seat_sql(place), file.in_transaction(), modules::LEAVE_SEAT);
        tx.batch(&sql).await.map_err(|failure| Fault::of(Some(file), failure))?;
    }
    Ok(())
}

/// All of it in one transaction, which the caller undoes.
pub(super) async fn try_out(
    platform: &Platform,
    tx: &mut Transaction,
    item: &Pending,
    pace: &Pace,
) -> Result<(), Fault> {
    let Some(pack) = platform.catalog.packs().get(&item.pack) else { return Ok(()) };
    let Some(now) = enter(tx, item, pace).await? else { return Ok(()) };
    run_files(tx, &item.place, pack.files.get(now.version..).unwrap_or_default()).await?;
    arrive(platform, tx, item, pack, (&now, pack.files.len()), 1).await
}

/// Where a tenant is.
struct Now {
    version: usize,
    /// Which roles the pack has offered.
    offered: Option<Vec<u8>>,
}

/// Locks the tenant and looks where it is now; nothing for one that is being removed.
///
/// The disk is not waited for: a server that crashes loses the work together with its record, and the end of the run, which
/// does wait, makes everything before it last.
async fn enter(tx: &mut Transaction, item: &Pending, pace: &Pace) -> Result<Option<Now>, Fault> {
    let limits = format!(
        "set local statement_timeout = '15min'; set local idle_in_transaction_session_timeout = '2min';
         set local lock_timeout = '{}ms'; set local synchronous_commit = off; select pg_advisory_xact_lock({})",
        pace.lock_timeout.as_millis().max(1),
        modules::lock_key(item.place.tenant)
    );
    tx.batch(&limits).await?;
    let sql = "select coalesce(p.version, 0), p.offered from public.tenants t
        left join public.tenant_packs p on p.tenant_id = t.id and p.pack = $2
        where t.id = $1 and t.state in ('active', 'suspended')";
    let rows = tx.query_kept(sql, &[&item.place.tenant, &item.pack]).await?;
    let read = |row: &Row| Now { version: usize::try_from(row.get::<_, i32>(0)).unwrap_or(0), offered: row.get(1) };
    Ok(rows.first().map(read))
}

/// The version is written down; with the newest one come audit, roles and rights.
async fn arrive(
    platform: &Platform,
    tx: &mut Transaction,
    item: &Pending,
    pack: &Pack,
    (now, to): (&Now, usize),
    attempt: u32,
) -> Result<(), Fault> {
    let number = |version| i32::try_from(version).unwrap_or(i32::MAX);
    let last = to == pack.files.len();
    let mut sql = modules::seat_sql(&item.place);
    if last && now.offered.as_deref() != Some(&offers_digest(pack)) {
        sql.push_str(&offers_sql(pack, item.from == 0));
    }
    sql.push_str(&audit_sql(&platform.catalog, &item.place));
    sql.push_str(modules::LEAVE_SEAT);
    tx.batch(&sql).await?;
    modules::record_version(tx, item.place.tenant, pack, number(to)).await?;
    if last {
        modules::give_rights(platform, tx, &item.place).await?;
    }
    Ok(record::success(tx, item, (number(now.version), number(to)), attempt).await?)
}

/// The indexes of a file, one by one; those that an earlier attempt finished are left as they are.
async fn apart(database: &Database, place: &Place, file: &File) -> Result<(), Fault> {
    let session = Apart::open(database).await?;
    let prepare = format!(
        "{BESIDE} select pg_advisory_lock({}); set role {}; set search_path = {}, insula, pg_temp",
        modules::lock_key(place.tenant),
        place.owner,
        place.schema
    );
    session.batch(&prepare).await?;
    let blame = |failure| Fault::of(Some(file), failure);
    for step in file.steps.iter().flatten() {
        let sql = "select x.indisvalid from pg_index x join pg_class c on c.oid = x.indexrelid
            where c.relnamespace = current_schema()::regnamespace and c.relname = $1";
        let found = session.query_opt(sql, &[&step.index.as_str()]).await.map_err(blame)?;
        let valid = found.map(|row| row.get::<_, bool>(0));
        match (step.makes, valid) {
            (true, Some(true)) | (false, None) => continue,
            // An attempt that died left it half made: it costs writers and serves nobody.
            (true, Some(false)) => {
                session.batch(&format!("drop index concurrently {}", step.index)).await.map_err(blame)?;
            }
            _ => {}
        }
        session.batch(&step.sql).await.map_err(blame)?;
    }
    Ok(())
}

async fn end_apart(
    platform: &Platform,
    tx: &mut Transaction,
    item: &Pending,
    pack: &Pack,
    version: usize,
    pace: &Pace,
    attempt: u32,
) -> Result<(), Fault> {
    // Somebody else may have gone on from here meanwhile.
    match enter(tx, item, pace).await? {
        Some(now) if now.version == version => arrive(platform, tx, item, pack, (&now, version + 1), attempt).await,
        _ => Ok(()),
    }
}
