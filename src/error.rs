//! One error type for the whole house, free of HTTP.
//!
//! An [`Error`] has two sides: what the caller may read (kind, stable code, message, fields) and a private
//! context that only the log sees. `http::error` maps kinds to status codes; nothing below that floor knows them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a machine must tell cases apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The request cannot be understood: malformed JSON, unknown parameter.
    Malformed,
    /// The request is understood, but its content is refused.
    Invalid,
    /// Nobody is signed in, or the proof of it is not accepted.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// No such thing, or none that the caller may see.
    NotFound,
    /// The path exists, the verb on it does not.
    MethodNotAllowed,
    /// The answer exists, but in none of the forms that the caller takes.
    NotAcceptable,
    /// The request contradicts the present state.
    Conflict,
    /// The row is not in the version that the request is about.
    PreconditionFailed,
    /// The request must say which version of the row it is about.
    PreconditionRequired,
    /// The body or a part of it is larger than allowed.
    TooLarge,
    /// The body has a content type that this operation does not read.
    UnsupportedMedia,
    /// The caller asks too often.
    TooMany,
    /// Something we depend on does not answer; the same request may succeed later.
    Unavailable,
    /// The work took longer than allowed and was stopped.
    Timeout,
    /// A fault of ours.
    Internal,
}

/// One part of a request that needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Where the fault is.
    #[serde(flatten)]
    pub place: Place,
    /// Stable code, for example `required`.
    pub code: Cow<'static, str>,
    /// A sentence for people.
    pub detail: String,
}

/// Faults that one error names; of further ones it keeps the number.
const MOST_FAULTS: usize = 50;

/// The place of a [`Fault`] in the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A JSON pointer into the body (RFC 6901), written as a URI fragment: `#/amount`.
    Pointer(String),
    /// The name of a query parameter or header.
    Parameter(String),
}

/// The public side of an [`Error`], for keeping it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Public {
    kind: Kind,
    code: String,
    message: String,
    hint: Option<String>,
    faults: Vec<Fault>,
    #[serde(default)]
    unnamed: usize,
    current: Option<String>,
}

impl From<&Error> for Public {
    fn from(error: &Error) -> Self {
        let Inner { kind, code, message, hint, faults, unnamed, current, .. } = error.0.as_ref().clone();
        Self { kind, code: code.into_owned(), message, hint, faults, unnamed, current }
    }
}

impl From<Public> for Error {
    fn from(kept: Public) -> Self {
        let Public { kind, code, message, hint, faults, unnamed, current } = kept;
        let mut error = Self::new(kind, code, message);
        (error.0.hint, error.0.current) = (hint, current);
        (error.0.faults, error.0.unnamed) = (faults, unnamed);
        error
    }
}

/// An error: a public face and a private context.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    code: Cow<'static, str>,
    message: String,
    hint: Option<String>,
    faults: Vec<Fault>,
    /// Further faults.
    unnamed: usize,
    current: Option<String>,
    replayed: bool,
    retry_after: Option<Duration>,
    context: Vec<String>,
}

