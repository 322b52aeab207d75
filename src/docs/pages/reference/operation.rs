//! One operation on the page.

use std::fmt::Write;

use serde_json::Value;

use super::shape::{follow, type_of};
use crate::docs::pages::html::{escape, inline, json_box, prose};
use crate::docs::schema::sample;

/// The methods of a path, in the order in which they are shown.
pub const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// A name as the target of a link.
pub fn anchor(name: &str) -> String {
    name.chars().map(|letter| if letter.is_alphanumeric() { letter.to_ascii_lowercase() } else { '-' }).collect()
}

/// A section about an operation.
pub fn operation(document: &Value, path: &str, method: &str, operation: &Value) -> String {
    let mut html = String::new();
    let text = |name: &str| operation[name].as_str().unwrap_or_default();
    let _ = write!(
        html,
        "<section class=\"operation\" id=\"{}\"><h3>{}</h3><div class=\"address\"><span class=\"method {method}\">{}</span><code>{}</code></div>",
        anchor(text("operationId")),
        escape(text("summary")),
        method.to_uppercase(),
        escape(path),
    );
    html.push_str(&match text("description") {
        "" => String::new(),
        description => prose(description),
    });
    if operation["security"].as_array().is_some_and(Vec::is_empty) {
        html.push_str("<p class=\"type\">No token needed.</p>");
    }
    html.push_str(&parameters(document, operation));
    html.push_str(&body(document, operation));
    html.push_str(&answers(document, operation));
    html.push_str("</section>");
    html
}

fn parameters(document: &Value, operation: &Value) -> String {
    let all: Vec<&Value> =
        operation["parameters"].as_array().into_iter().flatten().map(|one| follow(document, one)).collect();
    let (conditions, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.get("x-condition").is_some());
    let mut html = String::new();
    if !others.is_empty() {
        html.push_str("<h4>Parameters</h4><table>");
        for one in others {
            let place = format!("{}, {}", one["in"].as_str().unwrap_or_default(), type_of(document, &one["schema"]));
            let about = inline(one["description"].as_str().unwrap_or_default());
            html.push_str(&row(one["name"].as_str().unwrap_or_default(), &place, one["required"] == true, &about));
        }
        html.push_str("</table>");
    }
    if !conditions.is_empty() {
        html.push_str("<h4>Conditions</h4><p class=\"conditions\">");
        for one in conditions {
            let word = |name: &str| escape(one[name].as_str().unwrap_or_default());
            let _ = write!(html, "<code>{}</code> <span class=\"type\">{}</span> ", word("name"), word("x-condition"));
        }
        html.push_str("</p>");
    }
    html
}

fn row(name: &str, kind: &str, required: bool, about: &str) -> String {
    let must = if required { " <span class=\"must\">required</span>" } else { "" };
    format!(
        "<tr><td><code>{}</code></td><td class=\"type\">{}{must}</td><td>{about}</td></tr>",
        escape(name),
        escape(kind)
    )
}

fn body(document: &Value, operation: &Value) -> String {
    let content = &operation["requestBody"]["content"];
    let Some((kind, media)) = content.as_object().and_then(|kinds| kinds.iter().next()) else { return String::new() };
    let schema = &media["schema"];
    let mut html = format!("<h4>Body</h4>{}", fields(document, schema));
    let others: Vec<String> =
        content.as_object().into_iter().flatten().skip(1).map(|(kind, _)| format!("`{kind}`")).collect();
    if !others.is_empty() {
        let _ = write!(html, "<p>Also as {}.</p>", inline(&others.join(", ")));
    }
    if kind == "application/json" {
        html.push_str(&json_box(&sample(document, schema)));
    }
    html
}

/// The fields of an object as a table; `allOf` and references are followed, of alternatives the first.
fn fields(document: &Value, schema: &Value) -> String {
    let (mut rows, mut required) = (Vec::new(), Vec::new());
    collect(document, schema, &mut rows, &mut required);
    if rows.is_empty() {
        return String::new();
    }
    let mut html = String::from("<table>");
    for (name, property) in rows {
        let about = inline(property["description"].as_str().unwrap_or_default());
        html.push_str(&row(name, &type_of(document, property), required.contains(&name), &about));
    }
    html.push_str("</table>");
    html
}

fn collect<'a>(
    document: &'a Value,
    schema: &'a Value,
    rows: &mut Vec<(&'a str, &'a Value)>,
    required: &mut Vec<&'a str>,
) {
    let schema = follow(document, schema);
    let schema = schema["anyOf"].get(0).map_or(schema, |first| follow(document, first));
    for part in schema["allOf"].as_array().into_iter().flatten() {
        collect(document, part, rows, required);
    }
    rows.extend(
        schema["properties"].as_object().into_iter().flatten().map(|(name, property)| (name.as_str(), property)),
    );
    required.extend(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str));
}

fn answers(document: &Value, operation: &Value) -> String {
    let (mut good, mut bad, mut example) = (String::new(), Vec::new(), None);
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let answer = follow(document, answer);
        let about = answer["description"].as_str().unwrap_or_default();
        if !status.starts_with(['2', '3']) {
            bad.push(format!("<span title=\"{}\"><code>{status}</code></span>", escape(about)));
            continue;
        }
        let kinds: Vec<String> =
            answer["content"].as_object().into_iter().flatten().map(|(kind, _)| format!("`{kind}`")).collect();
        let headers: Vec<String> =
            answer["headers"].as_object().into_iter().flatten().map(|(name, _)| format!("`{name}`")).collect();
        let _ = write!(
            good,
            "<tr><td class=\"status\">{status}</td><td>{}{}<br><span class=\"type\">Headers: {}</span></td></tr>",
            inline(about),
            if kinds.is_empty() { String::new() } else { format!(" {}", inline(&kinds.join(", "))) },
            inline(&headers.join(", ")),
        );
        let schema = &answer["content"]["application/json"]["schema"];
        if example.is_none() && !schema.is_null() {
            example = Some(sample(document, schema));
        }
    }
    let refusals =
        format!("<p class=\"refusals\">Refusals: {} – see <a href=\"/problems\">error codes</a>.</p>", bad.join(" "));
    let example = example.filter(|example| example.as_object().is_some_and(|fields| !fields.is_empty()));
    format!(
        "<h4>Answers</h4><table>{good}</table>{refusals}{}",
        example.map(|example| json_box(&example)).unwrap_or_default()
    )
}
