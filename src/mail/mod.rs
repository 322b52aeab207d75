//! Letters and how they leave: by SMTP, into a folder, or not at all.

/// Letters in a folder.
mod folder;

/// By which way letters leave.
mod mailer;

pub use folder::Kept;
pub use mailer::{Mailer, Undelivered};

/// A letter to one person, in plain text: it says one thing, and its link can be read before it is followed.
#[derive(Debug)]
pub struct Letter {
    /// Name of the receiver.
    pub name: String,
    /// Address of the receiver.
    pub email: String,
    /// One line.
    pub subject: String,
    /// Paragraphs.
    pub text: String,
}
