//! What a role grants: the matrix of permissions, read and written in one call.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json as object;

use super::error::Problem;
use super::json::{Json, json};
use super::metadata::grants as grants_of;
use super::path::Id;
use crate::access::{Caller, Reaches, Right, RoleGrants};
use crate::app::App;
use crate::docs::{self, Grants};
use crate::error::{Error, Result, nearest};
use crate::pack::Catalog;

type Answer = Result<Response<Body>, Problem>;

/// The module that keeps roles, and the permission to change them.
pub const ROLES: (&str, &str) = ("system_admin", "roles.manage");

/// Who manages roles, with the modules whose permissions there are to give.
pub struct ManagesRoles {
    right: Right,
    modules: Grants,
}

impl FromRequestParts<Arc<App>> for ManagesRoles {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let right = caller.right_to_all(app, ROLES.0, &[ROLES.1]).await?;
        Ok(Self { right, modules: grants_of(app, &caller).await? })
    }
}

/// `GET /api/v1/roles/{id}/grants`
pub async fn grants(State(app): State<Arc<App>>, caller: ManagesRoles, Id(id): Id) -> Answer {
    let found = RoleGrants::of(&app.platform.database, &caller.right, id).await?;
    Ok(shown(&app, &caller, &found)?)
}

/// All permissions that a role shall grant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    grants: Vec<String>,
    /// How far they reach over rows, in place of what `grants` says of it.
    #[serde(default)]
    scopes: BTreeMap<String, String>,
}

/// `PUT /api/v1/roles/{id}/grants`
pub async fn set_grants(
    State(app): State<Arc<App>>,
    caller: ManagesRoles,
    Id(id): Id,
    Json(Wanted { grants, scopes }): Json<Wanted>,
) -> Answer {
    check_codes(Error::validation(), app.engine.catalog(), "#/grants", &grants).if_any()?;
    let grants = Reaches::among(&app.engine.catalog().permissions()).narrow(&grants, &scopes)?;
    let made = RoleGrants::set(&app.platform.database, &caller.right, id, &grants).await?;
    Ok(shown(&app, &caller, &made)?)
}

fn shown(app: &App, caller: &ManagesRoles, found: &RoleGrants) -> Result<Response> {
    let (catalog, modules, granted) = (app.engine.catalog(), &caller.modules, found.permissions());
    let (matrix, scopes) = (docs::matrix(catalog, modules, &granted), docs::scopes(catalog, modules, &granted));
    let RoleGrants { role, grants } = found;
    let body = object!({ "object": "role_grants", "role": role, "grants": grants, "matrix": matrix, "scopes": scopes });
    json(StatusCode::OK, &body)
}

/// Adds the codes that no pack defines, as a code or as a family, to the faults of the field that holds them.
pub fn check_codes(faults: Error, catalog: &Catalog, field: &str, codes: &[String]) -> Error {
    let known = catalog.permissions();
    let family = |code: &str| code.split('.').next().unwrap_or_default().to_owned();
    let is_known = |code: &String| {
        let all_of = code.strip_suffix(".*");
        code == "*" || known.contains(code) || all_of.is_some_and(|all| known.iter().any(|known| family(known) == all))
    };
    let unknown = codes.iter().enumerate().filter(|(_, code)| !is_known(code));
    unknown.fold(faults, |faults, (at, code)| {
        let meant = nearest(code, known.iter().map(String::as_str));
        let meant = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
        faults.field(format!("{field}/{at}"), "unknown_permission", format!("is not a permission{meant}"))
    })
}
