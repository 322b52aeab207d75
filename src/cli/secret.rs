//! Passwords: from standard input, a file or the environment, never from a flag.

use std::fs;
use std::io::BufRead;
use std::path::PathBuf;

use clap::Args;

use crate::config::variable;
use crate::error::{Error, Result};

/// Where a password is read from.
#[derive(Args)]
pub(super) struct PasswordArgs {
    /// Read the password from standard input (one line)
    #[arg(long, conflicts_with = "password_file")]
    password_stdin: bool,
    /// Read the password from a file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// The password, if one was given; the variable counts when no flag names a source.
    pub(super) fn read(&self, fallback: &str) -> Result<Option<String>> {
        let text = match (&self.password_file, self.password_stdin) {
            (Some(path), _) => fs::read_to_string(path)
                .map_err(|error| Error::malformed(format!("Cannot read {}: {error}.", path.display())))?,
            (None, true) => {
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line).map_err(Error::internal)?;
                line
            }
            (None, false) => return Ok(variable(fallback)),
        };
        let password = text.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(Error::malformed("The password is empty."));
        }
        Ok(Some(password.to_owned()))
    }

    /// The password of a command that cannot do without.
    pub(super) fn require(&self, fallback: &str) -> Result<String> {
        self.read(fallback)?.ok_or_else(|| {
            Error::malformed("A password is needed.")
                .hint(format!("Give it with --password-stdin, --password-file FILE or the variable {fallback}."))
        })
    }
}
