//! Operations on the operators' host with copies of tenants.

use serde_json::{Value, json};

use super::life::{body, confirm};
use super::operation::{Operation, in_path, list_of, uuid_in_path};
use super::operators::id;
use super::words::BACKUPS;

fn name() -> Value {
    in_path("name", "The backup's name, as the list has it.", json!({ "type": "string", "examples": [NAME] }))
}

const NAME: &str = "0190a0b0-0000-7000-8000-000000000001_20260601T101112Z";

fn subdomain() -> Value {
    json!({ "type": "string", "minLength": 3, "maxLength": 40, "examples": ["acme-may"] })
}

fn work() -> Value {
    let or_null = |format: &str| json!({ "type": ["string", "null"], "format": format });
    json!({
        "title": "Operation",
        "type": "object",
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "kind": { "type": "string", "examples": ["tenant.backup"] },
            "tenant_id": or_null("uuid"),
            "subject": { "type": "string", "description": "What it is about, for people.", "examples": ["acme"] },
            "state": { "enum": ["pending", "running", "succeeded", "failed", "undone"] },
            "step": { "type": ["string", "null"] },
            "input": { "type": "object", "description": "Of a backup its name, as `backup`." },
            "error": { "type": ["string", "null"] },
            "actor": { "type": "string" },
            "created_at": { "type": "string", "format": "date-time" },
            "finished_at": or_null("date-time"),
        },
        "required": ["id", "kind", "tenant_id", "subject", "state", "step", "input", "error", "actor", "created_at", "finished_at"],
    })
}

/// How far work has come.
pub fn operation() -> Operation {
    Operation::new(BACKUPS, "operations.get", "How far work on a tenant has come")
        .with(uuid_in_path("id", "From the `Location` of the 202."))
        .answer(200, "The operation.", work())
}

/// What all long work has in common.
fn long(id: &str, summary: &str) -> Operation {
    Operation::new(BACKUPS, id, summary)
        .answer(202, "The operation, which goes on.", work())
        .headers(202, &["Location"])
        .problems(&[409])
}

/// All backups.
pub fn list() -> Operation {
    let query = |name: &str, text: &str, schema: Value| json!({ "name": name, "in": "query", "description": text, "schema": schema });
    let or_null = |kind: &str| json!({ "type": [kind, "null"] });
    let backup = json!({
        "title": "Backup",
        "type": "object",
        "properties": {
            "name": { "type": "string", "examples": [NAME] },
            "tenant_id": { "type": "string", "format": "uuid" },
            "bytes": { "type": "integer" },
            "taken_at": { "type": "string", "format": "date-time" },
            "subdomain": { "type": ["string", "null"], "description": "At the time." },
            "program": or_null("string"),
            "rows": or_null("integer"),
            "packs": { "type": "object", "additionalProperties": { "type": "integer" }, "description": "Their versions." },
            "fault": { "type": ["string", "null"], "description": "Why its beginning cannot be read." },
        },
        "required": ["name", "tenant_id", "bytes", "taken_at", "subdomain", "program", "rows", "packs", "fault"],
    });
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": 500, "default": 50 });
    Operation::new(BACKUPS, "backups.list", "List backups")
        .about(
            "The files in `backup.folder`: those that the service saves by itself, and those that operators asked for.",
        )
        .with(query("tenant", "Only those of the tenant with this subdomain.", json!({ "type": "string" })))
        .with(query("limit", "Backups at most.", limit))
        .with(query("cursor", "`next_cursor` of the page before.", json!({ "type": "string" })))
        .answer(200, "The newest first.", list_of(backup))
}

/// A tenant is saved.
pub fn backup() -> Operation {
    long("tenants.backup", "Save a tenant")
        .about("Everything of it at one moment, into `backup.folder`. Nobody who works in it is disturbed.")
        .with(id())
        .body(body(json!({}), &[]))
}

/// A backup is read to its end.
pub fn verify() -> Operation {
    long("backups.verify", "Read a backup to its end")
        .about("Whether it is whole, undamaged, and holds what it says; no tenant is touched.")
        .with(name())
        .body(body(json!({}), &[]))
}

/// In place of what is there.
pub fn restore() -> Operation {
    let properties = json!({ "backup": { "type": "string", "examples": [NAME] }, "confirm": confirm() });
    long("tenants.restore", "Put a backup into the place of its tenant")
        .about("What is there now is kept for `tenants.shelf_days`; whoever was signed in signs in again.")
        .with(id())
        .body(body(properties, &["backup", "confirm"]))
}

/// As another.
pub fn restore_as() -> Operation {
    let plan = json!({ "type": ["string", "null"], "description": "Instead of the one that the backup names." });
    long("backups.restore_as", "Make another tenant of a backup")
        .with(name())
        .body(body(json!({ "subdomain": subdomain(), "plan": plan }), &["subdomain"]))
}

/// As it was before.
pub fn unrestore() -> Operation {
    long("tenants.unrestore", "Take back the last restore of a tenant")
        .about("The data that the restore put aside gets its place again, and what it brought is put aside in turn.")
        .with(id())
        .body(body(json!({ "confirm": confirm() }), &["confirm"]))
}

/// A sandbox.
pub fn clone() -> Operation {
    let text = "Its name for people; else that of the first with `(sandbox)`.";
    let name = json!({ "type": ["string", "null"], "maxLength": 200, "description": text });
    long("tenants.clone", "Copy a tenant")
        .about("A sandbox: no letter leaves it, and the API keys of the first do not work in it.")
        .with(id())
        .body(body(json!({ "subdomain": subdomain(), "name": name }), &["subdomain"]))
}
