//! The second factor: proving it at sign-in, setting it up, taking it off.

use serde::Serialize;
use uuid::Uuid;

use super::sign_in::{Account, Authenticator};
use super::totp::{Secret, Typed, bytea, recovery_codes, unix_now};
use crate::access::Caller;
use crate::db::seal::SealingKey;
use crate::db::{Acting, Scope, Seat, Transaction};
use crate::error::{Error, Kind, Result};
use crate::sql::{Sql, Value};
use crate::tenant::Tenant;

/// What is used up when a session opens.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The time step of a code.
    pub step: Option<i64>,
    /// Digest of a recovery code.
    pub recovery: Option<String>,
}

impl Proof {
    /// What `typed` proves where the secret is this one, if anything: a recovery code is looked at when it is used up.
    pub fn of(secret: &Secret, typed: &str) -> Option<Self> {
        match Typed::read(typed) {
            Typed::Code(code) => Some(Self { step: Some(secret.step_of(code, unix_now())?), recovery: None }),
            Typed::Recovery(digest) => Some(Self { step: None, recovery: Some(digest) }),
        }
    }

    /// Whether anything was proven at all.
    pub fn is_some(&self) -> bool {
        *self != Self::default()
    }

    pub(super) fn values(&self) -> [Value; 2] {
        let text = |text: Option<String>| text.map_or_else(Value::null, Value::text);
        [text(self.step.map(|step| step.to_string())), text(self.recovery.clone())]
    }
}

/// A second factor that is being set up.
#[derive(Debug, Serialize)]
pub struct Setup {
    /// For typing, base32.
    pub secret: String,
    /// For a QR code.
    pub otpauth_url: String,
}

impl Authenticator {
    /// The proof of an account's second factor: an empty one where it has none, none at all where a code is missing.
    ///
    /// # Errors
    /// `invalid_second_factor` with a wrong code.
    pub(super) fn prove(&self, tenant: Uuid, account: &Account, code: Option<&str>) -> Result<Option<Proof>> {
        if !account.totp_confirmed {
            return Ok(Some(Proof::default()));
        }
        let Some(code) = code else { return Ok(None) };
        let secret = self.secret(tenant, account)?.ok_or_else(|| Error::internal("a factor without a secret"))?;
        Proof::of(&secret, code).map(Some).ok_or_else(wrong_factor)
    }

    /// The same before something else than a session hangs on it: whether the code was used already is looked at now, and
    /// it is used up later.
    pub(super) async fn prove_first(
        &self,
        tenant: &Tenant,
        account: &Account,
        code: Option<&str>,
    ) -> Result<Option<Proof>> {
        let proof = self.prove(tenant.id, account, code)?;
        if let Some(proof) = proof.as_ref().filter(|proof| proof.is_some()) {
            let [step, recovery] = proof.values();
            let mut sql = Sql::new("select count(*), null::text from sys_credential c where c.totp_step < ");
            sql.bind(step).push("::text::bigint and c.user_id = ").bind(Value::text(account.user.id.to_string()));
            sql.push(" or c.user_id in (select r.user_id from sys_recovery_code r where r.code_hash = ").bind(recovery);
            sql.push(" and r.user_id = ").bind(Value::text(account.user.id.to_string())).push(")");
            let limit = self.database.statement_timeout();
            let scope = Scope::read(tenant.place.clone(), Seat::Owner, Acting::service(), limit);
            if self.database.run(&scope, &sql).await?.count == 0 {
                return Err(wrong_factor());
            }
        }
        Ok(proof)
    }

    fn secret(&self, tenant: Uuid, account: &Account) -> Result<Option<Secret>> {
        let Some(sealed) = &account.totp_sealed else { return Ok(None) };
        let sealed = data_encoding::HEXLOWER.decode(sealed.as_bytes()).map_err(Error::internal)?;
        let secret = self.database.sealing().open(&sealed, &associated(tenant, account.user.id))?;
        Ok(Some(Secret::from_bytes(secret)))
    }

    /// Whether a user has a factor, must have one, and how many recovery codes are left; as JSON.
    pub async fn factor_state(&self, caller: &Caller) -> Result<String> {
        let Caller { tenant, session, .. } = caller;
        let mut sql = Sql::new(include_str!("factor_state.sql"));
        sql.bind(Value::text(session.user.to_string()));
        let limit = self.database.statement_timeout();
        let scope = Scope::read(tenant.place.clone(), Seat::Owner, Acting::service(), limit);
        self.database.run(&scope, &sql).await?.body.ok_or_else(Error::not_found)
    }

    /// Makes a secret that counts once it is [confirmed](Authenticator::factor_confirm).
    pub async fn factor_begin(&self, caller: &Caller, password: String) -> Result<Setup> {
        let Caller { tenant, session, .. } = caller;
        let (account, attempt) = self.retyped(caller, password, "#/password").await?;
        let secret = Secret::generate()?;
        let sealed = self.database.sealing().seal(secret.bytes(), &associated(tenant.id, session.user))?;
        let mut sql = Sql::new("with begun as (update sys_credential set totp_step = 0, totp_sealed = ");
        sql.bind(Value::text(bytea(&sealed))).push(" where user_id = ").bind(Value::text(session.user.to_string()));
        sql.push(" and totp_confirmed_at is null and password_hash = ").bind(Value::text(account.password_hash));
        sql.push(" returning 1) select count(*), null::text from begun");
        let limit = self.database.statement_timeout();
        let scope = Scope::write(tenant.place.clone(), Seat::Owner, caller.served(), limit);
        if self.database.run(&scope, &sql).await?.count == 0 {
            return Err(Error::new(Kind::Conflict, "second_factor_on", "The second factor is on already."));
        }
        self.forget_attempt(&tenant.place, &attempt).await?;
        Ok(Setup { secret: secret.text(), otpauth_url: secret.url(&tenant.name, &session.email) })
    }

