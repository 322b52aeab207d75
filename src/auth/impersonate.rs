//! Operators who work as a user of a tenant: for half an hour at most, with a reason that the tenant sees.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::operator::Operator;
use super::sign_in::{Authenticator, SignedIn, User, normal_email};
use super::token::Audience;
use crate::db::{Acting, By, Origin, Scope, Seat};
use crate::error::{Error, Kind, Result};
use crate::sql::{Sql, Value};
use crate::tenant::{Tenant, Tenants};

/// The user whom an operator works as.
#[derive(Debug)]
pub enum Whom {
    /// By his key.
    Id(Uuid),
    /// By his address.
    Email(String),
}

/// What an operator wants.
#[derive(Debug)]
pub struct Impersonation {
    /// The user.
    pub whom: Whom,
    /// Why; the tenant reads it.
    pub reason: String,
    /// For how long.
    pub minutes: u8,
}

impl Impersonation {
    /// Longest, and what `sys_session_impersonation_life` allows.
    pub const MINUTES: u8 = 30;

    fn life(&self) -> Duration {
        Duration::from_secs(u64::from(self.minutes) * 60)
    }

    /// Refuses a time or a reason outside its bounds.
    pub fn check(&self) -> Result<()> {
        let mut faults = Error::validation();
        if !(10..=500).contains(&self.reason.trim().chars().count()) {
            faults = faults.field("#/reason", "invalid_value", "must have 10 to 500 characters");
        }
        if !(1..=Self::MINUTES).contains(&self.minutes) {
            faults = faults.field("#/minutes", "too_large", "must be from 1 to 30");
        }
        faults.if_any()
    }
}

impl Authenticator {
    /// A session of a user for an operator, without a refresh token; gives its key too. It hangs on the operator's own
    /// session: what ends that ends this.
    pub async fn impersonate(
        &self,
        tenant: &Tenant,
        (operator, by): (&Operator, &By),
        wanted: &Impersonation,
    ) -> Result<(Uuid, SignedIn<User>)> {
        wanted.check()?;
        let session = Uuid::now_v7();
        let user = self.whom(tenant, &wanted.whom).await?;
        self.announce(tenant, (operator, by), wanted, session, &user).await?;
        self.open_impersonation(tenant, (operator, by), wanted, session, user.id).await?;
        let life = wanted.life();
        let access_token = self.token(Audience::Tenant, user.id, session, Some(tenant.id), life)?;
        let expires_in = life.as_secs();
        let (token_type, refresh_token, device_token) = ("Bearer", None, None);
        Ok((session, SignedIn { access_token, token_type, expires_in, refresh_token, device_token, user }))
    }

    async fn whom(&self, tenant: &Tenant, whom: &Whom) -> Result<User> {
        let mut sql = Sql::new(include_str!("impersonated.sql"));
        match whom {
            Whom::Id(id) => sql.push("u.id = ").bind(Value::text(id.to_string())),
            Whom::Email(email) => sql.push("lower(u.email) = ").bind(Value::text(normal_email(email))),
        };
        sql.push(") found");
        let limit = self.database.statement_timeout();
        let scope = Scope::read(tenant.place.clone(), Seat::Owner, Acting::service(), limit);
        let body = self
            .database
            .run(&scope, &sql)
            .await?
            .body
            .ok_or_else(|| Error::validation_message("The account has no active user of this key or address."))?;
        serde_json::from_str(&body).map_err(Error::internal)
    }

    /// Writes into the registry on what the session will hang, before there is one.
    async fn announce(
        &self,
        tenant: &Tenant,
        (operator, by): (&Operator, &By),
        wanted: &Impersonation,
        session: Uuid,
        user: &User,
    ) -> Result<()> {
        let input = json!({ "session": session, "user": user.email, "reason": wanted.reason.trim() });
        let life = wanted.life().as_secs_f64();
        let sql = include_str!("impersonation.sql");
        let mut tx = self.database.control().await?.begin_by(by).await?;
        let made = tx.execute(sql, &[&session, &operator.session, &tenant.id, &life, &input, &by.name]).await?;
        tx.commit().await?;
        if made == 0 { Err(Error::conflict("The account is not in service, or you were signed out.")) } else { Ok(()) }
    }

    async fn open_impersonation(
        &self,
        tenant: &Tenant,
        (operator, by): (&Operator, &By),
        wanted: &Impersonation,
        session: Uuid,
        user: Uuid,
    ) -> Result<()> {
        let mut sql = Sql::new("with made as (insert into sys_session");
        sql.push(" (id, user_id, expires_at, impersonated_by, impersonator_email, impersonation_reason) select ");
        sql.bind(Value::text(session.to_string())).push("::uuid, id, now() + make_interval(mins => ");
        sql.bind(Value::text(wanted.minutes.to_string())).push("::int), ");
        sql.bind(Value::text(operator.id.to_string())).push("::uuid, ");
        sql.bind(Value::text(&*operator.email)).push("::text, ");
        sql.bind(Value::text(wanted.reason.trim())).push("::text from sys_user where state = 'active' and id = ");
        sql.bind(Value::text(user.to_string())).push(" returning 1) select count(*), null::text from made");
        let (limit, acting) = (self.database.statement_timeout(), Acting::service().on(by.origin.clone()));
        let scope = Scope::write(tenant.place.clone(), Seat::Owner, acting, limit);
        match self.database.run(&scope, &sql).await?.count {
            0 => Err(Error::conflict("The user was disabled at the same moment.")),
            _ => Ok(()),
        }
    }

    /// Ends the sessions whose operator has left. They are refused from that moment on; this makes their tenants' lists
    /// and long work say and do the same. Gives how many there were.
    pub async fn settle_impersonations(&self, tenants: &Tenants) -> Result<usize> {
        let sql = "select i.session_id, i.tenant_id
            from public.impersonations i
            join public.operator_sessions s on s.id = i.operator_session_id
            where i.expires_at > now() and (s.revoked_at is not null or s.expires_at <= now())";
        let rows = self.database.look_up(sql, &[]).await?;
        for row in &rows {
            let (session, tenant): (Uuid, Uuid) = (row.get(0), row.get(1));
            let ended = self.end_impersonation(&*tenants.by_id(tenant).await?, session, None).await;
            ended.or_else(|error| if error.kind() == Kind::NotFound { Ok(()) } else { Err(error) })?;
            let sql = "delete from public.impersonations where session_id = $1";
            self.database.control().await?.execute(sql, &[&session]).await?;
        }
        Ok(rows.len())
    }

    /// Ends a session in which an operator works as a user. One that is over stays over.
    ///
    /// # Errors
    /// `not_found` when it is none of these.
    pub async fn end_impersonation(&self, tenant: &Tenant, session: Uuid, origin: Option<Origin>) -> Result<()> {
        let mut sql =
            Sql::new("with ended as (update sys_session set revoked_at = coalesce(revoked_at, now()) where id = ");
        sql.bind(Value::text(session.to_string()));
        sql.push(" and impersonated_by is not null returning 1) select count(*), null::text from ended");
        let limit = self.database.statement_timeout();
        let scope = Scope::write(tenant.place.clone(), Seat::Owner, Acting::service().on(origin), limit);
        if self.database.run(&scope, &sql).await?.count == 0 { Err(Error::not_found()) } else { Ok(()) }
    }
}
