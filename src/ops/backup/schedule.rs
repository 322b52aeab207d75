//! Backups that the service makes by itself, into the [folder](super::folder).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::Platform;
use super::folder::{backup_save, unusable};
use super::piece::quiet;
use super::store::{self, Entry, PARTIAL};
use crate::config;
use crate::db::{By, Lock};
use crate::error::{Error, Result};

/// One process at a time makes them.
const LOCK: i64 = Lock::Backups.key();

/// How the journal calls who asked for them.
const ACTOR: &str = "schedule";

/// After a failure the next try has so much time, in hours.
const AGAIN_HOURS: i32 = 1;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Saves the tenants whose last backup is too old, until it is to `stop`. Gives what was done, for the log.
pub async fn scheduled_backups(
    platform: &Platform,
    settings: &config::Backup,
    stop: &CancellationToken,
) -> Result<Vec<String>> {
    if settings.folder.is_empty() {
        return Ok(Vec::new());
    }
    let mut control = platform.database.control().await?;
    if !control.try_lock(LOCK).await? {
        return Ok(Vec::new());
    }
    let sql = "select t.id, t.subdomain from public.tenants t
        where t.state in ('active', 'suspended') and not t.sandbox and not exists (
          select from public.operations o
          where o.tenant_id = t.id and o.kind = 'tenant.backup' and o.actor = $1
            and o.created_at > now() - make_interval(hours => case when o.state = 'succeeded' then $2::int else least($2::int, $3::int) end))
        order by t.subdomain";
    let hours = i32::try_from(settings.every_hours).map_err(Error::internal)?;
    let due = control.query(sql, &[&ACTOR, &hours, &AGAIN_HOURS]).await?;
    let mut done = Vec::new();
    for row in due.iter().take_while(|_| !stop.is_cancelled()) {
        let (tenant, subdomain): (Uuid, String) = (row.get(0), row.get(1));
        match save(platform, settings, tenant, stop).await {
            Ok(rows) => done.push(format!("saved {subdomain}: {rows} rows")),
            Err(error) => {
                tracing::warn!(subdomain, context = error.private_context(), "a tenant could not be saved: {error}");
            }
        }
    }
    control.unlock(LOCK).await?;
    Ok(done)
}

async fn save(platform: &Platform, settings: &config::Backup, tenant: Uuid, stop: &CancellationToken) -> Result<u64> {
    let by = By { name: ACTOR.to_owned(), origin: None };
    Ok(backup_save(platform, settings, tenant, &by, stop, quiet()).await?.header.rows())
}

/// Removes files that are too old, and what is left of tenants that were erased. Gives what was done, for the log.
pub async fn outdated_backups(platform: &Platform, settings: &config::Backup) -> Result<Vec<String>> {
    if settings.folder.is_empty() {
        return Ok(Vec::new());
    }
    let mut control = platform.database.control().await?;
    if !control.try_lock(LOCK).await? {
        return Ok(Vec::new());
    }
    let erased = control.query("select id::text from public.tenants where state = 'deleted'", &[]).await?;
    let erased: Vec<String> = erased.iter().map(|row| row.get(0)).collect();
    let (folder, keep) = (PathBuf::from(&settings.folder), DAY * settings.keep_days);
    let cleaned = spawn_blocking(move || clean(&folder, &erased, keep)).await.map_err(Error::internal)?;
    control.unlock(LOCK).await?;
    cleaned.map_err(|error| unusable(&settings.folder, &error))
}

/// What cannot be removed is left for the next time, and holds up nothing else.
fn clean(root: &Path, erased: &[String], keep: Duration) -> io::Result<Vec<String>> {
    let mut done = Vec::new();
    for (tenant, files) in by_tenant(root)? {
        let cleaned = if erased.contains(&tenant) {
            let told = format!("removed the backups of {tenant}, which was erased");
            store::remove_folder(&root.join(&tenant)).map(|()| done.push(told))
        } else {
            thin_out(root, files, keep, &mut done)
        };
        if let Err(error) = cleaned {
            tracing::warn!(tenant, "backups that are too old stay: {error}");
        }
    }
    Ok(done)
}

/// The newest backup of a tenant stays, however old it is.
fn thin_out(root: &Path, mut files: Vec<Entry>, keep: Duration, done: &mut Vec<String>) -> io::Result<()> {
    files.sort_unstable_by(|one, other| one.file.cmp(&other.file));
    let newest = files.iter().rposition(|file| file.file.ends_with(".backup"));
    for (at, file) in files.iter().enumerate() {
        let most = match &file.file {
            name if name.ends_with(".backup") && Some(at) != newest => keep,
            // Of a process that died in the middle.
            name if name.ends_with(PARTIAL) => DAY,
            _ => continue,
        };
        if SystemTime::now().duration_since(file.modified).unwrap_or_default() > most {
            store::remove(&file.path(root))?;
            done.push(format!("removed {}", file.path(root).display()));
        }
    }
    Ok(())
}

fn by_tenant(root: &Path) -> io::Result<BTreeMap<String, Vec<Entry>>> {
    let mut tenants: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in store::list(root, None)? {
        if entry.folder.parse::<Uuid>().is_ok() {
            tenants.entry(entry.folder.clone()).or_default().push(entry);
        }
    }
    Ok(tenants)
}
