//! All tenants to the newest version of their packs, one after the other.

use std::collections::BTreeMap;
use std::time::SystemTime;

use tokio_postgres::Row;
use uuid::Uuid;

use super::{Platform, modules};
use crate::db::{BucketId, Place};
use crate::error::Result;
use crate::pack::{audit_sql, install_sql};
use crate::tenant::place_of;

/// A pack that a tenant lacks or has in an old version.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Subdomain of the tenant.
    pub subdomain: String,
    /// The pack.
    pub pack: String,
    /// Version in the tenant; 0 = not installed.
    pub from: i32,
    /// Newest version.
    pub to: i32,
    place: Place,
}

/// Everything that is behind, in one query: old versions, and packs of modules that were sold before this binary
/// carried them.
pub async fn pending_tenants(platform: &Platform, only: Option<&str>) -> Result<Vec<Pending>> {
    let packs: Vec<_> = platform.catalog.packs().iter().collect();
    let codes: Vec<&str> = packs.iter().map(|pack| pack.manifest.code.as_str()).collect();
    let versions: Vec<i32> = packs.iter().map(|pack| pack.version()).collect();
    let sql = "select t.id, t.schema_name, t.role_name, t.bucket_id, b.owner_role, t.timezone, t.subdomain,
          n.pack, coalesce(p.version, 0), n.version
        from public.tenants t
        join public.buckets b on b.id = t.bucket_id
        cross join unnest($1::text[], $2::int[]) with ordinality n(pack, version, position)
        left join public.tenant_packs p on p.tenant_id = t.id and p.pack = n.pack
        where t.state in ('active', 'suspended') and ($3::text is null or t.subdomain = $3)
          and (p.version < n.version or (p.version is null and exists (
            select from public.tenant_entitlements(t.id, $4) e where e.module_code = n.pack and e.enabled)))
        order by t.subdomain, n.position";
    let rows = platform.database.control().await?.query(sql, &[&codes, &versions, &only, &SystemTime::now()]).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Pending> {
    let place = place_of(row.get(0), row.get(1), row.get(2), BucketId(row.get(3)), row.get(4), row.get(5))?;
    Ok(Pending { subdomain: row.get(6), pack: row.get(7), from: row.get(8), to: row.get(9), place })
}

/// Brings the pending tenants up to date, a transaction each, and goes on with the others when one fails.
///
/// Calls `tell` with each tenant's outcome; gives the number of failures.
pub async fn migrate_tenants(platform: &Platform, pending: Vec<Pending>, tell: impl Fn(&str, Result<()>)) -> usize {
    let mut tenants: BTreeMap<(String, Uuid), Vec<Pending>> = BTreeMap::new();
    for item in pending {
        tenants.entry((item.subdomain.clone(), item.place.tenant)).or_default().push(item);
    }
    let mut failures = 0;
    for ((subdomain, _), items) in tenants {
        let outcome = migrate_tenant(platform, &items).await;
        failures += usize::from(outcome.is_err());
        tell(&subdomain, outcome);
    }
    failures
}

async fn migrate_tenant(platform: &Platform, items: &[Pending]) -> Result<()> {
    let Some(place) = items.first().map(|item| &item.place) else { return Ok(()) };
    let mut tx = platform.database.control().await?.begin().await?;
    tx.take_time().await?;
    tx.batch("set local lock_timeout = '2s'").await?;
    modules::lock_tenant(&mut tx, place.tenant).await?;
    let mut sql = modules::seat_sql(place);
    let mut packs = Vec::new();
    for item in items {
        if let Some(pack) = platform.catalog.packs().get(&item.pack) {
            sql.push_str(&install_sql(&platform.catalog, pack, place, item.from)?);
            packs.push(pack);
        }
    }
    sql.push_str(&audit_sql(&platform.catalog));
    sql.push_str(modules::LEAVE_SEAT);
    tx.batch(&sql).await?;
    modules::record_versions(&mut tx, place.tenant, &packs).await?;
    modules::give_rights(platform, &mut tx, place).await?;
    Ok(tx.commit().await?)
}
