//! Everything of an installation goes: tenants, registry, roles. What is left is an empty database.

use crate::db::{Database, Transaction};
use crate::error::{Error, Result};
use crate::ident::Ident;

/// What a reset would destroy.
#[derive(Debug, Clone)]
pub struct Doomed {
    /// What it is called, schema and role: of each tenant, in whatever state, and of what was made in advance.
    schemas: Vec<(String, Ident, Ident)>,
    tenants: usize,
    /// Logins and owners of buckets.
    roles: Vec<Ident>,
    /// Whether the database belongs to a demo and serves no customers.
    pub is_demo: bool,
    /// Other sessions of the installation in the database.
    pub sessions: i64,
}

impl Doomed {
    /// How many tenants there are.
    pub fn tenants(&self) -> usize {
        self.tenants
    }
}

/// What there is to destroy; nothing when `public` holds no registry.
pub async fn find_doomed(database: &Database) -> Result<Option<Doomed>> {
    let is_demo = super::checks::is_demo(database).await?;
    let mut control = database.control().await?;
    let there = control.query("select to_regclass('public.tenants') is not null", &[]).await?;
    if !there[0].get::<_, bool>(0) {
        return Ok(None);
    }
    let ident = |name: String| Ident::new(name);
    let mut rows =
        control.query("select subdomain, schema_name, role_name from public.tenants order by 1", &[]).await?;
    let tenants = rows.len();
    let makes_in_advance = "select where to_regclass('public.ready_schemas') is not null";
    if control.query_opt(makes_in_advance, &[]).await?.is_some() {
        let sql = "select schema_name, schema_name, role_name from public.ready_schemas order by 1";
        rows.extend(control.query(sql, &[]).await?);
    }
    let schemas = rows.iter().map(|row| Ok((row.get(0), ident(row.get(1))?, ident(row.get(2))?)));
    let schemas = schemas.collect::<Result<Vec<_>>>()?;
    let sql = "select login_role from public.buckets union all select owner_role from public.buckets";
    let roles = control.query(sql, &[]).await?.iter().map(|row| ident(row.get(0))).collect::<Result<Vec<_>>>()?;
    let names: Vec<&str> = roles.iter().map(Ident::as_str).collect();
    let sql = "select count(*) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and (usename = current_user or usename = any ($1))";
    let sessions = control.query(sql, &[&names]).await?[0].get(0);
    Ok(Some(Doomed { schemas, tenants, roles, is_demo, sessions }))
}

/// Destroys it: schema by schema, each in a transaction, then roles of buckets and the registry in one. Until that has
/// happened the registry still names everything, so that a reset which was cut short is done by running it again.
pub async fn destroy(database: &Database, doomed: &Doomed, mut tell: impl FnMut(&str)) -> Result<()> {
    for (name, schema, role) in &doomed.schemas {
        tell(name);
        let mut tx = begin(database).await?;
        tx.batch(&format!("drop schema if exists {schema} cascade")).await?;
        drop_role(&mut tx, role).await?;
        tx.commit().await?;
    }
    let mut tx = begin(database).await?;
    for role in &doomed.roles {
        drop_role(&mut tx, role).await?;
    }
    // What the first migrations make must be for everybody again, as in a database that was never used.
    tx.batch(
        "alter default privileges grant execute on routines to public;
         drop schema if exists insula_template cascade;
         drop schema public cascade;
         drop schema if exists insula cascade;
         create schema public",
    )
    .await?;
    Ok(tx.commit().await?)
}

async fn begin(database: &Database) -> Result<Transaction, Error> {
    let mut tx = database.control().await?.begin().await?;
    tx.take_time().await?;
    Ok(tx)
}

/// With everything that it was granted or owns here.
async fn drop_role(tx: &mut Transaction, role: &Ident) -> Result<()> {
    if tx.query_opt("select from pg_roles where rolname = $1", &[&role.as_str()]).await?.is_some() {
        tx.batch(&format!("grant {role} to current_user; drop owned by {role} cascade; drop role {role}")).await?;
    }
    Ok(())
}
