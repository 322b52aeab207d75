//! `ETag`, `If-Match` and `If-None-Match` (RFC 9110, section 13): which version of a row a request is about.

use crate::error::{Error, Kind, Result};
use crate::pack::Resource;

/// The strong entity tag of a version of a row.
pub fn etag(version: i64) -> String {
    format!("\"v{version}\"")
}

/// How entity tags are compared (RFC 9110, section 8.8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// For changes: a weak tag matches nothing.
    Strong,
    /// For reading: a weak tag matches like a strong one.
    Weak,
}

/// A list of entity tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    /// `*`: whatever there is.
    Any,
    /// The versions that the tags of the list name; tags that are not of ours name nothing.
    Versions(Vec<i64>),
}

impl Tags {
    /// Reads the values of a header of this name.
    pub fn parse<'a>(
        header: &str,
        comparison: Comparison,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Result<Option<Self>> {
        let mut tags: Option<Self> = None;
        for value in values {
            let found = list(value, comparison).ok_or_else(|| malformed(header))?;
            tags = match (tags, found) {
                (None, found) => Some(found),
                (Some(Self::Versions(mut all)), Self::Versions(more)) => {
                    all.extend(more);
                    Some(Self::Versions(all))
                }
                _ => return Err(malformed(header)),
            };
        }
        Ok(tags)
    }

    /// Whether a version is among them.
    pub fn hold(&self, version: Option<i64>) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => version.is_some_and(|version| versions.contains(&version)),
        }
    }
}

fn malformed(header: &str) -> Error {
    let error = Error::malformed("A header is not valid.");
    error.parameter(header, "invalid_parameter", "must be `*`, or entity tags such as \"v3\", \"v4\"")
}

fn list(text: &str, comparison: Comparison) -> Option<Tags> {
    if text.trim() == "*" {
        return Some(Tags::Any);
    }
    let mut versions = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |quoted| (true, quoted));
        let (tag, behind) = quoted.strip_prefix('"')?.split_once('"')?;
        let version = tag.strip_prefix('v').and_then(|digits| digits.parse::<i64>().ok());
        versions.extend(version.filter(|_| !weak || comparison == Comparison::Weak));
        rest = behind.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(Tags::Versions(versions))
}

/// What a request demands of the row before anything happens.
#[derive(Debug, Clone, Default)]
pub struct Preconditions {
    /// The row must be there, in one of these versions.
    pub if_match: Option<Tags>,
    /// The row must not be there, or not in one of these versions.
    pub if_none_match: Option<Tags>,
}

impl Preconditions {
    /// The versions of which one must stand there, when the request names any.
    pub fn versions(&self) -> Option<&[i64]> {
        match &self.if_match {
            Some(Tags::Versions(versions)) => Some(versions),
            Some(Tags::Any) | None => None,
        }
    }

    /// Refuses a blind change of a resource whose pack demands that the version is named.
    pub fn check(&self, resource: &Resource) -> Result<()> {
        if resource.if_match_required && self.if_match.is_none() {
            let message = format!("Changes of `{}` must name the version that they are about.", resource.name);
            let error = Error::new(Kind::PreconditionRequired, "precondition_required", message);
            return Err(error.hint("Send the ETag of the row in the header If-Match."));
        }
        Ok(())
    }
}

impl Preconditions {
    /// The same for a change of many rows, which cannot name a version.
    pub fn check_for_many(&self, resource: &Resource) -> Result<()> {
        if self.if_match.is_some() {
            return Err(Error::malformed("If-Match is about one row, not about many."));
        }
        self.check(resource)
    }
}

/// The refusal of a change that is about another version; `current` is the row as it is now, as JSON, for those who may
/// view it.
pub fn failed(current: Option<String>) -> Error {
    let message = "The row is not in the version that your request is about.";
    let error = Error::new(Kind::PreconditionFailed, "precondition_failed", message);
    match current {
        Some(row) => error.current(row).hint("Compare with `current`, then send the request again with the new ETag."),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str]) -> Option<Tags> {
        Tags::parse("if-match", Comparison::Strong, values.iter().copied()).ok().flatten()
    }

    #[test]
    fn strong_tags_of_ours_name_versions() {
        assert_eq!(parse(&["\"v3\""]), Some(Tags::Versions(vec![3])));
        assert_eq!(parse(&["\"v3\", \"v4\"", "\"v5\""]), Some(Tags::Versions(vec![3, 4, 5])));
        assert_eq!(parse(&["W/\"v3\", \"x,y\",\"v\""]), Some(Tags::Versions(vec![])));
        let weakly = Tags::parse("if-none-match", Comparison::Weak, ["W/\"v3\""]).unwrap();
        assert_eq!(weakly, Some(Tags::Versions(vec![3])));
        assert_eq!(parse(&[" * "]), Some(Tags::Any));
        assert_eq!(parse(&[]), None);
        for bad in ["v3", "\"v3", "\"v3\" \"v4\"", "*, \"v3\""] {
            assert!(Tags::parse("if-match", Comparison::Strong, [bad]).is_err(), "{bad}");
        }
    }
}
