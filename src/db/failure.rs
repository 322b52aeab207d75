//! What PostgreSQL refused, and its general meaning for a caller.

use std::time::Duration;

use tokio_postgres::error::{ErrorPosition, SqlState};

use crate::error::{Error, Kind};

/// A failed statement or connection, before anybody gave it a meaning.
#[derive(Debug)]
pub struct Failure {
    /// SQLSTATE, or `None` when the connection itself failed.
    pub state: Option<SqlState>,
    /// The server's message.
    pub message: String,
    /// The server's detail; for a domain error the machine code.
    pub detail: Option<String>,
    /// The violated constraint.
    pub constraint: Option<Box<str>>,
    /// The column, where the server names one.
    pub column: Option<Box<str>>,
    /// Character of the statement's text at which it is wrong, from 1.
    pub position: Option<u32>,
}

impl Failure {
    /// A fault of ours in using the driver.
    pub fn internal(message: &str) -> Self {
        let state = Some(SqlState::INTERNAL_ERROR);
        Self { state, message: message.to_owned(), detail: None, constraint: None, column: None, position: None }
    }

    /// Whether the connection is gone, so that a read may be tried once more on another.
    pub fn is_connection(&self) -> bool {
        match &self.state {
            None => true,
            Some(state) => state.code().starts_with("08") || state.code().starts_with("57P"),
        }
    }

    /// Whether the server no longer accepts a prepared statement, because the schema changed below it.
    pub fn is_stale_statement(&self) -> bool {
        matches!(&self.state, Some(s) if *s == SqlState::FEATURE_NOT_SUPPORTED || *s == SqlState::INVALID_SQL_STATEMENT_NAME)
    }

    /// Whether the same transaction may succeed when run again (serialization failure, deadlock).
    pub fn is_retryable(&self) -> bool {
        matches!(&self.state, Some(s) if *s == SqlState::T_R_SERIALIZATION_FAILURE || *s == SqlState::T_R_DEADLOCK_DETECTED)
    }

    /// Whether others held what was needed: the same work may succeed as it is, a little later.
    pub fn is_in_the_way(&self) -> bool {
        self.is_retryable() || matches!(&self.state, Some(s) if *s == SqlState::LOCK_NOT_AVAILABLE)
    }

    /// The SQLSTATE's five letters, empty for a lost connection.
    pub fn code(&self) -> &str {
        self.state.as_ref().map_or("", SqlState::code)
    }

    fn log_line(&self) -> String {
        let constraint = self.constraint.as_ref().map(|name| format!(" constraint={name}")).unwrap_or_default();
        // Of bad values (class 22) the server quotes the value itself, which is nothing for a log.
        let message = if self.code().starts_with("22") { "a value is refused" } else { &self.message };
        format!("sqlstate={} {message}{constraint}", self.code())
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&tokio_postgres::Error> for Failure {
    fn from(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Self {
                state: Some(db.code().clone()),
                message: db.message().to_owned(),
                detail: db.detail().map(str::to_owned),
                constraint: db.constraint().map(Box::from),
                column: db.column().map(Box::from),
                position: original_position(db),
            },
            None => Self {
                state: None,
                message: chain(error),
                detail: None,
                constraint: None,
                column: None,
                position: None,
            },
        }
    }
}

fn original_position(error: &tokio_postgres::error::DbError) -> Option<u32> {
    match error.position() {
        Some(ErrorPosition::Original(at)) => Some(*at),
        _ => None,
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// The meaning of a SQLSTATE (`spec/api.md`, Errors). Nothing of the server's own text reaches the caller, except
/// the sentence of a domain error, which a pack wrote for people.
impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let second = Duration::from_secs(1);
        let error = match failure.code() {
            "AP403" => domain(Kind::Forbidden, &failure),
            "AP404" => domain(Kind::NotFound, &failure),
            "AP409" => domain(Kind::Conflict, &failure),
            "AP422" => domain(Kind::Invalid, &failure),
            "23505" => Self::conflict("There is such a record already."),
            "23503" => Self::conflict("A record that this one needs, or is needed by, stands in the way."),
            "23P01" => Self::conflict("This overlaps with an existing record."),
            "28P01" | "28000" | "3D000" => {
                Self::unavailable("The database refuses our sign-in.").hint("Check `database.url` or DATABASE_URL.")
            }
            "42501" => Self::forbidden("You may not do this."),
            "25006" => Self::new(Kind::MethodNotAllowed, "method_not_allowed", "This method must not change anything."),
            "40001" | "40P01" => {
                Self::conflict("Somebody else changed this at the same moment. Please try again.").retry_after(second)
            }
            "54000" => Self::validation_message("A value is too long."),
            "57014" => Self::new(Kind::Timeout, "timeout", "This took too long and was stopped."),
            "55P03" => Self::unavailable("The record is locked by other work. Please try again."),
            code if code.starts_with("23") || code.starts_with("22") => {
                Self::validation_message("A value is not acceptable.")
            }
            code if code.is_empty() || ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => {
                Self::unavailable("The database does not answer. Please try again.")
            }
            _ => Self::internal("unexpected refusal"),
        };
        error.context(failure.log_line())
    }
}

fn domain(kind: Kind, failure: &Failure) -> Error {
    let code = failure.detail.clone().unwrap_or_else(|| "refused".to_owned());
    match (kind, code.as_str()) {
        (Kind::NotFound, "not_found") => Error::not_found(),
        _ => Error::new(kind, code, failure.message.clone()),
    }
}
