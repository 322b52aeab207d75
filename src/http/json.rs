//! JSON in and out.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::error::Problem;
use crate::app::App;
use crate::error::{Error, Kind, Result};

/// A JSON body of a known shape, no larger than the settings allow.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let error = Error::new(Kind::UnsupportedMedia, "unsupported_media_type", "The body must be JSON.");
            return Err(error.hint("Send the header Content-Type: application/json.").into());
        }
        let limit = app.config.http.body_limit_bytes;
        let too_large =
            || Error::new(Kind::TooLarge, "payload_too_large", format!("The body may have at most {limit} bytes."));
        let bytes = to_bytes(request.into_body(), limit).await.map_err(|error| too_large().context(error))?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| refuse(&error).into())
    }
}

/// `application/json` and every `+json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let essence =
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|text| text.split(';').next());
    essence.map(str::trim).is_some_and(|kind| {
        kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
    })
}

fn refuse(error: &serde_json::Error) -> Error {
    match error.classify() {
        Category::Data => Error::validation_message(format!("The body does not have the expected shape: {error}.")),
        Category::Syntax | Category::Eof | Category::Io => {
            Error::malformed(format!("The body is not valid JSON: {error}."))
        }
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
