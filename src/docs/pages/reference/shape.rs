//! Schemas in words.

use serde_json::Value;

/// What a value stands for: itself, or the part that it refers to.
pub fn follow<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

/// `string, uuid or null`, `array of string`, `one of owner, support`.
pub fn type_of(document: &Value, schema: &Value) -> String {
    let schema = follow(document, schema);
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        return format!("one of {}", words.join(", "));
    }
    if let Some(value) = schema.get("const") {
        return format!("always {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    let kinds: Vec<String> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(kind) => vec![kind.clone()],
        _ if schema.get("properties").is_some() || schema.get("allOf").is_some() => vec!["object".to_owned()],
        _ => vec!["anything".to_owned()],
    };
    let null = kinds.iter().any(|kind| kind == "null");
    let named: Vec<String> = kinds
        .into_iter()
        .filter(|kind| kind != "null")
        .map(|kind| match kind.as_str() {
            "array" => format!("array of {}", type_of(document, &schema["items"])),
            _ => kind,
        })
        .collect();
    let mut text = named.join(" or ");
    for (word, before) in [("format", ", "), ("maxLength", ", at most "), ("minLength", ", at least ")] {
        match &schema[word] {
            Value::String(format) => text.push_str(&format!("{before}{format}")),
            Value::Number(length) => text.push_str(&format!("{before}{length} characters")),
            _ => {}
        }
    }
    if null { format!("{text} or null") } else { text }
}
