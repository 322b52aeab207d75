//! Buckets: the logins, owners and sealed passwords behind the pools.

use super::seal::random_password;
use super::{BucketId, Database, Lock, Transaction};
use crate::error::{Error, Result};
use crate::ident::Ident;
use crate::sql::literal;

/// The cluster that holds `public` too.
const FIRST_CLUSTER: i16 = 1;

/// Serializes the making of buckets.
const LOCK: i64 = Lock::Buckets.key();

/// What a bucket's password is bound to: a ciphertext moved to another row does not open.
fn associated(cluster: i16, bucket: BucketId) -> String {
    format!("bucket:{cluster}:{}", bucket.0)
}

/// The runtime login of a bucket and its password.
pub(super) async fn credentials(database: &Database, id: BucketId) -> Result<(String, String)> {
    let sql = "select cluster_id, login_role, password_sealed from public.buckets where id = $1";
    let row = database
        .look_up(sql, &[&id.0])
        .await?
        .pop()
        .ok_or_else(|| Error::internal(format!("bucket {} is not registered", id.0)))?;
    let (cluster, login, sealed): (i16, String, Vec<u8>) = (row.get(0), row.get(1), row.get(2));
    let password = database.sealing().open(&sealed, &associated(cluster, id))?;
    Ok((login, String::from_utf8(password).map_err(|_| Error::internal("a bucket password is not text"))?))
}

/// Finds a bucket with room and counts a tenant into it; makes the next bucket when all are full.
///
/// Runs in the caller's transaction, so an undone tenant is not counted and an undone bucket leaves no roles.
pub async fn choose_bucket(database: &Database, tx: &mut Transaction) -> Result<(BucketId, Ident)> {
    if let Some(bucket) = count_into(tx).await? {
        return Ok(bucket);
    }
    // Not a lock on the table: everybody who comes here already holds a weaker one, and would wait for the others' end.
    tx.query("select pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    match count_into(tx).await? {
        Some(made_meanwhile) => Ok(made_meanwhile),
        None => make_bucket(database, tx).await,
    }
}

/// A bucket with room, which is not counted: for whoever counts at the end of long work.
pub async fn bucket_with_room(tx: &mut Transaction) -> Result<Option<(BucketId, Ident)>> {
    let sql = "select id, owner_role from public.buckets where cluster_id = $1 and tenant_count < max_tenants
        order by id limit 1";
    let Some(row) = tx.query_opt(sql, &[&FIRST_CLUSTER]).await? else { return Ok(None) };
    Ok(Some((BucketId(row.get(0)), Ident::new(row.get::<_, String>(1))?)))
}

async fn count_into(tx: &mut Transaction) -> Result<Option<(BucketId, Ident)>> {
    let sql = "update public.buckets set tenant_count = tenant_count + 1 where id = (
            select id from public.buckets where cluster_id = $1 and tenant_count < max_tenants
            order by id limit 1 for update)
        returning id, owner_role";
    let Some(row) = tx.query_opt(sql, &[&FIRST_CLUSTER]).await? else { return Ok(None) };
    Ok(Some((BucketId(row.get(0)), Ident::new(row.get::<_, String>(1))?)))
}

async fn make_bucket(database: &Database, tx: &mut Transaction) -> Result<(BucketId, Ident)> {
    let sql = "select coalesce(max(id), 0) + 1, quote_ident(current_database()) from public.buckets";
    let row = tx.query(sql, &[]).await?.remove(0);
    let (id, current): (BucketId, String) = (BucketId(row.get(0)), row.get(1));
    let instance = database.instance().as_str();
    let login = Ident::new(format!("{instance}_b{}", id.0))?;
    let owner = Ident::new(format!("{instance}_b{}_owner", id.0))?;
    let password = random_password()?;
    let sealed = database.sealing().seal(password.as_bytes(), &associated(FIRST_CLUSTER, id))?;
    tx.batch(&roles(&login, &owner, &password, &current)).await?;
    tx.execute(
        "insert into public.buckets (id, cluster_id, login_role, owner_role, password_sealed, tenant_count)
         values ($1, $2, $3, $4, $5, 1)",
        &[&id.0, &FIRST_CLUSTER, &login.as_str(), &owner.as_str(), &sealed],
    )
    .await?;
    Ok((id, owner))
}

/// The control role becomes a member of the owner to create schemas for it and to act as it. The server is told a
/// SCRAM verifier, so that the password is in no statement log.
fn roles(login: &Ident, owner: &Ident, password: &str, database: &str) -> String {
    let verifier = literal(&postgres_protocol::password::scram_sha_256(password.as_bytes()));
    format!(
        "create role {owner} nologin;
         grant {owner} to current_user;
         grant usage on schema insula to {owner};
         alter default privileges for role {owner} revoke execute on functions from public;
         create role {login} login noinherit password {verifier};
         grant connect on database {database} to {login};"
    )
}
