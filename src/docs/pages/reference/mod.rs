//! The reference: an OpenAPI document as a page to read and to print.

mod operation;
mod shape;

use std::fmt::Write;

use serde_json::Value;

use self::operation::{METHODS, anchor, operation};
use super::html::{Tab, escape, page, prose};
use crate::docs::schema;

/// What the page says about the document it shows.
pub enum Notice<'a> {
    /// It is the public part.
    Public,
    /// It is what the caller may do.
    Personal,
    /// It is the public part, because a token was not accepted.
    Refused(&'a str),
}

/// The page of a document.
pub fn reference(document: &Value, notice: &Notice<'_>) -> String {
    let title = document["info"]["title"].as_str().unwrap_or_default();
    let mut body = String::from("<div class=\"with-contents\">");
    body.push_str(&contents(document));
    let _ = write!(body, "<main><h1>{}</h1>", escape(title));
    let _ = write!(
        body,
        "<p class=\"lead\">Version {}</p>",
        escape(document["info"]["version"].as_str().unwrap_or_default())
    );
    body.push_str(&how_to_see_more(notice));
    body.push_str(&prose(document["info"]["description"].as_str().unwrap_or_default()));
    for group in groups(document) {
        let _ = write!(body, "<section><h2 id=\"{}\">{}</h2>", anchor(group.name), escape(group.name));
        if let Some(text) = group.description {
            body.push_str(&prose(text));
        }
        for entry in &group.entries {
            body.push_str(&operation(document, entry.path, entry.method, entry.operation));
        }
        body.push_str("</section>");
    }
    body.push_str("</main></div>");
    page(Tab::Reference, title, &body)
}

fn how_to_see_more(notice: &Notice<'_>) -> String {
    let said = match notice {
        Notice::Personal => return String::new(),
        Notice::Public => String::from(
            "<p><strong>This is what anybody may call.</strong> With an access token the page shows everything that its owner may do. \
             The token is sent once, in the body of the request, and not kept.</p>",
        ),
        Notice::Refused(why) => format!("<p><strong>{}</strong> This is what anybody may call.</p>", escape(why)),
    };
    format!(
        "<div class=\"notice screen-only\">{said}<form method=\"post\" action=\"/redoc\"><input type=\"password\" name=\"token\" \
         placeholder=\"Access token\" aria-label=\"Access token\" autocomplete=\"off\" required><button>Show</button></form>\
         <p>Or ask with the header <code>Authorization: Bearer …</code> and keep the answer as a file: it needs nothing else, and prints well.</p></div>"
    )
}

/// One operation with its place.
struct Entry<'a> {
    path: &'a str,
    method: &'a str,
    operation: &'a Value,
}

/// Operations of one tag.
struct Group<'a> {
    name: &'a str,
    description: Option<&'a str>,
    entries: Vec<Entry<'a>>,
}

fn groups(document: &Value) -> Vec<Group<'_>> {
    let tags = document["tags"].as_array().into_iter().flatten();
    tags.map(|tag| {
        let name = tag["name"].as_str().unwrap_or_default();
        let entries = entries(document).filter(|entry| entry.operation["tags"][0] == name).collect();
        Group { name, description: tag["description"].as_str(), entries }
    })
    .collect()
}

fn entries(document: &Value) -> impl Iterator<Item = Entry<'_>> {
    document["paths"].as_object().into_iter().flatten().flat_map(|(path, item)| {
        METHODS.iter().filter_map(move |method| item.get(*method).map(|operation| Entry { path, method, operation }))
    })
}

/// The table of contents: groups, below them resources, below them operations.
fn contents(document: &Value) -> String {
    let title = escape(document["info"]["title"].as_str().unwrap_or_default());
    let mut list = format!("<nav class=\"contents\" aria-label=\"Contents\" data-title=\"{title}\">");
    for group in groups(document) {
        let _ = write!(list, "<p><a href=\"#{}\">{}</a></p>", anchor(group.name), escape(group.name));
        for family in group.entries.chunk_by(|a, b| family(a) == family(b)) {
            list.push_str(&family_contents(family));
        }
    }
    list.push_str("</nav>");
    list
}

/// One operation is a line, several are a line that opens.
fn family_contents(entries: &[Entry<'_>]) -> String {
    let line = |entry: &Entry<'_>| {
        let summary = entry.operation["summary"].as_str().unwrap_or_default();
        format!("<a href=\"#{}\">{}</a>", anchor(id(entry)), escape(summary))
    };
    match entries {
        [] => String::new(),
        [one] => line(one),
        [first, ..] => {
            let lines: String = entries.iter().map(|entry| format!("<li>{}</li>", line(entry))).collect();
            format!("<details><summary>{}</summary><ul>{lines}</ul></details>", escape(&schema::title(family(first))))
        }
    }
}

fn id<'a>(entry: &Entry<'a>) -> &'a str {
    entry.operation["operationId"].as_str().unwrap_or_default()
}

/// `contacts.actions.merge` belongs to `contacts`.
fn family<'a>(entry: &Entry<'a>) -> &'a str {
    id(entry).split('.').next().unwrap_or_default()
}
