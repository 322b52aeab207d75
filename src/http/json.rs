//! JSON in and out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::error::Problem;
use super::incoming::collect;
use crate::app::App;
use crate::error::{Error, Kind, Result, nearest};
use crate::resource::{pointer, precise};

/// A JSON body of a known shape, no larger than the settings allow.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        check_type(request.headers())?;
        let limit = app.config.http.body_limit_bytes;
        let bytes = collect(request.into_body(), |_| limit).await?;
        read(&bytes).map(Self).map_err(Into::into)
    }
}

/// Refuses a body that does not say it is JSON.
pub fn check_type(headers: &HeaderMap) -> Result<()> {
    if is_json(headers) {
        return Ok(());
    }
    let error = Error::new(Kind::UnsupportedMedia, "unsupported_media_type", "The body must be JSON.");
    Err(error.hint("Send the header Content-Type: application/json."))
}

/// `application/json` and every `+json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let essence =
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|text| text.split(';').next());
    essence.map(str::trim).is_some_and(|kind| {
        kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
    })
}

/// Refuses a body with a number that was rounded in silence when it was read.
pub fn check_precision(bytes: &[u8]) -> Result<()> {
    if precise(bytes) {
        return Ok(());
    }
    let message = "A number in the body has more than 15 digits, and JSON's readers would round it.";
    Err(Error::validation_message(message).hint("Send it as a string."))
}

/// A body of a known shape.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| refuse(&error.path().to_string(), error.inner()))?;
    reader.end().map_err(|error| refuse(".", &error))?;
    Ok(value)
}

fn refuse(path: &str, error: &serde_json::Error) -> Error {
    match error.classify() {
        Category::Data => misfit(path, &error.to_string()),
        Category::Syntax | Category::Eof | Category::Io => {
            Error::malformed(format!("The body is not valid JSON: {error}."))
        }
    }
}

/// Serde names the field in its sentence when the field itself is the fault, and in the path when its value is.
fn misfit(path: &str, sentence: &str) -> Error {
    let sentence = sentence.rsplit_once(" at line ").map_or(sentence, |(sentence, _)| sentence);
    let named = sentence.split('`').nth(1).unwrap_or_default();
    let (field, code, detail) = if sentence.starts_with("missing field") {
        (named, "required", "is required".to_owned())
    } else if sentence.starts_with("unknown field") {
        let known = sentence.split('`').skip(3).step_by(2);
        let meant = nearest(named, known).map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        (named, "unknown_field", format!("is not a field{meant}"))
    } else if sentence.starts_with("duplicate field") {
        (named, "duplicate_field", "is given twice".to_owned())
    } else {
        let wanted = sentence.split_once("expected ").map_or("another value", |(_, wanted)| wanted);
        (path, "invalid_type", format!("must be {wanted}"))
    };
    match field {
        "." => Error::validation_message(format!("The body does not have the expected shape: {sentence}.")),
        field => Error::validation().field(pointer(field), code, detail),
    }
}

/// JSON text as an answer.
pub fn json_text(status: StatusCode, text: String) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], Body::from(text)).into_response()
}

/// A value as a JSON answer.
pub fn json(status: StatusCode, value: &impl Serialize) -> Result<Response> {
    Ok(json_text(status, serde_json::to_string(value).map_err(Error::internal)?))
}
