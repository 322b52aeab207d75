//! Letters in a folder, one file each, for development: everybody who can read the folder can use their links.

use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Letter;

/// A letter that was written down.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    /// When (RFC 3339).
    pub at: String,
    /// From whom.
    pub from: String,
    /// To whom, as `Name <address>`.
    pub to: String,
    /// One line.
    pub subject: String,
    /// The letter.
    pub text: String,
}

/// Writes a letter down; the names of files are in the order of writing.
pub fn write(folder: &Path, from: &str, letter: &Letter) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let kept = Kept {
        at: Timestamp::now().to_string(),
        from: from.to_owned(),
        to: format!("{} <{}>", letter.name, letter.email),
        subject: letter.subject.clone(),
        text: letter.text.clone(),
    };
    let name = Uuid::now_v7().to_string();
    let (unfinished, finished) = (folder.join(format!(".{name}")), folder.join(format!("{name}.json")));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(serde_json::to_string_pretty(&kept)?.as_bytes())?;
    std::fs::rename(unfinished, finished)
}

/// The newest letters of a folder, the newest first.
pub fn read(folder: &Path, most: usize) -> io::Result<Vec<Kept>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let mut letters: Vec<_> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    letters.sort_unstable_by(|one, other| other.cmp(one));
    letters.truncate(most);
    letters.iter().map(|path| Ok(serde_json::from_slice(&std::fs::read(path)?)?)).collect()
}
