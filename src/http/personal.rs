//! What belongs to a person alone: his password and factors, and the end of all his sessions. Neither a program with his
//! key nor an operator who works as him gets there, whatever route is added below `/api/v1/me/`.

use axum::extract::MatchedPath;
use axum::http::Method;
use axum::http::request::Parts;

use crate::access::Session;
use crate::error::{Error, Kind, Result};

/// Whether a route is about the caller's own credentials or sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Personal {
    /// Not.
    No,
    /// The end of the session that calls.
    Leaving,
    /// Yes.
    Yes,
}

impl Personal {
    fn of(method: &Method, path: &str) -> Self {
        match path {
            "/api/v1/auth/logout" => Self::Leaving,
            _ if path.starts_with("/api/v1/auth/") => Self::Yes,
            _ if path.starts_with("/api/v1/me/") && !method.is_safe() => Self::Yes,
            _ => Self::No,
        }
    }
}

/// Refuses what only the user himself may do.
pub fn check(parts: &Parts, session: &Session) -> Result<()> {
    let path = parts.extensions.get::<MatchedPath>().map_or(parts.uri.path(), MatchedPath::as_str);
    let forbidden = |code, message| Err(Error::new(Kind::Forbidden, code, message));
    match Personal::of(&parts.method, path) {
        Personal::Yes | Personal::Leaving if session.is_key => {
            forbidden("not_for_api_keys", "An API key cannot do this; it needs a signed-in user.")
        }
        Personal::Yes if session.impersonator.is_some() => {
            forbidden("not_while_impersonating", "An operator who works as a user cannot do this.")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_changes_something_of_oneself_is_personal() {
        for (method, path, expected) in [
            (Method::GET, "/api/v1/me", Personal::No),
            (Method::GET, "/api/v1/me/permissions", Personal::No),
            (Method::POST, "/api/v1/me/password", Personal::Yes),
            (Method::DELETE, "/api/v1/me/factors/{id}", Personal::Yes),
            (Method::POST, "/api/v1/auth/logout", Personal::Leaving),
            (Method::POST, "/api/v1/auth/logout-all", Personal::Yes),
            (Method::POST, "/api/v1/{resource}", Personal::No),
        ] {
            assert_eq!(Personal::of(&method, path), expected, "{method} {path}");
        }
    }
}
