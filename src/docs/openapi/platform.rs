//! Operations that do not depend on modules: sign-in, sign-up, and what the caller is and has.

use serde_json::{Value, json};

use super::components::schema;
use super::operation::{Operation, uuid_in_path};
use super::words::{ACCOUNT, METADATA};
use super::{Endpoint, Reader};

/// Describes one of these endpoints, if the reader may call it.
pub fn describe(reader: &Reader, endpoint: &Endpoint) -> Option<Operation> {
    let user = matches!(reader, Reader::User(_));
    let operator = matches!(reader, Reader::Operator(_));
    let staff = operator || matches!(reader, Reader::StaffVisitor);
    match (endpoint.method.as_str(), endpoint.path) {
        ("POST", "/api/v1/auth/login") if staff => Some(operator_login()),
        ("POST", "/api/v1/auth/login") => Some(login(reader)),
        ("POST", "/api/v1/signup") if matches!(reader, Reader::Visitor) => Some(signup()),
        ("POST", "/api/v1/auth/refresh") => Some(refresh(reader)),
        ("POST", "/api/v1/auth/logout") if user || operator => Some(logout("auth.logout", "Sign out")),
        ("POST", "/api/v1/auth/logout-all") if user || operator => {
            Some(logout("auth.logout_all", "Sign out everywhere"))
        }
        ("GET", "/api/v1/me") if user => Some(me()),
        ("POST", "/api/v1/me/password") if user => Some(change_password(schema("User"))),
        ("POST", "/api/v1/me/password") if operator => Some(change_password(myself())),
        ("GET", "/api/v1/me/permissions") if user => Some(permissions()),
        ("GET", "/api/v1/modules") if user => Some(modules()),
        ("GET", "/api/v1") if user => Some(directory()),
        ("POST", "/api/v1/batch") if user => Some(batch()),
        ("GET", "/api/v1/operations/{id}") if user => Some(work()),
        ("GET", "/api/v1/operations/{id}/events") if user => Some(work_events()),
        _ => None,
    }
}

fn login(reader: &Reader) -> Operation {
    let operation = Operation::public(ACCOUNT, "auth.login", "Sign in")
        .about("Gives an access token for `Authorization: Bearer …`.")
        .body(schema("Credentials"))
        .answer(200, "Signed in.", with_user(schema("User")))
        .problems(&[401, 403, 404]);
    match reader {
        Reader::Visitor => operation.shared(&["X-Tenant-Subdomain"]),
        _ => operation,
    }
}

fn refresh(reader: &Reader) -> Operation {
    let user = match reader {
        Reader::StaffVisitor | Reader::Operator(_) => myself(),
        _ => schema("User"),
    };
    let token = json!({ "type": "string", "maxLength": 128, "examples": ["insula_rt_…"] });
    let body = json!({
        "type": "object", "properties": { "refresh_token": token }, "required": ["refresh_token"],
        "additionalProperties": false,
    });
    let operation = Operation::public(ACCOUNT, "auth.refresh", "Stay signed in")
        .about("Each refresh token is good for one use; one that comes a second time ends its whole session.")
        .body(body)
        .answer(200, "The next tokens.", with_user(user))
        .problems(&[401, 403, 404]);
    match reader {
        Reader::Visitor => operation.shared(&["X-Tenant-Subdomain"]),
        _ => operation,
    }
}

fn logout(id: &str, summary: &str) -> Operation {
    Operation::new(ACCOUNT, id, summary).empty(204, "Signed out; no token of it counts any more.")
}

fn change_password(user: Value) -> Operation {
    let password = || json!({ "type": "string", "format": "password" });
    let body = json!({
        "type": "object", "properties": { "old_password": password(), "password": password() },
        "required": ["old_password", "password"], "additionalProperties": false,
    });
    Operation::new(ACCOUNT, "me.password", "Change my password")
        .about("All my other sessions end, and this one gets new tokens.")
        .body(body)
        .answer(200, "Changed; the next tokens.", with_user(user))
        .problems(&[404, 409])
}

fn permissions() -> Operation {
    let yes = || json!({ "type": "boolean" });
    let may = || json!({ "type": "object", "additionalProperties": { "type": "boolean" } });
    let can = json!({
        "type": "object",
        "properties": {
            "view": yes(), "create": yes(), "edit": yes(), "delete": yes(), "report": yes(), "export": yes(),
            "actions": may(),
        },
        "required": ["view", "create", "edit", "delete", "report", "export", "actions"],
    });
    let body = json!({
        "type": "object",
        "properties": {
            "object": { "const": "permissions" },
            "permissions": { "type": "array", "items": { "type": "string" }, "examples": [["contacts.view", "deals.*"]] },
            "resources": { "type": "object", "additionalProperties": can },
            "reports": may(),
            "scopes": super::roles::scopes(),
        },
        "required": ["object", "permissions", "resources", "reports", "scopes"],
    });
    Operation::new(ACCOUNT, "me.permissions", "What I may do")
        .about("Every verb and action of every resource, and every report, of the modules that I have.")
        .answer(200, "My permissions.", body)
}

