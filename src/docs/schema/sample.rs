//! Examples made from a schema.

use serde_json::{Map, Value, json};

/// What a value of a schema can look like; `root` is the document that `$ref`s point into.
pub fn sample(root: &Value, schema: &Value) -> Value {
    named(root, schema, "")
}

fn named(root: &Value, schema: &Value, name: &str) -> Value {
    if let Some(pointer) = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#')) {
        return root.pointer(pointer).map_or(Value::Null, |target| named(root, target, name));
    }
    if let Some(first) = schema["examples"].get(0).or(schema.get("const")).or(schema["enum"].get(0)) {
        return first.clone();
    }
    if let Some(first) = schema["anyOf"].get(0).or(schema["oneOf"].get(0)) {
        return named(root, first, name);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("array") => json!([named(root, &schema["items"], name)]),
        Some("boolean") => json!(true),
        Some("integer" | "number") => json!(1),
        Some("string") => string(schema, name).into(),
        Some("null") => Value::Null,
        _ => object(root, schema),
    }
}

fn object(root: &Value, schema: &Value) -> Value {
    let mut fields = Map::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        if let Value::Object(more) = named(root, part, "") {
            fields.extend(more);
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        fields.insert(name.clone(), named(root, property, name));
    }
    fields.into()
}

/// Text that somebody could have typed into a field of this name.
fn string(schema: &Value, name: &str) -> &'static str {
    match schema["format"].as_str() {
        Some("uuid") => return "019b1ee5-1561-7c5d-8ee7-0a4c7a5d7e6b",
        Some("date") => return "2026-04-01",
        Some("date-time") => return "2026-04-01T09:30:00Z",
        _ => {}
    }
    match name {
        "first_name" => "Nina",
        "last_name" => "Rao",
        "email" => "nina@example.com",
        "phone" => "+919812345678",
        "currency" => "INR",
        "country" => "IN",
        "timezone" => "Asia/Kolkata",
        "title" => "Annual maintenance",
        "name" => "Main office",
        "subject" => "Call back on Monday",
        "domain" | "website" => "example.com",
        "city" => "Bengaluru",
        _ => "text",
    }
}
