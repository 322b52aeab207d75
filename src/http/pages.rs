//! The API about itself, for people.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, VARY,
};
use axum::response::{IntoResponse, Response};

use super::error::{Problem, status};
use super::extract::Reached;
use super::front::Context;
use super::incoming::collect;
use super::metadata::{Face, document};
use crate::app::App;
use crate::docs::Reader;
use crate::docs::pages::{self, Notice, assets};
use crate::error::Error;
use crate::tenant::Host;

/// A form that holds a token is smaller than this.
const FORM_BYTES: usize = 16 * 1024;

/// Letters on one page.
const LETTERS: usize = 100;

type Answer = Result<Response<Body>, Problem>;

fn html(status: StatusCode, text: String, policy: &str) -> Answer {
    let mut response = (status, text).into_response();
    let headers: [(HeaderName, &str); 4] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, "no-referrer"),
        (VARY, "authorization"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_str(value).map_err(Error::internal)?);
    }
    Ok(response)
}

/// `GET /docs`
pub async fn interactive() -> Answer {
    html(StatusCode::OK, pages::interactive(), pages::INTERACTIVE_POLICY)
}

/// The last part of the path; one that is no text names nothing.
fn last(part: &Result<Path<String>, PathRejection>) -> &str {
    part.as_ref().map_or("", |Path(name)| name)
}

/// `GET /docs/{asset}`: gzip, which every browser reads and every other client may be sent (RFC 9110 section 12.5.3).
pub async fn asset(name: Result<Path<String>, PathRejection>) -> Answer {
    let asset = assets::find(last(&name)).ok_or_else(Error::not_found)?;
    let mut response = asset.bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    if asset.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// `GET /redoc`: about what the caller may do, with a token in the Authorization header.
pub async fn reference<F: Face>(State(app): State<Arc<App>>, face: F) -> Answer {
    let notice = match face.reader() {
        Reader::User(_) | Reader::Operator { .. } => Notice::Personal,
        Reader::Visitor | Reader::TenantVisitor(_) | Reader::StaffVisitor => Notice::Public,
    };
    show(&app, &face, StatusCode::OK, &notice).await
}

async fn show<F: Face>(app: &App, face: &F, status: StatusCode, notice: &Notice<'_>) -> Answer {
    let document = document(app, face).await?.value()?;
    html(status, pages::reference(&document, notice), &pages::POLICY)
}

/// `POST /redoc`: the same with the token in a form, for browsers.
pub async fn reference_for_token<F: Face>(State(app): State<Arc<App>>, request: Request) -> Answer {
    let (mut parts, body) = request.into_parts();
    let token = typed_token(body).await?;
    let header = HeaderValue::from_str(&format!("Bearer {token}")).unwrap_or(HeaderValue::from_static("Bearer"));
    parts.headers.insert(AUTHORIZATION, header);
    match F::from_request_parts(&mut parts, &app).await {
        Ok(face) => show(&app, &face, StatusCode::OK, &Notice::Personal).await,
        Err(Problem(error)) => {
            parts.headers.remove(AUTHORIZATION);
            let face = F::from_request_parts(&mut parts, &app).await?;
            show(&app, &face, status(error.kind()), &Notice::Refused(&error.message())).await
        }
    }
}

/// The token of a form, with or without the word before it.
async fn typed_token(body: Body) -> Result<String, Error> {
    let bytes = collect(body, |_| FORM_BYTES).await?;
    let token = form_urlencoded::parse(&bytes).find(|(name, _)| name == "token").map(|(_, value)| value.into_owned());
    let token = token.unwrap_or_default();
    Ok(token.trim().trim_start_matches("Bearer ").trim_start().to_owned())
}

/// `GET /accept`, `/reset-password` and `/forgot-password` on a tenant's host: where the links of letters lead.
pub async fn link(Reached(_): Reached, path: MatchedPath) -> Answer {
    let page = pages::link(path.as_str().trim_start_matches('/')).ok_or_else(Error::not_found)?;
    html(StatusCode::OK, page, &pages::LINK_POLICY)
}

/// `GET /dev/mail` on the apex: the letters that were written down. Only `insula dev` has this page, and shows it to
/// this machine only.
pub async fn letters(State(app): State<Arc<App>>, Extension(context): Extension<Context>) -> Answer {
    if context.host != Host::Neutral || !context.address.is_loopback() {
        return Err(Error::not_found().into());
    }
    html(StatusCode::OK, pages::letters(&app.mailer.kept(LETTERS).await?), &pages::POLICY)
}

/// `GET /problems`
pub async fn problems(State(app): State<Arc<App>>) -> Answer {
    html(StatusCode::OK, pages::problems(app.documents.problems()), &pages::POLICY)
}

/// `GET /problems/{code}`
pub async fn problem(State(app): State<Arc<App>>, code: Result<Path<String>, PathRejection>) -> Answer {
    let page = pages::problem(app.documents.problems(), last(&code), &app.config.domain);
    html(StatusCode::OK, page.ok_or_else(Error::not_found)?, &pages::POLICY)
}