    /// Makes the factor count from now on, for who shows that his authenticator works; gives the recovery codes. Other
    /// sessions, which were opened without it, end.
    pub async fn factor_confirm(&self, caller: &Caller, code: &str) -> Result<Vec<String>> {
        let Caller { tenant, session, .. } = caller;
        let account = self.account(&tenant.place, &session.email).await?.ok_or_else(Error::not_found)?;
        let (Some(secret), false) = (self.secret(tenant.id, &account)?, account.totp_confirmed) else {
            return Err(nothing_begun());
        };
        let step = Proof::of(&secret, code).and_then(|proof| proof.step).ok_or_else(wrong_code)?;
        let (codes, digests) = recovery_codes()?;
        let values = [
            Value::text(session.user.to_string()),
            Value::text(session.id.to_string()),
            Value::text(format!("\\x{}", account.totp_sealed.unwrap_or_default())),
            Value::text(step.to_string()),
            Value::array(digests.iter().map(|digest| Some(digest.as_str()))),
        ];
        if !self.asked(caller, "sys_totp_confirm(", values).await? {
            return Err(nothing_begun());
        }
        Ok(codes)
    }

    /// Takes the factor off.
    pub async fn factor_remove(&self, caller: &Caller, password: String, code: &str) -> Result<()> {
        self.with_factor(caller, password, code, None).await
    }

    /// Other recovery codes in place of those that there are.
    pub async fn factor_renew(&self, caller: &Caller, password: String, code: &str) -> Result<Vec<String>> {
        let (codes, digests) = recovery_codes()?;
        self.with_factor(caller, password, code, Some(digests)).await.map(|()| codes)
    }

    /// Uses up a code, and changes the recovery codes or, without any, takes the factor off.
    async fn with_factor(
        &self,
        caller: &Caller,
        password: String,
        code: &str,
        digests: Option<Vec<String>>,
    ) -> Result<()> {
        let Caller { tenant, session, .. } = caller;
        let (account, attempt) = self.retyped(caller, password, "#/password").await?;
        if !account.totp_confirmed {
            return Err(Error::new(Kind::Conflict, "second_factor_off", "The second factor is off."));
        }
        let secret = self.secret(tenant.id, &account)?.ok_or_else(wrong_code)?;
        let proof = Proof::of(&secret, code).ok_or_else(wrong_code)?;
        let [step, recovery] = proof.values();
        let codes = digests.map_or_else(Value::null, |all| Value::array(all.iter().map(|one| Some(one.as_str()))));
        let user = Value::text(session.user.to_string());
        let values = [user, Value::text(account.password_hash), step, recovery, codes];
        if !self.asked(caller, "sys_factor_change(", values).await? {
            return Err(wrong_code());
        }
        self.forget_attempt(&tenant.place, &attempt).await
    }

    /// What a function says.
    async fn asked(&self, caller: &Caller, function: &'static str, values: [Value; 5]) -> Result<bool> {
        let mut sql = Sql::new("select 1::bigint, ");
        sql.push(function);
        for (at, value) in values.into_iter().enumerate() {
            sql.push(if at > 0 { ", " } else { "" }).bind(value);
        }
        sql.push(")::text");
        let limit = self.database.statement_timeout();
        let scope = Scope::write(caller.tenant.place.clone(), Seat::Owner, caller.served(), limit);
        Ok(self.database.run(&scope, &sql).await?.body.as_deref() == Some("true"))
    }
}

/// Makes the second factors of users whose rows came from another tenant their own here. One that this installation's key
/// does not open is taken off: nobody could sign in with it.
pub async fn reseal_factors(tx: &mut Transaction, key: &SealingKey, from: Uuid, to: Uuid) -> Result<()> {
    let sql = "select user_id, totp_sealed from sys_credential where totp_sealed is not null";
    for row in tx.query(sql, &[]).await? {
        let (user, sealed): (Uuid, Vec<u8>) = (row.get(0), row.get(1));
        match key.open(&sealed, &associated(from, user)) {
            Ok(secret) => {
                let sealed = key.seal(&secret, &associated(to, user))?;
                tx.execute("update sys_credential set totp_sealed = $2 where user_id = $1", &[&user, &sealed]).await?;
            }
            Err(_) => {
                let off = "update sys_credential set totp_sealed = null, totp_confirmed_at = null, totp_step = 0 where user_id = $1";
                tx.execute(off, &[&user]).await?;
                tx.execute("delete from sys_recovery_code where user_id = $1", &[&user]).await?;
            }
        }
    }
    Ok(())
}

fn associated(tenant: Uuid, user: Uuid) -> String {
    format!("totp:{tenant}:{user}")
}

/// The password was right.
pub(super) fn factor_required() -> Error {
    Error::new(Kind::Unauthenticated, "second_factor_required", "A code of the second factor is needed too.")
        .hint("Send it as `code`: six digits of the authenticator, or a recovery code.")
}

pub(super) fn wrong_factor() -> Error {
    Error::new(Kind::Unauthenticated, "invalid_second_factor", "The code is wrong, or was used already.")
}

fn wrong_code() -> Error {
    Error::validation().field("#/code", "wrong_code", "is wrong, or was used already")
}

fn nothing_begun() -> Error {
    Error::new(Kind::Conflict, "second_factor_not_begun", "No second factor is being set up.")
        .hint("Begin with `POST /api/v1/me/totp`.")
}
