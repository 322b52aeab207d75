//! Whether a manifest can be served from the version that `min_version` names.

use super::check::Complaint;
use super::source::{Pack, Packs};
use super::template::{Shape, assemble, build, read};
use crate::db::Transaction;
use crate::error::Result;

/// Every pack at its oldest version that is served; dropped when it has been looked at.
const SCHEMA: &str = "insula_lagging";

/// Whether a pack that is not the binary's own can be served at an older version. Those of the binary were looked at
/// before the binary was built.
pub(super) fn of_strangers(packs: &Packs) -> bool {
    packs.iter().any(|pack| !pack.is_built_in() && pack.min_version() < pack.version())
}

/// Builds what tenants that are behind have, and looks for what manifests need and is not there.
pub(super) async fn check(tx: &mut Transaction, packs: &Packs, newest: &Shape) -> Result<Vec<Complaint>> {
    let oldest = match build(tx, SCHEMA, packs, Pack::min_version).await? {
        Err(complaint) => return Ok(vec![complaint]),
        Ok(()) => read(tx, SCHEMA).await?,
    };
    tx.batch(&format!("drop schema {SCHEMA} cascade")).await?;
    let mut complaints = assemble(packs.clone(), &oldest).err().unwrap_or_default();
    complaints.extend(packs.iter().filter_map(|pack| newer_column(pack, &oldest, newest)));
    Ok(complaints)
}

/// What the service reads is what the newest version has: the oldest must have every column of it.
fn newer_column(pack: &Pack, oldest: &Shape, newest: &Shape) -> Option<Complaint> {
    let views = pack.manifest.report.values().filter_map(|report| report.view.as_ref());
    let tables = pack.manifest.resource.values().map(|resource| &resource.table).chain(views);
    let (table, column) =
        tables.flat_map(|table| Some((table, newest.relations.get(table)?))).find_map(|(table, new)| {
            let old = oldest.relations.get(table)?;
            let has =
                |name: &str, kind: &str| old.columns.iter().any(|column| column.name == name && column.r#type == kind);
            let missing = new.columns.iter().find(|column| !has(&column.name, &column.r#type))?;
            Some((table, &missing.name))
        })?;
    let version = pack.min_version();
    let why = format!("version {version} cannot be served: `{table}.{column}` came later, or has another type since");
    Some(Complaint::in_manifest(pack, "min_version", why))
}
