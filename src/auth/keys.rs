//! The keys of tokens: made on first use, sealed in the registry, shared by all processes.

use uuid::Uuid;

use super::token::{Audience, Key, Keyring};
use crate::db::{Database, Transaction};
use crate::error::{Error, Result};

const LOCK: i64 = 0x1_6e5_0a3;

/// All keys, oldest first; the first start makes one per audience.
pub async fn load_keyring(database: &Database, issuer: &str) -> Result<Keyring> {
    let mut tx = database.control().await?.begin().await?;
    tx.query("select pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    for audience in [Audience::Tenant, Audience::Operator] {
        let sql = "select from public.signing_keys where audience = $1 and retired_at is null limit 1";
        if tx.query_opt(sql, &[&audience.as_str()]).await?.is_none() {
            create(database, &mut tx, audience).await?;
        }
    }
    let sql =
        "select kid, audience, secret_sealed, retired_at is not null from public.signing_keys order by created_at, kid";
    let rows = tx.query(sql, &[]).await?;
    tx.commit().await?;
    let keys = rows.iter().map(|row| {
        let (kid, audience): (String, Audience) = (row.get(0), row.get::<_, &str>(1).parse()?);
        let secret = database.sealing().open(row.get(2), &associated(&kid))?;
        Ok(Key { kid, audience, secret, retired: row.get(3) })
    });
    Keyring::new(issuer, keys.collect::<Result<Vec<_>>>()?)
}

async fn create(database: &Database, tx: &mut Transaction, audience: Audience) -> Result<()> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(Error::internal)?;
    let kid = Uuid::now_v7().simple().to_string();
    let sealed = database.sealing().seal(&secret, &associated(&kid))?;
    let sql = "insert into public.signing_keys (kid, audience, secret_sealed) values ($1, $2, $3)";
    tx.execute(sql, &[&kid, &audience.as_str(), &sealed]).await?;
    Ok(())
}

fn associated(kid: &str) -> String {
    format!("signing_key:{kid}")
}
