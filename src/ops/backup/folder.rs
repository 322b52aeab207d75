//! The folder of backups: `<folder>/<key of the tenant>/<moment>.backup`. A file in it is named by tenant and moment, and a
//! name is taken apart into both before a path is made of it: none leads out of the folder.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::Platform;
use super::super::life::task;
use super::file;
use super::piece::{Tell, Told};
use super::restore::{Restored, tenant_restore, tenant_restore_as};
use super::store::{self, Entry};
use super::take::{Saved, Target, backup_verify, save_as};
use crate::config;
use crate::db::By;
use crate::db::seal::SealingKey;
use crate::error::{Error, Result};
use crate::ident::Subdomain;

const MOMENT: &str = "%Y%m%dT%H%M%SZ";

/// `<key of the tenant>_<moment>`. In order, the oldest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackupName {
    taken: Timestamp,
    tenant: Uuid,
}

impl BackupName {
    fn now(tenant: Uuid) -> Self {
        Self { taken: Timestamp::now(), tenant }
    }

    fn path(&self, folder: &str) -> PathBuf {
        let file = format!("{}.backup", self.taken.strftime(MOMENT));
        Path::new(folder).join(self.tenant.to_string()).join(file)
    }

    /// Where it is, if it is among those that are listed.
    async fn find(self, settings: &config::Backup) -> Result<PathBuf> {
        if settings.folder.is_empty() {
            return Err(unknown());
        }
        let folder = PathBuf::from(&settings.folder);
        let work = spawn_blocking(move || names(&folder, Some(self.tenant)));
        let listed = work.await.map_err(Error::internal)?.map_err(|error| unusable(&settings.folder, &error))?;
        let there = listed.iter().any(|(name, _)| *name == self);
        if there { Ok(self.path(&settings.folder)) } else { Err(unknown()) }
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.tenant, self.taken.strftime(MOMENT))
    }
}

impl FromStr for BackupName {
    type Err = Error;

    /// Only what is written as we write it is a name.
    fn from_str(text: &str) -> Result<Self> {
        let (tenant, moment) = text.split_once('_').ok_or_else(unknown)?;
        let taken = DateTime::strptime(MOMENT, moment).and_then(|moment| moment.to_zoned(TimeZone::UTC));
        let name =
            Self { taken: taken.map_err(|_| unknown())?.timestamp(), tenant: tenant.parse().map_err(|_| unknown())? };
        if name.to_string() == text { Ok(name) } else { Err(unknown()) }
    }
}

fn unknown() -> Error {
    Error::not_found().hint("`insula backup list` and GET /api/v1/backups name those that there are.")
}

/// A backup in the folder.
#[derive(Debug, Serialize)]
pub struct KeptBackup {
    /// What it is called.
    pub name: String,
    /// Whose data it is.
    pub tenant_id: Uuid,
    /// Bytes of the file.
    pub bytes: u64,
    /// When it was begun (RFC 3339).
    pub taken_at: String,
    /// Its tenant's name in URLs at the time.
    pub subdomain: Option<String>,
    /// The program that made it.
    pub program: Option<String>,
    /// Rows of all tables.
    pub rows: Option<u64>,
    /// Versions of the packs.
    pub packs: BTreeMap<String, i32>,
    /// Why its beginning cannot be read.
    pub fault: Option<String>,
}

/// The backups of a tenant, or of all, the newest first, behind one of them; one more than `limit` when there are more.
pub async fn backup_list(
    platform: &Platform,
    settings: &config::Backup,
    tenant: Option<Uuid>,
    after: Option<BackupName>,
    limit: usize,
) -> Result<Vec<KeptBackup>> {
    if settings.folder.is_empty() {
        return Ok(Vec::new());
    }
    let (folder, key) = (settings.folder.clone(), platform.database.sealing().clone());
    let work = move || {
        let mut names = names(Path::new(&folder), tenant)?;
        names.retain(|(name, _)| after.is_none_or(|after| *name < after));
        names.sort_unstable_by(|one, other| other.cmp(one));
        names.truncate(limit.saturating_add(1));
        Ok(names.into_iter().map(|name| look_into(name, &folder, &key)).collect())
    };
    let listed: std::io::Result<_> = spawn_blocking(work).await.map_err(Error::internal)?;
    listed.map_err(|error| unusable(&settings.folder, &error))
}

/// Names of backups with the bytes of their files.
fn names(folder: &Path, only: Option<Uuid>) -> std::io::Result<Vec<(BackupName, u64)>> {
    let only = only.map(|tenant| tenant.to_string());
    let name = |entry: &Entry| {
        let name = format!("{}_{}", entry.folder, entry.file.strip_suffix(".backup")?);
        Some((name.parse().ok()?, entry.bytes))
    };
    Ok(store::list(folder, only.as_deref())?.iter().filter_map(name).collect())
}

