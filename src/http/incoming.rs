//! A change as it comes in: its body, and what its headers demand and prefer.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, MatchedPath, Request};
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::error::{Problem, REPLAYED};
use super::json::{self, json_text};
use crate::access::Right;
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::pack::Resource;
use crate::resource::{
    Bulk, Claim, Comparison, Counting, ListRequest, Part, Plan, Planner, Preconditions, Prefer, Reply, Rows, Tags, etag,
};

static PREFER: HeaderName = HeaderName::from_static("prefer");
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says which preferences were honoured.
pub static PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What changes of one row honour.
pub const ON_A_ROW: [&str; 3] = ["return", "tx", "missing"];
/// What new rows honour.
pub const ON_NEW_ROWS: [&str; 5] = ["return", "tx", "missing", "resolution", "respond-async"];
/// The same, where they are made before the answer.
pub const ON_NEW_ROWS_NOW: [&str; 4] = ["return", "tx", "missing", "resolution"];
/// The same, where they are made after it.
pub const ON_OPERATIONS: [&str; 4] = ["tx", "missing", "resolution", "respond-async"];
/// What changes of many rows honour.
pub const ON_MANY_ROWS: [&str; 3] = ["return", "tx", "max-affected"];

/// A change on its way in. Nothing of its body is understood yet.
pub struct Incoming {
    method: Method,
    target: String,
    headers: HeaderMap,
    bytes: Bytes,
}

impl FromRequest<Arc<App>> for Incoming {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let (one, many) = (app.config.http.body_limit_bytes, app.config.http.bulk_body_limit_bytes);
        let new = parts.method == Method::POST
            && parts.extensions.get::<MatchedPath>().is_some_and(|path| path.as_str() == COLLECTION);
        let limit = |bytes: &[u8]| if new && Form::of(&parts.headers, bytes) != Form::One { many } else { one };
        let bytes = collect(body, limit).await?;
        let target = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
        Ok(Self { method: parts.method, target, headers: parts.headers, bytes })
    }
}

/// The route on which many rows may come at once.
const COLLECTION: &str = "/api/v1/{resource}";

/// How new rows are written in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    One,
    Array,
    Lines,
    Csv,
}

impl Form {
    fn of(headers: &HeaderMap, bytes: &[u8]) -> Self {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "text/csv" => Self::Csv,
            "application/x-ndjson" => Self::Lines,
            _ if bytes.trim_ascii_start().starts_with(b"[") => Self::Array,
            _ => Self::One,
        }
    }
}

/// New rows as they came.
pub enum New {
    /// One.
    Row(Map<String, Json>),
    /// Many.
    Rows(Rows),
}

/// A body to its end, with a limit in bytes that may depend on what has come. `payload_too_large` beyond it,
/// `bad_request` for a body that breaks off.
pub async fn collect(body: Body, limit: impl Fn(&[u8]) -> usize) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let broken = |error| Error::malformed("The body breaks off or is not well-formed.").context(error);
        bytes.extend_from_slice(&chunk.map_err(broken)?);
        let limit = limit(&bytes);
        if bytes.len() > limit {
            return Err(too_large(limit));
        }
    }
    Ok(bytes.freeze())
}

/// The refusal of a larger body.
fn too_large(limit: usize) -> Error {
    Error::new(Kind::TooLarge, "payload_too_large", format!("The body may have at most {limit} bytes."))
}

/// The texts of all headers of a name; one that is no text is refused.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Vec<&'a str>> {
    let text = |value: &'a HeaderValue| {
        value.to_str().map_err(|_| {
            Error::malformed("A header is not valid.").parameter(
                name.as_str(),
                "invalid_parameter",
                "must be visible ASCII",
            )
        })
    };
    headers.get_all(name).iter().map(text).collect()
}

/// What `If-Match` and `If-None-Match` say.
pub fn preconditions(headers: &HeaderMap) -> Result<Preconditions> {
    Ok(Preconditions {
        if_match: Tags::parse("If-Match", Comparison::Strong, texts(headers, &IF_MATCH)?)?,
        if_none_match: Tags::parse("If-None-Match", Comparison::Weak, texts(headers, &IF_NONE_MATCH)?)?,
    })
}

/// What `Prefer` says that is honoured here.
pub fn prefer(headers: &HeaderMap, here: &[&str]) -> Result<Prefer> {
    Prefer::parse(texts(headers, &PREFER)?, here)
}

impl Incoming {
    /// What the headers prefer.
    pub fn prefer(&self, here: &[&str]) -> Result<Prefer> {
        prefer(&self.headers, here)
    }

    /// A planner for changes of this resource.
    pub fn planner(&self, resource: &Arc<Resource>, prefer: &Prefer) -> Result<Planner> {
        let preconditions = preconditions(&self.headers)?;
        let (resource, returning) = (resource.clone(), prefer.returning());
        Ok(Planner { resource, preconditions, returning, counting: Counting::Told })
    }

