//! Changing one's own password.

use super::policy;
use super::refresh::RefreshToken;
use super::sign_in::{Authenticator, SignedIn, User};
use crate::access::Caller;
use crate::db::{Scope, Seat};
use crate::error::{Error, Result};
use crate::sql::{Sql, Value};

impl Authenticator {
    /// Gives a user another password in place of the old one. Whoever else may have known the old one is out: all other
    /// sessions end, and this one gets new tokens.
    ///
    /// # Errors
    /// `validation_failed` for a wrong old password or an unfit new one.
    pub async fn change_password(&self, caller: &Caller, old: String, new: String) -> Result<SignedIn<User>> {
        let Caller { tenant, session, .. } = caller;
        policy::check(&new, &[&session.email, &tenant.subdomain, &tenant.name])?;
        if new == old {
            return Err(Error::validation().field("#/password", "unchanged", "must be another one"));
        }
        let (account, attempt) = self.retyped(caller, old, "#/old_password").await?;
        let (hash, refresh) = (self.hasher.hash(new).await?, RefreshToken::generate()?);
        let user = || Value::text(session.user.to_string());
        let mut change = Sql::new("with changed as (update sys_credential set changed_at = now(), password_hash = ");
        change.bind(Value::text(&*hash)).push(" where user_id = ").bind(user());
        change.push(" and password_hash = ").bind(Value::text(account.password_hash));
        change.push(" returning 1) select count(*), null::text from changed");
        // A statement of its own, which sees the sessions of those who signed in while the first one waited.
        let mut end = Sql::new("with changed as (select from sys_credential where user_id = ");
        end.bind(user()).push(" and password_hash = ").bind(Value::text(hash));
        end.push("), ended as (update sys_session set revoked_at = now() where revoked_at is null and user_id = ");
        end.bind(user()).push(" and id <> ").bind(Value::text(session.id.to_string()));
        end.push(" and exists (select from changed)), used as (update sys_refresh_token set used_at = now()");
        end.push(" where used_at is null and session_id = ").bind(Value::text(session.id.to_string()));
        end.push("), made as (insert into sys_refresh_token (token_hash, session_id) select decode(");
        end.bind(Value::text(refresh.digest())).push(", 'base64'), ");
        end.bind(Value::text(session.id.to_string())).push("::uuid from changed");
        end.push(") select count(*), null::text from changed");
        let limit = self.database.statement_timeout();
        let scope = Scope::write(tenant.place.clone(), Seat::Owner, caller.served(), limit);
        if self.database.run_then(&scope, &change, &end).await?.count == 0 {
            return Err(Error::conflict("The password was changed at the same moment."));
        }
        self.forget_attempt(&tenant.place, &attempt).await?;
        let user = User { roles: session.roles.clone(), ..account.user };
        self.signed_in(tenant.id, session.id, refresh, user)
    }
}
