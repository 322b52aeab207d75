//! Operations on the operators' host.

use serde_json::{Value, json};

use super::components::schema;
use super::operation::{Operation, in_path, list_of, uuid_in_path};
use super::platform::{myself, with_user};
use super::words::{ACCOUNT, OPERATORS, TENANTS};
use super::{Endpoint, copies, life, migrations};
use crate::auth::OperatorRole;

/// Describes one of these endpoints, if the operator may call it.
pub fn describe(role: OperatorRole, endpoint: &Endpoint) -> Option<Operation> {
    let (method, path) = (endpoint.method.as_str(), endpoint.path);
    match (method, path) {
        ("GET", "/api/v1/me") => {
            return Some(Operation::new(ACCOUNT, "me", "Who I am").answer(200, "The operator.", myself()));
        }
        ("GET", "/api/v1/operators") => return Some(colleagues()),
        ("GET", "/api/v1/operators/{id}") => return Some(colleague()),
        ("POST", "/api/v1/operators") if role.may_change_operators() => return Some(new_colleague()),
        ("PATCH", "/api/v1/operators/{id}") if role.may_change_operators() => return Some(change_colleague()),
        ("POST", "/api/v1/tenants/{id}/actions/purge") if role.may_change_operators() => return Some(life::purge()),
        ("GET", "/api/v1/migrations") => return Some(migrations::status()),
        ("GET", "/api/v1/migrations/{id}") => return Some(migrations::show()),
        ("GET", "/api/v1/migrations/{id}/events") => return Some(migrations::events()),
        ("GET", "/api/v1/operations/{id}") => return Some(copies::operation()),
        ("GET", "/api/v1/backups") => return Some(copies::list()),
        ("GET", "/api/v1/tenants") => return Some(list()),
        ("GET", "/api/v1/tenants/{id}") => {
            return Some(Operation::new(TENANTS, "tenants.get", "Show a tenant").with(id()).answer(
                200,
                "The tenant.",
                tenant(),
            ));
        }
        _ => {}
    }
    match (method, path) {
        _ if !role.may_change_tenants() => None,
        ("POST", "/api/v1/tenants/{id}/impersonations") => Some(impersonate()),
        ("DELETE", "/api/v1/tenants/{id}/impersonations/{session}") => Some(end_impersonation()),
        ("POST", "/api/v1/tenants") => Some(create()),
        ("POST", "/api/v1/tenants/{id}/actions/suspend") => Some(suspend()),
        ("POST", "/api/v1/tenants/{id}/actions/resume") => Some(resume()),
        ("POST", "/api/v1/tenants/{id}/actions/rename") => Some(life::rename()),
        ("POST", "/api/v1/tenants/{id}/actions/delete") => Some(life::delete()),
        ("POST", "/api/v1/tenants/{id}/actions/undelete") => Some(life::undelete()),
        ("POST", "/api/v1/migrations") => Some(migrations::begin()),
        ("POST", "/api/v1/migrations/{id}/actions/pause") => Some(migrations::pause()),
        ("POST", "/api/v1/migrations/{id}/actions/resume") => Some(migrations::resume()),
        ("POST", "/api/v1/backups/{name}/actions/verify") => Some(copies::verify()),
        ("POST", "/api/v1/backups/{name}/actions/restore-as") => Some(copies::restore_as()),
        ("POST", "/api/v1/tenants/{id}/actions/backup") => Some(copies::backup()),
        ("POST", "/api/v1/tenants/{id}/actions/restore") => Some(copies::restore()),
        ("POST", "/api/v1/tenants/{id}/actions/unrestore") => Some(copies::unrestore()),
        ("POST", "/api/v1/tenants/{id}/actions/clone") => Some(copies::clone()),
        ("PUT", "/api/v1/tenants/{id}/modules/{code}") => Some(
            Operation::new(TENANTS, "tenants.modules.enable", "Enable a module for a tenant")
                .with(id())
                .with(code())
                .answer(200, "The module.", module())
                .problems(&[409, 422]),
        ),
        ("DELETE", "/api/v1/tenants/{id}/modules/{code}") => Some(
            Operation::new(TENANTS, "tenants.modules.disable", "Disable a module for a tenant")
                .with(id())
                .with(code())
                .empty(204, "It is disabled.")
                .problems(&[409, 422]),
        ),
        _ => None,
    }
}

