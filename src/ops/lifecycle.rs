//! Tenants closed for now and opened again.

use uuid::Uuid;

use super::Platform;
use crate::error::{Error, Result};
use crate::tenant::tenant_not_found;

/// Closes a tenant; every process refuses it within a second.
pub async fn tenant_suspend(platform: &Platform, tenant: Uuid, reason: &str) -> Result<()> {
    if reason.trim().is_empty() {
        return Err(Error::validation().field("#/reason", "required", "is required: the customer will ask why"));
    }
    change(platform, tenant, "active", "suspended", Some(reason.trim())).await
}

/// Opens a suspended tenant again.
pub async fn tenant_resume(platform: &Platform, tenant: Uuid) -> Result<()> {
    change(platform, tenant, "suspended", "active", None).await
}

async fn change(platform: &Platform, tenant: Uuid, from: &str, to: &str, reason: Option<&str>) -> Result<()> {
    let mut control = platform.database.control().await?;
    let sql = "update public.tenants set state = $3, suspended_reason = $4 where id = $1 and state = $2";
    if control.execute(sql, &[&tenant, &from, &to, &reason]).await? == 1 {
        return Ok(());
    }
    let row = control.query_opt("select state from public.tenants where id = $1", &[&tenant]).await?;
    let state: String = row.ok_or_else(tenant_not_found)?.get(0);
    Err(Error::conflict(format!("The tenant is {state}, not {from}.")))
}
