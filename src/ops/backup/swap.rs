//! The old schema goes, the new one takes its name: one moment for everybody.

use uuid::Uuid;

use super::header::Header;
use crate::audit::{hold_anchors, move_anchors};
use crate::db::{Place, Transaction, step_aside};
use crate::error::{Error, Result};
use crate::ident::Ident;

/// How often work in the old schema is waited for, for less than the time after which PostgreSQL looks for deadlocks.
const ATTEMPTS: usize = 20;
const WAIT: &str = "set local lock_timeout = '900ms'";

/// Gives the schema of a place another name, out of reach of the tenant's role, and notes until when it is kept. For
/// everybody else it still is where it was, until the transaction ends.
pub async fn put_aside(tx: &mut Transaction, place: &Place, keep_days: u32) -> Result<Ident> {
    let shelf = Ident::new(format!("shelved_{}", Uuid::new_v4().simple()))?;
    tx.batch(&format!(
        "alter schema {} rename to {shelf}; revoke all on schema {shelf} from {};",
        place.schema, place.role
    ))
    .await?;
    let sql = "insert into public.shelved_schemas (schema_name, tenant_id, packs, audit_origin, drop_at)
        select $2, t.id, coalesce((select jsonb_object_agg(p.pack, p.version) from public.tenant_packs p where p.tenant_id = t.id), '{}'),
          t.audit_origin, now() + make_interval(days => $3)
        from public.tenants t where t.id = $1 and t.state in ('active', 'suspended')";
    let days = i32::try_from(keep_days).map_err(Error::internal)?;
    if tx.execute(sql, &[&place.tenant, &shelf.as_str(), &days]).await? == 0 {
        return Err(Error::conflict("The tenant is being deleted."));
    }
    let forget = "delete from public.tenant_packs where tenant_id = $1";
    tx.execute(forget, &[&place.tenant]).await?;
    tx.execute("delete from public.tenant_migrations where tenant_id = $1", &[&place.tenant]).await?;
    Ok(shelf)
}

/// What was begun in the old schema ends before the new one is seen; the anchors of its audit go with it; every process
/// forgets what it knows.
pub async fn take_over(tx: &mut Transaction, place: &Place, shelf: &Ident, header: &Header) -> Result<()> {
    let end = format!("select seq from {}.sys_audit_head", place.schema);
    let end: Option<i64> = tx.query_opt(&end, &[]).await?.map(|row| row.get(0));
    exchange(tx, place, shelf, end.unwrap_or(0)).await?;
    let sql = "update public.tenants
        set restored_from = $2::text::timestamptz, audit_origin = nullif($3, schema_name) where id = $1";
    tx.execute(sql, &[&place.tenant, &header.made_at, &header.audit_origin()]).await?;
    Ok(())
}

/// The same for two schemas whose audits are one up to `parted`.
pub async fn exchange(tx: &mut Transaction, place: &Place, shelf: &Ident, parted: i64) -> Result<()> {
    hold_anchors(tx).await?;
    move_anchors(tx, place.schema.as_str(), shelf.as_str(), parted).await?;
    let sql = "update public.shelved_schemas set audit_seq = $2 where schema_name = $1";
    tx.execute(sql, &[&shelf.as_str(), &parted]).await?;
    wait_for_others(tx, shelf).await?;
    let topics = [("access", place.schema.as_str()), ("mail", place.schema.as_str())];
    for (topic, key) in topics {
        tx.query("select pg_notify('insula', $1 || ':' || $2)", &[&topic, &key]).await?;
    }
    Ok(())
}

async fn wait_for_others(tx: &mut Transaction, shelf: &Ident) -> Result<()> {
    let sql = "select coalesce(string_agg(format('%I.%I', $1::text, c.relname), ', ' order by c.relname), '')
        from pg_class c where c.relnamespace = $1::text::regnamespace and c.relkind in ('r', 'p')";
    let tables: String = tx.query(sql, &[&shelf.as_str()]).await?[0].get(0);
    if tables.is_empty() {
        return Ok(());
    }
    let lock =
        format!("savepoint others; {WAIT}; lock table {tables} in access exclusive mode; release savepoint others");
    for _ in 0..ATTEMPTS {
        match tx.batch(&lock).await {
            Ok(()) => return Ok(()),
            Err(failure) if failure.is_in_the_way() => {
                tx.batch("rollback to savepoint others; release savepoint others").await?;
                step_aside().await;
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    Err(Error::conflict("Somebody works in the tenant without a pause.")
        .hint("Suspend it first: `insula tenant suspend`."))
}
