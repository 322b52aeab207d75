//! Tenants closed for now and opened again, each with its reason in the journal.

use serde_json::json;
use uuid::Uuid;

use super::Platform;
use crate::db::{By, Transaction};
use crate::error::{Error, Result};
use crate::ident::Ident;
use crate::tenant::tenant_not_found;

/// Closes a tenant; every process refuses it within a second.
pub async fn tenant_suspend(platform: &Platform, tenant: Uuid, reason: &str, by: &By) -> Result<()> {
    if reason.trim().is_empty() {
        return Err(Error::validation().field("#/reason", "required", "is required: the customer will ask why"));
    }
    let change = Change { kind: "tenant.suspend", from: "active", to: "suspended", reason: Some(reason.trim()) };
    change.make(platform, tenant, by).await
}

/// Opens a suspended tenant again; a reason is welcome.
pub async fn tenant_resume(platform: &Platform, tenant: Uuid, reason: &str, by: &By) -> Result<()> {
    let reason = Some(reason.trim()).filter(|reason| !reason.is_empty());
    let change = Change { kind: "tenant.resume", from: "suspended", to: "active", reason };
    change.make(platform, tenant, by).await
}

struct Change<'a> {
    kind: &'a str,
    from: &'a str,
    to: &'a str,
    reason: Option<&'a str>,
}

impl Change<'_> {
    /// The new state and its row in `public.operations`, in one statement.
    async fn make(&self, platform: &Platform, tenant: Uuid, by: &By) -> Result<()> {
        let sql = "with changed as (
              update public.tenants
              set state = $3, suspended_reason = case when $3 = 'suspended' then $4 end
              where id = $1 and state = $2
              returning subdomain)
            insert into public.operations (kind, tenant_id, subject, state, input, actor, finished_at)
            select $5, $1, subdomain, 'succeeded', $6, $7, now() from changed";
        let Self { kind, from, to, reason } = self;
        let input = json!({ "reason": reason });
        let mut tx = platform.database.control().await?.begin_by(by).await?;
        if tx.execute(sql, &[&tenant, from, to, reason, kind, &input, &by.name]).await? == 1 {
            if *to == "suspended" {
                end_operations(&mut tx, tenant).await?;
            }
            return Ok(tx.commit().await?);
        }
        let row = tx.query_opt("select state from public.tenants where id = $1", &[&tenant]).await?;
        let state: String = row.ok_or_else(tenant_not_found)?.get(0);
        Err(Error::conflict(format!("The tenant is {state}, not {from}.")))
    }
}

/// What users of a tenant began and is not done is undone: nobody works on in a closed tenant.
pub(super) async fn end_operations(tx: &mut Transaction, tenant: Uuid) -> Result<()> {
    let sql = "select t.schema_name, b.owner_role from public.tenants t join public.buckets b on b.id = t.bucket_id
        where t.id = $1";
    let row = tx.query(sql, &[&tenant]).await?.remove(0);
    let (schema, owner) = (Ident::new(row.get::<_, String>(0))?, Ident::new(row.get::<_, String>(1))?);
    let end = format!(
        "set local role {owner};
         update {schema}.sys_operation set alive_until = now() where state = 'running' and alive_until > now();
         reset role"
    );
    Ok(tx.batch(&end).await?)
}
