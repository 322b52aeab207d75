//! Error codes and what they mean: the service's own and those that packs raise.

mod pack_codes;
mod registry;

use std::collections::BTreeMap;

use registry::TITLES;
pub use registry::{FAULTS, Fault, PROBLEMS, Problem};

use crate::pack::Packs;

/// A refusal that a pack raises by one of its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackProblem {
    /// Stable code.
    pub code: String,
    /// The pack's name for people.
    pub pack: String,
    /// HTTP status.
    pub status: u16,
    /// The field it is about, when it is named as a part of `validation_failed` or beside the code.
    pub field: Option<String>,
    /// The sentence that the caller reads.
    pub sentence: String,
}

impl PackProblem {
    /// Whether the code stands in `errors` of a `validation_failed` instead of being the problem's own.
    pub fn is_fault(&self) -> bool {
        self.status == 422 && self.field.is_some()
    }
}

/// All error codes.
pub struct Problems {
    packs: BTreeMap<String, Vec<PackProblem>>,
}

impl Problems {
    /// The service's codes, and those in the SQL of packs.
    pub fn new(packs: &Packs) -> Self {
        let mut found: BTreeMap<String, Vec<PackProblem>> = BTreeMap::new();
        for pack in packs.iter() {
            for problem in pack.files.iter().flat_map(|file| pack_codes::raised(&pack.manifest.name, &file.sql)) {
                let known = found.entry(problem.code.clone()).or_default();
                if !known.contains(&problem) {
                    known.push(problem);
                }
            }
        }
        Self { packs: found }
    }

    /// What packs mean by a code.
    pub fn of_packs(&self, code: &str) -> &[PackProblem] {
        self.packs.get(code).map_or(&[], Vec::as_slice)
    }

    /// Every code that packs raise.
    pub fn pack_codes(&self) -> impl Iterator<Item = (&str, &[PackProblem])> {
        self.packs.iter().map(|(code, problems)| (code.as_str(), problems.as_slice()))
    }
}

/// What the service itself means by a code.
pub fn problem(code: &str) -> Option<&'static Problem> {
    PROBLEMS.iter().find(|problem| problem.code == code)
}

/// What a code in `errors` means.
pub fn fault(code: &str) -> Option<&'static Fault> {
    FAULTS.iter().find(|fault| fault.code == code)
}

/// The path of a code's page.
pub fn path(code: &str) -> String {
    format!("/problems/{}", code.replace('_', "-"))
}

/// The `title` of problems of a status.
pub fn title(status: u16) -> &'static str {
    TITLES.iter().find(|(known, _)| *known == status).map_or("Your request is refused.", |(_, title)| title)
}
