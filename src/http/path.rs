//! Parts of the path as extractors.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, RawPathParams};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::Problem;
use crate::app::App;
use crate::error::{Error, Result};

/// Parts of the path; what is not UTF-8 is refused as a problem.
pub struct InPath<T>(pub T);

/// The key in the path; what cannot be one names nothing.
pub struct Id(pub Uuid);

/// One part of the path by its name in the route.
pub async fn path(parts: &mut Parts, name: &str) -> Result<String> {
    let names = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| not_utf8())?;
    let value = names.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    value.ok_or_else(|| Error::internal(format!("the route has no {name}")))
}

fn not_utf8() -> Error {
    Error::malformed("The path is not valid UTF-8.")
}

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let parsed = Path::from_request_parts(parts, app).await;
        parsed.map(|Path(found)| Self(found)).map_err(|_| not_utf8().into())
    }
}

impl FromRequestParts<Arc<App>> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        Ok(path(parts, "id").await?.parse().map(Self).map_err(|_| Error::not_found())?)
    }
}
