//! Pages about error codes.

use serde_json::json;

use super::html::{Tab, escape, inline, json_box, page};
use crate::docs::problems::{self, FAULTS, PROBLEMS, PackProblem, Problem, Problems, path};

/// The list of all codes.
pub fn problems(all: &Problems) -> String {
    let mut body = String::from(
        "<main><h1>Error codes</h1><p class=\"lead\">Every error is <code>application/problem+json</code> (RFC 9457). Its \
         <code>code</code> never changes its meaning, and its <code>type</code> leads to one of these pages.</p>",
    );
    body.push_str("<table><tr><th>Code</th><th>Status</th><th>Meaning</th></tr>");
    for problem in PROBLEMS {
        body.push_str(&row(problem.code, problem.status, problem.meaning));
    }
    body.push_str("</table>");
    body.push_str("<h2 id=\"modules\">Rules of modules</h2><p>Modules refuse what their rules forbid, with codes of their own.</p>");
    body.push_str("<table><tr><th>Code</th><th>Status</th><th>Sentence</th></tr>");
    for (code, raised) in all.pack_codes().filter(|(code, _)| problems::problem(code).is_none()) {
        if let Some(first) = raised.first() {
            body.push_str(&row(code, first.status, &first.sentence));
        }
    }
    body.push_str("</table>");
    body.push_str(
        "<h2 id=\"fields\">Codes of fields</h2><p>Inside <code>errors</code>, each entry has a code of its own.</p>",
    );
    body.push_str("<table><tr><th>Code</th><th>Meaning</th></tr>");
    for fault in FAULTS {
        body.push_str(&format!("<tr><td><code>{}</code></td><td>{}</td></tr>", fault.code, inline(fault.meaning)));
    }
    body.push_str("</table></main>");
    page(Tab::Problems, "Error codes", &body)
}

fn row(code: &str, status: u16, meaning: &str) -> String {
    let (path, code) = (path(code), escape(code));
    format!(
        "<tr><td><a href=\"{path}\"><code>{code}</code></a></td><td class=\"status\">{status}</td><td>{}</td></tr>",
        inline(meaning)
    )
}

/// The page of a code as it stands in a path, unless nothing sends it.
pub fn problem(all: &Problems, slug: &str, domain: &str) -> Option<String> {
    let code = slug.replace('-', "_");
    let (own, raised, fault) = (problems::problem(&code), all.of_packs(&code), problems::fault(&code));
    if own.is_none() && raised.is_empty() && fault.is_none() {
        return None;
    }
    let mut body = format!("<main><h1><code>{}</code></h1>", escape(&code));
    if let Some(problem) = own {
        body.push_str(&about(problem, domain));
    }
    if let Some(fault) = fault {
        body.push_str(&format!("<p class=\"lead\">About a field or parameter: {}.</p>", inline(fault.meaning)));
    }
    if !raised.is_empty() {
        body.push_str(&rules(raised, own.is_some()));
    }
    if let (None, Some(first)) = (own, raised.first()) {
        body.push_str("<h2>As it is sent</h2>");
        body.push_str(&json_box(&raised_example(first, domain)));
    }
    if code == "validation_failed" {
        body.push_str("<h2>Codes of fields</h2><table><tr><th>Code</th><th>Meaning</th></tr>");
        for fault in FAULTS {
            body.push_str(&format!("<tr><td><code>{}</code></td><td>{}</td></tr>", fault.code, inline(fault.meaning)));
        }
        body.push_str("</table>");
    }
    body.push_str("<p><a href=\"/problems\">All error codes</a></p></main>");
    Some(page(Tab::Problems, &code, &body))
}

fn about(problem: &Problem, domain: &str) -> String {
    let mut example = example(problem.code, problem.status, problem.example, domain);
    if problem.code == "validation_failed" {
        example["errors"] = json!([
            { "pointer": "#/emial", "code": "unknown_field", "detail": "is not a field; did you mean `email`?" },
            { "pointer": "#/phone", "code": "invalid_type", "detail": "must be a string" },
        ]);
    }
    format!(
        "<p class=\"lead\">{}</p><dl class=\"facts\"><dt>Status</dt><dd class=\"status\">{}</dd>\
         <dt>What to do</dt><dd>{}</dd></dl><h2>As it is sent</h2>{}",
        inline(problem.meaning),
        problem.status,
        inline(problem.remedy),
        json_box(&example),
    )
}

fn rules(raised: &[PackProblem], more: bool) -> String {
    let title =
        if more { "<h2>Rules of modules</h2>" } else { "<p class=\"lead\">A rule of a module refuses this.</p>" };
    let mut text = format!("{title}<table><tr><th>Module</th><th>Status</th><th>Field</th><th>Sentence</th></tr>");
    for problem in raised {
        text.push_str(&format!(
            "<tr><td>{}</td><td class=\"status\">{}</td><td>{}</td><td>{}</td></tr>",
            escape(&problem.pack),
            problem.status,
            problem.field.as_deref().map(|field| format!("<code>{}</code>", escape(field))).unwrap_or_default(),
            escape(&problem.sentence),
        ));
    }
    text.push_str("</table>");
    text
}

fn example(code: &str, status: u16, detail: &str, domain: &str) -> serde_json::Value {
    json!({
        "type": format!("https://{domain}{}", path(code)),
        "title": problems::title(status),
        "status": status,
        "detail": detail,
        "instance": "/api/v1/…",
        "code": code,
        "request_id": "01a1fbbd847f744a8598fc6f0760d69c",
    })
}

fn raised_example(problem: &PackProblem, domain: &str) -> serde_json::Value {
    let (code, detail) = match problem.is_fault() {
        true => ("validation_failed", "1 field needs attention."),
        false => (problem.code.as_str(), problem.sentence.as_str()),
    };
    let mut value = example(code, problem.status, detail, domain);
    if let Some(field) = &problem.field {
        value["errors"] =
            json!([{ "pointer": format!("#/{field}"), "code": problem.code, "detail": problem.sentence }]);
    }
    value
}
