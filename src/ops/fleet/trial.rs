//! What a migration would do: its SQL, and whether it runs, in a transaction that is undone.

use serde_json::{Value as Json, json};

use super::super::Platform;
use super::pending::Pending;
use super::{Order, apply};
use crate::error::{Error, Result};

/// A migration that was tried on one tenant and undone.
pub struct Rehearsal {
    /// The tenant.
    pub subdomain: String,
    /// File with its pack, and its SQL, in order.
    pub files: Vec<(String, String)>,
    /// What stood in the way.
    pub fault: Option<apply::Fault>,
}

impl Rehearsal {
    /// The SQL, and what stood in the way.
    pub fn json(&self) -> Json {
        let files: Vec<Json> = self.files.iter().map(|(name, sql)| json!({ "file": name, "sql": sql })).collect();
        let error = self
            .fault
            .as_ref()
            .map(|fault| json!({ "file": fault.file, "sqlstate": fault.sqlstate, "message": fault.message }));
        json!({ "subdomain": self.subdomain, "files": files, "error": error })
    }
}

/// Tries what is pending on the tenant that is meant, or on the first. Nothing of it stays.
///
/// Indexes that would be made beside the work of others are made in the transaction here.
pub async fn rehearse(platform: &Platform, order: &Order) -> Result<Option<Rehearsal>> {
    let (selection, pace) = (&order.selection(), &order.pace());
    super::verify_files(platform, selection.tenant.as_deref()).await?;
    let pending = super::pending_tenants(platform, selection).await?;
    let Some(first) = pending.iter().find(|item| selection.takes(item)) else { return Ok(None) };
    let items: Vec<&Pending> = pending.iter().filter(|item| item.subdomain == first.subdomain).collect();
    let mut files = Vec::new();
    for item in &items {
        let pack = platform.catalog.packs().get(&item.pack).ok_or_else(Error::not_found)?;
        let done = usize::try_from(item.from).unwrap_or(0);
        let pending = pack.files.iter().skip(done);
        files.extend(pending.map(|file| (format!("{}/{}", item.pack, file.name), file.sql.clone())));
    }
    let mut tx = platform.database.control().await?.begin().await?;
    let mut fault = None;
    for item in items {
        if let Err(found) = apply::try_out(platform, &mut tx, item, pace).await {
            fault = Some(found);
            break;
        }
    }
    if fault.is_none() {
        // What waits for the end of a transaction is checked here.
        fault = tx.batch("set constraints all immediate").await.err().map(Into::into);
    }
    drop(tx.rollback().await?);
    Ok(Some(Rehearsal { subdomain: first.subdomain.clone(), files, fault }))
}
