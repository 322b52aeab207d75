//! Operations by which the API tells about itself.

use serde_json::json;

use super::Endpoint;
use super::operation::{Operation, in_path};
use super::words::METADATA;

/// Describes one of these endpoints; they are for everybody.
pub fn describe(endpoint: &Endpoint) -> Option<Operation> {
    match (endpoint.method.as_str(), endpoint.path) {
        ("GET", "/openapi.json") => Some(openapi()),
        ("GET", "/docs") => {
            Some(page("docs", "This document, to try out", "An interactive page; it asks for a token."))
        }
        ("GET", "/docs/{asset}") => Some(asset()),
        ("GET", "/redoc") => Some(page(
            "reference",
            "This document, to read and to print",
            "With an `Authorization` header it is about all that the caller may do.",
        )),
        ("POST", "/redoc") => Some(reference_for_token()),
        ("GET", "/problems") => Some(page("problems", "All error codes", "A page for people.")),
        ("GET", "/problems/{code}") => Some(
            page("problem", "What an error code means", "The `type` of every problem leads here.")
                .with(in_path(
                    "code",
                    "A code, with `-` for `_`.",
                    json!({ "type": "string", "examples": ["validation-failed"] }),
                ))
                .problems(&[404]),
        ),
        _ => None,
    }
}

fn openapi() -> Operation {
    Operation::public(METADATA, "openapi", "This document")
        .about("With an access token it describes all that the caller may do, without one what anybody may.")
        .shared(&["If-None-Match"])
        .answer(200, "OpenAPI 3.1.", json!({ "type": "object" }))
        .headers(200, &["ETag"])
        .empty(304, "It is still the same.")
        .headers(304, &["ETag"])
        .problems(&[401, 403, 404])
}

fn page(id: &str, summary: &str, about: &str) -> Operation {
    Operation::public(METADATA, id, summary)
        .about(about)
        .media(200, "A page.", "text/html", json!({ "type": "string" }))
        .problems(&[401, 403, 404])
}

fn asset() -> Operation {
    Operation::public(METADATA, "docs.asset", "Scripts and styles of the interactive page")
        .with(in_path("asset", "File name, with the hash of the content.", json!({ "type": "string" })))
        .media(200, "The file, compressed.", "text/javascript", json!({ "type": "string" }))
        .media(200, "The file, compressed.", "text/css", json!({ "type": "string" }))
        .problems(&[404])
}

fn reference_for_token() -> Operation {
    let form = json!({
        "type": "object", "properties": { "token": { "type": "string" } }, "required": ["token"],
    });
    let page = || json!({ "type": "string" });
    Operation::public(METADATA, "reference.for_token", "This document for the owner of a token, to read and to print")
        .content("application/x-www-form-urlencoded", json!({ "schema": form }))
        .media(200, "A page.", "text/html", page())
        .media(401, "The public page, and that the token is not accepted.", "text/html", page())
        .media(403, "The public page, and why the token is not accepted.", "text/html", page())
        .problems(&[404])
}
