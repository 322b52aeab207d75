//! The `public` schema, by refinery from `migrations/`.

use refinery::{Report, Runner};
use tokio_postgres::{Client, Row};

use super::transaction::Values;
use super::{Database, Failure, Lock};
use crate::error::{Error, Result};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Serializes runners: refinery itself takes no lock.
const LOCK: i64 = Lock::PublicSchema.key();

/// Migrations of `public` that this binary has and the database lacks, by name.
pub async fn pending_public(database: &Database) -> Result<Vec<String>> {
    let mut control = database.control().await?;
    let exists = control.query("select to_regclass('public.refinery_schema_history') is not null", &[]).await?;
    let applied: i32 = if exists[0].get::<_, bool>(0) {
        let rows =
            control.query("select coalesce(max(version), 0)::int from public.refinery_schema_history", &[]).await?;
        rows[0].get(0)
    } else {
        0
    };
    Ok(later_than(applied))
}

/// By number, as they are applied: by name V10 comes before V9.
fn later_than(applied: i32) -> Vec<String> {
    let all = embedded::migrations::runner();
    let mut later: Vec<_> = all.get_migrations().iter().filter(|m| m.version() > applied).collect();
    later.sort_by_key(|migration| migration.version());
    later.into_iter().map(ToString::to_string).collect()
}

/// Brings `public` up to date; returns the names of what was applied.
pub async fn migrate_public(database: &Database) -> Result<Vec<String>> {
    if pending_public(database).await?.is_empty() {
        return Ok(Vec::new());
    }
    let session = database.endpoint().session("insula migrate", super::CONTROL_SESSION);
    let (mut client, connection) = session.connect(database.endpoint().tls()).await.map_err(Failure::from)?;
    let driver = tokio::spawn(connection);
    client.query("select pg_advisory_lock($1)", &[&LOCK]).await.map_err(Failure::from)?;
    let report = runner().run_async(&mut client).await.map_err(|error| {
        Error::internal(&error).context("the public schema could not be migrated; nothing of the failed file was kept")
    });
    drop(client);
    let _ = driver.await;
    Ok(names(&report?))
}

/// Divergent or missing files are refused; each file is a transaction.
fn runner() -> Runner {
    embedded::migrations::runner().set_abort_divergent(true).set_abort_missing(true)
}

fn names(report: &Report) -> Vec<String> {
    report.applied_migrations().iter().map(ToString::to_string).collect()
}

/// A session of the control login outside the pools, for statements that no transaction may hold. It is closed at its end,
/// whatever state it is in.
pub struct Apart(Client);

impl Apart {
    /// Opens one.
    pub async fn open(database: &Database) -> Result<Self> {
        let session = database.endpoint().session("insula migrate", super::CONTROL_SESSION);
        let (client, connection) = session.connect(database.endpoint().tls()).await.map_err(Failure::from)?;
        tokio::spawn(connection);
        Ok(Self(client))
    }

    /// Runs a statement that takes no values, or several.
    pub async fn batch(&self, sql: &str) -> Result<(), Failure> {
        Ok(self.0.batch_execute(sql).await?)
    }

    /// The only row of a query, if there is one.
    pub async fn query_opt(&self, sql: &str, values: Values<'_>) -> Result<Option<Row>, Failure> {
        Ok(self.0.query_opt(sql, values).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::later_than;

    #[test]
    fn what_is_pending_is_named_in_the_order_in_which_it_is_applied() {
        let names = later_than(7);
        assert!(names[0].starts_with("V8__") && names[2].starts_with("V10__"), "{names:?}");
    }
}
