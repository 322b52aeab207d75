//! Operations on the operators' host with the life of a tenant.

use serde_json::{Value, json};

use super::operation::Operation;
use super::operators::{id, tenant};
use super::words::TENANTS;

pub(super) fn body(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

pub(super) fn confirm() -> Value {
    json!({ "type": "string", "description": "The tenant's subdomain, by who means it.", "examples": ["acme"] })
}

/// Another subdomain.
pub fn rename() -> Operation {
    let properties =
        json!({ "subdomain": { "type": "string", "minLength": 3, "maxLength": 40, "examples": ["acme-group"] } });
    Operation::new(TENANTS, "tenants.rename", "Give a tenant another subdomain")
        .about(
            "Requests to the old address are answered by 308 with the new one for as long as `tenants.redirect_days` says, \
             and nobody else can have it for 90 days. Whoever is signed in stays so.",
        )
        .with(id())
        .body(body(properties, &["subdomain"]))
        .answer(200, "The tenant.", tenant())
        .problems(&[409])
}

/// Out of service, and gone after a time.
pub fn delete() -> Operation {
    let days = "Days in which it can be undone; else `tenants.grace_days`. Fewer need the role `owner`.";
    let properties = json!({
        "confirm": confirm(),
        "grace_days": { "type": "integer", "minimum": 0, "maximum": 3660, "description": days },
    });
    Operation::new(TENANTS, "tenants.delete", "Delete a tenant")
        .about("It is out of service at once, and at `purge_at` nothing of it is left. Until then it can be undone.")
        .with(id())
        .body(body(properties, &["confirm"]))
        .answer(200, "The tenant.", tenant())
        .problems(&[409])
}

/// Back again.
pub fn undelete() -> Operation {
    Operation::new(TENANTS, "tenants.undelete", "Bring back a deleted tenant")
        .with(id())
        .body(body(json!({}), &[]))
        .answer(200, "The tenant.", tenant())
        .problems(&[409])
}

/// Gone now.
pub fn purge() -> Operation {
    Operation::new(TENANTS, "tenants.purge", "Erase a deleted tenant now")
        .about("For ever: its schema, its role, and everything that the platform knows of it but its key and what was billed.")
        .with(id())
        .body(body(json!({ "confirm": confirm() }), &["confirm"]))
        .empty(204, "Nothing of it is left.")
        .problems(&[409])
}
