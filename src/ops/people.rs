//! Users of a tenant that the command line asks about, by their address.

use std::sync::Arc;

use crate::auth::normal_email;
use crate::db::{Acting, Database, Place, Scope, Seat};
use crate::error::{Error, Kind, Result, nearest};

/// The address of an active user of a tenant: the one that is asked for, else the oldest owner.
pub async fn user_email(database: &Database, place: &Arc<Place>, wanted: Option<&str>) -> Result<String> {
    let scope = Scope::read(place.clone(), Seat::Owner, Acting::service(), database.statement_timeout());
    let mut tx = database.begin(&scope).await?;
    let sql = "select u.email, exists (
            select from sys_user_role ur join sys_role r on r.id = ur.role_id where ur.user_id = u.id and r.code = 'owner')
        from sys_user u where u.state = 'active' order by u.created_at, u.id";
    let rows = tx.query(sql, &[]).await?;
    tx.commit().await?;
    let mut people = rows.iter().map(|row| (row.get::<_, String>(0), row.get::<_, bool>(1)));
    let Some(wanted) = wanted.map(normal_email) else {
        let owner = people.find(|(_, is_owner)| *is_owner);
        return owner.map(|(email, _)| email).ok_or_else(|| unknown("This tenant has no active owner.".to_owned()));
    };
    let emails: Vec<String> = people.map(|(email, _)| email).collect();
    if let Some(email) = emails.iter().find(|email| email.to_lowercase() == wanted) {
        return Ok(email.clone());
    }
    let error = unknown(format!("This tenant has no active user `{wanted}`."));
    Err(match nearest(&wanted, emails.iter().map(String::as_str)) {
        Some(meant) => error.hint(format!("Did you mean `{meant}`?")),
        None => error,
    })
}

/// Gives a user a new password and ends his sessions and API keys.
pub async fn user_set_password(database: &Database, place: &Arc<Place>, email: &str, hash: &str) -> Result<()> {
    let scope = Scope::write(place.clone(), Seat::Owner, Acting::service(), database.statement_timeout());
    let mut tx = database.begin(&scope).await?;
    let sql = "insert into sys_credential (user_id, password_hash)
        select id, $2 from sys_user where lower(email) = lower($1)
        on conflict (user_id) do update set password_hash = excluded.password_hash, changed_at = now()";
    if tx.execute(sql, &[&email, &hash]).await? == 0 {
        return Err(unknown(format!("This tenant has no user `{email}`.")));
    }
    let sql = "update sys_session set revoked_at = now() where revoked_at is null
        and user_id = (select id from sys_user where lower(email) = lower($1))";
    tx.execute(sql, &[&email]).await?;
    let sql = "select sys_api_keys_end(id) from sys_user where lower(email) = lower($1)";
    tx.query(sql, &[&email]).await?;
    Ok(tx.commit().await?)
}

fn unknown(message: String) -> Error {
    Error::new(Kind::NotFound, "not_found", message)
}
