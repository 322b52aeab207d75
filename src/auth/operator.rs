//! Sign-in of operators, and their second factor.

use std::net::IpAddr;

use serde_json::from_str;
use tokio_postgres::Row;
use uuid::Uuid;

use super::attempt::{Admitted, Attempt};
use super::device::Device;
use super::factor::{Proof, factor_required, wrong_factor};
use super::sign_in::{Authenticator, Credentials, Operator, OperatorRole, SignedIn, normal_email, wrong_credentials};
use super::token::{Audience, unauthenticated};
use super::totp::{Secret, recovery_codes};
use crate::db::Database;
use crate::error::{Error, Kind, Result};

/// In place of a tenant, where attempts are counted.
const STAFF: Uuid = Uuid::max();

/// An operator with what he proves himself by.
struct Account {
    operator: Operator,
    password_hash: String,
    /// The second factor's secret.
    sealed: Option<Vec<u8>>,
}

impl Authenticator {
    /// Signs an operator in. An unknown account costs and says the same as a wrong password.
    pub async fn sign_in_operator(&self, credentials: Credentials, address: IpAddr) -> Result<SignedIn<Operator>> {
        let Credentials { email, password, code, device } = credentials;
        let device = device.and_then(Device::presented);
        let email = normal_email(&email);
        let count = async |device: Option<&str>, hold| self.count_operator(&email, device, hold).await;
        let (turn, admitted, account) = self.admit(STAFF, Some(address), password, device, count).await?;
        let hash = account.as_ref().map(|account| account.password_hash.as_str());
        if !self.hasher.verify(turn, hash).await? {
            return Err(wrong_credentials());
        }
        let account = account.ok_or_else(wrong_credentials)?;
        let proof = match (&account.sealed, code) {
            (None, _) => Proof::default(),
            (Some(sealed), Some(code)) => {
                let secret = self.database.sealing().open(sealed, &associated(account.operator.id))?;
                Proof::of(&Secret::from_bytes(secret), &code).ok_or_else(wrong_factor)?
            }
            (Some(_), None) => {
                self.forgive(admitted.guess.as_ref());
                let sql = "select 1 from public.operator_attempt_take_back($1::text::bytea, $2)";
                self.ask(sql, &[&admitted.attempt.key(), &admitted.attempt.wrong()]).await?;
                return Err(factor_required());
            }
        };
        let Admitted { attempt, device, guess } = admitted;
        let device = device.map_or_else(Device::generate, Ok)?;
        self.conclude_operator(&account, &proof, &attempt.key(), &device).await?;
        self.forgive(guess.as_ref());
        let access_token = self.token(Audience::Operator, account.operator.id, Uuid::now_v7(), None)?;
        let expires_in = self.lives.access.as_secs();
        let (token_type, device_token) = ("Bearer", Some(device.into_text()));
        Ok(SignedIn { access_token, token_type, expires_in, refresh_token: None, device_token, user: account.operator })
    }

    /// Counts an attempt, and finds the account: one round trip.
    async fn count_operator(&self, email: &str, device: Option<&str>, hold: i32) -> Result<(Attempt, Option<Account>)> {
        let sql = "select o.id, o.email, o.name, o.role, o.password_hash,
                case when o.totp_confirmed_at is not null then o.totp_sealed end,
                public.operator_sign_in_count($1, $2::text::bytea, $3, $4, $5)::text
            from (values ($1)) typed (email)
            left join public.operators o on lower(o.email) = typed.email and o.state = 'active'";
        let row = self.ask(sql, &[&email, &device, &hold, &self.patience.free, &self.patience.longest]).await?;
        let attempt = from_str(row.get(6)).map_err(Error::internal)?;
        if row.get::<_, Option<Uuid>>(0).is_none() {
            return Ok((attempt, None));
        }
        Ok((attempt, Some(Account { operator: operator(&row)?, password_hash: row.get(4), sealed: row.get(5) })))
    }

    /// Uses the proof up and forgives the attempt. An account that was changed meanwhile proves nothing any more.
    async fn conclude_operator(&self, account: &Account, proof: &Proof, key: &str, device: &Device) -> Result<()> {
        let sql = "with proven as materialized (select public.operator_prove($1, $2, $3, $4::text::bytea) as proven)
            select proven, case when proven then public.operator_signed_in($1, $5::text::bytea, $6::text::bytea) end::text
            from proven";
        let (id, hash, device) = (account.operator.id, &account.password_hash, device.digest());
        let row = self.ask(sql, &[&id, hash, &proof.step, &proof.recovery, &key, &device]).await?;
        match (row.get(0), proof.is_some()) {
            (true, _) => Ok(()),
            (false, true) => Err(wrong_factor()),
            (false, false) => Err(wrong_credentials()),
        }
    }

    async fn ask(&self, sql: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> Result<Row> {
        let row = self.database.control().await?.query_opt(sql, values).await?;
        row.ok_or_else(|| Error::internal("a statement that always gives a row gave none"))
    }

    /// The operator of a token, asked anew each time: a disabled operator is out at once.
    pub async fn operator(&self, token: &str) -> Result<Operator> {
        let claims = self.verify(Audience::Operator, token).await?;
        let sql = "select id, email, name, role from public.operators where id = $1 and state = 'active'";
        let row = self.database.look_up(sql, &[&claims.sub]).await?.pop();
        operator(&row.ok_or_else(|| unauthenticated("the operator is disabled or gone"))?)
    }
}

/// Gives an operator another second factor, which counts at once; gives its URL and the recovery codes.
pub async fn operator_factor_set(database: &Database, issuer: &str, email: &str) -> Result<(String, Vec<String>)> {
    let (secret, email) = (Secret::generate()?, normal_email(email));
    let (codes, digests) = recovery_codes()?;
    let mut tx = database.control().await?.begin().await?;
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
pub async fn operator_factor_remove(database: &Database, email: &str) -> Result<()> {
    let mut tx = database.control().await?.begin().await?;
    let id = operator_of(&mut tx, &normal_email(email)).await?;
    let sql = "update public.operators set totp_sealed = null, totp_confirmed_at = null, totp_step = 0 where id = $1";
    tx.execute(sql, &[&id]).await?;
    tx.execute("delete from public.operator_recovery_codes where operator_id = $1", &[&id]).await?;
    Ok(tx.commit().await?)
}

async fn operator_of(tx: &mut crate::db::Transaction, email: &str) -> Result<Uuid> {
    let row = tx.query_opt("select id from public.operators where lower(email) = $1 for update", &[&email]).await?;
    let unknown = || Error::new(Kind::NotFound, "not_found", format!("There is no operator {email}."));
    row.map(|row| row.get(0)).ok_or_else(unknown)
}

fn associated(id: Uuid) -> String {
    format!("operator_totp:{id}")
}

fn operator(row: &Row) -> Result<Operator> {
    let role = match row.get(3) {
        "owner" => OperatorRole::Owner,
        "support" => OperatorRole::Support,
        "billing" => OperatorRole::Billing,
        "read_only" => OperatorRole::ReadOnly,
        other => return Err(Error::internal(format!("unknown operator role {other:?}"))),
    };
    Ok(Operator { id: row.get(0), email: row.get(1), name: row.get(2), role })
}
