//! Operators: who there is, and what he may do.

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::auth::{OperatorRole, normal_email};
use crate::db::{By, Database};
use crate::error::{Error, Kind, Result, nearest};

const ROW: &str = "select id, email, name, role, state, last_login_at, created_at from public.operators";

/// All operators by address, as JSON.
pub async fn operator_list(database: &Database) -> Result<Vec<Box<RawValue>>> {
    let sql = format!("select row_to_json(o)::text from ({ROW} order by lower(email)) o");
    let rows = database.look_up(&sql, &[]).await?;
    rows.iter().map(|row| RawValue::from_string(row.get(0)).map_err(Error::internal)).collect()
}

/// An operator, as JSON.
pub async fn operator_show(database: &Database, id: Uuid) -> Result<Box<RawValue>> {
    let sql = format!("select row_to_json(o)::text from ({ROW} where id = $1) o");
    let row = database.look_up(&sql, &[&id]).await?.pop().ok_or_else(Error::not_found)?;
    RawValue::from_string(row.get(0)).map_err(Error::internal)
}

/// The key of an operator by his address.
pub async fn operator_find(database: &Database, email: &str) -> Result<Uuid> {
    let wanted = normal_email(email);
    let rows = database.look_up("select id, lower(email) from public.operators", &[]).await?;
    let known: Vec<(Uuid, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    if let Some((id, _)) = known.iter().find(|(_, email)| *email == wanted) {
        return Ok(*id);
    }
    let error = Error::new(Kind::NotFound, "not_found", format!("There is no operator `{wanted}`."));
    Err(match nearest(&wanted, known.iter().map(|(_, email)| email.as_str())) {
        Some(meant) => error.hint(format!("Did you mean `{meant}`?")),
        None => error.hint("`insula operator list` shows all operators."),
    })
}

/// Whether an operator may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorState {
    /// Yes.
    Active,
    /// No.
    Disabled,
}

/// What becomes of an operator; what is left out stays.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorChange {
    /// Name.
    pub name: Option<String>,
    /// What he may do.
    pub role: Option<OperatorRole>,
    /// Whether he may sign in.
    pub state: Option<OperatorState>,
}

/// Changes an operator, on behalf of an owner or of the command line. Who may do something else from now on, or nothing,
/// is signed out.
///
/// # Errors
/// `last_owner` when nobody would be left who may change operators, `forbidden` when `actor` may not any more.
pub async fn operator_change(
    database: &Database,
    by: &By,
    actor: Option<Uuid>,
    id: Uuid,
    change: &OperatorChange,
) -> Result<()> {
    if change.name.as_ref().is_some_and(|name| !(1..=200).contains(&name.trim().chars().count())) {
        return Err(Error::validation().field("#/name", "invalid_value", "must have 1 to 200 characters"));
    }
    let role = change.role.map(OperatorRole::as_str);
    let state = change.state.map(|state| match state {
        OperatorState::Active => "active",
        OperatorState::Disabled => "disabled",
    });
    let sql = "select public.operator_change($1, $2, $3, $4, $5)";
    let mut tx = database.control().await?.begin_by(by).await?;
    tx.query(sql, &[&actor, &id, &change.name, &role, &state]).await?;
    Ok(tx.commit().await?)
}

/// Another password for an operator who forgot his. Whoever knew the old one is out, and his wrong attempts are forgiven.
pub async fn operator_password_set(database: &Database, by: &By, id: Uuid, hash: &str) -> Result<()> {
    let mut tx = database.control().await?.begin_by(by).await?;
    tx.execute("update public.operators set password_hash = $2 where id = $1", &[&id, &hash]).await?;
    let sql = "update public.operator_sessions set revoked_at = now() where operator_id = $1 and revoked_at is null";
    tx.execute(sql, &[&id]).await?;
    let sql = "delete from public.operator_attempts a using public.operators o
        where o.id = $1 and a.key = sha256(convert_to('account:' || lower(o.email), 'UTF8'))";
    tx.execute(sql, &[&id]).await?;
    Ok(tx.commit().await?)
}