impl Error {
    /// An error with a stable code and a message for the caller.
    pub fn new(kind: Kind, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            code: code.into(),
            message: message.into(),
            hint: None,
            faults: Vec::new(),
            unnamed: 0,
            current: None,
            replayed: false,
            retry_after: None,
            context: Vec::new(),
        }))
    }

    /// A request that cannot be understood.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, "bad_request", message)
    }

    /// A request whose parts are refused; each [`Error::field`] names one.
    pub fn validation() -> Self {
        Self::new(Kind::Invalid, "validation_failed", "")
    }

    /// A request whose content is refused as a whole.
    pub fn validation_message(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, "validation_failed", message)
    }

    /// No such thing, or none that the caller may see: both read the same.
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "not_found", "There is nothing here under this address.")
    }

    /// The caller may not do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, "forbidden", message)
    }

    /// The request contradicts the present state.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, "conflict", message)
    }

    /// A dependency does not answer now; callers are told to come back after a second.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, "unavailable", message).retry_after(Duration::from_secs(1))
    }

    /// A fault of ours: the caller gets a general sentence, the log gets `context`.
    pub fn internal(context: impl fmt::Display) -> Self {
        Self::new(Kind::Internal, "internal", "Something went wrong on our side.").context(context)
    }

    /// Adds what only the log may see.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.context.push(context.to_string());
        self
    }

    /// Adds what the caller can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the row as it is now, as JSON.
    #[must_use]
    pub fn current(mut self, row: String) -> Self {
        self.0.current = Some(row);
        self
    }

    /// Moves every fault of a body into a part of a larger one: `#/amount` becomes `<part>/amount`.
    #[must_use]
    pub fn within(mut self, part: &str) -> Self {
        for fault in &mut self.0.faults {
            if let Place::Pointer(pointer) = &mut fault.place {
                *pointer = format!("{part}{}", pointer.trim_start_matches('#'));
            }
        }
        self
    }

    /// Adds the faults of another refusal of the same kind.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        self.0.faults.extend(other.0.faults);
        self.0.unnamed += other.0.unnamed;
        self.first(MOST_FAULTS)
    }

    /// Names only the first faults, and keeps the number of the others.
    #[must_use]
    pub fn first(mut self, most: usize) -> Self {
        self.0.unnamed += self.0.faults.len().saturating_sub(most);
        self.0.faults.truncate(most);
        self
    }

    /// Says that this was answered before, to the same request.
    #[must_use]
    pub fn replayed(mut self) -> Self {
        self.0.replayed = true;
        self
    }

    /// Says when the same request may succeed.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Names a body field that needs attention; `pointer` as in `#/amount`.
    #[must_use]
    pub fn field(
        self,
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        self.fault(Place::Pointer(pointer.into()), code, detail)
    }

    /// Names a query parameter or header that needs attention.
    #[must_use]
    pub fn parameter(
        self,
        name: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        self.fault(Place::Parameter(name.into()), code, detail)
    }

    fn fault(mut self, place: Place, code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        self.0.faults.push(Fault { place, code: code.into(), detail: detail.into() });
        self.first(MOST_FAULTS)
    }

    /// `Err(self)` when a fault was added, else `Ok(())`: for collecting all faults before refusing.
    pub fn if_any(self) -> Result<()> {
        if self.0.faults.is_empty() { Ok(()) } else { Err(self) }
    }

    /// The kind, for mapping to a status or an exit code.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The stable machine code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The sentence for the caller; for a validation error without one, it counts the faults. The last says how
    /// many faults are not among the [`Error::faults`].
    pub fn message(&self) -> Cow<'_, str> {
        let message: Cow<'_, str> = match (self.0.message.as_str(), self.0.faults.len() + self.0.unnamed) {
            ("", 1) => "1 field needs attention.".into(),
            ("", n) => format!("{n} fields need attention.").into(),
            (message, _) => message.into(),
        };
        match self.0.unnamed {
            0 => message,
            1 => format!("{message} 1 fault is not named.").into(),
            n => format!("{message} {n} faults are not named.").into(),
        }
    }

    /// What the caller can do about it.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The parts of the request that need attention: the first 50.
    pub fn faults(&self) -> &[Fault] {
        &self.0.faults
    }

    /// Whether this was answered before, to the same request.
    pub fn is_replayed(&self) -> bool {
        self.0.replayed
    }

    /// The row as it is now, as JSON.
    pub fn current_row(&self) -> Option<&str> {
        self.0.current.as_deref()
    }

    /// When the same request may succeed.
    pub fn retry_after_hint(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What only the log may see, the innermost cause first.
    pub fn private_context(&self) -> String {
        self.0.context.join("; ")
    }
}

/// What the caller may read. The private context has no `Display` on purpose.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        for fault in &self.0.faults {
            let (Place::Pointer(place) | Place::Parameter(place)) = &fault.place;
            write!(f, "\n  {place}: {}", fault.detail)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("code", &self.0.code)
            .field("message", &self.message())
            .field("faults", &self.0.faults)
            .field("context", &self.0.context)
            .finish()
    }
}

impl std::error::Error for Error {}

/// Longer words are no slips of a name, and comparing them costs.
const LONGEST_NAME: usize = 64;

/// The name among `known` that `given` was probably meant to be, for "did you mean" hints.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > LONGEST_NAME {
        return None;
    }
    let given = given.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_shows_the_public_side_only() {
        let error = Error::validation().field("#/amount", "required", "is required").context("secret");
        assert_eq!(error.to_string(), "1 field needs attention.\n  #/amount: is required");
        assert_eq!(error.private_context(), "secret");
    }

    #[test]
    fn an_error_names_its_first_faults_and_counts_the_others() {
        let many =
            |n: usize| (0..n).fold(Error::validation(), |error, at| error.field(format!("#/{at}"), "x", "is bad"));
        assert_eq!((many(50).faults().len(), &*many(50).message()), (50, "50 fields need attention."));
        let joined = many(60).joined(many(70));
        let kept = Error::from(Public::from(&joined));
        for error in [joined, kept] {
            assert_eq!(error.faults().len(), 50);
            assert_eq!(error.message(), "130 fields need attention. 80 faults are not named.");
        }
        assert_eq!(many(3).first(2).message(), "3 fields need attention. 1 fault is not named.");
        let said = Error::malformed("The query is not valid.").joined(many(52));
        assert_eq!(said.message(), "The query is not valid. 2 faults are not named.");
    }

    #[test]
    fn nearest_finds_a_slip_and_ignores_a_stranger() {
        assert_eq!(nearest("fist_name", ["first_name", "email"]), Some("first_name"));
        assert_eq!(nearest("colour", ["first_name", "email"]), None);
    }
}
