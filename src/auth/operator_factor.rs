//! The second factor of operators, which the command line gives them and takes off.

use uuid::Uuid;

use super::sign_in::normal_email;
use super::totp::{Secret, recovery_codes};
use crate::db::{By, Database, Transaction};
use crate::error::{Error, Kind, Result};

/// Gives an operator another second factor, which counts at once; gives its URL and the recovery codes.
pub async fn operator_factor_set(
    database: &Database,
    by: &By,
    issuer: &str,
    email: &str,
) -> Result<(String, Vec<String>)> {
    let (secret, email) = (Secret::generate()?, normal_email(email));
    let (codes, digests) = recovery_codes()?;
    let mut tx = database.control().await?.begin_by(by).await?;
    let id = operator_of(&mut tx, &email).await?;
    let sealed = database.sealing().seal(secret.bytes(), &associated(id))?;
    let sql = "update public.operators set totp_sealed = $2, totp_confirmed_at = now(), totp_step = 0 where id = $1";
    tx.execute(sql, &[&id, &sealed]).await?;
    tx.execute("delete from public.operator_recovery_codes where operator_id = $1", &[&id]).await?;
    let sql = "insert into public.operator_recovery_codes (operator_id, code_hash)
        select $1, code::bytea from unnest($2::text[]) code";
    tx.execute(sql, &[&id, &digests]).await?;
    tx.commit().await?;
    Ok((secret.url(issuer, &email), codes))
}

/// Takes an operator's second factor off.
pub async fn operator_factor_remove(database: &Database, by: &By, email: &str) -> Result<()> {
    let mut tx = database.control().await?.begin_by(by).await?;
    let id = operator_of(&mut tx, &normal_email(email)).await?;
    let sql = "update public.operators set totp_sealed = null, totp_confirmed_at = null, totp_step = 0 where id = $1";
    tx.execute(sql, &[&id]).await?;
    tx.execute("delete from public.operator_recovery_codes where operator_id = $1", &[&id]).await?;
    Ok(tx.commit().await?)
}

async fn operator_of(tx: &mut Transaction, email: &str) -> Result<Uuid> {
    let row = tx.query_opt("select id from public.operators where lower(email) = $1 for update", &[&email]).await?;
    let unknown = || Error::new(Kind::NotFound, "not_found", format!("There is no operator {email}."));
    row.map(|row| row.get(0)).ok_or_else(unknown)
}

fn associated(id: Uuid) -> String {
    format!("operator_totp:{id}")
}

/// The secret of an operator's factor.
pub(super) fn operator_secret(database: &Database, sealed: &[u8], id: Uuid) -> Result<Secret> {
    Ok(Secret::from_bytes(database.sealing().open(sealed, &associated(id))?))
}
