//! A restore is taken back: what it put aside gets its place again, and what it brought is put aside in turn.

use serde_json::json;
use uuid::Uuid;

use super::super::journal::{Operation, conclude};
use super::super::life::{fault::reach, task};
use super::super::{Platform, modules};
use super::load::enter;
use super::piece::{Tell, Told};
use super::swap;
use crate::db::{By, Place, Transaction};
use crate::error::{Error, Result};
use crate::ident::Ident;

/// Brings back the data that the last restore of a tenant put aside; gives the moment of that restore (RFC 3339).
///
/// # Errors
/// `conflict` when there was none, or when what it put aside is gone.
pub async fn tenant_unrestore(
    platform: &Platform,
    tenant: Uuid,
    keep_days: u32,
    by: &By,
    tell: Tell,
) -> Result<String> {
    let resident = task::resident(platform, tenant).await?;
    task::in_use(&resident)?;
    let subject = (tenant, resident.subdomain.as_str());
    let operation = task::begin(platform, "tenant.unrestore", "swap", subject, &json!({}), by).await?;
    let id = operation.id;
    tell(Told::Begun(id));
    reach("tenant.unrestore.swap")?;
    let mut tx = operation.control.begin_by(by).await?;
    match bring_back(platform, &mut tx, &resident.place, keep_days, by).await {
        Ok(since) => {
            conclude(&mut tx, id, "succeeded", None).await?;
            reach("tenant.unrestore.end")?;
            Operation { id, control: tx.commit_and_keep().await? }.end().await?;
            Ok(since)
        }
        Err(cause) => {
            task::fail(Operation { id, control: tx.rollback().await? }, &cause).await?;
            Err(cause)
        }
    }
}

async fn bring_back(
    platform: &Platform,
    tx: &mut Transaction,
    place: &Place,
    keep_days: u32,
    by: &By,
) -> Result<String> {
    tx.take_time().await?;
    modules::lock_tenant(tx, place.tenant).await?;
    let sql = "delete from public.shelved_schemas where schema_name = (
          select schema_name from public.shelved_schemas where tenant_id = $1 order by shelved_at desc limit 1)
        returning schema_name, audit_seq, audit_origin, packs, to_char(shelved_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
    let row = tx.query_opt(sql, &[&place.tenant]).await?.ok_or_else(|| {
        Error::conflict("Nothing is kept that a restore has put aside.")
            .hint("`insula tenant restore FILE` restores a backup.")
    })?;
    let (back, parted, since): (Ident, i64, String) = (Ident::new(row.get::<_, String>(0))?, row.get(1), row.get(4));
    let shelf = swap::put_aside(tx, place, keep_days).await?;
    let Place { schema, role, owner, .. } = place;
    tx.batch(&format!(
        "alter schema {back} rename to {schema}; set local role {owner}; grant usage on schema {schema} to {role}; reset role"
    ))
    .await?;
    let sql = "insert into public.tenant_packs (tenant_id, pack, version)
        select $1, key, value::int from jsonb_each_text($2)";
    tx.execute(sql, &[&place.tenant, &row.get::<_, serde_json::Value>(3)]).await?;
    modules::give_rights(platform, tx, place).await?;
    swap::exchange(tx, place, &shelf, parted).await?;
    crate::audit::move_anchors(tx, back.as_str(), schema.as_str(), 0).await?;
    let sql = "update public.tenants set restored_from = null, audit_origin = $2 where id = $1";
    tx.execute(sql, &[&place.tenant, &row.get::<_, Option<String>>(2)]).await?;
    enter(tx, place, "unrestore", &json!({ "since": since, "by": by.name, "shelved": shelf.as_str() })).await?;
    Ok(since)
}