pub(super) fn id() -> Value {
    uuid_in_path("id", "The tenant's key.")
}

fn code() -> Value {
    in_path("code", "The module's code.", json!({ "type": "string", "examples": ["crm"] }))
}

fn list() -> Operation {
    let query = |name: &str, text: &str, schema: Value| json!({ "name": name, "in": "query", "description": text, "schema": schema });
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": 500, "default": 50 });
    Operation::new(TENANTS, "tenants.list", "List tenants")
        .with(query("limit", "Tenants at most.", limit))
        .with(query("cursor", "`next_cursor` of the page before.", json!({ "type": "string" })))
        .answer(200, "Tenants by subdomain.", list_of(tenant()))
}

fn create() -> Operation {
    let body = json!({
        "type": "object",
        "properties": {
            "company": { "type": "string", "minLength": 1, "maxLength": 200, "examples": ["Example Traders"] },
            "subdomain": { "type": "string", "pattern": "^[a-z][a-z0-9-]{1,38}[a-z0-9]$", "examples": ["example-traders"] },
            "plan": { "type": "string", "examples": ["crm"] },
            "email": { "type": "string", "description": "The owner's address.", "examples": ["nina@example.com"] },
            "password": { "type": ["string", "null"], "format": "password", "minLength": 8,
                "description": "Without one the owner gets his first by a link: `POST /api/v1/auth/forgot-password`." },
            "first_name": { "type": "string", "minLength": 1, "maxLength": 100, "default": "Owner" },
            "last_name": { "type": "string", "maxLength": 100, "default": "" },
            "trial_days": { "type": ["integer", "null"], "minimum": 0, "maximum": 65535,
                "description": "Without it the subscription is active at once." },
        },
        "required": ["company", "subdomain", "plan", "email"],
        "additionalProperties": false,
    });
    Operation::new(TENANTS, "tenants.create", "Make a tenant")
        .about("Schema, modules of the plan, and the owner: wholly or not at all.")
        .body(body)
        .answer(201, "The tenant.", tenant())
        .headers(201, &["Location"])
        .problems(&[409])
}

fn suspend() -> Operation {
    let body = json!({
        "type": "object",
        "properties": { "reason": { "type": "string", "minLength": 1, "examples": ["The invoice of March is unpaid."] } },
        "required": ["reason"],
        "additionalProperties": false,
    });
    Operation::new(TENANTS, "tenants.suspend", "Suspend a tenant")
        .about("Its users get 403 `tenant_suspended` at once; its data is kept.")
        .with(id())
        .body(body)
        .answer(200, "The tenant.", tenant())
        .problems(&[409])
}

fn resume() -> Operation {
    let body = json!({
        "type": "object",
        "properties": { "reason": { "type": "string", "default": "", "examples": ["The invoice of March is paid."] } },
        "additionalProperties": false,
    });
    Operation::new(TENANTS, "tenants.resume", "Resume a suspended tenant")
        .with(id())
        .body(body)
        .answer(200, "The tenant.", tenant())
        .problems(&[409])
}

fn impersonate() -> Operation {
    let body = json!({
        "type": "object",
        "properties": {
            "user_id": { "type": "string", "format": "uuid" },
            "email": { "type": "string", "description": "Instead of `user_id`.", "examples": ["owner@example.com"] },
            "reason": { "type": "string", "minLength": 10, "maxLength": 500, "description": "The account reads it.",
                "examples": ["Ticket 4711: the pipeline report is empty"] },
            "minutes": { "type": "integer", "minimum": 1, "maximum": 30, "default": 15 },
        },
        "required": ["reason"],
        "additionalProperties": false,
    });
    let more = json!({
        "type": "object",
        "properties": {
            "session": { "type": "string", "format": "uuid" },
            "url": { "type": "string", "format": "uri", "description": "Where the token counts." },
        },
        "required": ["session", "url"],
    });
    Operation::new(TENANTS, "tenants.impersonations.begin", "Work as a user of a tenant")
        .about(
            "A session of the user that cannot be made longer, and in which no credentials, sessions, API keys, roles or \
             grants can be changed. Every answer in it has the header `Insula-Impersonated-By`, and the account sees it \
             among its sessions. It ends with the operator's own session.",
        )
        .with(id())
        .body(body)
        .answer(201, "The session.", json!({ "allOf": [with_user(schema("User")), more] }))
        .problems(&[409])
}

