//! What came of the migration of each pack of a tenant, for `insula migrate status` and the next run.

use super::super::Platform;
use super::apply::Fault;
use super::pending::Pending;
use crate::db::{Failure, Transaction};
use crate::error::Result;

/// In the transaction that brings the version about.
pub(super) async fn success(
    tx: &mut Transaction,
    item: &Pending,
    (from, to): (i32, i32),
    attempt: u32,
) -> Result<(), Failure> {
    let sql = "insert into public.tenant_migrations (tenant_id, pack, from_version, to_version, state, attempts)
        values ($1, $2, $3, $4, 'done', $5)
        on conflict (tenant_id, pack) do update set from_version = excluded.from_version, to_version = excluded.to_version,
          state = 'done', attempts = excluded.attempts, file = null, sqlstate = null, message = null, blocked_by = '{}',
          failing_since = null, updated_at = now()";
    let attempts = i32::try_from(attempt).unwrap_or(i32::MAX);
    tx.query_kept(sql, &[&item.place.tenant, &item.pack, &from, &to, &attempts]).await.map(drop)
}

/// A tenant that was removed meanwhile leaves nothing.
pub(super) async fn failure(platform: &Platform, item: &Pending, attempts: u32, fault: &mut Fault) -> Result<()> {
    let mut control = platform.database.control().await?;
    if fault.sqlstate == "55P03" {
        // Locks of all who are still there; who has gone since is not in the way of the next attempt.
        let sql = "select distinct l.pid from pg_locks l
            left join pg_class c on l.locktype = 'relation' and c.oid = l.relation
            where l.granted and l.pid <> pg_backend_pid()
              and l.database = (select oid from pg_database where datname = current_database())
              and (c.relnamespace = to_regnamespace($1)
                or l.locktype = 'advisory' and l.objsubid = 1 and (l.classid::bigint << 32 | l.objid::bigint) = $2)
            order by 1";
        let key = super::super::modules::lock_key(item.place.tenant);
        let rows = control.query(sql, &[&item.place.schema.as_str(), &key]).await?;
        fault.blocked_by = rows.iter().map(|row| row.get(0)).collect();
    }
    let state = if fault.passing { "deferred" } else { "quarantined" };
    let sql = "insert into public.tenant_migrations as m (tenant_id, pack, from_version, to_version, state, attempts,
          file, sqlstate, message, blocked_by, failing_since)
        select t.id, $2, $3, $4, $5, $6, $7, nullif($8, ''), $9, $10, now() from public.tenants t where t.id = $1
        on conflict (tenant_id, pack) do update set from_version = excluded.from_version, to_version = excluded.to_version,
          state = excluded.state, attempts = excluded.attempts + case when m.state = 'done' then 0 else m.attempts end,
          file = excluded.file, sqlstate = excluded.sqlstate, message = excluded.message, blocked_by = excluded.blocked_by,
          failing_since = coalesce(m.failing_since, now()), updated_at = now()";
    let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
    let (tenant, Fault { file, sqlstate, message, blocked_by, .. }) = (item.place.tenant, fault);
    control
        .execute(
            sql,
            &[&tenant, &item.pack, &item.from, &item.to, &state, &attempts, file, sqlstate, message, blocked_by],
        )
        .await?;
    Ok(())
}