    /// The body in a known shape.
    pub fn shape<T: DeserializeOwned>(&self) -> Result<T> {
        json::check_type(&self.headers)?;
        json::read(&self.bytes)
    }

    /// The body as an object.
    pub fn object(&self) -> Result<Map<String, Json>> {
        self.shape()
    }

    /// The body as an object; it may be left out.
    pub fn optional_object(&self) -> Result<Map<String, Json>> {
        if self.bytes.is_empty() && !self.headers.contains_key(CONTENT_TYPE) { Ok(Map::new()) } else { self.object() }
    }

    /// The new rows of the body.
    pub fn new_rows(&self, resource: &Resource) -> Result<New> {
        Ok(match Form::of(&self.headers, &self.bytes) {
            Form::One => New::Row(self.object()?),
            Form::Array => New::Rows(Rows::from_array(self.shape()?)?),
            Form::Lines => New::Rows(Rows::from_lines(&self.bytes)?),
            Form::Csv => New::Rows(Rows::from_csv(resource, &self.bytes)?),
        })
    }

    /// A parameter of the query; those that are not `known` are refused.
    pub fn parameters(&self, known: &[&str]) -> Result<HashMap<String, String>> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let parameters: HashMap<String, String> = form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let unknown = parameters.keys().filter(|name| !known.contains(&name.as_str()));
        let faults = unknown.fold(Error::malformed("The query is not valid."), |faults, name| {
            faults.parameter(name, "unknown_parameter", format!("is none of {}", known.join(", ")))
        });
        faults.if_any().map(|()| parameters)
    }

    /// The query as a list's.
    pub fn list_request(&self) -> Result<ListRequest> {
        ListRequest::parse(self.target.split_once('?').map_or("", |(_, query)| query))
    }

    /// Refuses an Idempotency-Key, where an answer cannot be given twice.
    pub fn refuse_repetition(&self) -> Result<()> {
        if !self.headers.contains_key(&IDEMPOTENCY_KEY) {
            return Ok(());
        }
        let detail = "is not honoured here, because the answer is not kept";
        Err(Error::malformed("A header is not valid.").parameter("Idempotency-Key", "invalid_parameter", detail))
    }

    fn claim(&self) -> Result<Option<Claim>> {
        match texts(&self.headers, &IDEMPOTENCY_KEY)?.as_slice() {
            [] => Ok(None),
            keys => Claim::new(&keys.join(", "), self.method.as_str(), &self.target, &self.bytes).map(Some),
        }
    }

    /// Does it, and answers.
    pub async fn run(&self, app: &App, right: &Right, part: Part, prefer: &Prefer) -> Result<Response, Problem> {
        self.run_all(app, right, vec![part], false, prefer).await
    }

    /// Does all of it or nothing, and answers.
    pub async fn run_all(
        &self,
        app: &App,
        right: &Right,
        parts: Vec<Part>,
        batch: bool,
        prefer: &Prefer,
    ) -> Result<Response, Problem> {
        if right.is_guest() {
            // A key names a request of one user, and guests are nobody in particular.
            self.refuse_repetition()?;
        }
        let plan = self.plan(parts, batch, prefer)?;
        Ok(answer(app.engine.write(right, plan).await?)?)
    }

    /// Answers at once, and makes the rows afterwards.
    pub async fn begin(
        &self,
        app: &App,
        right: &Right,
        planner: Planner,
        bulk: Bulk,
        prefer: &Prefer,
    ) -> Result<Response, Problem> {
        let plan = self.plan(Vec::new(), false, prefer)?;
        Ok(answer(app.engine.begin(right, planner, bulk, plan).await?)?)
    }

    fn plan(&self, parts: Vec<Part>, batch: bool, prefer: &Prefer) -> Result<Plan> {
        if Form::of(&self.headers, &self.bytes) != Form::Csv {
            json::check_precision(&self.bytes)?;
        }
        let (rollback, applied) = (prefer.rollback(), prefer.applied());
        let claim = if self.method == Method::DELETE { None } else { self.claim()? };
        Ok(Plan { parts, batch, rollback, applied, claim })
    }
}

/// A reply as an answer.
fn answer(reply: Reply) -> Result<Response> {
    let status = StatusCode::from_u16(reply.status).map_err(Error::internal)?;
    let mut response = match reply.body {
        Some(body) => json_text(status, body),
        None => (status, Body::empty()).into_response(),
    };
    let etag = reply.version.map(etag);
    let replayed = reply.replayed.then(|| "true".to_owned());
    let named = [
        (ETAG, etag),
        (LOCATION, reply.location),
        (PREFERENCE_APPLIED.clone(), reply.applied),
        (REPLAYED.clone(), replayed),
    ];
    for (name, value) in named.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        response.headers_mut().insert(name, HeaderValue::from_str(&value).map_err(Error::internal)?);
    }
    Ok(response)
}
