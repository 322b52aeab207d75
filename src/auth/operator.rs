//! Sign-in of operators. Their sessions stand in the registry and are asked for with every request, so that whoever is
//! signed out or disabled is out at once.

use serde::{Deserialize, Serialize};
use serde_json::from_str;
use tokio_postgres::Row;
use uuid::Uuid;

use super::attempt::{Admitted, Attempt};
use super::device::Device;
use super::factor::{Proof, factor_required, wrong_factor};
use super::operator_factor::operator_secret;
use super::policy;
use super::refresh::{RefreshToken, digest_of, not_good};
use super::sign_in::{Authenticator, Client, Credentials, SignedIn, is_email, normal_email, wrong_credentials};
use super::token::{Audience, unauthenticated};
use crate::db::{By, Database};
use crate::error::{Error, Result};

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorRole {
    /// Everything.
    Owner,
    /// Tenants and their modules.
    Support,
    /// Money.
    Billing,
    /// Looking.
    ReadOnly,
}

impl OperatorRole {
    /// Whether tenants and modules may be changed, and users be worked as.
    pub fn may_change_tenants(self) -> bool {
        matches!(self, Self::Owner | Self::Support)
    }

    /// Whether operators may be made and changed.
    pub fn may_change_operators(self) -> bool {
        self == Self::Owner
    }

    /// Its name in the registry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Support => "support",
            Self::Billing => "billing",
            Self::ReadOnly => "read_only",
        }
    }

    fn read(name: &str) -> Result<Self> {
        let all = [Self::Owner, Self::Support, Self::Billing, Self::ReadOnly];
        let found = all.into_iter().find(|role| role.as_str() == name);
        found.ok_or_else(|| Error::internal(format!("unknown operator role {name:?}")))
    }
}

/// Staff of the platform.
#[derive(Debug, Serialize)]
pub struct Operator {
    /// Key.
    pub id: Uuid,
    /// Address.
    pub email: String,
    /// Name.
    pub name: String,
    /// What he may do.
    pub role: OperatorRole,
    /// The sign-in by which he is here.
    #[serde(skip)]
    pub session: Uuid,
}

