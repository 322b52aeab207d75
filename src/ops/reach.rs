//! How far tenants reach: whether each can be entered as a request does it, and whether its role is held in its schema.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Platform;
use super::drift::read_place;
use crate::db::{Acting, Place, Scope, Seat};
use crate::error::{Error, Result};

/// What was found of a tenant; nothing is wrong when there are no faults.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Its name in URLs.
    pub subdomain: String,
    /// Sentences about what is wrong.
    pub faults: Vec<String>,
}

/// Enters every tenant, or one, as a request does: by its bucket's login, in its role and schema.
pub async fn try_connections(platform: &Platform, only: Option<&str>, mut tell: impl FnMut(Reach)) -> Result<()> {
    for (subdomain, place) in tenants(platform, only).await? {
        let faults = match enter(platform, place).await {
            Ok(None) => Vec::new(),
            Ok(Some(fault)) => vec![fault],
            Err(error) => vec![format!("{} {}", error.message(), error.private_context()).trim().to_owned()],
        };
        tell(Reach { subdomain, faults });
    }
    Ok(())
}

async fn enter(platform: &Platform, place: Arc<Place>) -> Result<Option<String>> {
    let limit = platform.database.statement_timeout();
    let scope = Scope::read(place.clone(), Seat::Tenant, Acting::service(), limit);
    let mut tx = platform.database.begin(&scope).await?;
    let sql = "select coalesce(current_schema()::text, ''), current_user::text, count(*) from sys_user";
    let row = tx.query(sql, &[]).await?.remove(0);
    tx.commit().await?;
    let (schema, role): (String, String) = (row.get(0), row.get(1));
    let wrong = schema != place.schema.as_str() || role != place.role.as_str();
    Ok(wrong.then(|| format!("a request works in schema `{schema}` as `{role}`")))
}

/// Looks for every way in which the role of a tenant, or of one, reaches beyond its schema, and others reach into it.
pub async fn try_isolation(platform: &Platform, only: Option<&str>, mut tell: impl FnMut(Reach)) -> Result<()> {
    let tenants = tenants(platform, only).await?;
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut tx = platform.database.control().await?.begin().await?;
    tx.take_time().await?;
    for row in tx.query(include_str!("reach.sql"), &[&only]).await? {
        found.entry(row.get(0)).or_default().push(row.get(1));
    }
    tx.commit().await?;
    for (subdomain, _) in tenants {
        let faults = found.remove(&subdomain).unwrap_or_default();
        tell(Reach { subdomain, faults });
    }
    Ok(())
}

async fn tenants(platform: &Platform, only: Option<&str>) -> Result<Vec<(String, Arc<Place>)>, Error> {
    let sql = "select t.id, t.schema_name, t.role_name, t.bucket_id, b.owner_role, t.timezone, t.subdomain
        from public.tenants t join public.buckets b on b.id = t.bucket_id
        where t.state in ('active', 'suspended') and ($1::text is null or t.subdomain = $1) order by t.subdomain";
    let rows = platform.database.control().await?.query(sql, &[&only]).await?;
    rows.iter().map(|row| Ok((row.get(6), Arc::new(read_place(row)?)))).collect()
}
