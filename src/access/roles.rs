//! What roles grant, read and written as a whole.

use serde::Deserialize;
use serde_json::Value as Json;
use uuid::Uuid;

use super::permission::Permissions;
use super::right::Right;
use crate::db::Database;
use crate::error::{Error, Result};
use crate::sql::{Sql, Value};

/// A role with all that it grants.
#[derive(Debug, Deserialize)]
pub struct RoleGrants {
    /// `{id, code, name}`
    pub role: Json,
    /// Permission codes, sorted.
    pub grants: Vec<String>,
}

impl RoleGrants {
    /// What the role grants, to be asked.
    pub fn permissions(&self) -> Permissions {
        Permissions::new(self.grants.iter().cloned())
    }

    /// The permissions of a role; `not_found` when there is none.
    pub async fn of(database: &Database, right: &Right, role: Uuid) -> Result<Self> {
        let mut sql = Sql::new("select 1::bigint, sys_role_grants(");
        sql.bind(Value::text(role.to_string())).push("::uuid)::text");
        let answer = database.run(&right.read(database.statement_timeout()), &sql).await?;
        Self::read(answer.body)
    }

    /// Makes these the permissions of a role, all of them. Refused where the caller would give or take what he does not
    /// hold himself.
    pub async fn set(database: &Database, right: &Right, role: Uuid, codes: &[String]) -> Result<Self> {
        let mut sql = Sql::new("select 1::bigint, sys_role_set_grants(");
        sql.bind(Value::text(role.to_string())).push("::uuid, ");
        sql.bind(Value::array(codes.iter().map(|code| Some(code.as_str())))).push("::text[])::text");
        let answer = database.run(&right.write(database.statement_timeout()), &sql).await?;
        Self::read(answer.body)
    }

    fn read(body: Option<String>) -> Result<Self> {
        serde_json::from_str(&body.ok_or_else(Error::not_found)?).map_err(Error::internal)
    }
}
