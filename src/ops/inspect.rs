//! What an operator looks at: schemas, tables, locks, bloat, long-running work, connections. Nothing is changed, and no row
//! of a customer is read: sizes and counts are those that PostgreSQL keeps.

use super::Platform;
use crate::error::{Error, Result};

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Tenants by the size of their schemas.
    Schemas,
    /// Tables with their sizes.
    Tables,
    /// Who waits for whom.
    Locks,
    /// Tables with many dead rows.
    Bloat,
    /// Transactions that are open for more than a second, or hold a table while their age is not shown to us.
    LongRunning,
    /// Connections by role and state.
    Connections,
}

impl View {
    /// What it is about, in the order in which people want to read it.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Schemas => &["tenant", "schema", "state", "tables", "rows", "bytes"],
            Self::Tables => &["tenant", "table", "rows", "bytes", "index_bytes", "last_analyzed"],
            Self::Locks => &["pid", "role", "tenant", "blocked_by", "waits_for", "seconds", "application"],
            Self::Bloat => &["tenant", "table", "rows", "dead_rows", "dead_percent", "last_vacuum"],
            Self::LongRunning => &["pid", "role", "tenant", "state", "wait", "seconds", "application"],
            Self::Connections => &["role", "application", "state", "connections", "oldest_seconds"],
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Schemas => {
                "select t.subdomain as tenant, t.schema_name as schema, t.state, count(c.oid) as tables,
                   coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint as rows,
                   coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint as bytes
                 from (
                   select subdomain, schema_name, state from public.tenants
                   union all
                   select null, schema_name, 'ready for ' || plan_code from public.ready_schemas) t
                 left join pg_class c on c.relnamespace = to_regnamespace(t.schema_name) and c.relkind in ('r', 'p')
                 where ($1::text is null or t.subdomain = $1)
                 group by 1, 2, 3 order by bytes desc, 1"
            }
            Self::Tables => {
                "select t.subdomain as tenant, c.relname as table, greatest(c.reltuples, 0)::bigint as rows,
                   pg_table_size(c.oid) as bytes, pg_indexes_size(c.oid) as index_bytes,
                   greatest(s.last_analyze, s.last_autoanalyze) as last_analyzed
                 from public.tenants t
                 join pg_class c on c.relnamespace = to_regnamespace(t.schema_name) and c.relkind in ('r', 'p')
                 left join pg_stat_user_tables s on s.relid = c.oid
                 where ($1::text is null or t.subdomain = $1)
                 order by bytes desc, 1, 2"
            }
            Self::Locks => {
                "select a.pid, a.usename as role, max(t.subdomain) as tenant, pg_blocking_pids(a.pid) as blocked_by,
                   string_agg(distinct concat_ws(' ', l.mode, coalesce(c.relname::text, l.locktype)), ', ') as waits_for,
                   extract(epoch from now() - min(l.waitstart))::int as seconds, a.application_name as application
                 from pg_locks l
                 join pg_stat_activity a on a.pid = l.pid and a.datname = current_database()
                 left join pg_class c on l.locktype = 'relation' and c.oid = l.relation
                 left join public.tenants t on c.relnamespace = to_regnamespace(t.schema_name)
                 where not l.granted
                 group by a.pid, a.usename, a.application_name
                 having $1::text is null or max(t.subdomain) = $1
                 order by seconds desc nulls last, 1"
            }
            Self::Bloat => {
                "select t.subdomain as tenant, s.relname as table, s.n_live_tup as rows, s.n_dead_tup as dead_rows,
                   round(100.0 * s.n_dead_tup / (s.n_live_tup + s.n_dead_tup)) as dead_percent,
                   greatest(s.last_vacuum, s.last_autovacuum) as last_vacuum
                 from public.tenants t
                 join pg_stat_user_tables s on s.schemaname = t.schema_name
                 where s.n_dead_tup > 0 and ($1::text is null or t.subdomain = $1)
                 order by dead_rows desc, 1, 2 limit 200"
            }
            Self::LongRunning => {
                "select a.pid, a.usename as role, max(t.subdomain) as tenant, coalesce(a.state, 'not shown') as state,
                   concat_ws(' ', a.wait_event_type, a.wait_event) as wait,
                   extract(epoch from now() - a.xact_start)::int as seconds, a.application_name as application
                 from pg_stat_activity a
                 left join pg_locks l on l.pid = a.pid and l.locktype = 'relation' and l.granted
                 left join pg_class c on c.oid = l.relation
                 left join public.tenants t on c.relnamespace = to_regnamespace(t.schema_name)
                 where a.datname = current_database() and a.pid <> pg_backend_pid()
                   and (a.xact_start < now() - interval '1 second' or a.xact_start is null and l.pid is not null)
                 group by a.pid, a.usename, a.state, a.wait_event_type, a.wait_event, a.xact_start, a.application_name
                 having $1::text is null or max(t.subdomain) = $1
                 order by seconds desc nulls last, 1"
            }
            Self::Connections => {
                "select a.usename as role, a.application_name as application, coalesce(a.state, 'not shown') as state,
                   count(*) as connections, extract(epoch from now() - min(a.backend_start))::int as oldest_seconds
                 from pg_stat_activity a
                 where a.datname = current_database() and a.pid <> pg_backend_pid()
                   and ($1::text is null or a.usename = (
                     select b.login_role from public.tenants t join public.buckets b on b.id = t.bucket_id where t.subdomain = $1))
                 group by 1, 2, 3 order by connections desc, 1, 2, 3"
            }
        }
    }
}

/// The rows of a view as JSON, of all tenants or of one. Of connections PostgreSQL shows the bucket's, which tenants share;
/// state and age of other roles' sessions are shown to members of `pg_read_all_stats` only.
pub async fn look(platform: &Platform, view: View, only: Option<&str>) -> Result<serde_json::Value> {
    let sql = format!("select coalesce(json_agg(to_json(q)), '[]')::text from ({}) q", view.sql());
    let mut tx = platform.database.control().await?.begin().await?;
    tx.take_time().await?;
    let rows = tx.query(&sql, &[&only]).await?;
    tx.commit().await?;
    let text: String = rows.first().map(|row| row.get(0)).ok_or_else(|| Error::internal("no answer"))?;
    serde_json::from_str(&text).map_err(Error::internal)
}