fn operator_login() -> Operation {
    Operation::public(ACCOUNT, "auth.login", "Sign in as an operator")
        .body(schema("Credentials"))
        .answer(200, "Signed in.", with_user(myself()))
        .problems(&[401, 403])
}

/// An answer with tokens for a user.
pub fn with_user(user: Value) -> Value {
    json!({ "allOf": [schema("Token"), { "type": "object", "properties": { "user": user }, "required": ["user"] }] })
}

/// An operator as he sees himself.
pub fn myself() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "format": "uuid" }, "email": { "type": "string" }, "name": { "type": "string" },
            "role": { "enum": ["owner", "support", "billing", "read_only"] },
        },
        "required": ["id", "email", "name", "role"],
    })
}

fn signup() -> Operation {
    let text = |example: &str| json!({ "type": "string", "examples": [example] });
    let body = json!({
        "type": "object",
        "properties": {
            "company": { "type": "string", "minLength": 1, "maxLength": 200, "examples": ["Example Traders"] },
            "subdomain": { "type": "string", "pattern": "^[a-z][a-z0-9-]{1,38}[a-z0-9]$", "examples": ["example-traders"] },
            "email": text("nina@example.com"),
            "password": { "type": "string", "format": "password", "minLength": 8, "examples": ["correct horse battery staple"] },
            "first_name": { "type": "string", "minLength": 1, "maxLength": 100, "examples": ["Nina"] },
            "last_name": { "type": "string", "maxLength": 100, "default": "", "examples": ["Rao"] },
        },
        "required": ["company", "subdomain", "email", "password", "first_name"],
        "additionalProperties": false,
    });
    let tenant = json!({
        "type": "object",
        "properties": {
            "tenant": account(json!({ "url": { "type": "string", "format": "uri" } })),
            "url": { "type": "string", "format": "uri", "description": "Where the new account lives." },
        },
        "required": ["tenant", "url"],
    });
    Operation::public(ACCOUNT, "signup", "Open an account")
        .about("A company becomes an account with its first user, the owner, signed in. Only on the apex domain.")
        .body(body)
        .answer(201, "The account is there.", json!({ "allOf": [with_user(schema("User")), tenant] }))
        .problems(&[403, 404, 409])
}

fn account(more: Value) -> Value {
    let mut schema = json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "subdomain": { "type": "string", "examples": ["acme"] },
            "name": { "type": "string", "examples": ["Acme Traders"] },
        },
        "required": ["id", "subdomain", "name"],
    });
    if let (Some(properties), Value::Object(more)) = (schema["properties"].as_object_mut(), more) {
        properties.extend(more);
    }
    schema
}

fn me() -> Operation {
    let user = json!({ "allOf": [schema("User"), {
        "type": "object",
        "properties": {
            "object": { "const": "user" },
            "permissions": { "type": "array", "items": { "type": "string" }, "examples": [["contacts.view", "deals.*"]] },
            "api_key": { "type": ["string", "null"], "format": "uuid", "description": "The API key that acts for me." },
            "impersonator": { "type": ["object", "null"], "description": "The operator of the platform who works as me.",
                "properties": { "id": { "type": "string", "format": "uuid" }, "email": { "type": "string" },
                    "reason": { "type": "string" } },
                "required": ["id", "email", "reason"] },
            "tenant": account(json!({})),
        },
        "required": ["object", "permissions", "api_key", "impersonator", "tenant"],
    }] });
    Operation::new(ACCOUNT, "me", "Who I am").answer(200, "The caller.", user).headers(200, &["Insula-Impersonated-By"])
}

fn modules() -> Operation {
    let module = json!({
        "type": "object",
        "properties": {
            "code": { "type": "string", "examples": ["crm"] },
            "name": { "type": "string", "examples": ["CRM"] },
            "enabled": { "type": "boolean" },
            "source": { "type": "string", "examples": ["plan"] },
            "expires_at": { "type": ["string", "null"], "format": "date-time" },
        },
        "required": ["code", "name", "enabled", "source", "expires_at"],
    });
    let list = json!({
        "type": "object",
        "properties": { "object": { "const": "list" }, "data": { "type": "array", "items": module } },
        "required": ["object", "data"],
    });
    Operation::new(ACCOUNT, "modules", "What my account has").answer(200, "All modules that are sold.", list)
}

