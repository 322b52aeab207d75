//! Tokens in the links of letters: 256 random bits, each good for one use, known to the database as digests only.

use serde::Deserialize;

use super::factor::{Proof, factor_required, wrong_factor};
use super::sign_in::{Authenticator, Client, Opening, SignedIn, User, normal_email};
use super::{policy, secret::Secret};
use crate::db::{Acting, Scope, Seat};
use crate::error::{Error, Kind, Result};
use crate::sql::{Sql, Value};
use crate::tenant::Tenant;

/// Begins every token, so that a scanner for lost secrets knows one.
pub const PREFIX: &str = "insula_lt_";

/// What somebody brings along who follows a link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    token: String,
    password: String,
    first_name: Option<String>,
    last_name: Option<String>,
}

/// What somebody brings along who forgot his password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    token: String,
    password: String,
    /// A code of the second factor, which a letter does not replace.
    #[serde(default)]
    code: Option<String>,
}

impl Authenticator {
    /// Lets in who was invited, with a password of his own.
    ///
    /// # Errors
    /// `validation_failed` for an unfit password or name, `invalid_link` when the token is no good any more.
    pub async fn accept(&self, tenant: &Tenant, form: Acceptance, client: &Client) -> Result<SignedIn<User>> {
        form.check_names()?;
        let Acceptance { token, password, first_name, last_name } = form;
        let (email, hash) = self.proven(tenant, "invitation", &token, password).await?;
        let mut sql = Sql::new("select 1::bigint, sys_accept(decode(");
        sql.bind(Value::text(Secret::digest_of(&token))).push(", 'base64'), ").bind(Value::text(hash));
        for name in [first_name, last_name] {
            sql.push(", ").bind(name.map_or_else(Value::null, |name| Value::text(name.trim())));
        }
        sql.push(")::text");
        self.enter(tenant, (&sql, Proof::default()), &email, client).await
    }

    /// Notes that somebody forgot his password. What follows from it, and whether anything does, happens later.
    pub async fn forgot_password(&self, tenant: &Tenant, email: &str) -> Result<()> {
        let mut sql = Sql::new("select sys_reset_ask(");
        sql.bind(Value::text(normal_email(email))).push("), null::text");
        self.database.run(&self.owner(&tenant.place), &sql).await?;
        Ok(())
    }

    /// Gives a user another password in place of the one that he forgot; all his sessions end.
    ///
    /// # Errors
    /// `validation_failed` for an unfit password, `invalid_link` when the token is no good any more; for who has a second
    /// factor `second_factor_required` without a code, and `invalid_second_factor` with a wrong one, which uses the token up.
    pub async fn reset_password(&self, tenant: &Tenant, form: Replacement, client: &Client) -> Result<SignedIn<User>> {
        let Replacement { token, password, code } = form;
        let (email, hash) = self.proven(tenant, "reset", &token, password).await?;
        // Who was made an owner by an operator has no password yet, and so no factor.
        let proof = match self.account(&tenant.place, &email).await? {
            None => Proof::default(),
            Some(account) => match self.prove_first(tenant, &account, code.as_deref()).await {
                Err(error) if error.code() == wrong_factor().code() => {
                    self.void(tenant, &token).await?;
                    return Err(error);
                }
                proof => proof?.ok_or_else(factor_required)?,
            },
        };
        let mut sql = Sql::new("select 1::bigint, sys_reset(decode(");
        sql.bind(Value::text(Secret::digest_of(&token))).push(", 'base64'), ").bind(Value::text(hash));
        sql.push(")::text");
        self.enter(tenant, (&sql, proof), &email, client).await
    }

    /// Nobody tries codes by one token.
    async fn void(&self, tenant: &Tenant, token: &str) -> Result<()> {
        let mut sql = Sql::new("with gone as (delete from sys_link where token_hash = decode(");
        sql.bind(Value::text(Secret::digest_of(token)));
        sql.push(", 'base64') returning 1) select count(*), null::text from gone");
        self.database.run(&self.owner(&tenant.place), &sql).await?;
        Ok(())
    }

    /// Whose token it is, and the hash of the password, if both are good. The token is not used up yet: who chose an
    /// unfit password may choose again.
    async fn proven(&self, tenant: &Tenant, kind: &str, token: &str, password: String) -> Result<(String, String)> {
        policy::check_alone(&password)?;
        if !Secret::may_be(PREFIX, token) {
            return Err(not_good());
        }
        let mut sql = Sql::new("select 1::bigint, (select u.email from sys_link l join sys_user u on u.id = l.user_id");
        sql.push(" where l.expires_at > now() and l.kind = ").bind(Value::text(kind));
        sql.push(" and l.token_hash = decode(").bind(Value::text(Secret::digest_of(token))).push(", 'base64'))");
        let limit = self.database.statement_timeout();
        let scope = Scope::read(tenant.place.clone(), Seat::Owner, Acting::service(), limit);
        let email = self.database.run(&scope, &sql).await?.body.ok_or_else(not_good)?;
        policy::check(&password, &[&email, &tenant.subdomain, &tenant.name])?;
        Ok((email, self.hasher.hash(password).await?))
    }

    /// Uses a token up and signs its owner in.
    async fn enter(
        &self,
        tenant: &Tenant,
        (use_up, proof): (&Sql, Proof),
        email: &str,
        client: &Client,
    ) -> Result<SignedIn<User>> {
        let acting = Acting::service().on(client.origin.clone());
        let scope = Scope::write(tenant.place.clone(), Seat::Owner, acting, self.database.statement_timeout());
        self.database.run(&scope, use_up).await?.body.ok_or_else(not_good)?;
        let account = self.account(&tenant.place, email).await?.ok_or_else(not_good)?;
        let opening = Opening { account, proof, attempt: None, device: None };
        self.open_session(tenant.id, &tenant.place, opening, client).await
    }
}

impl Acceptance {
    /// As `sys_user_first_name` and `sys_user_last_name` have it.
    fn check_names(&self) -> Result<()> {
        let has = |text: &str, least| (least..=100).contains(&text.trim().chars().count()) && !text.contains('\0');
        let mut faults = Error::validation();
        if self.first_name.as_ref().is_some_and(|name| !has(name, 1)) {
            faults = faults.field("#/first_name", "invalid_format", "must have 1 to 100 characters");
        }
        if self.last_name.as_ref().is_some_and(|name| !has(name, 0)) {
            faults = faults.field("#/last_name", "invalid_format", "must have at most 100 characters");
        }
        faults.if_any()
    }
}

fn not_good() -> Error {
    Error::new(Kind::Unauthenticated, "invalid_link", "The link is used, expired or unknown.")
        .hint("Ask for another one, and use the newest.")
}
