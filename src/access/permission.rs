//! Permission codes: `contacts.view`, families `contacts.*`, everything `*`.

use std::sync::Arc;

/// What the roles of a user grant.
#[derive(Debug, Clone)]
pub struct Permissions {
    codes: Vec<String>,
    joined: Arc<str>,
}

impl Permissions {
    /// Granted codes. Whatever is not a code of the checked alphabet is left out: it could not have been granted.
    pub fn new(codes: impl IntoIterator<Item = String>) -> Self {
        let mut codes: Vec<String> = codes.into_iter().filter(|code| is_code(code)).collect();
        codes.sort_unstable();
        codes.dedup();
        let joined = if codes.iter().any(|code| code == "*") { "*".into() } else { codes.join(",").into() };
        Self { codes, joined }
    }

    /// Whether a code is granted, by itself, by its family, or by `*`. PostgreSQL's `app_has` decides alike.
    pub fn allow(&self, code: &str) -> bool {
        self.codes.iter().any(|granted| holds(granted, code))
    }

    /// What both grant: of two codes the narrower one, where the other holds it.
    pub fn meet(&self, other: &Self) -> Self {
        let pairs = self.codes.iter().flat_map(|one| other.codes.iter().map(move |two| (one, two)));
        let both = pairs.filter_map(|(one, two)| match (holds(one, two), holds(two, one)) {
            (true, _) => Some(two.clone()),
            (false, true) => Some(one.clone()),
            (false, false) => None,
        });
        Self::new(both)
    }

    /// The codes as `app.perms` holds them.
    pub fn joined(&self) -> Arc<str> {
        self.joined.clone()
    }

    /// The codes, sorted.
    pub fn codes(&self) -> &[String] {
        &self.codes
    }
}

/// Whether a granted code is another, or its family, or everything.
fn holds(granted: &str, code: &str) -> bool {
    granted == "*" || granted == code || granted.strip_suffix(".*").is_some_and(|granted| granted == family(code))
}

/// The first word of a code, as in `deals` of `deals.move`.
pub(super) fn family(code: &str) -> &str {
    code.split('.').next().unwrap_or_default()
}

fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_families_and_everything() {
        let some = Permissions::new(["deals.view".into(), "crm.*".into(), "x',y".into()]);
        assert!(some.allow("deals.view") && some.allow("crm.scope.all"));
        assert!(!some.allow("deals.edit") && !some.allow("crmx.view"));
        assert_eq!(&*some.joined(), "crm.*,deals.view");
        assert!(Permissions::new(["*".into()]).allow("anything.at_all"));
    }

    #[test]
    fn what_two_grant_is_the_narrower_of_both() {
        let of = |codes: &[&str]| Permissions::new(codes.iter().map(|code| (*code).to_owned()));
        for (one, other, both) in [
            (&["*"][..], &["deals.view", "crm.*"][..], "crm.*,deals.view"),
            (&["deals.*"], &["deals.view", "deals.move", "dealsx.view"], "deals.move,deals.view"),
            (&["deals.*"], &["deals.*"], "deals.*"),
            (&["*"], &["*"], "*"),
            (&["crm.scope.all"], &["crm.*"], "crm.scope.all"),
            (&["deals.view"], &["contacts.view"], ""),
            (&["deals.view"], &[], ""),
        ] {
            assert_eq!(&*of(one).meet(&of(other)).joined(), both);
            assert_eq!(&*of(other).meet(&of(one)).joined(), both);
        }
    }
}