fn directory() -> Operation {
    let names = || json!({ "type": "array", "items": { "type": "string" } });
    let linked = |more: Value| {
        let mut entry = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string" }, "title": { "type": "string" }, "url": { "type": "string" },
                "schema_url": { "type": "string" },
            },
            "required": ["name", "title", "url", "schema_url"],
        });
        if let (Some(properties), Value::Object(more)) = (entry["properties"].as_object_mut(), more) {
            properties.extend(more);
        }
        entry
    };
    let resource = linked(json!({
        "methods": { "type": "array", "items": { "enum": ["list", "get", "create", "update", "delete"] } },
        "actions": names(),
    }));
    let body = json!({
        "type": "object",
        "properties": {
            "object": { "const": "directory" },
            "modules": { "type": "array", "items": {
                "type": "object",
                "properties": {
                    "code": { "type": "string" }, "name": { "type": "string" }, "description": { "type": "string" },
                    "resources": { "type": "array", "items": resource },
                    "reports": { "type": "array", "items": linked(json!({})) },
                },
                "required": ["code", "name", "resources", "reports"],
            } },
            "links": { "type": "object", "additionalProperties": { "type": "string" } },
        },
        "required": ["object", "modules", "links"],
    });
    Operation::new(METADATA, "directory", "What I may use")
        .about("Modules, resources, actions and reports that the caller may use, with links.")
        .answer(200, "The directory.", body)
}

fn batch() -> Operation {
    let path = json!({ "type": "string", "examples": ["/api/v1/contacts/0190a0b0-0000-7000-8000-000000000001"] });
    let request = json!({
        "type": "object",
        "properties": {
            "method": { "enum": ["GET", "POST", "PUT", "PATCH", "DELETE"] },
            "path": path,
            "body": { "type": "object" },
            "if_match": { "type": "string", "examples": ["\"v3\""] },
        },
        "required": ["method", "path"],
        "additionalProperties": false,
    });
    let body = json!({
        "type": "object",
        "properties": { "requests": { "type": "array", "items": request, "minItems": 1, "maxItems": 100 } },
        "required": ["requests"],
        "additionalProperties": false,
    });
    let answer = json!({
        "type": "object",
        "properties": { "object": { "const": "list" }, "data": { "type": "array", "items": {
            "type": "object",
            "properties": {
                "status": { "type": "integer" },
                "headers": { "type": "object", "additionalProperties": { "type": "string" } },
                "body": {},
            },
            "required": ["status"],
        } } },
        "required": ["object", "data"],
    });
    Operation::new(ACCOUNT, "batch", "Several requests as one")
        .about("All of it happens, or nothing; `errors` name the request at fault.")
        .shared(&["Idempotency-Key"])
        .body(body)
        .answer(200, "What each request would have answered alone, in their order.", answer)
        .problems(&[403, 404, 405, 409, 412, 428])
}

fn work() -> Operation {
    let moment = |kinds: Value| json!({ "type": kinds, "format": "date-time" });
    let problem = json!({
        "type": ["object", "null"],
        "description": "Why it failed; nothing of it was done then.",
        "properties": {
            "code": { "type": "string" }, "detail": { "type": "string" }, "hint": { "type": ["string", "null"] },
            "errors": { "type": "array", "items": { "type": "object" }, "description": "Each names its row: `#/3/email`." },
        },
        "required": ["code", "detail"],
    });
    let body = json!({
        "type": "object",
        "properties": {
            "object": { "const": "operation" },
            "id": { "type": "string", "format": "uuid" },
            "kind": { "enum": ["create_many"] },
            "resource": { "type": "string", "examples": ["contacts"] },
            "state": { "enum": ["running", "succeeded", "failed"] },
            "trial": { "type": "boolean", "description": "With `tx=rollback`: whatever it says, nothing lasts." },
            "rows_total": { "type": "integer" },
            "rows_done": { "type": "integer" },
            "problem": problem,
            "created_at": moment(json!("string")),
            "finished_at": moment(json!(["string", "null"])),
        },
        "required": ["object", "id", "kind", "resource", "state", "trial", "rows_total", "rows_done", "problem", "created_at"],
    });
    Operation::new(ACCOUNT, "operations.get", "How far an operation has come")
        .about("Work that was answered with 202 before it was done. The caller sees his own, for a week.")
        .with(uuid_in_path("id", "From the `Location` of the 202."))
        .answer(200, "The operation.", body)
        .problems(&[404])
}

fn work_events() -> Operation {
    Operation::new(ACCOUNT, "operations.events", "Follow an operation")
        .about("Server-Sent Events, each named after the state and with the operation as its data; the last tells the end.")
        .with(uuid_in_path("id", "From the `Location` of the 202."))
        .media(200, "Events.", "text/event-stream", json!({ "type": "string" }))
        .problems(&[404])
}
