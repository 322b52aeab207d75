//! What is done when its time has come: deleted tenants are erased, what restores put aside is dropped, names are free.

use uuid::Uuid;

use super::super::Platform;
use super::removal::tenant_purge;
use crate::db::By;
use crate::error::Result;
use crate::ident::Ident;

/// Does what is due. Gives what was done, for the log; what fails is tried again the next time.
pub async fn tidy(platform: &Platform) -> Result<Vec<String>> {
    let mut done = Vec::new();
    let mut control = platform.database.control().await?;
    let due =
        "select id, subdomain from public.tenants where state = 'deleting' and purge_at <= now() order by purge_at";
    let tenants: Vec<(Uuid, String)> =
        control.query(due, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    let old = "select schema_name from public.shelved_schemas where drop_at <= now() order by drop_at";
    let shelved: Vec<String> = control.query(old, &[]).await?.iter().map(|row| row.get(0)).collect();
    control
        .execute("delete from public.reserved_subdomains where reason = 'quarantine' and until <= now()", &[])
        .await?;
    drop(control);
    let by = By { name: "service".to_owned(), origin: None };
    for (tenant, subdomain) in tenants {
        match tenant_purge(platform, tenant, &by).await {
            Ok(()) => done.push(format!("purged {subdomain}")),
            Err(error) => {
                tracing::warn!(
                    subdomain,
                    context = error.private_context(),
                    "a deleted tenant cannot be purged: {error}"
                );
            }
        }
    }
    for schema in shelved {
        drop_shelved(platform, &schema).await?;
        done.push(format!("dropped {schema}"));
    }
    Ok(done)
}

async fn drop_shelved(platform: &Platform, schema: &str) -> Result<()> {
    let mut tx = platform.database.control().await?.begin().await?;
    tx.take_time().await?;
    let sql = "delete from public.shelved_schemas where schema_name = $1 and drop_at <= now()";
    if tx.execute(sql, &[&schema]).await? == 1 {
        tx.batch(&format!("drop schema if exists {} cascade", Ident::new(schema)?)).await?;
        tx.execute("delete from public.audit_anchors where chain = $1", &[&schema]).await?;
    }
    Ok(tx.commit().await?)
}