fn end_impersonation() -> Operation {
    Operation::new(TENANTS, "tenants.impersonations.end", "Stop working as a user")
        .with(id())
        .with(uuid_in_path("session", "`session` of the answer that began it."))
        .empty(204, "It is over.")
}

fn colleague_schema() -> Value {
    let moment = |kinds: Value| json!({ "type": kinds, "format": "date-time" });
    json!({ "title": "Operator", "allOf": [myself(), {
        "type": "object",
        "properties": {
            "state": { "enum": ["active", "disabled"] },
            "last_login_at": moment(json!(["string", "null"])),
            "created_at": moment(json!("string")),
        },
        "required": ["state", "last_login_at", "created_at"],
    }] })
}

fn colleagues() -> Operation {
    Operation::new(OPERATORS, "operators.list", "List operators").answer(
        200,
        "All, by address.",
        list_of(colleague_schema()),
    )
}

fn colleague() -> Operation {
    Operation::new(OPERATORS, "operators.get", "Show an operator")
        .with(uuid_in_path("id", "The operator's key."))
        .answer(200, "The operator.", colleague_schema())
}

fn colleague_fields() -> Value {
    json!({
        "name": { "type": "string", "minLength": 1, "maxLength": 200, "examples": ["Ann"] },
        "role": { "enum": ["owner", "support", "billing", "read_only"] },
    })
}

fn new_colleague() -> Operation {
    let mut properties = colleague_fields();
    properties["email"] = json!({ "type": "string", "examples": ["ann@example.com"] });
    properties["password"] = json!({ "type": "string", "format": "password", "minLength": 8 });
    let required = ["email", "name", "role", "password"];
    let body =
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    Operation::new(OPERATORS, "operators.create", "Register an operator")
        .body(body)
        .answer(201, "The operator.", colleague_schema())
        .headers(201, &["Location"])
        .problems(&[409])
}

fn change_colleague() -> Operation {
    let mut properties = colleague_fields();
    properties["state"] = json!({ "enum": ["active", "disabled"] });
    let body = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    Operation::new(OPERATORS, "operators.update", "Change an operator")
        .about("Who is disabled or gets another role is signed out everywhere. The last active owner stays one.")
        .with(uuid_in_path("id", "The operator's key."))
        .body(body)
        .answer(200, "The operator.", colleague_schema())
        .problems(&[409])
}

pub(super) fn tenant() -> Value {
    let text = || json!({ "type": "string" });
    let or_null = || json!({ "type": ["string", "null"] });
    json!({
        "title": "Tenant",
        "type": "object",
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "subdomain": text(),
            "name": text(),
            "state": { "enum": ["provisioning", "active", "suspended", "deleting", "deleted"] },
            "suspended_reason": or_null(),
            "sandbox": { "type": "boolean", "description": "A copy to try things in: no letter leaves it." },
            "purge_at": { "type": ["string", "null"], "format": "date-time", "description": "While it is being deleted: when nothing of it is left." },
            "timezone": { "type": "string", "examples": ["Asia/Kolkata"] },
            "created_at": { "type": "string", "format": "date-time" },
            "plan": or_null(),
            "packs": { "type": "array", "items": { "type": "string", "examples": ["crm 6"] } },
        },
        "required": ["id", "subdomain", "name", "state", "suspended_reason", "sandbox", "purge_at", "timezone", "created_at", "plan", "packs"],
    })
}

fn module() -> Value {
    json!({
        "type": ["object", "null"],
        "properties": {
            "code": { "type": "string" }, "name": { "type": "string" }, "enabled": { "type": "boolean" },
            "source": { "type": "string" }, "expires_at": { "type": ["string", "null"], "format": "date-time" },
        },
        "required": ["code", "name", "enabled", "source", "expires_at"],
    })
}
