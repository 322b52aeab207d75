//! Sign-in of operators. Their sessions stand in the registry and are asked for with every request, so that whoever is
//! signed out or disabled is out at once.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
    fn read(row: &tokio_postgres::Row, session: Uuid) -> Result<Self> {
        let role = OperatorRole::read(row.get(3))?;
        Ok(Self { id: row.get(0), email: row.get(1), name: row.get(2), role, session })
    }
}

impl Authenticator {
    /// Signs an operator in. An unknown account costs and says the same as a wrong password.
    pub async fn sign_in_operator(&self, credentials: Credentials, client: &Client) -> Result<SignedIn<Operator>> {
        let sql = "select id, email, name, role, password_hash from public.operators where lower(email) = $1 and state = 'active'";
        let row = self.database.look_up(sql, &[&normal_email(&credentials.email)]).await?.pop();
        let hash = row.as_ref().map(|row| row.get::<_, &str>(4));
        if !self.hasher.verify(credentials.password, hash).await? {
            return Err(wrong_credentials());
        }
        let row = row.ok_or_else(wrong_credentials)?;
        let user = Operator::read(&row, Uuid::now_v7())?;
        let (refresh, proven) = (RefreshToken::generate()?, row.get::<_, &str>(4));
        let (life, address) = (self.lives.operator.as_secs_f64(), client.address().map(|ip| ip.to_string()));
        let by = By { name: format!("operator {}", user.email), origin: client.origin.clone() };
        let mut tx = self.database.control().await?.begin_by(&by).await?;
        let sql = include_str!("operator_session.sql");
        let digest = refresh.digest();
        let made =
            tx.execute(sql, &[&user.id, &proven, &user.session, &life, &client.agent, &address, &digest]).await?;
        tx.commit().await?;
        if made == 0 { Err(wrong_credentials()) } else { self.signed_in_operator(user, refresh) }
    }

    fn signed_in_operator(&self, user: Operator, refresh: RefreshToken) -> Result<SignedIn<Operator>> {
        let life = self.lives.access;
        let access_token = self.token(Audience::Operator, user.id, user.session, None, life)?;
        let refresh_token = Some(refresh.into_text());
        Ok(SignedIn { access_token, token_type: "Bearer", expires_in: life.as_secs(), refresh_token, user })
    }

    /// The operator of a token, asked anew each time.
    pub async fn operator(&self, token: &str) -> Result<Operator> {
        let claims = self.verify(Audience::Operator, token)?;
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
        let sql = "select password_hash from public.operators where id = $1";
        let row = self.database.look_up(sql, &[&operator.id]).await?.pop().ok_or_else(Error::not_found)?;
        let proven: String = row.get(0);
        if !self.hasher.verify(old, Some(&proven)).await? {
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
