//! Operations on the caller's second factor.

use serde_json::{Value, json};

use super::Endpoint;
use super::operation::Operation;
use super::words::ACCOUNT;

/// Describes one of these endpoints; they are for whoever is signed in.
pub fn describe(endpoint: &Endpoint) -> Option<Operation> {
    match (endpoint.method.as_str(), endpoint.path) {
        ("GET", "/api/v1/me/totp") => Some(state()),
        ("POST", "/api/v1/me/totp") => Some(begin()),
        ("POST", "/api/v1/me/totp/confirm") => Some(confirm()),
        ("DELETE", "/api/v1/me/totp") => Some(remove()),
        ("POST", "/api/v1/me/totp/recovery-codes") => Some(renew()),
        _ => None,
    }
}

fn body(fields: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
}

fn password() -> (&'static str, Value) {
    ("password", json!({ "type": "string", "format": "password" }))
}

fn code() -> (&'static str, Value) {
    ("code", json!({ "type": "string", "examples": ["123456"] }))
}

fn codes() -> Value {
    let codes = json!({ "type": "array", "items": { "type": "string" }, "examples": [["mfzw-izlk-nruw-g2lo"]] });
    json!({ "type": "object", "properties": { "recovery_codes": codes }, "required": ["recovery_codes"] })
}

fn state() -> Operation {
    let yes = |text: &str| json!({ "type": "boolean", "description": text });
    let state = json!({
        "type": "object",
        "properties": {
            "object": { "const": "second_factor" },
            "enabled": yes("Signing in needs a code."),
            "pending": yes("It was begun and is not confirmed yet."),
            "required": yes("The account wants one of everybody: the setting `security.require_second_factor`."),
            "recovery_codes_left": { "type": "integer" },
        },
        "required": ["object", "enabled", "pending", "required", "recovery_codes_left"],
    });
    Operation::new(ACCOUNT, "me.totp", "My second factor").answer(200, "How it stands.", state)
}

fn begin() -> Operation {
    let setup = json!({
        "type": "object",
        "properties": {
            "secret": { "type": "string", "description": "For typing into an authenticator, base32." },
            "otpauth_url": { "type": "string", "description": "The same for a QR code." },
        },
        "required": ["secret", "otpauth_url"],
    });
    Operation::new(ACCOUNT, "me.totp.begin", "Set up my second factor")
        .about("Time-based one-time passwords (RFC 6238). It counts once it is confirmed.")
        .body(body(&[password()]))
        .answer(200, "What the authenticator needs; shown once.", setup)
        .problems(&[404, 409])
}

fn confirm() -> Operation {
    Operation::new(ACCOUNT, "me.totp.confirm", "Confirm my second factor")
        .about("From now on signing in needs a code. My other sessions, opened without one, end.")
        .body(body(&[code()]))
        .answer(200, "Recovery codes, each good once in place of a code; shown once.", codes())
        .problems(&[404, 409])
}

fn remove() -> Operation {
    Operation::new(ACCOUNT, "me.totp.remove", "Take off my second factor")
        .body(body(&[password(), code()]))
        .empty(204, "It is off.")
        .problems(&[404, 409])
}

fn renew() -> Operation {
    Operation::new(ACCOUNT, "me.totp.recovery_codes", "Other recovery codes")
        .about("In place of all that there are.")
        .body(body(&[password(), code()]))
        .answer(200, "The codes; shown once.", codes())
        .problems(&[404, 409])
}
