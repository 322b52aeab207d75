//! A tenant is deleted: first only out of reach, with time to think again, then erased.

use serde_json::json;
use uuid::Uuid;

use super::super::Platform;
use super::super::journal::{Operation, conclude};
use super::super::lifecycle::end_operations;
use super::fault::reach;
use super::rename::{done, quarantine};
use super::task::{self, Resident};
use crate::db::{By, Transaction};
use crate::error::{Error, Result};
use crate::ident::Ident;

/// Takes a tenant out of service; after so many days it may be purged. Gives that moment (RFC 3339).
pub async fn tenant_delete(platform: &Platform, tenant: Uuid, grace_days: u32, by: &By) -> Result<String> {
    let mut tx = platform.database.control().await?.begin_by(by).await?;
    let resident = task::hold(&mut tx, tenant).await?;
    task::in_use(&resident)?;
    let sql = "update public.tenants
        set state = 'deleting', state_before = state, deleted_at = now(), purge_at = now() + make_interval(days => $2)
        where id = $1 returning to_char(purge_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
    let days = i32::try_from(grace_days).map_err(Error::internal)?;
    let purge_at: String = tx.query(sql, &[&tenant, &days]).await?.remove(0).get(0);
    tx.execute("delete from public.impersonations where tenant_id = $1", &[&tenant]).await?;
    end_operations(&mut tx, tenant).await?;
    let input = json!({ "purge_at": purge_at });
    done(&mut tx, "tenant.delete", (tenant, &resident.subdomain), &input, by).await?;
    reach("tenant.delete.end")?;
    tx.commit().await?;
    Ok(purge_at)
}

/// Brings back a tenant whose deletion has not come to its end.
pub async fn tenant_undelete(platform: &Platform, tenant: Uuid, by: &By) -> Result<()> {
    let mut tx = platform.database.control().await?.begin_by(by).await?;
    let resident = task::hold(&mut tx, tenant).await?;
    deleting(&resident)?;
    let sql = "update public.tenants
        set state = coalesce(state_before, 'active'), state_before = null, deleted_at = null, purge_at = null,
          suspended_reason = case when state_before = 'suspended' then suspended_reason end
        where id = $1";
    tx.execute(sql, &[&tenant]).await?;
    done(&mut tx, "tenant.undelete", (tenant, &resident.subdomain), &json!({}), by).await?;
    Ok(tx.commit().await?)
}

fn deleting(resident: &Resident) -> Result<()> {
    if resident.state == "deleting" {
        return Ok(());
    }
    let Resident { subdomain, state, .. } = resident;
    Err(Error::conflict(format!("The tenant `{subdomain}` is {state}, not being deleted."))
        .hint(format!("`insula tenant delete {subdomain}` comes first.")))
}

/// Erases a tenant that is being deleted, at once and for ever: schema, role, everything that the registry knows of it.
/// What stays is its key, its name for 90 days, and what was billed.
///
/// It is one transaction: a process that dies in it leaves the tenant as it was, to be purged by the next.
pub async fn tenant_purge(platform: &Platform, tenant: Uuid, by: &By) -> Result<()> {
    let resident = task::resident(platform, tenant).await?;
    deleting(&resident)?;
    let subject = (tenant, resident.subdomain.as_str());
    let operation = task::begin(platform, "tenant.purge", "erase", subject, &json!({}), by).await?;
    let id = operation.id;
    reach("tenant.purge.erase")?;
    let mut tx = operation.control.begin_by(by).await?;
    match erase(&mut tx, tenant).await {
        Ok(()) => {
            conclude(&mut tx, id, "succeeded", None).await?;
            reach("tenant.purge.end")?;
            Operation { id, control: tx.commit_and_keep().await? }.end().await
        }
        Err(cause) => {
            task::fail(Operation { id, control: tx.rollback().await? }, &cause).await?;
            Err(cause)
        }
    }
}

async fn erase(tx: &mut Transaction, tenant: Uuid) -> Result<()> {
    tx.take_time().await?;
    // The bucket first, as a creation does: who wants its place waits instead of closing a circle.
    let uncount = "update public.buckets b set tenant_count = b.tenant_count - 1
        from public.tenants t where t.id = $1 and t.state = 'deleting' and b.id = t.bucket_id";
    tx.execute(uncount, &[&tenant]).await?;
    let resident = task::hold(tx, tenant).await?;
    deleting(&resident)?;
    let place = &resident.place;
    let shelved = tx.query("select schema_name from public.shelved_schemas where tenant_id = $1", &[&tenant]).await?;
    let mut schemas = vec![place.schema.clone()];
    for row in &shelved {
        schemas.push(Ident::new(row.get::<_, String>(0))?);
    }
    for schema in &schemas {
        tx.batch(&format!("drop schema if exists {schema} cascade")).await?;
        tx.execute("delete from public.audit_anchors where chain = $1", &[&schema.as_str()]).await?;
    }
    tx.batch(&format!("drop role if exists {}", place.role)).await?;
    quarantine(tx, tenant, &resident.subdomain, None).await?;
    tx.query("select public.tenant_forget($1)", &[&tenant]).await?;
    tx.query("select pg_notify('insula', 'access:' || $1)", &[&place.schema.as_str()]).await?;
    Ok(())
}
