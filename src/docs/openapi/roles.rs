//! Operations on what roles grant.

use serde_json::{Value, json};

use super::Endpoint;
use super::operation::{Operation, uuid_in_path};
use super::words::ACCOUNT;
use crate::docs::reader::Grants;

/// Describes one of these endpoints, if the reader manages roles.
pub fn describe(grants: &Grants, endpoint: &Endpoint) -> Option<Operation> {
    if !grants.hold("system_admin", "roles.manage") {
        return None;
    }
    match (endpoint.method.as_str(), endpoint.path) {
        ("GET", "/api/v1/roles/{id}/grants") => Some(read()),
        ("PUT", "/api/v1/roles/{id}/grants") => Some(write()),
        _ => None,
    }
}

fn codes() -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "examples": [["contacts.view", "deals.*"]] })
}

/// How far permissions reach over rows.
pub fn scopes() -> Value {
    json!({
        "type": "object",
        "description": "Whose rows are seen and changed, by the first word of the permissions that say it.",
        "additionalProperties": { "enum": ["own", "team", "all"] },
        "examples": [{ "crm": "team" }],
    })
}

fn shown() -> Value {
    let role = json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "format": "uuid" }, "code": { "type": "string" }, "name": { "type": "string" },
        },
        "required": ["id", "code", "name"],
    });
    json!({
        "type": "object",
        "properties": {
            "object": { "const": "role_grants" },
            "role": role,
            "grants": codes(),
            "matrix": {
                "type": "object",
                "description": "Every permission of the modules that the account has, by its first word.",
                "additionalProperties": { "type": "object", "additionalProperties": { "type": "boolean" } },
            },
            "scopes": scopes(),
        },
        "required": ["object", "role", "grants", "matrix", "scopes"],
    })
}

fn read() -> Operation {
    Operation::new(ACCOUNT, "roles.grants", "What a role grants")
        .with(uuid_in_path("id", "Of a role."))
        .answer(200, "The role and the matrix of permissions.", shown())
        .problems(&[404])
}

fn write() -> Operation {
    let body = json!({
        "type": "object",
        "properties": { "grants": codes(), "scopes": scopes() },
        "required": ["grants"],
        "additionalProperties": false,
    });
    Operation::new(ACCOUNT, "roles.set_grants", "Change what a role grants")
        .about("All permissions of the role, as they shall be; `scopes` beats what they say of it. Nobody gives or takes what he does not hold himself.")
        .with(uuid_in_path("id", "Of a role."))
        .body(body)
        .answer(200, "The role and the matrix of permissions.", shown())
        .problems(&[404, 409])
}
