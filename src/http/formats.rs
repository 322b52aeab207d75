//! Which form of a list a caller wants, and files as answers.

use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use crate::error::{Error, Kind, Result, nearest};
use crate::resource::{Export, Format, ListRequest};

/// The file that `format=` or else the Accept header asks for; none for JSON.
pub fn wanted(request: &ListRequest, headers: &HeaderMap) -> Result<Option<Format>> {
    match request.format.as_deref() {
        Some("json") => Ok(None),
        Some(name) => named(name).map(Some),
        None => accepted(headers),
    }
}

fn named(name: &str) -> Result<Format> {
    let known = || Format::ALL.iter().map(|(known, _)| *known).chain(["json"]);
    if let Some((_, format)) = Format::ALL.iter().find(|(known, _)| *known == name) {
        return Ok(*format);
    }
    let error = Error::malformed("The query is not valid.");
    let error = error.parameter("format", "invalid_parameter", format!("`{name}` is not a format"));
    Err(match nearest(name, known()) {
        Some(meant) => error.hint(format!("Did you mean `{meant}`?")),
        None => error.hint(format!("Formats are {}.", known().collect::<Vec<_>>().join(", "))),
    })
}

/// The best of the media ranges (RFC 9110 section 12.5.1) that is offered.
fn accepted(headers: &HeaderMap) -> Result<Option<Format>> {
    let mut ranges: Vec<(f32, Option<Format>)> = Vec::new();
    let mut asked = false;
    for range in headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(',')) {
        asked |= !range.trim().is_empty();
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        let format = match media.as_str() {
            "*/*" | "application/*" | "application/json" => Some(None),
            "text/*" => Some(Some(Format::Csv)),
            media => {
                Format::ALL.iter().find(|(_, format)| format.media_type() == media).map(|(_, format)| Some(*format))
            }
        };
        ranges.extend(format.filter(|_| weight > 0.0).map(|format| (weight, format)));
    }
    let best = ranges.into_iter().reduce(|best, other| if other.0 > best.0 { other } else { best });
    match best {
        Some((_, format)) => Ok(format),
        None if asked => Err(not_acceptable()),
        None => Ok(None),
    }
}

fn not_acceptable() -> Error {
    let media: Vec<&str> = Format::ALL.iter().map(|(_, format)| format.media_type()).collect();
    Error::new(Kind::NotAcceptable, "not_acceptable", "None of the accepted media types is offered here.")
        .hint(format!("Offered are application/json, {}.", media.join(", ")))
}

/// A file as an answer, named after what it holds and the day.
pub fn file(name: &str, format: Format, export: Export) -> Result<Response> {
    let day = Timestamp::now().strftime("%Y-%m-%d").to_string();
    let disposition = format!("attachment; filename=\"{name}-{day}.{}\"", format.ending());
    let media_type = match format {
        Format::Csv => "text/csv; charset=utf-8; header=present",
        other => other.media_type(),
    };
    let disposition = HeaderValue::from_str(&disposition).map_err(Error::internal)?;
    let headers = [(CONTENT_TYPE, HeaderValue::from_static(media_type)), (CONTENT_DISPOSITION, disposition)];
    Ok((StatusCode::OK, headers, Body::from_stream(export.into_chunks())).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &'static str) -> Result<Option<Format>> {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(text))]);
        accepted(&headers)
    }

    #[test]
    fn the_best_media_range_wins_and_nothing_means_json() {
        assert_eq!(accepted(&HeaderMap::new()).unwrap(), None);
        for (text, format) in [
            ("", None),
            ("*/*", None),
            ("text/csv", Some(Format::Csv)),
            ("application/json, text/csv", None),
            ("application/json;q=0.5, text/csv;q=0.9", Some(Format::Csv)),
            ("text/html, application/x-ndjson, */*;q=0.1", Some(Format::Ndjson)),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", None),
        ] {
            assert_eq!(accept(text).unwrap(), format, "{text}");
        }
        for text in ["text/html", "application/json;q=0", "image/*"] {
            assert_eq!(accept(text).unwrap_err().kind(), Kind::NotAcceptable, "{text}");
        }
    }
}