fn look_into((name, bytes): (BackupName, u64), folder: &str, key: &SealingKey) -> KeptBackup {
    let (header, fault) = match file::header(&name.path(folder), key) {
        Ok(header) => (Some(header), None),
        Err(why) => (None, Some(why)),
    };
    let packs = header.iter().flat_map(|header| &header.packs).map(|held| (held.pack.clone(), held.version)).collect();
    KeptBackup {
        name: name.to_string(),
        tenant_id: name.tenant,
        bytes,
        taken_at: name.taken.to_string(),
        rows: header.as_ref().map(|header| header.rows()),
        packs,
        fault,
        subdomain: header.as_ref().map(|header| header.tenant.subdomain.clone()),
        program: header.map(|header| header.program),
    }
}

/// Saves a tenant into the folder.
///
/// # Errors
/// `conflict` when no folder is set.
pub async fn backup_save(
    platform: &Platform,
    settings: &config::Backup,
    tenant: Uuid,
    by: &By,
    stop: &CancellationToken,
    tell: Tell,
) -> Result<Saved> {
    if settings.folder.is_empty() {
        return Err(Error::conflict("There is no folder for backups.").hint("Set `backup.folder`."));
    }
    let resident = task::resident(platform, tenant).await?;
    let name = BackupName::now(tenant);
    let path = name.path(&settings.folder);
    let of_tenant = Path::new(&settings.folder).join(tenant.to_string());
    store::make_folder(&of_tenant).map_err(|error| unusable(&settings.folder, &error))?;
    let input = json!({ "backup": name.to_string(), "encrypted": settings.encrypt });
    save_as(platform, &resident, Target { path, encrypted: settings.encrypt, input, stop: stop.clone() }, by, tell)
        .await
}

pub(super) fn unusable(folder: &str, error: &std::io::Error) -> Error {
    Error::internal(format!("the folder of backups, {folder}: {error}"))
}

/// Reads a backup to its end, journaled like other long work.
pub async fn backup_try(
    platform: &Platform,
    settings: &config::Backup,
    name: BackupName,
    by: &By,
    tell: Tell,
) -> Result<u64> {
    let (path, text) = (name.find(settings).await?, name.to_string());
    let input = json!({ "backup": text });
    let operation = task::begin(platform, "backup.verify", "read", (name.tenant, &text), &input, by).await?;
    tell(Told::Begun(operation.id));
    match backup_verify(platform, &path, tell).await {
        Ok(verified) => task::succeed(operation).await.map(|()| verified.rows),
        Err(cause) => {
            task::fail(operation, &cause).await?;
            Err(cause)
        }
    }
}

/// Puts the data of a backup into the place of its tenant.
///
/// # Errors
/// `validation_failed` when the backup is not there, or is of another tenant.
pub async fn backup_restore(
    platform: &Platform,
    settings: &config::Backup,
    (tenant, name): (Uuid, &str),
    keep_days: u32,
    by: &By,
    tell: Tell,
) -> Result<Restored> {
    let refuse = |why: &str| Error::validation().field("#/backup", "invalid_value", why);
    let name: BackupName = name.parse().map_err(|_| refuse("is not the name of a backup"))?;
    let path = name.find(settings).await.map_err(|error| match error.code() {
        "not_found" => refuse("is not among the backups"),
        _ => error,
    })?;
    let header = super::backup_header(platform, &path).await?;
    if name.tenant != tenant || header.tenant.id != tenant {
        return Err(refuse("is of another tenant"));
    }
    tenant_restore(platform, &path, keep_days, by, tell).await
}

/// Makes another tenant of a backup.
pub async fn backup_restore_as(
    platform: &Platform,
    settings: &config::Backup,
    name: BackupName,
    new: (Subdomain, Option<String>),
    by: &By,
    tell: Tell,
) -> Result<Restored> {
    tenant_restore_as(platform, &name.find(settings).await?, new.0, new.1, by, tell).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_and_when_and_nothing_else() {
        let text = "0190a0b0-0000-7000-8000-000000000001_20260601T101112Z";
        let name: BackupName = text.parse().unwrap();
        assert_eq!(name.to_string(), text);
        let path = name.path("/srv/backups").display().to_string();
        assert_eq!(path, "/srv/backups/0190a0b0-0000-7000-8000-000000000001/20260601T101112Z.backup");
        for bad in [
            "",
            "_",
            "../0190a0b0-0000-7000-8000-000000000001_20260601T101112Z",
            "0190a0b0-0000-7000-8000-000000000001_../../etc/passwd",
            "0190a0b0-0000-7000-8000-000000000001_20260601T101112Z/..",
            "0190a0b0-0000-7000-8000-000000000001_20260601T101112Z.backup",
            "0190A0B0-0000-7000-8000-000000000001_20260601T101112Z",
            "0190a0b0000070008000000000000001_20260601T101112Z",
            "0190a0b0-0000-7000-8000-000000000001_20261301T101112Z",
            "0190a0b0-0000-7000-8000-000000000001_20260601T101112Z\0",
        ] {
            assert_eq!(bad.parse::<BackupName>().unwrap_err().code(), "not_found", "{bad}");
        }
    }
}