impl Operator {
    fn read(row: &Row, session: Uuid) -> Result<Self> {
        let role = OperatorRole::read(row.get(3))?;
        Ok(Self { id: row.get(0), email: row.get(1), name: row.get(2), role, session })
    }
}

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
    pub async fn sign_in_operator(&self, credentials: Credentials, client: &Client) -> Result<SignedIn<Operator>> {
        let Credentials { email, password, code, device } = credentials;
        let device = device.and_then(Device::presented);
        let email = normal_email(&email);
        let count = async |device: Option<&str>, hold| self.count_operator(&email, device, hold).await;
        let (turn, admitted, account) = self.admit(STAFF, client.address(), password, device, count).await?;
        let hash = account.as_ref().map(|account| account.password_hash.as_str());
        if !self.hasher.verify(turn, hash).await? {
            return Err(wrong_credentials());
        }
        let account = account.ok_or_else(wrong_credentials)?;
        let proof = match (&account.sealed, code) {
            (None, _) => Proof::default(),
            (Some(sealed), Some(code)) => {
                let secret = operator_secret(&self.database, sealed, account.operator.id)?;
                Proof::of(&secret, &code).ok_or_else(wrong_factor)?
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
        let signed_in = self.conclude_operator(account, &proof, &attempt.key(), device, client).await?;
        self.forgive(guess.as_ref());
        Ok(signed_in)
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
        Ok((
            attempt,
            Some(Account {
                operator: Operator::read(&row, Uuid::now_v7())?,
                password_hash: row.get(4),
                sealed: row.get(5),
            }),
        ))
    }

    /// Uses the proof up, forgives the attempt and opens a session. An account that was changed meanwhile proves nothing
    /// any more.
    async fn conclude_operator(
        &self,
        account: Account,
        proof: &Proof,
        key: &str,
        device: Device,
        client: &Client,
    ) -> Result<SignedIn<Operator>> {
        let Account { operator, password_hash, .. } = account;
        let by = By { name: format!("operator {}", operator.email), origin: client.origin.clone() };
        let mut tx = self.database.control().await?.begin_by(&by).await?;
        let sql = "with proven as materialized (select public.operator_prove($1, $2, $3, $4::text::bytea) as proven)
            select proven, case when proven then public.operator_signed_in($1, $5::text::bytea, $6::text::bytea) end::text
            from proven";
        let (id, digest) = (operator.id, device.digest());
        let proven = tx.query(sql, &[&id, &password_hash, &proof.step, &proof.recovery, &key, &digest]).await?;
        if !proven[0].get::<_, bool>(0) {
            return Err(if proof.is_some() { wrong_factor() } else { wrong_credentials() });
        }
        let (refresh, life) = (RefreshToken::generate()?, self.lives.operator.as_secs_f64());
        let (digest, address) = (refresh.digest(), client.address().map(|ip| ip.to_string()));
        let sql = include_str!("operator_session.sql");
        let opened =
            tx.execute(sql, &[&id, &password_hash, &operator.session, &life, &client.agent, &address, &digest]).await?;
        tx.commit().await?;
        if opened == 0 {
            return Err(wrong_credentials());
        }
        let device_token = Some(device.into_text());
        Ok(SignedIn { device_token, ..self.signed_in_operator(operator, refresh)? })
    }

    async fn ask(&self, sql: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> Result<Row> {
        let row = self.database.control().await?.query_opt(sql, values).await?;
        row.ok_or_else(|| Error::internal("a statement that always gives a row gave none"))
    }

    fn signed_in_operator(&self, user: Operator, refresh: RefreshToken) -> Result<SignedIn<Operator>> {
        let life = self.lives.access;
        let access_token = self.token(Audience::Operator, user.id, user.session, None, life)?;
        let refresh_token = Some(refresh.into_text());
        Ok(SignedIn {
            access_token,
            token_type: "Bearer",
            expires_in: life.as_secs(),
            refresh_token,
            device_token: None,
            user,
        })
    }

    /// The operator of a token, asked anew each time.
    pub async fn operator(&self, token: &str) -> Result<Operator> {
        let claims = self.verify(Audience::Operator, token).await?;
        let sql = "select o.id, o.email, o.name, o.role
            from public.operator_sessions s
            join public.operators o on o.id = s.operator_id
            where s.id = $1 and o.id = $2 and s.revoked_at is null and s.expires_at > now() and o.state = 'active'";
        let row = self.database.look_up(sql, &[&claims.sid, &claims.sub]).await?.pop();
        let row = row.ok_or_else(|| unauthenticated("the operator is signed out, disabled or gone"))?;
        Operator::read(&row, claims.sid)
    }

    /// Takes a refresh token of an operator, and gives the next one with a new access token. A token that comes a second
    /// time ends its whole session.
    pub async fn refresh_operator(&self, token: &str) -> Result<SignedIn<Operator>> {
        let (digest, next) = (digest_of(token).ok_or_else(not_good)?, RefreshToken::generate()?);
        let sql = "select * from public.operator_refresh(decode($1, 'base64'), decode($2, 'base64'))";
        let row = self.database.control().await?.query_opt(sql, &[&digest, &next.digest()]).await?;
        let row = row.ok_or_else(not_good)?;
        self.signed_in_operator(Operator::read(&row, row.get(4))?, next)
    }

    /// Signs an operator out, or with `everywhere` out of all his sessions, and of all in which he works as others.
    pub async fn sign_out_operator(&self, operator: &Operator, by: &By, everywhere: bool) -> Result<()> {
        let sql = "update public.operator_sessions set revoked_at = now()
            where operator_id = $1 and revoked_at is null and (id = $2 or $3)";
        let mut tx = self.database.control().await?.begin_by(by).await?;
        tx.execute(sql, &[&operator.id, &operator.session, &everywhere]).await?;
        Ok(tx.commit().await?)
    }

    /// Gives an operator another password in place of the old one. His other sessions end, and this one gets new tokens.
    ///
    /// # Errors
    /// `validation_failed` for a wrong old password or an unfit new one.
    pub async fn change_operator_password(
        &self,
        operator: Operator,
        by: &By,
        old: String,
        new: String,
    ) -> Result<SignedIn<Operator>> {
        policy::check(&new, &[&operator.email, &operator.name])?;
        if new == old {
            return Err(Error::validation().field("#/password", "unchanged", "must be another one"));
        }
        let turn = self.hasher.reserve(old)?;
        let (attempt, account) = self.count_operator(&operator.email, None, 0).await?;
        attempt.let_through()?;
        let proven = account.ok_or_else(Error::not_found)?.password_hash;
        if !self.hasher.verify(turn, Some(&proven)).await? {
            return Err(Error::validation().field("#/old_password", "wrong_password", "is wrong"));
        }
        let (hash, refresh) = (self.hasher.hash(new).await?, RefreshToken::generate()?);
        let mut tx = self.database.control().await?.begin_by(by).await?;
        let sql = "update public.operators set password_hash = $3 where id = $1 and password_hash = $2";
        if tx.execute(sql, &[&operator.id, &proven, &hash]).await? == 0 {
            return Err(Error::conflict("The password was changed at the same moment."));
        }
        let sql = "update public.operator_sessions set revoked_at = now()
            where operator_id = $1 and id <> $2 and revoked_at is null";
        tx.execute(sql, &[&operator.id, &operator.session]).await?;
        let sql = "update public.operator_refresh_tokens set used_at = now() where session_id = $1 and used_at is null";
        tx.execute(sql, &[&operator.session]).await?;
        let sql =
            "insert into public.operator_refresh_tokens (token_hash, session_id) values (decode($1, 'base64'), $2)";
        tx.execute(sql, &[&refresh.digest(), &operator.session]).await?;
        tx.execute("delete from public.operator_attempts where key = $1::text::bytea", &[&attempt.key()]).await?;
        tx.commit().await?;
        self.signed_in_operator(operator, refresh)
    }
}

/// Registers an operator.
///
/// # Errors
/// `validation_failed` by the fields at fault, `conflict` when there is one of this address.
pub async fn operator_create(
    database: &Database,
    by: &By,
    email: &str,
    name: &str,
    role: OperatorRole,
    hash: &str,
) -> Result<Uuid> {
    let mut faults = Error::validation();
    if !is_email(email) {
        faults = faults.field("#/email", "invalid_value", "must be a valid e-mail address");
    }
    if !(1..=200).contains(&name.trim().chars().count()) {
        faults = faults.field("#/name", "invalid_value", "must have 1 to 200 characters");
    }
    faults.if_any()?;
    let sql = "insert into public.operators (email, name, role, password_hash) values ($1, $2, $3, $4) returning id";
    let email = normal_email(email);
    let mut tx = database.control().await?.begin_by(by).await?;
    match tx.query(sql, &[&email, &name, &role.as_str(), &hash]).await {
        Ok(rows) => {
            tx.commit().await?;
            Ok(rows[0].get(0))
        }
        Err(failure) if failure.code() == "23505" => {
            Err(Error::conflict(format!("There is an operator {email} already.")))
        }
        Err(failure) if failure.code() == "23514" => Err(Error::validation_message("The e-mail address is not valid.")),
        Err(failure) => Err(failure.into()),
    }
}
