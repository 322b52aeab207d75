//! What letters say.

use serde::Deserialize;
use uuid::Uuid;

use crate::mail::Letter;
use crate::tenant::Tenant;

/// A letter to be written, as `sys_mail_take` gives it.
#[derive(Deserialize)]
pub struct Order {
    /// Key.
    pub id: Uuid,
    /// What it is about.
    pub kind: Kind,
    email: String,
    name: String,
    /// Who brought it about.
    by: Option<String>,
    /// When, in UTC, for people.
    at: String,
}

/// What a letter is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Come in.
    Invitation,
    /// Choose another password.
    Reset,
    /// It was you, was it not?
    PasswordChanged,
}

impl Order {
    /// Writes the letter. The token stands behind `#`: browsers send that part to nobody, so it is in no log.
    pub fn write(self, tenant: &Tenant, url: &str, token: &str) -> Letter {
        let Self { kind, email, name, by, at, .. } = self;
        let company = line(&tenant.name);
        let (subject, text) = match kind {
            Kind::Invitation => {
                let inviter = by.map_or_else(|| company.clone(), |by| format!("{} ({company})", line(&by)));
                (
                    format!("Invitation to {company}"),
                    format!(
                        "{inviter} invites you to work with them on Insula. To come in, choose a password here:\n\n\
                         {url}/accept#{token}\n\n\
                         The link is good for 7 days, once, and for you only. If you do not know {company}, do nothing."
                    ),
                )
            }
            Kind::Reset => (
                format!("Another password for {company}"),
                format!(
                    "Somebody, most likely you, forgot the password of {email} at {company}. Choose another one here:\n\n\
                     {url}/reset-password#{token}\n\n\
                     The link is good for 30 minutes, and once. If it was not you, do nothing: your password stays as it is."
                ),
            ),
            Kind::PasswordChanged => (
                format!("Your password for {company} was changed"),
                format!(
                    "The password of {email} at {company} was changed: {at}. If it was you, all is well.\n\n\
                     If it was not you, choose another password at once, and tell who manages your users:\n\n\
                     {url}/forgot-password"
                ),
            ),
        };
        let text = format!("Hello {},\n\n{text}\n", line(&name));
        Letter { name: line(&name), email, subject, text }
    }
}

/// A name on one line, so that it cannot pass for a paragraph of ours, and without an address to follow.
fn line(name: &str) -> String {
    let name = name.replace("://", " ");
    let words = name.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_name_stays_a_name() {
        assert_eq!(line(" Ann \r\n\r\nClick\u{2028}http://evil.test/ "), "Ann Click http evil.test/");
    }
}
