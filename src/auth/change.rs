//! Changing one's own password.

use super::password;
use super::sign_in::Authenticator;
use crate::access::Session;
use crate::db::{Acting, Scope, Seat};
use crate::error::{Error, Result};
use crate::sql::{Sql, Value};
use crate::tenant::Tenant;

impl Authenticator {
    /// Gives a user another password in place of the old one, and ends all his sessions but this one: whoever else may
    /// have known the old password is out.
    ///
    /// # Errors
    /// `validation_failed` for a wrong old password or an unfit new one.
    pub async fn change_password(&self, tenant: &Tenant, session: &Session, old: String, new: String) -> Result<()> {
        password::check(&new)?;
        if new == old {
            return Err(Error::validation().field("#/password", "unchanged", "must be another one"));
        }
        let account = self.account(&tenant.place, &session.email).await?.ok_or_else(Error::not_found)?;
        if !self.hasher.verify(old, Some(&account.password_hash)).await? {
            return Err(Error::validation().field("#/old_password", "wrong_password", "is wrong"));
        }
        let hash = self.hasher.hash(new).await?;
        let mut sql = Sql::new("with changed as (update sys_credential set changed_at = now(), password_hash = ");
        sql.bind(Value::text(hash)).push(" where user_id = ").bind(Value::text(session.user.to_string()));
        sql.push(" and password_hash = ").bind(Value::text(account.password_hash));
        sql.push(" returning user_id), ended as (update sys_session s set revoked_at = now() from changed c");
        sql.push(" where s.user_id = c.user_id and s.revoked_at is null and s.id <> ");
        sql.bind(Value::text(session.id.to_string())).push(") select count(*), null::text from changed");
        let limit = self.database.statement_timeout();
        let scope = Scope::write(tenant.place.clone(), Seat::Owner, Acting::service(), limit);
        if self.database.run(&scope, &sql).await?.count == 0 {
            return Err(Error::conflict("The password was changed at the same moment."));
        }
        Ok(())
    }
}
