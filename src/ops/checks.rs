//! What `doctor`, `migrate status` and `dev` want to know of an installation.

use crate::db::Database;
use crate::error::Result;

/// Marks a database that `insula dev` filled with its demo.
const DEMO_MARK: &str = "dev.demo";

/// The server and what the control role may do on it.
#[derive(Debug, Clone)]
pub struct ServerFacts {
    /// `server_version_num`: 150018 is 15.18.
    pub version_num: i32,
    /// The version as people write it.
    pub version: String,
    /// Name of the role we are signed in as.
    pub role: String,
    /// Name of the database.
    pub database: String,
    /// Whether the role may make roles.
    pub creates_roles: bool,
    /// Whether the role is superuser.
    pub is_superuser: bool,
    /// Whether the role owns the database.
    pub owns_database: bool,
}

/// Asks the server about itself and the role we are signed in as.
pub async fn server_facts(database: &Database) -> Result<ServerFacts> {
    let sql = "select current_setting('server_version_num')::int,
          split_part(current_setting('server_version'), ' ', 1),
          current_user::text,
          current_database()::text,
          r.rolcreaterole,
          r.rolsuper,
          pg_has_role(d.datdba, 'member')
        from pg_roles r, pg_database d
        where r.rolname = current_user and d.datname = current_database()";
    let row = database.control().await?.query(sql, &[]).await?.remove(0);
    Ok(ServerFacts {
        version_num: row.get(0),
        version: row.get(1),
        role: row.get(2),
        database: row.get(3),
        creates_roles: row.get(4),
        is_superuser: row.get(5),
        owns_database: row.get(6),
    })
}

/// How many migrations of `public` were applied.
pub async fn applied_public(database: &Database) -> Result<i64> {
    let mut control = database.control().await?;
    let exists = control.query("select to_regclass('public.refinery_schema_history') is not null", &[]).await?;
    if !exists[0].get::<_, bool>(0) {
        return Ok(0);
    }
    Ok(control.query("select count(*) from public.refinery_schema_history", &[]).await?[0].get(0))
}

/// How many tenants in service have a pack, by pack and version.
pub async fn pack_versions(database: &Database) -> Result<Vec<(String, i32, i64)>> {
    let sql = "select p.pack, p.version, count(*) from public.tenant_packs p
        join public.tenants t on t.id = p.tenant_id
        where t.state in ('active', 'suspended') group by 1, 2 order by 1, 2";
    let rows = database.control().await?.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

/// Operations that were begun more than a minute ago and have no outcome.
pub async fn unfinished_operations(database: &Database) -> Result<Vec<String>> {
    let sql = "select kind || ' of ' || subject from public.operations
        where state in ('pending', 'running') and created_at < now() - interval '1 minute' order by created_at";
    let rows = database.control().await?.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Whether a keyring was stored, so that a key which opens it can be told from one which does not.
pub async fn has_signing_keys(database: &Database) -> Result<bool> {
    Ok(database.control().await?.query_opt("select from public.signing_keys limit 1", &[]).await?.is_some())
}

/// Whether demo data may go into this database: it is empty, or its tenants came with an earlier demo. Everybody
/// knows the demo's passwords, so they must never reach a database that serves customers.
pub async fn may_hold_demo(database: &Database) -> Result<bool> {
    let mut control = database.control().await?;
    let exists = control.query("select to_regclass('public.platform_settings') is not null", &[]).await?;
    if !exists[0].get::<_, bool>(0) {
        return Ok(true);
    }
    let sql = "select exists (select from public.platform_settings where key = $1) or not exists (
          select from public.tenants union all select from public.operators)";
    Ok(control.query(sql, &[&DEMO_MARK]).await?[0].get(0))
}

/// Whether the tenants of this database came with a demo.
pub(super) async fn is_demo(database: &Database) -> Result<bool> {
    let mut control = database.control().await?;
    let exists = control.query("select to_regclass('public.platform_settings') is not null", &[]).await?;
    let sql = "select from public.platform_settings where key = $1";
    Ok(exists[0].get::<_, bool>(0) && control.query_opt(sql, &[&DEMO_MARK]).await?.is_some())
}

/// Remembers that this database belongs to a demo.
pub async fn mark_demo(database: &Database) -> Result<()> {
    let sql = "insert into public.platform_settings (key, value) values ($1, 'true') on conflict (key) do nothing";
    database.control().await?.execute(sql, &[&DEMO_MARK]).await?;
    Ok(())
}
