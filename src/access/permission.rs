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
        let family = code.split('.').next().unwrap_or_default();
        self.codes.iter().any(|granted| {
            granted == "*" || granted == code || granted.strip_suffix(".*").is_some_and(|granted| granted == family)
        })
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
}
