//! Names that become SQL identifiers: checked on entry, quoted on exit.

use std::fmt;

use crate::error::{Error, Result};

/// PostgreSQL truncates longer identifiers silently (`NAMEDATALEN` - 1), so we refuse them.
const MAX_BYTES: usize = 63;

/// A name of a schema, role, table, column or function: `^[a-z_][a-z0-9_]{0,62}$`.
///
/// `Display` writes it quoted, so a reserved word such as `order` is safe too.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ident(Box<str>);

impl Ident {
    /// Checks a name that comes from a manifest, the registry or the catalogue.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let mut bytes = name.bytes();
        let first_ok = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
        let rest_ok = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !first_ok || !rest_ok || name.len() > MAX_BYTES {
            return Err(Error::malformed(format!("`{name}` is not a name of lower-case letters, digits and `_`.")));
        }
        Ok(Self(name.into()))
    }

    /// The bare name, for comparing and for messages; in SQL use `Display`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl fmt::Debug for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Ident {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The name of a value in an answer, as a caller chose it or a column has it: `^[A-Za-z_][A-Za-z0-9_]{0,62}$`.
///
/// `Display` writes it quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias<'a>(&'a str);

impl<'a> Alias<'a> {
    /// Checks a name that a caller chose; none for one that cannot be used.
    pub fn new(name: &'a str) -> Option<Self> {
        let first_ok = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let rest_ok = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        (first_ok && rest_ok && name.len() <= MAX_BYTES).then_some(Self(name))
    }

    /// The bare name.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl<'a> From<&'a Ident> for Alias<'a> {
    fn from(name: &'a Ident) -> Self {
        Self(&name.0)
    }
}

impl fmt::Display for Alias<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// A tenant's name in URLs: `^[a-z][a-z0-9-]{1,38}[a-z0-9]$`, a DNS label (RFC 1035).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Subdomain(Box<str>);

impl Subdomain {
    /// Checks a name as typed; upper case is folded, as DNS does.
    pub fn new(name: &str) -> Result<Self> {
        let name = name.trim().to_ascii_lowercase();
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let ok = (3..=40).contains(&name.len())
            && name.as_bytes()[0].is_ascii_lowercase()
            && name.bytes().all(inner)
            && !name.ends_with('-');
        if !ok {
            return Err(Error::validation().field(
                "#/subdomain",
                "invalid_format",
                "must be 3 to 40 lower-case letters, digits or hyphens, start with a letter and not end with a hyphen",
            ));
        }
        if name.starts_with("xn--") {
            let detail = "must not start with xn--: browsers would show other letters than these";
            return Err(Error::validation().field("#/subdomain", "invalid_format", detail));
        }
        Ok(Self(name.into()))
    }

    /// The name as in URLs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as part of an identifier: `-` becomes `_`, which no subdomain holds, so two never meet.
    pub fn snake(&self) -> String {
        self.0.replace('-', "_")
    }
}

/// Whether a text is a host name in lower case (RFC 1123 section 2.1): no address, no port, no final dot.
pub fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    text.len() <= 253 && text.split('.').all(label) && !text.rsplit('.').next().is_none_or(numeric)
}

impl fmt::Display for Subdomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Subdomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reserved_word_is_quoted() {
        assert_eq!(Ident::new("order").unwrap().to_string(), "\"order\"");
    }

    #[test]
    fn subdomains_follow_the_rule() {
        for good in ["acme", "a-1", "abc", "Acme", &"a".repeat(40)] {
            assert!(Subdomain::new(good).is_ok(), "{good}");
        }
        for bad in ["", "ab", "1ab", "ab-", "-ab", "a_b", "a.b", "é23", "a b", &"a".repeat(41)] {
            assert!(Subdomain::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_subdomain_that_browsers_show_otherwise_is_refused() {
        let refused = Subdomain::new("XN--cme-5cd").unwrap_err();
        assert!(refused.faults()[0].detail.starts_with("must not start with xn--"), "{:?}", refused.faults());
        assert!(Subdomain::new("xn-acme").is_ok());
    }

    #[test]
    fn hosts_are_made_of_labels() {
        for good in ["localhost", "insula.test", "a-1.b2.example", "xn--bcher-kva.example"] {
            assert!(is_host_name(good), "{good}");
        }
        let long = format!("{}.test", "a".repeat(64));
        for bad in [
            "",
            ".",
            "a..b",
            "a.",
            ".a",
            "-a.b",
            "a-.b",
            "A.test",
            "a_b.test",
            "a b",
            "http://a",
            "a:80",
            "127.0.0.1",
            &long,
        ] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_could_leave_the_quotes_is_accepted(name in ".*") {
            if let Ok(ident) = Ident::new(name) {
                let inner = ident.to_string();
                prop_assert!(!inner[1..inner.len() - 1].contains(['"', '\0', '\\', ' ']));
                prop_assert!(inner.len() <= 65);
            }
        }
    }
}
