//! The journal of work on a tenant that exists.

use serde_json::Value as Json;
use uuid::Uuid;

use super::super::Platform;
use super::super::journal::Operation;
use super::super::modules;
use crate::audit;
use crate::db::{BucketId, By, Place, Transaction};
use crate::error::{Error, Result};
use crate::tenant::{place_of, tenant_not_found};

/// Kinds of operations that are one transaction, or make one file.
pub const KINDS: [&str; 6] =
    ["tenant.backup", "tenant.restore", "tenant.unrestore", "tenant.export", "tenant.purge", "backup.verify"];

/// Writes down what is about to be done, before it is.
pub async fn begin(
    platform: &Platform,
    kind: &str,
    step: &str,
    subject: (Uuid, &str),
    input: &Json,
    by: &By,
) -> Result<Operation> {
    let Operation { id, control } = Operation::start(platform).await?;
    let sql = "insert into public.operations (id, kind, tenant_id, subject, state, step, input, actor)
        values ($1, $2, $3, $4, 'running', $5, $6, $7)";
    let (tenant, name) = subject;
    let mut tx = control.begin_by(by).await?;
    tx.execute(sql, &[&id, &kind, &tenant, &name, &step, input, &by.name]).await?;
    let action = kind.rsplit('.').next().unwrap_or(kind);
    audit::request(&mut tx, by, action, ("tenants", tenant), input).await?;
    Ok(Operation { id, control: tx.commit_and_keep().await? })
}

/// It was done.
pub async fn succeed(mut operation: Operation) -> Result<()> {
    let sql = "update public.operations set state = 'succeeded', finished_at = now() where id = $1";
    operation.control.execute(sql, &[&operation.id]).await?;
    operation.end().await
}

/// It was not, and nothing of it stays.
pub async fn fail(mut operation: Operation, cause: &Error) -> Result<()> {
    let sql = "update public.operations set state = 'failed', error = $2, finished_at = now() where id = $1";
    operation.control.execute(sql, &[&operation.id, &cause.message().into_owned()]).await?;
    operation.end().await
}

/// Its process died: what was one transaction, or a file that has not got its name yet, is gone with it.
pub async fn settle(mut operation: Operation) -> Result<&'static str> {
    let sql =
        "update public.operations set state = 'undone', error = 'its process ended', finished_at = now() where id = $1";
    operation.control.execute(sql, &[&operation.id]).await?;
    operation.end().await?;
    Ok("undone")
}

/// A tenant as the registry has it.
pub struct Resident {
    /// Where it lives.
    pub place: Place,
    /// Its name in URLs.
    pub subdomain: String,
    /// Its name for people.
    pub name: String,
    /// Where it is in its life.
    pub state: String,
}

const RESIDENT: &str =
    "select t.schema_name, t.role_name, t.bucket_id, b.owner_role, t.timezone, t.subdomain, t.name, t.state
    from public.tenants t join public.buckets b on b.id = t.bucket_id
    where t.id = $1 and t.state <> 'deleted'";

fn read(tenant: Uuid, row: &tokio_postgres::Row) -> Result<Resident> {
    let (bucket, timezone): (_, String) = (BucketId(row.get(2)), row.get(4));
    let place = place_of(tenant, row.get(0), row.get(1), bucket, row.get(3), &timezone)?;
    Ok(Resident { place, subdomain: row.get(5), name: row.get(6), state: row.get(7) })
}

/// Looks a tenant up, whatever state it is in.
pub async fn resident(platform: &Platform, tenant: Uuid) -> Result<Resident> {
    let row = platform.database.control().await?.query_opt(RESIDENT, &[&tenant]).await?.ok_or_else(tenant_not_found)?;
    read(tenant, &row)
}

/// The name in URLs of a tenant, whatever state it is in.
pub async fn tenant_subdomain(platform: &Platform, tenant: Uuid) -> Result<String> {
    Ok(resident(platform, tenant).await?.subdomain)
}

/// The same in a transaction, in which nobody else works on the whole tenant.
pub async fn hold(tx: &mut Transaction, tenant: Uuid) -> Result<Resident> {
    modules::lock_tenant(tx, tenant).await?;
    let sql = format!("{RESIDENT} for update of t");
    let row = tx.query_opt(&sql, &[&tenant]).await?.ok_or_else(tenant_not_found)?;
    read(tenant, &row)
}

/// Refuses a tenant that is being made or removed.
pub fn in_use(resident: &Resident) -> Result<()> {
    match resident.state.as_str() {
        "active" | "suspended" => Ok(()),
        "deleting" => Err(Error::conflict(format!("The tenant `{}` is being deleted.", resident.subdomain))
            .hint(format!("`insula tenant undelete {}` brings it back.", resident.subdomain))),
        state => Err(Error::conflict(format!("The tenant `{}` is {state}.", resident.subdomain))),
    }
}
