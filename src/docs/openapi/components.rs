//! What operations share, by reference, so that a document stays small.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{World, filters, references, words};
use crate::docs::problems::{FAULTS, PROBLEMS, path, title};

/// A reference to a shared schema.
pub fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A reference to a shared parameter.
pub fn parameter(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}

/// A reference to a shared header.
pub fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

/// A reference to the problems of a status.
pub fn problem(status: u16) -> Value {
    json!({ "$ref": format!("#/components/responses/Problem{status}") })
}

/// Shared parts by group and name. Only what is used ends up in the document.
pub struct Components(BTreeMap<&'static str, BTreeMap<String, Value>>);

impl Components {
    /// What does not depend on resources.
    pub fn new(world: &World<'_>) -> Self {
        let mut all = Self(BTreeMap::new());
        for (name, value) in filters::parameters() {
            all.add("parameters", name, value);
        }
        for (name, text) in words::HEADERS {
            all.add("headers", name, json!({ "description": text, "schema": { "type": "string" } }));
        }
        for (status, description) in words::PROBLEMS {
            all.add("responses", &format!("Problem{status}"), problems_of(world, status, description));
        }
        for (name, value) in schemas() {
            all.add("schemas", name, value);
        }
        all
    }

    /// Adds a part; the same part may be added twice.
    pub fn add(&mut self, group: &'static str, name: &str, value: Value) {
        self.0.entry(group).or_default().insert(name.to_owned(), value);
    }

    /// The parts that a document refers to, and the parts that these refer to.
    pub fn used_in(&self, document: &Value) -> Value {
        let mut wanted = BTreeMap::new();
        references(document, &mut wanted);
        let mut groups: BTreeMap<&str, BTreeMap<&str, &Value>> = BTreeMap::new();
        while let Some((target, ())) = wanted.pop_first() {
            let mut words = target.rsplit('/');
            let (Some(name), Some(group)) = (words.next(), words.next()) else { continue };
            let Some((group, parts)) = self.0.get_key_value(group) else { continue };
            let Some((name, part)) = parts.get_key_value(name) else { continue };
            if groups.entry(group).or_default().insert(name, part).is_none() {
                references(part, &mut wanted);
            }
        }
        let mut components = json!({ "securitySchemes": { "bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "The `access_token` that signing in gives." } } });
        for (group, parts) in groups {
            components[group] =
                parts.into_iter().map(|(name, part)| (name.to_owned(), part.clone())).collect::<Map<_, _>>().into();
        }
        components
    }
}

fn problems_of(world: &World<'_>, status: u16, description: &str) -> Value {
    let mut headers = json!({ "X-Request-Id": header("X-Request-Id") });
    let more: &[&str] = match status {
        401 => &["WWW-Authenticate"],
        405 => &["Allow"],
        429 => &["Retry-After", "RateLimit", "RateLimit-Policy"],
        409 | 503 => &["Retry-After"],
        _ => &[],
    };
    for name in more {
        headers[*name] = header(name);
    }
    let own = PROBLEMS.iter().filter(|problem| problem.status == status);
    let examples: Map<String, Value> = own
        .map(|problem| {
            let mut value = json!({
                "type": format!("https://{}{}", world.domain, path(problem.code)),
                "title": title(status),
                "status": status,
                "detail": problem.example,
                "instance": "/api/v1/…",
                "code": problem.code,
                "request_id": "01a1fbbd847f744a8598fc6f0760d69c",
            });
            if status == 422 {
                value["errors"] =
                    json!([{ "pointer": "#/phone", "code": "invalid_type", "detail": "must be a string" }]);
            }
            (problem.code.to_owned(), json!({ "summary": problem.meaning, "value": value }))
        })
        .collect();
    json!({ "description": description, "headers": headers,
        "content": { "application/problem+json": { "schema": schema("Problem"), "examples": examples } } })
}

fn schemas() -> Vec<(&'static str, Value)> {
    let text = || json!({ "type": "string" });
    let or_null = || json!({ "type": ["string", "null"] });
    let uuid = || json!({ "type": "string", "format": "uuid" });
    let fault_codes: Vec<&str> = FAULTS.iter().map(|fault| fault.code).collect();
    vec![
        (
            "List",
            json!({
                "description": "The envelope of every list.",
                "type": "object",
                "properties": {
                    "object": { "const": "list" },
                    "data": { "type": "array" },
                    "has_more": { "type": "boolean", "description": "Whether there are more rows behind these." },
                    "next_cursor": { "type": ["string", "null"], "description": "For `cursor`, when there are more rows.", "examples": ["eyJrIjpb…"] },
                    "total_count": { "type": ["integer", "null"], "description": "Only with `Prefer: count=…`.", "examples": [null] },
                },
                "required": ["object", "data", "has_more", "next_cursor", "total_count"],
            }),
        ),
        (
            "Selected",
            json!({
                "title": "What `select` asked for", "type": "object",
                "description": "With `select` a row has exactly the columns, embedded rows and aggregates that were asked for.",
            }),
        ),
        (
            "Problem",
            json!({
                "description": "RFC 9457 problem details.",
                "type": "object",
                "properties": {
                    "type": { "type": "string", "format": "uri", "description": "The page that explains the code." },
                    "title": text(),
                    "status": { "type": "integer" },
                    "detail": { "type": "string", "description": "A sentence for people." },
                    "instance": text(),
                    "code": { "type": "string", "description": "Stable, for programs." },
                    "request_id": text(),
                    "hint": { "type": "string", "description": "What can be done about it." },
                    "errors": { "type": "array", "items": schema("Fault") },
                    "current": { "type": "object", "description": "On 412: the row as it is now." },
                },
                "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
            }),
        ),
        (
            "Fault",
            json!({
                "description": "One part of the request that needs attention.",
                "type": "object",
                "properties": {
                    "pointer": { "type": "string", "description": "JSON pointer into the body, as in `#/amount`." },
                    "parameter": { "type": "string", "description": "Name of a query parameter or header." },
                    "code": { "type": "string", "description": "Stable, for programs; modules have codes of their own.", "examples": fault_codes },
                    "detail": { "type": "string", "description": "A phrase for people." },
                },
                "required": ["code", "detail"],
            }),
        ),
        (
            "Credentials",
            json!({
                "type": "object",
                "properties": {
                    "email": { "type": "string", "examples": ["owner@example.com"] },
                    "password": { "type": "string", "format": "password", "examples": ["correct horse battery staple"] },
                    "code": { "type": ["string", "null"], "examples": ["123456"],
                        "description": "Of the second factor, or a recovery code; needed where one is on." },
                    "device": { "type": ["string", "null"], "examples": ["insula_dt_…"],
                        "description": "The `device_token` of an earlier sign-in: wrong attempts of others do not make this device wait." },
                },
                "required": ["email", "password"], "additionalProperties": false,
            }),
        ),
        (
            "User",
            json!({
                "type": "object",
                "properties": {
                    "id": uuid(), "email": text(), "first_name": text(), "last_name": or_null(),
                    "roles": { "type": "array", "items": text(), "examples": [["salesperson"]] },
                },
                "required": ["id", "email", "first_name", "last_name", "roles"],
            }),
        ),
        (
            "Token",
            json!({
                "type": "object",
                "properties": {
                    "access_token": { "type": "string", "examples": ["eyJhbGciOi…"] },
                    "token_type": { "const": "Bearer" },
                    "expires_in": { "type": "integer", "description": "Seconds.", "examples": [900] },
                    "device_token": { "type": "string", "description": "After a sign-in: to be sent as `device` with the next one." },
                    "refresh_token": { "type": "string", "description": "Gives the next tokens, once; none while working as somebody else." },
                },
                "required": ["access_token", "token_type", "expires_in"],
            }),
        ),
    ]
}
