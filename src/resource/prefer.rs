//! The `Prefer` header (RFC 7240): what a caller would like, and what is done about it.

use super::render::Count;
use crate::error::{Error, Result, nearest};

/// What comes back for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Returning {
    /// The row or rows.
    #[default]
    Representation,
    /// Nothing but status and headers.
    Minimal,
}

/// What happens to a new row that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// The present row gets the fields of the new one.
    Merge,
    /// The present row stays.
    Ignore,
}

/// Preferences by name, with the values that they know; empty where the value is a number or there is none.
const KNOWN: [(&str, &[&str]); 8] = [
    ("return", &["representation", "minimal", "headers-only"]),
    ("count", &["exact", "planned", "estimated"]),
    ("resolution", &["merge-duplicates", "ignore-duplicates"]),
    ("missing", &["default"]),
    ("max-affected", &[]),
    ("tx", &["commit", "rollback"]),
    ("handling", &["strict", "lenient"]),
    ("respond-async", &[]),
];

/// The preferences of one request that its operation honours.
#[derive(Debug, Clone, Default)]
pub struct Prefer {
    honoured: Vec<(&'static str, String)>,
}

impl Prefer {
    /// Reads the values of the header. `here` names what the operation honours, besides `handling`: the rest is
    /// ignored, or with `handling=strict` refused. Of a preference given twice the first counts.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>, here: &[&str]) -> Result<Self> {
        let given: Vec<(String, String)> =
            values.into_iter().flat_map(|value| value.split(',')).filter_map(one).collect();
        let strict = given.iter().find(|(name, _)| name == "handling").is_some_and(|(_, value)| value == "strict");
        let mut honoured: Vec<(&'static str, String)> = Vec::new();
        let mut faults = Error::malformed("A preference cannot be honoured.");
        for (name, value) in given {
            match judge(&name, &value, here) {
                Ok(known) if honoured.iter().all(|(other, _)| *other != known) => honoured.push((known, value)),
                Ok(_) => {}
                Err(detail) => faults = faults.parameter("Prefer", "unknown_preference", detail),
            }
        }
        if strict {
            faults.if_any()?;
        }
        Ok(Self { honoured })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.honoured.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// What comes back.
    pub fn returning(&self) -> Returning {
        match self.get("return") {
            Some("minimal" | "headers-only") => Returning::Minimal,
            _ => Returning::Representation,
        }
    }

    /// Whether and how rows are counted.
    pub fn count(&self) -> Option<Count> {
        match self.get("count")? {
            "exact" => Some(Count::Exact),
            "planned" => Some(Count::Planned),
            _ => Some(Count::Estimated),
        }
    }

    /// What happens to a new row that is there already; without an answer it is refused.
    pub fn resolution(&self) -> Option<Resolution> {
        match self.get("resolution")? {
            "merge-duplicates" => Some(Resolution::Merge),
            _ => Some(Resolution::Ignore),
        }
    }

    /// Rows that may be affected, with handling=strict only: a limit that could be ignored is none.
    pub fn max_affected(&self) -> Option<u64> {
        self.get("max-affected").filter(|_| self.get("handling") == Some("strict"))?.parse().ok()
    }

    /// Whether everything is undone at the end: a trial.
    pub fn rollback(&self) -> bool {
        self.get("tx") == Some("rollback")
    }

    /// Whether the work may follow the answer.
    pub fn respond_async(&self) -> bool {
        self.get("respond-async").is_some()
    }

    /// What of it is honoured after all, once it is known what happens.
    #[must_use]
    pub fn only(&self, here: &[&str]) -> Self {
        let honoured = self.honoured.iter().filter(|(name, _)| *name == "handling" || here.contains(name));
        Self { honoured: honoured.cloned().collect() }
    }

    /// What was honoured, for the header `Preference-Applied`.
    pub fn applied(&self) -> Option<String> {
        let all = self.honoured.iter().map(|(name, value)| match value.as_str() {
            "" => (*name).to_owned(),
            value => format!("{name}={value}"),
        });
        (!self.honoured.is_empty()).then(|| all.collect::<Vec<_>>().join(", "))
    }
}

/// `name=value; parameters`: no preference of ours has parameters, so they are left out.
fn one(text: &str) -> Option<(String, String)> {
    let text = text.split(';').next().unwrap_or_default();
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let name = name.trim().to_ascii_lowercase();
    (!name.is_empty()).then(|| (name, value.trim().trim_matches('"').to_owned()))
}

fn judge(name: &str, value: &str, here: &[&str]) -> Result<&'static str, String> {
    let Some((known, values)) = KNOWN.iter().find(|(known, _)| *known == name) else {
        let meant = nearest(name, KNOWN.map(|(known, _)| known));
        let meant = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
        return Err(format!("`{name}` is not a preference{meant}"));
    };
    if *known != "handling" && !here.contains(known) {
        return Err(format!("`{name}` is not honoured here"));
    }
    let fits = match *known {
        "max-affected" => value.parse::<u64>().is_ok(),
        "respond-async" => value.is_empty(),
        _ => values.contains(&value),
    };
    if fits { Ok(known) } else { Err(format!("`{name}={value}` is not among {}", choices(known, values))) }
}

fn choices(name: &str, values: &[&str]) -> String {
    match values {
        [] => format!("{name}=<number>"),
        _ => values.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [&str; 5] = ["return", "count", "tx", "resolution", "max-affected"];

    #[test]
    fn preferences_are_read_from_one_header_or_many() {
        let values = ["return=minimal, Count = \"exact\"", "tx=rollback; foo=bar,resolution=ignore-duplicates"];
        let prefer = Prefer::parse(values, &HERE).unwrap();
        assert_eq!((prefer.returning(), prefer.count()), (Returning::Minimal, Some(Count::Exact)));
        assert_eq!((prefer.rollback(), prefer.resolution()), (true, Some(Resolution::Ignore)));
        let applied = prefer.applied().unwrap();
        assert_eq!(applied, "return=minimal, count=exact, tx=rollback, resolution=ignore-duplicates");
        assert_eq!(Prefer::parse([], &HERE).unwrap().applied(), None);
    }

    #[test]
    fn what_is_unknown_is_ignored_unless_the_caller_is_strict() {
        let lenient = Prefer::parse(["retrun=minimal, respond-async, missing=default, return=all"], &HERE).unwrap();
        assert_eq!(lenient.applied(), None);
        let text = ["handling=strict, retrun=minimal, respond-async, missing=default, return=all, max-affected=many"];
        let faults = Prefer::parse(text, &HERE).unwrap_err();
        let details: Vec<&str> = faults.faults().iter().map(|fault| fault.detail.as_str()).collect();
        insta::assert_snapshot!(details.join("\n"), @"
        `retrun` is not a preference; did you mean `return`?
        `respond-async` is not honoured here
        `missing` is not honoured here
        `return=all` is not among representation, minimal, headers-only
        `max-affected=many` is not among max-affected=<number>
        ");
    }

    #[test]
    fn a_limit_counts_only_when_it_cannot_be_ignored() {
        assert_eq!(Prefer::parse(["max-affected=3"], &HERE).unwrap().max_affected(), None);
        assert_eq!(Prefer::parse(["max-affected=3, handling=strict"], &HERE).unwrap().max_affected(), Some(3));
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics(text in ".{0,120}") {
            let _ = Prefer::parse([text.as_str()], &HERE);
        }
    }
}
