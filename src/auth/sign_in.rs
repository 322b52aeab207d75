//! Sign-in of tenant users.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::attempt::{Admitted, Patience};
use super::device::Device;
use super::factor::{Proof, factor_required, wrong_factor};
use super::keys::Keys;
use super::password::PasswordHasher;
use super::refresh::{Lives, RefreshToken};
use super::token::{Audience, Claims, Keyring};
use crate::db::{Acting, Database, Origin, Place, Scope, Seat};
use crate::error::{Error, Kind, Result};
use crate::sql::{Sql, Value, literal};
use crate::tenant::Tenant;

/// What is typed at sign-in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The account's address.
    pub email: String,
    /// The password.
    pub password: String,
    /// A code of the second factor, or a recovery code.
    pub code: Option<String>,
    /// The `device_token` of an earlier sign-in.
    pub device: Option<String>,
}

/// Where a sign-in comes from.
#[derive(Debug, Default, Clone)]
pub struct Client {
    /// `User-Agent`, cut to 200 characters.
    pub agent: Option<String>,
    /// The request.
    pub origin: Option<Origin>,
}

impl Client {
    /// Its address.
    pub fn address(&self) -> Option<IpAddr> {
        self.origin.as_ref().map(|origin| origin.address)
    }
}

/// The answer to a sign-in.
#[derive(Debug, Serialize)]
pub struct SignedIn<U> {
    /// Bearer token.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Life of the token in seconds.
    pub expires_in: u64,
    /// Gives the next access token, once; who works as somebody else has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// For the next sign-in from this device, which then counts wrong attempts for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_token: Option<String>,
    /// Who signed in.
    pub user: U,
}

/// A user of a tenant, as shown to himself.
#[derive(Debug, Serialize, Deserialize)]
pub struct User {
    /// Key.
    pub id: Uuid,
    /// Address.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: Option<String>,
    /// Codes of his roles.
    #[serde(default)]
    pub roles: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Account {
    /// Without his roles: what is found before the password is proven is as little as can be, because it takes time.
    #[serde(flatten)]
    pub(super) user: User,
    pub(super) password_hash: String,
    /// In hexadecimal.
    pub(super) totp_sealed: Option<String>,
    pub(super) totp_confirmed: bool,
}

/// What opens a session.
pub(super) struct Opening {
    pub(super) account: Account,
    pub(super) proof: Proof,
    /// Key of the attempt, which is forgiven.
    pub(super) attempt: Option<String>,
    pub(super) device: Option<Device>,
}

/// Signs people in and knows them again.
pub struct Authenticator {
    pub(super) database: Database,
    /// The keys of tokens.
    pub keys: Keys,
    pub(super) hasher: Arc<PasswordHasher>,
    pub(super) lives: Lives,
    pub(super) patience: Patience,
}

impl Authenticator {
    /// An authenticator whose tokens and sessions have these lives.
    pub fn new(
        database: Database,
        keyring: Keyring,
        hasher: Arc<PasswordHasher>,
        lives: Lives,
        patience: Patience,
    ) -> Self {
        let keys = Keys::new(database.clone(), keyring);
        Self { database, keys, hasher, lives, patience }
    }

    /// The claims of a token for an audience.
    pub async fn verify(&self, audience: Audience, token: &str) -> Result<Claims> {
        self.keys.verify(audience, token).await
    }

    /// Signs a tenant's user in. An unknown account costs and says the same as a wrong password.
    pub async fn sign_in(&self, tenant: &Tenant, credentials: Credentials, client: &Client) -> Result<SignedIn<User>> {
        let Credentials { email, password, code, device } = credentials;
        let (email, device) = (normal_email(&email), device.and_then(Device::presented));
        let count = async |device: Option<&str>, hold| self.count_sign_in(&tenant.place, &email, device, hold).await;
        let (turn, admitted, account) = self.admit(tenant.id, client.address(), password, device, count).await?;
        let hash = account.as_ref().map(|account| account.password_hash.as_str());
        if !self.hasher.verify(turn, hash).await? {
            return Err(wrong_credentials());
        }
        let account = account.ok_or_else(wrong_credentials)?;
        let Some(proof) = self.prove(tenant.id, &account, code.as_deref())? else {
            self.forgive(admitted.guess.as_ref());
            self.take_back_attempt(&tenant.place, &admitted.attempt).await?;
            return Err(factor_required());
        };
        let Admitted { attempt, device, guess } = admitted;
        let device = device.map_or_else(Device::generate, Ok)?;
        let opening = Opening { account, proof, attempt: Some(attempt.key()), device: Some(device) };
        let signed_in = self.open_session(tenant.id, &tenant.place, opening, client).await?;
        self.forgive(guess.as_ref());
        Ok(signed_in)
    }

    /// Opens a session for a user whose identity is proven otherwise: who signed up just now, a demo.
    pub async fn sign_in_known(&self, tenant: Uuid, place: &Arc<Place>, email: &str) -> Result<SignedIn<User>> {
        let account = self.account(place, email).await?.ok_or_else(Error::not_found)?;
        let proof = self.prove(tenant, &account, None)?.ok_or_else(factor_required)?;
        let opening = Opening { account, proof, attempt: None, device: None };
        self.open_session(tenant, place, opening, &Client::default()).await
    }

