//! A tenant gets another name in URLs. Schema and role keep theirs; the old address leads to the new one for a while, and
//! nobody else can have it for 90 days.

use serde_json::json;
use uuid::Uuid;

use super::super::Platform;
use super::super::provision::name_taken;
use super::fault::reach;
use super::task;
use crate::db::{By, Failure, Transaction};
use crate::error::{Error, Result};
use crate::ident::Subdomain;

/// Days for which nobody else can have a name that was given up.
pub const QUARANTINE_DAYS: i32 = 90;

/// Renames a tenant; gives the name that it had.
pub async fn tenant_rename(
    platform: &Platform,
    tenant: Uuid,
    new: &Subdomain,
    redirect_days: u32,
    by: &By,
) -> Result<String> {
    let mut tx = platform.database.control().await?.begin_by(by).await?;
    let resident = task::hold(&mut tx, tenant).await?;
    task::in_use(&resident)?;
    let old = resident.subdomain;
    if old == new.as_str() {
        return Err(Error::conflict(format!("The tenant has the name `{new}` already.")));
    }
    // A name that it gave up itself it may have again.
    let back = "delete from public.reserved_subdomains where subdomain = $1 and reason = 'quarantine' and (tenant_id = $2 or until <= now())";
    tx.execute(back, &[&new.as_str(), &tenant]).await?;
    let sql = "update public.tenants set subdomain = $2 where id = $1";
    if let Err(failure) = tx.execute(sql, &[&tenant, &new.as_str()]).await {
        drop(tx.rollback().await?);
        return Err(name_taken(new, failure));
    }
    quarantine(&mut tx, tenant, &old, Some(redirect_days)).await?;
    done(&mut tx, "tenant.rename", (tenant, new.as_str()), &json!({ "from": old }), by).await?;
    reach("tenant.rename.end")?;
    tx.commit().await?;
    Ok(old)
}

/// Keeps a name from others.
pub async fn quarantine(
    tx: &mut Transaction,
    tenant: Uuid,
    name: &str,
    redirect_days: Option<u32>,
) -> Result<(), Failure> {
    let sql = "insert into public.reserved_subdomains (subdomain, reason, until, tenant_id, redirect_until)
        values ($1, 'quarantine', now() + make_interval(days => $3), $2, now() + make_interval(days => $4))
        on conflict (subdomain) do update set until = excluded.until, tenant_id = excluded.tenant_id,
          redirect_until = excluded.redirect_until
        where reserved_subdomains.reason = 'quarantine'";
    let redirect = redirect_days.map(|days| i32::try_from(days).unwrap_or(QUARANTINE_DAYS).min(QUARANTINE_DAYS));
    tx.execute(sql, &[&name, &tenant, &QUARANTINE_DAYS, &redirect]).await.map(drop)
}

/// Writes down work that is a single transaction, in it.
pub async fn done(
    tx: &mut Transaction,
    kind: &str,
    subject: (Uuid, &str),
    input: &serde_json::Value,
    by: &By,
) -> Result<(), Failure> {
    let sql = "insert into public.operations (kind, tenant_id, subject, state, input, actor, finished_at)
        values ($1, $2, $3, 'succeeded', $4, $5, now())";
    tx.execute(sql, &[&kind, &subject.0, &subject.1, &input, &by.name]).await.map(drop)
}
