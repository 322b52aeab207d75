//! Operations on the operators' host.

use serde_json::{Value, json};

use super::Endpoint;
use super::operation::{Operation, in_path, list_of, uuid_in_path};
use super::platform::operator;
use super::words::{ACCOUNT, TENANTS};

/// Describes one of these endpoints, if the operator may call it.
pub fn describe(changes_tenants: bool, endpoint: &Endpoint) -> Option<Operation> {
    let (method, path) = (endpoint.method.as_str(), endpoint.path);
    match (method, path) {
        ("GET", "/api/v1/me") => {
            return Some(Operation::new(ACCOUNT, "me", "Who I am").answer(200, "The operator.", operator()));
        }
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
        _ if !changes_tenants => None,
        ("POST", "/api/v1/tenants") => Some(create()),
        ("POST", "/api/v1/tenants/{id}/actions/suspend") => Some(suspend()),
        ("POST", "/api/v1/tenants/{id}/actions/resume") => Some(resume()),
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

fn id() -> Value {
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

fn tenant() -> Value {
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
            "timezone": { "type": "string", "examples": ["Asia/Kolkata"] },
            "created_at": { "type": "string", "format": "date-time" },
            "plan": or_null(),
            "packs": { "type": "array", "items": { "type": "string", "examples": ["crm 6"] } },
        },
        "required": ["id", "subdomain", "name", "state", "suspended_reason", "timezone", "created_at", "plan", "packs"],
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
