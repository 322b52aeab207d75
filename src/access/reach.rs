//! How far the permissions of a role reach over rows.
//!
//! A pack whose rows belong to people has permissions `<family>.scope.<level>`. Without any of them a user sees his own
//! rows, with `.scope.team` those of his team, with `.scope.all` all. Where there is `.scope.own`, that narrows: without it
//! he sees all.

use std::collections::{BTreeMap, BTreeSet};

use super::permission::Permissions;
use crate::error::{Error, Result};

const LEVELS: [&str; 3] = ["own", "team", "all"];
const MARK: &str = ".scope.";

/// Those among permission codes without which a user sees more.
pub(super) fn narrowing(codes: &BTreeSet<String>) -> Vec<String> {
    codes.iter().filter(|code| code.split_once(MARK).is_some_and(|(_, level)| level == "own")).cloned().collect()
}

/// The levels that there are codes for, by family.
pub struct Reaches<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Reaches<'a> {
    /// Those among permission codes.
    pub fn among(codes: &'a BTreeSet<String>) -> Self {
        let mut families: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let reaches = codes.iter().filter_map(|code| code.split_once(MARK));
        for (family, level) in reaches.filter(|(_, level)| LEVELS.contains(level)) {
            families.entry(family).or_default().insert(level);
        }
        Self(families)
    }

    /// How far granted permissions reach, by family.
    pub fn of(&self, granted: &Permissions) -> BTreeMap<String, &'static str> {
        let level = |family: &str, codes: &BTreeSet<&str>| {
            let has = |level: &&&str| codes.contains(**level) && granted.allow(&format!("{family}{MARK}{level}"));
            LEVELS.iter().rev().find(has).copied().unwrap_or_else(|| implied(codes))
        };
        self.0.iter().map(|(family, codes)| ((*family).to_owned(), level(family, codes))).collect()
    }

    /// Permission codes that reach as far as is wanted, by family; the other families as they did.
    ///
    /// # Errors
    /// `validation_failed` for a family or level that does not exist, and where a wider permission reaches further anyway.
    pub fn narrow(&self, grants: &[String], wanted: &BTreeMap<String, String>) -> Result<Vec<String>> {
        let mut faults = Error::validation();
        let mut codes = grants.to_vec();
        for (family, level) in wanted {
            match self.codes(family, level) {
                Ok(code) => {
                    codes.retain(|other| !other.starts_with(&format!("{family}{MARK}")));
                    codes.extend(code);
                    let reach = self.of(&Permissions::new(codes.iter().cloned()));
                    if reach.get(family).is_none_or(|reach| reach != level) {
                        let detail = "is not what the other permissions amount to";
                        faults = faults.field(format!("#/scopes/{family}"), "contradiction", detail);
                    }
                }
                Err(detail) => faults = faults.field(format!("#/scopes/{family}"), "unknown_scope", detail),
            }
        }
        faults.if_any()?;
        Ok(codes)
    }

    /// The code for a level, or none when it is what is without any.
    fn codes(&self, family: &str, level: &str) -> Result<Option<String>, String> {
        let Some(codes) = self.0.get(family) else {
            let known: Vec<&str> = self.0.keys().copied().collect();
            return Err(format!("is no scope; those there are: {}", known.join(", ")));
        };
        if codes.contains(level) {
            return Ok(Some(format!("{family}{MARK}{level}")));
        }
        if level == implied(codes) {
            return Ok(None);
        }
        let known = LEVELS.iter().filter(|known| codes.contains(**known) || **known == implied(codes));
        Err(format!("must be one of: {}", known.copied().collect::<Vec<_>>().join(", ")))
    }
}

fn implied(codes: &BTreeSet<&str>) -> &'static str {
    if codes.contains("own") { "all" } else { "own" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeSet<String> {
        ["crm.scope.team", "crm.scope.all", "customers.scope.own", "deals.view"].map(str::to_owned).into()
    }

    fn wanted(family: &str, level: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(family.to_owned(), level.to_owned())])
    }

    #[test]
    fn codes_are_levels() {
        let known = known();
        let reaches = Reaches::among(&known);
        let of = |codes: &[&str]| reaches.of(&Permissions::new(codes.iter().map(|&code| code.to_owned())));
        assert_eq!(of(&["deals.view"]), BTreeMap::from([("crm".into(), "own"), ("customers".into(), "all")]));
        assert_eq!(of(&["crm.scope.team", "crm.scope.all"])["crm"], "all");
        assert_eq!(
            of(&["crm.scope.team", "customers.scope.own"]),
            BTreeMap::from([("crm".into(), "team"), ("customers".into(), "own")])
        );
        assert_eq!(of(&["crm.*"])["crm"], "all");
    }

    #[test]
    fn a_level_replaces_another() {
        let known = known();
        let reaches = Reaches::among(&known);
        let has = ["crm.scope.all".to_owned(), "deals.view".to_owned()];
        assert_eq!(reaches.narrow(&has, &wanted("crm", "team")).unwrap(), ["deals.view", "crm.scope.team"]);
        assert_eq!(reaches.narrow(&has, &wanted("crm", "own")).unwrap(), ["deals.view"]);
        assert_eq!(reaches.narrow(&has, &wanted("customers", "own")).unwrap().last().unwrap(), "customers.scope.own");
        assert_eq!(reaches.narrow(&has, &BTreeMap::new()).unwrap(), has);
        for (family, level) in [("crm", "nobody"), ("sales", "own"), ("customers", "team")] {
            assert_eq!(reaches.narrow(&has, &wanted(family, level)).unwrap_err().code(), "validation_failed");
        }
        assert!(reaches.narrow(&["*".to_owned()], &wanted("crm", "own")).is_err(), "* reaches everywhere");
    }
}
