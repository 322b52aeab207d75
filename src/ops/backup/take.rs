//! A tenant is saved into a file; a file is looked at from beginning to end.

use std::path::{Path, PathBuf};
use std::pin::pin;

use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::Platform;
use super::super::life::fault::reach;
use super::super::life::task::{self, Resident};
use super::file;
use super::header::Header;
use super::piece::{Piece, Progress, Tell, Told, way};
use super::save;
use crate::db::By;
use crate::error::Result;

/// What was saved.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Bytes of the file.
    pub bytes: u64,
    /// What the file begins with.
    pub header: Header,
}

/// Where a tenant is saved to.
pub struct Target {
    /// The file; one that is there is replaced.
    pub path: PathBuf,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// What the journal says of it.
    pub input: Json,
    /// When it is given up, of which nothing stays then.
    pub stop: CancellationToken,
}

/// Saves a tenant into a file that appears when it is whole, unless it is to `stop` before. Whoever works in the tenant is
/// not disturbed; its migration waits.
pub async fn tenant_backup(
    platform: &Platform,
    tenant: Uuid,
    path: PathBuf,
    encrypted: bool,
    by: &By,
    stop: &CancellationToken,
    tell: Tell,
) -> Result<Saved> {
    let resident = task::resident(platform, tenant).await?;
    let input = json!({ "encrypted": encrypted });
    save_as(platform, &resident, Target { path, encrypted, input, stop: stop.clone() }, by, tell).await
}

/// The same for a tenant that was looked up.
pub async fn save_as(platform: &Platform, resident: &Resident, target: Target, by: &By, tell: Tell) -> Result<Saved> {
    task::in_use(resident)?;
    let subject = (resident.place.tenant, resident.subdomain.as_str());
    let operation = task::begin(platform, "tenant.backup", "save", subject, &target.input, by).await?;
    tell(Told::Begun(operation.id));
    reach("tenant.backup.save")?;
    let (giver, pieces) = way();
    let reading = tokio::spawn(save::read(platform.clone(), resident.place.clone(), giver, tell));
    let key = target.encrypted.then(|| platform.database.sealing().clone());
    let mut writing = pin!(file::write(target.path, key, pieces));
    let outcome = tokio::select! {
        outcome = &mut writing => outcome,
        () = target.stop.cancelled() => {
            reading.abort();
            writing.await
        }
    };
    // On a failure of the writer the reader stands still before a way that leads nowhere.
    reading.abort();
    match outcome {
        Ok(written) => {
            reach("tenant.backup.end")?;
            task::succeed(operation).await?;
            Ok(Saved { bytes: written.bytes, header: written.header })
        }
        Err(cause) => {
            task::fail(operation, &cause).await?;
            Err(cause)
        }
    }
}

/// What a sound backup holds.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What it begins with.
    pub header: Header,
    /// Rows of all tables.
    pub rows: u64,
}

/// Reads a backup to its end: whether it is whole, undamaged, and holds what it says. Touches no tenant.
pub async fn backup_verify(platform: &Platform, path: &Path, tell: Tell) -> Result<Verified> {
    let mut pieces = file::read(path.to_owned(), platform.database.sealing().clone());
    let header = pieces.header().await?;
    let (of, mut rows) = (header.rows(), 0);
    loop {
        match pieces.next().await? {
            Piece::End(tally) => {
                rows += tally.rows;
                tell(Told::Rows(Progress { rows, of }));
            }
            Piece::Finish => return Ok(Verified { header, rows }),
            Piece::Header(_) | Piece::Table(_) | Piece::Rows(_) => {}
        }
    }
}
