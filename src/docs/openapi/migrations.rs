//! Operations on the operators' host with the fleet as a whole.

use serde_json::{Value, json};

use super::operation::{Operation, uuid_in_path};
use super::words::FLEET;
use crate::ops::Order;

fn key() -> Value {
    uuid_in_path("id", "The run's key.")
}

fn or_null(kind: &str) -> Value {
    json!({ "type": [kind, "null"] })
}

fn moment(kinds: Value) -> Value {
    json!({ "type": kinds, "format": "date-time" })
}

fn number(least: u64) -> Value {
    json!({ "type": "integer", "minimum": least })
}

/// What may be ordered.
fn order() -> Value {
    let Order { jobs, canary, lock_timeout_ms, .. } = Order::default();
    let usual = |mut schema: Value, default: Value| {
        schema["default"] = default;
        schema
    };
    json!({
        "tenant": { "type": ["string", "null"], "description": "Only the tenant with this subdomain.", "examples": ["acme"] },
        "pack": { "type": ["string", "null"], "description": "Only this pack, and those it requires.", "examples": ["crm"] },
        "retry_failed": { "type": "boolean", "default": false, "description": "Those too that are in quarantine because they failed." },
        "jobs": usual(number(1), jobs.into()),
        "canary": usual(number(0), canary.into()),
        "waves": { "type": "array", "items": { "type": "integer", "minimum": 1, "maximum": 100 }, "default": [], "description": "Percentages of all tenants at which waves end." },
        "max_failures": { "type": ["integer", "null"], "minimum": 0 },
        "lock_timeout_ms": { "type": "integer", "minimum": 1, "maximum": 3_600_000, "default": lock_timeout_ms },
    })
}

fn run() -> Value {
    let states = ["running", "pausing", "done", "partly", "paused", "stopped", "failed", "ended"];
    json!({
        "title": "Migration",
        "type": "object",
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "state": { "enum": states, "description": "`stopped`: see `halt`; `ended`: its process died; `partly`: some tenants failed." },
            "actor": { "type": "string" },
            "ordered": { "type": "object", "properties": order() },
            "total": number(0),
            "migrated": number(0),
            "failed": number(0),
            "quarantined": { "type": "integer", "minimum": 0, "description": "Left out, because they failed before." },
            "halt": { "enum": ["asked", "canary", "failures", null] },
            "error": or_null("string"),
            "resumes": { "type": ["string", "null"], "format": "uuid", "description": "The run that it goes on from." },
            "pause_asked_by": or_null("string"),
            "started_at": moment(json!("string")),
            "finished_at": moment(json!(["string", "null"])),
        },
        "required": ["id", "state", "actor", "ordered", "total", "migrated", "failed", "quarantined", "halt", "error", "resumes",
            "pause_asked_by", "started_at", "finished_at"],
    })
}

/// What is behind and why.
pub fn status() -> Operation {
    let version = json!({
        "type": "object",
        "properties": { "what": { "type": "string" }, "version": number(0), "tenants": number(0), "pending": number(0) },
        "required": ["what", "version", "tenants", "pending"],
    });
    let failing = json!({
        "type": "object",
        "properties": {
            "subdomain": { "type": "string" },
            "pack": { "type": "string" },
            "from": number(0),
            "to": number(0),
            "state": { "enum": ["deferred", "quarantined"] },
            "attempts": number(1),
            "file": or_null("string"),
            "sqlstate": or_null("string"),
            "message": or_null("string"),
            "blocked_by": { "type": "array", "items": { "type": "integer" } },
            "since": moment(json!("string")),
        },
    });
    let mut running = run();
    running["type"] = json!(["object", "null"]);
    let body = json!({
        "type": "object",
        "properties": {
            "public_version": number(0),
            "versions": { "type": "array", "items": version },
            "failing": { "type": "array", "items": failing },
            "running": running,
            "runs": { "type": "array", "items": run(), "description": "The last, the newest first." },
        },
        "required": ["public_version", "versions", "failing", "running", "runs"],
    });
    Operation::new(FLEET, "migrations.status", "What is behind and why, and the last migrations").answer(
        200,
        "The fleet.",
        body,
    )
}

/// A run, or its rehearsal.
pub fn begin() -> Operation {
    let mut properties = order();
    properties["dry_run"] = json!({ "type": "boolean", "default": false, "description": "Answer with the SQL, and try it on the tenant, or the first, in a transaction that is undone." });
    let body = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    let text = || json!({ "type": "string" });
    let file =
        json!({ "type": "object", "properties": { "file": text(), "sql": text() }, "required": ["file", "sql"] });
    let error = json!({
        "type": ["object", "null"],
        "properties": { "file": or_null("string"), "sqlstate": text(), "message": text() },
        "required": ["file", "sqlstate", "message"],
    });
    let rehearsal = json!({
        "type": "object",
        "properties": { "subdomain": or_null("string"), "files": { "type": "array", "items": file }, "error": error },
        "required": ["subdomain", "files", "error"],
    });
    Operation::new(FLEET, "migrations.begin", "Migrate the fleet")
        .about(
            "As `insula migrate` does: each pack of a tenant in one transaction, what fails is put into quarantine and the \
             others go on. One run goes on at a time; 409 names who has begun it. A run of the service leaves half of \
             `database.control_pool` to others, whatever `jobs` says.",
        )
        .body(body)
        .answer(200, "With `dry_run`: what would be done, and whether it runs.", rehearsal)
        .answer(202, "The run, which goes on.", run())
        .headers(202, &["Location"])
        .problems(&[409])
}

/// One run.
pub fn show() -> Operation {
    Operation::new(FLEET, "migrations.get", "Show a migration").with(key()).answer(200, "The run.", run())
}

/// What a run tells.
pub fn events() -> Operation {
    let last = json!({
        "name": "Last-Event-ID", "in": "header", "required": false, "schema": { "type": "integer" },
        "description": "Only what was told after the event of this `id`.",
    });
    Operation::new(FLEET, "migrations.events", "Follow a migration")
        .about(
            "Server-Sent Events, also of a run of another process or of the command line: `wave` with the number of its \
             tenants, `migrated` and `failed` with the tenant, its packs and the error, at last `end` with the run. The last \
             20 runs can be read again. The stream ends with the access token; `Last-Event-ID` goes on from there.",
        )
        .with(key())
        .with(last)
        .media(200, "Events.", "text/event-stream", json!({}))
}

fn nothing() -> Value {
    json!({ "type": "object", "properties": {}, "additionalProperties": false })
}

/// No further tenant.
pub fn pause() -> Operation {
    Operation::new(FLEET, "migrations.pause", "Pause a migration")
        .about("Within a second it takes no further tenant, whichever process runs it; what is under way is finished.")
        .with(key())
        .body(nothing())
        .answer(200, "The run.", run())
        .problems(&[409])
}

/// Another run from there.
pub fn resume() -> Operation {
    Operation::new(FLEET, "migrations.resume", "Go on from a migration")
        .about("Another run for the same tenants and packs at the same pace: what was done is done.")
        .with(key())
        .body(nothing())
        .answer(202, "The new run.", run())
        .headers(202, &["Location"])
        .problems(&[409])
}
