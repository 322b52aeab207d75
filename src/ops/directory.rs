//! The operators' view of tenants, as JSON made by PostgreSQL.

use serde_json::value::RawValue;
use uuid::Uuid;

use super::Platform;
use crate::error::{Error, Result};
use crate::ident::Subdomain;
use crate::tenant::tenant_not_found;

const ROW: &str =
    "select t.id, t.subdomain, t.name, t.state, t.suspended_reason, t.sandbox, t.purge_at, t.timezone, t.created_at,
      (select s.plan_code from public.tenant_subscriptions s
       where s.tenant_id = t.id and s.plan_code is not null
       order by s.created_at desc limit 1) as plan,
      coalesce((select json_agg(p.pack || ' ' || p.version order by p.pack)
        from public.tenant_packs p where p.tenant_id = t.id), '[]') as packs
    from public.tenants t";

/// Tenants that are not gone, by subdomain, after `after`; one more than `limit` when there are more.
pub async fn tenant_list(platform: &Platform, after: Option<&str>, limit: i64) -> Result<Vec<Box<RawValue>>> {
    let sql = format!(
        "select row_to_json(r)::text from ({ROW} where t.state <> 'deleted' and t.subdomain > $1 order by t.subdomain limit $2) r"
    );
    let rows = platform.database.control().await?.query(&sql, &[&after.unwrap_or(""), &(limit + 1)]).await?;
    rows.iter().map(|row| RawValue::from_string(row.get(0)).map_err(Error::internal)).collect()
}

/// One tenant.
pub async fn tenant_show(platform: &Platform, id: Uuid) -> Result<Box<RawValue>> {
    let sql = format!("select row_to_json(r)::text from ({ROW} where t.id = $1) r");
    let row = platform.database.control().await?.query_opt(&sql, &[&id]).await?.ok_or_else(tenant_not_found)?;
    RawValue::from_string(row.get(0)).map_err(Error::internal)
}

/// The key of a subdomain, whatever state its tenant is in.
pub async fn tenant_find(platform: &Platform, subdomain: &str) -> Result<Uuid> {
    let name = Subdomain::new(subdomain)?;
    let mut control = platform.database.control().await?;
    let sql = "select id from public.tenants where subdomain = $1 and state <> 'deleted'";
    if let Some(row) = control.query_opt(sql, &[&name.as_str()]).await? {
        return Ok(row.get(0));
    }
    let rows = control.query("select subdomain from public.tenants where state <> 'deleted'", &[]).await?;
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let error = Error::new(crate::error::Kind::NotFound, "tenant_not_found", format!("There is no tenant `{name}`."));
    Err(match crate::error::nearest(name.as_str(), names.iter().map(String::as_str)) {
        Some(meant) => error.hint(format!("Did you mean `{meant}`?")),
        None => error.hint("`insula tenant list` shows all tenants."),
    })
}