    pub(super) async fn account(&self, place: &Arc<Place>, email: &str) -> Result<Option<Account>> {
        let sql = account_sql(&normal_email(email));
        let scope = Scope::read(place.clone(), Seat::Owner, Acting::service(), self.database.statement_timeout());
        let answer = self.database.run(&scope, &sql).await?;
        answer.body.map(|body| serde_json::from_str(&body)).transpose().map_err(Error::internal)
    }

    /// A session for who proved the account's password. One that was changed meanwhile proves nothing any more.
    pub(super) async fn open_session(
        &self,
        tenant: Uuid,
        place: &Arc<Place>,
        Opening { account: Account { mut user, password_hash, .. }, proof, attempt, device }: Opening,
        client: &Client,
    ) -> Result<SignedIn<User>> {
        let (session, refresh) = (Uuid::now_v7(), RefreshToken::generate()?);
        let input = [
            Value::text(user.id.to_string()),
            Value::text(password_hash),
            Value::text(session.to_string()),
            Value::text(refresh.digest()),
            Value::text(self.lives.refresh.min(self.lives.session).as_secs().to_string()),
            optional(client.agent.clone()),
            optional(client.address().map(|ip| ip.to_string())),
            optional(attempt),
            optional(device.as_ref().map(Device::digest)),
        ];
        let mut sql =
            Sql::new("with input (user_id, password_hash, id, refresh, life, agent, address, attempt, device, ");
        sql.push("step, recovery) as (values (");
        for (at, value) in input.into_iter().chain(proof.values()).enumerate() {
            sql.push(if at > 0 { ", " } else { "" }).bind(value).push("::text");
        }
        sql.push(")").push(include_str!("session.sql"));
        let acting = Acting::service().on(client.origin.clone());
        let scope = Scope::write(place.clone(), Seat::Owner, acting, self.database.statement_timeout());
        let opened = self.database.run(&scope, &sql).await?;
        if opened.count == 0 {
            return Err(if proof.is_some() { wrong_factor() } else { wrong_credentials() });
        }
        user.roles = serde_json::from_str(opened.body.as_deref().unwrap_or("[]")).map_err(Error::internal)?;
        let device_token = device.map(Device::into_text);
        Ok(SignedIn { device_token, ..self.signed_in(tenant, session, refresh, user)? })
    }

    /// What a user gets who has proven who he is.
    pub(super) fn signed_in(
        &self,
        tenant: Uuid,
        session: Uuid,
        refresh: RefreshToken,
        user: User,
    ) -> Result<SignedIn<User>> {
        let access_token = self.token(Audience::Tenant, user.id, session, Some(tenant), self.lives.access)?;
        let (expires_in, refresh_token) = (self.lives.access.as_secs(), Some(refresh.into_text()));
        Ok(SignedIn { access_token, token_type: "Bearer", expires_in, refresh_token, device_token: None, user })
    }

    /// An access token that lives as long as `life`.
    pub(super) fn token(
        &self,
        aud: Audience,
        sub: Uuid,
        sid: Uuid,
        tid: Option<Uuid>,
        life: Duration,
    ) -> Result<String> {
        let now = unix_seconds(SystemTime::now());
        let life = i64::try_from(life.as_secs()).map_err(Error::internal)?;
        self.keys.sign(&Claims { aud, sub, sid, tid, iat: now, nbf: now, exp: now + life })
    }
}

/// SQL that makes a user with a role and, where given, a password; run by the owner role of a tenant.
pub fn new_owner_sql(
    email: &str,
    first_name: &str,
    last_name: &str,
    role: &str,
    password_hash: Option<&str>,
) -> String {
    let credential = password_hash.map_or_else(String::new, |hash| {
        format!(
            ", credential as (insert into sys_credential (user_id, password_hash) select id, {} from made)",
            literal(hash)
        )
    });
    format!(
        "with made as (insert into sys_user (email, first_name, last_name) values ({}, {}, {}) returning id){credential}
         insert into sys_user_role (user_id, role_id) select made.id, r.id from made, sys_role r where r.code = {};",
        literal(&normal_email(email)),
        literal(first_name),
        if last_name.is_empty() { "null".to_owned() } else { literal(last_name) },
        literal(role),
    )
}

/// Addresses are compared without regard to case and outer space.
pub fn normal_email(email: &str) -> String {
    email.trim().to_lowercase().replace('\0', "")
}

/// Whether `sys_user_email` accepts an address; asked before anything is begun. A control character is in none: no header
/// could name an operator of such an address.
pub fn is_email(email: &str) -> bool {
    let strange = |c: char| matches!(c, '@' | ',' | ';') || c.is_control() || c.is_whitespace();
    let dotted = |host: &str| host.char_indices().any(|(at, c)| c == '.' && at > 0 && at + 1 < host.len());
    let email = normal_email(email);
    email.chars().count() <= 254
        && email.split_once('@').is_some_and(|(mailbox, host)| {
            !mailbox.is_empty() && !mailbox.contains(strange) && !host.contains(strange) && dotted(host)
        })
}

fn optional(text: Option<String>) -> Value {
    text.map_or_else(Value::null, Value::text)
}

/// Finds an active account that has a password.
pub(super) fn account_sql(email: &str) -> Sql {
    let mut sql = Sql::new(include_str!("account.sql"));
    sql.bind(Value::text(email)).push(") found");
    sql
}

pub(super) fn wrong_credentials() -> Error {
    Error::new(Kind::Unauthenticated, "invalid_credentials", "The e-mail address or the password is wrong.")
}

pub(super) fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
