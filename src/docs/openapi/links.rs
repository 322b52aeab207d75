//! Operations of those who were sent a letter with a link, or ask for one.

use serde_json::{Value, json};

use super::components::schema;
use super::operation::Operation;
use super::words::ACCOUNT;
use super::{Endpoint, Reader, platform};

/// Describes one of these endpoints, if the reader may call it.
pub fn describe(reader: &Reader, endpoint: &Endpoint) -> Option<Operation> {
    if matches!(reader, Reader::StaffVisitor | Reader::Operator { .. }) {
        return None;
    }
    let operation = match (endpoint.method.as_str(), endpoint.path) {
        ("POST", "/api/v1/auth/accept") => accept(),
        ("POST", "/api/v1/auth/forgot-password") => forgot_password(),
        ("POST", "/api/v1/auth/reset-password") => reset_password(),
        ("GET", "/accept") => page("accept.page", "Accept an invitation"),
        ("GET", "/reset-password") => page("reset_password.page", "Choose another password"),
        ("GET", "/forgot-password") => page("forgot_password.page", "Ask for another password"),
        _ => return None,
    };
    Some(match reader {
        Reader::Visitor => operation.shared(&["X-Tenant-Subdomain"]),
        _ => operation,
    })
}

fn body(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn page(id: &str, summary: &str) -> Operation {
    Operation::public(ACCOUNT, id, summary)
        .about("The page that links of letters lead to, on the account's own host. The token stands behind `#` and is sent to nobody.")
        .media(200, "A page.", "text/html", json!({ "type": "string" }))
        .problems(&[403, 404])
}

fn token() -> Value {
    json!({ "type": "string", "maxLength": 128, "description": "What stands behind `#` in the link.", "examples": ["insula_lt_…"] })
}

fn password() -> Value {
    json!({ "type": "string", "format": "password", "minLength": 8, "examples": ["correct horse battery staple"] })
}

fn accept() -> Operation {
    let name = || json!({ "type": ["string", "null"], "maxLength": 100 });
    let fields = json!({ "token": token(), "password": password(), "first_name": name(), "last_name": name() });
    Operation::public(ACCOUNT, "auth.accept", "Accept an invitation")
        .about("With the token of the newest letter, once. Names that are left out stay as the inviter wrote them.")
        .body(body(fields, &["token", "password"]))
        .answer(200, "Signed in.", platform::with_user(schema("User")))
        .problems(&[401, 403, 404])
}

fn forgot_password() -> Operation {
    let fields = json!({ "email": { "type": "string", "examples": ["nina@example.com"] } });
    let answer = json!({
        "type": "object",
        "properties": { "object": { "const": "message" }, "detail": { "type": "string" } },
        "required": ["object", "detail"],
    });
    Operation::public(ACCOUNT, "auth.forgot_password", "Ask for another password")
        .about(
            "Sends a link to the account's address, three times an hour at most. The answer is the same for everybody.",
        )
        .body(body(fields, &["email"]))
        .answer(202, "Noted.", answer)
        .problems(&[403, 404, 409])
}

fn reset_password() -> Operation {
    let code = json!({ "type": ["string", "null"], "examples": ["123456"] });
    let fields = json!({ "token": token(), "password": password(), "code": code });
    Operation::public(ACCOUNT, "auth.reset_password", "Choose another password")
        .about(
            "With the token of the newest letter, once, within 30 minutes. All sessions and API keys of the account end. \
             Who has a second factor sends a `code` of it too; a wrong one uses the token up.",
        )
        .body(body(fields, &["token", "password"]))
        .answer(200, "Signed in anew.", platform::with_user(schema("User")))
        .problems(&[401, 403, 404])
}
