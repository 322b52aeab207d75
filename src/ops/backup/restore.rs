//! Restoring: into the place of a tenant, whose present data is put aside, or as another tenant.
//!
//! In place, everything is one transaction: the schema that is served is renamed, the data is loaded into a new one of its
//! name, and until the end everybody else sees only the old one. The names of schema and role stay, and so does everything
//! that hangs on them.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use super::super::journal::{Operation, conclude};
use super::super::life::arrival::{Arrival, RESTORE, arrive};
use super::super::life::fault::reach;
use super::super::life::task::{self, Resident};
use super::super::{Platform, modules};
use super::file;
use super::header::Header;
use super::load::{enter, load};
use super::piece::{Pieces, Tell, Told};
use super::swap;
use crate::db::{By, Place, Transaction};
use crate::error::{Error, Result};
use crate::ident::Subdomain;

/// What of a tenant was restored.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Its key.
    pub tenant: Uuid,
    /// Its name in URLs.
    pub subdomain: String,
    /// What the backup is.
    pub header: Header,
    /// Where the data that it took the place of is kept, and for how many days.
    pub shelved: Option<(String, u32)>,
}

/// Looks into a backup: whose it is, without reading its rows.
pub async fn backup_header(platform: &Platform, path: &Path) -> Result<Header> {
    file::read(path.to_owned(), platform.database.sealing().clone()).header().await
}

/// Puts the data of a backup into the place of the tenant that it is of. What is there now is kept for `keep_days`.
///
/// # Errors
/// `conflict` when the file is damaged, of other packs, or does not hold together: then nothing has changed.
pub async fn tenant_restore(platform: &Platform, path: &Path, keep_days: u32, by: &By, tell: Tell) -> Result<Restored> {
    let mut pieces = file::read(path.to_owned(), platform.database.sealing().clone());
    let header = pieces.header().await?;
    let (platform, by) = (platform.clone(), by.clone());
    let work = async move { in_place(&platform, header, pieces, keep_days, &by, &tell).await };
    tokio::spawn(work).await.map_err(Error::internal)?
}

async fn in_place(
    platform: &Platform,
    header: Header,
    mut pieces: Pieces,
    keep_days: u32,
    by: &By,
    tell: &Tell,
) -> Result<Restored> {
    let Resident { place, subdomain, .. } = living(platform, &header).await?;
    let input = json!({ "made_at": header.made_at });
    let operation = task::begin(platform, "tenant.restore", "load", (place.tenant, &subdomain), &input, by).await?;
    let id = operation.id;
    tell(Told::Begun(id));
    reach("tenant.restore.load")?;
    let mut tx = operation.control.begin_by(by).await?;
    match replace(platform, &mut tx, &place, &header, &mut pieces, keep_days, by, tell).await {
        Ok(shelf) => {
            conclude(&mut tx, id, "succeeded", None).await?;
            reach("tenant.restore.swap")?;
            Operation { id, control: tx.commit_and_keep().await? }.end().await?;
            Ok(Restored { tenant: place.tenant, subdomain, header, shelved: Some((shelf, keep_days)) })
        }
        Err(cause) => {
            let control = tx.rollback().await?;
            task::fail(Operation { id, control }, &cause).await?;
            Err(cause)
        }
    }
}

/// The tenant of a backup, in service or suspended.
async fn living(platform: &Platform, header: &Header) -> Result<Resident> {
    let resident = task::resident(platform, header.tenant.id).await.map_err(|error| match error.code() {
        "tenant_not_found" => {
            let name = file::shown(&header.tenant.subdomain);
            Error::conflict(format!("The tenant of the backup, `{name}`, is not there."))
                .hint("Add --as NEWNAME to make it anew.")
        }
        _ => error,
    })?;
    task::in_use(&resident)?;
    Ok(resident)
}

#[expect(clippy::too_many_arguments, reason = "each is another thing")]
async fn replace(
    platform: &Platform,
    tx: &mut Transaction,
    place: &Place,
    header: &Header,
    pieces: &mut Pieces,
    keep_days: u32,
    by: &By,
    tell: &Tell,
) -> Result<String> {
    tx.take_time().await?;
    modules::lock_tenant(tx, place.tenant).await?;
    let shelf = swap::put_aside(tx, place, keep_days).await?;
    tx.batch(&format!("create schema {} authorization {};", place.schema, place.owner)).await?;
    load(platform, tx, place, header, pieces, None, tell).await?;
    swap::take_over(tx, place, &shelf, header).await?;
    enter(tx, place, "restore", &json!({ "made_at": header.made_at, "by": by.name, "shelved": shelf.as_str() }))
        .await?;
    Ok(shelf.as_str().to_owned())
}

/// Makes a tenant of a backup, whatever has become of the one that it is of.
pub async fn tenant_restore_as(
    platform: &Platform,
    path: &Path,
    subdomain: Subdomain,
    plan: Option<String>,
    by: &By,
    tell: Tell,
) -> Result<Restored> {
    let mut pieces = file::read(path.to_owned(), platform.database.sealing().clone());
    let header = pieces.header().await?;
    let arrival = Arrival {
        kind: RESTORE,
        name: header.tenant.name.clone(),
        subdomain,
        plan,
        sandbox: false,
        touch: None,
        by: by.clone(),
    };
    let header = Arc::new(header);
    let made = arrive(platform, arrival, header.clone(), pieces, tell).await?;
    Ok(Restored { tenant: made.id, subdomain: made.subdomain, header: (*header).clone(), shelved: None })
}
