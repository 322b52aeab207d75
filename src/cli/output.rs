//! The way to the terminal: data to stdout, everything else to stderr.

use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};

use serde_json::Value as Json;

use super::Global;
use crate::config::variable;
use crate::error::{Error, Kind, Place, Result};

/// Clears the line that the cursor stands in.
const WIPE: &str = "\r\x1b[2K";

/// A line to stderr, in the place of what is being done now.
pub(super) fn say(text: &str) {
    eprintln!("{}{text}", if io::stderr().is_terminal() { WIPE } else { "" });
}

/// How a command talks.
pub(super) struct Output {
    json: bool,
    quiet: bool,
    verbose: bool,
    yes: bool,
    no_input: bool,
    color: bool,
}

/// The verdict in front of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Good,
    Warning,
    Bad,
}

impl Mark {
    fn symbol(self, color: bool) -> String {
        let (symbol, code) = match self {
            Self::Good => ("✓", 32),
            Self::Warning => ("!", 33),
            Self::Bad => ("✗", 31),
        };
        if color { format!("\x1b[{code}m{symbol}\x1b[0m") } else { symbol.to_owned() }
    }
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            yes: global.yes,
            no_input: global.no_input,
            color: io::stderr().is_terminal() && variable("NO_COLOR").is_none(),
        }
    }

    /// Whether data is wanted as JSON.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// Whether progress is not wanted.
    pub(super) fn quiet(&self) -> bool {
        self.quiet
    }

    /// One piece of data. A reader that has gone (`| head`) is no error.
    pub(super) fn data(&self, text: &str) -> Result<()> {
        match writeln!(io::stdout().lock(), "{text}") {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::internal(error)),
            _ => Ok(()),
        }
    }

    /// A value as JSON.
    pub(super) fn document(&self, value: &Json) -> Result<()> {
        self.data(&serde_json::to_string_pretty(value).map_err(Error::internal)?)
    }

    /// Objects as rows: JSON, aligned columns on a terminal, tab-separated when piped.
    pub(super) fn rows(&self, columns: &[&str], rows: &[Json]) -> Result<()> {
        if self.json {
            return self.document(&Json::Array(rows.to_vec()));
        }
        let cells: Vec<Vec<String>> =
            rows.iter().map(|row| columns.iter().map(|column| cell(&row[*column])).collect()).collect();
        if !io::stdout().is_terminal() {
            return cells.iter().try_for_each(|row| self.data(&row.join("\t")));
        }
        let header = columns.iter().map(|column| column.to_uppercase()).collect();
        self.data(&aligned(&[vec![header], cells].concat()))
    }

    /// An object: JSON, or a line for each key.
    pub(super) fn object(&self, value: &Json) -> Result<()> {
        if self.json {
            return self.document(value);
        }
        let lines: Vec<Vec<String>> =
            value.as_object().into_iter().flatten().map(|(key, value)| vec![key.clone(), cell(value)]).collect();
        if io::stdout().is_terminal() {
            self.data(&aligned(&lines))
        } else {
            lines.iter().try_for_each(|line| self.data(&line.join("\t")))
        }
    }

    /// A sentence about what is going on.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }

    /// A line about something that was done or found: mark, name, text.
    pub(super) fn line(&self, mark: Mark, name: &str, text: &str) {
        if !self.quiet || mark == Mark::Bad {
            let name = if name.is_empty() { String::new() } else { format!("{name:<18} ") };
            say(&format!("{} {name}{text}", mark.symbol(self.color)));
        }
    }

    /// A line of a check-up, with the next command; it is data.
    pub(super) fn verdict(&self, mark: Mark, name: &str, text: &str, next: Option<&str>) -> Result<()> {
        let symbol = mark.symbol(self.color && io::stdout().is_terminal());
        self.data(&format!("{symbol} {name:<18} {text}"))?;
        next.map_or(Ok(()), |next| self.data(&format!("{:21}→ {next}", "")))
    }

    /// What is being done now; on a terminal the next line takes its place.
    pub(super) fn doing(&self, text: &str) {
        match (self.quiet, io::stderr().is_terminal()) {
            (true, _) => {}
            (false, true) => eprint!("{WIPE}… {text}"),
            (false, false) => eprintln!("… {text}"),
        }
    }

    /// What went wrong, what about it, and the next command.
    pub(super) fn error(&self, error: &Error) {
        say(&format!("error: {}", error.message()));
        for fault in error.faults() {
            let (Place::Pointer(place) | Place::Parameter(place)) = &fault.place;
            eprintln!("  {}: {}", place.trim_start_matches("#/"), fault.detail);
        }
        // Who runs commands is an operator: what failed on our side is no secret to him, and useless without its cause.
        let ours = matches!(error.kind(), Kind::Internal | Kind::Unavailable);
        let cause = error.private_context();
        if (self.verbose || ours) && !cause.is_empty() {
            eprintln!("cause: {cause}");
        }
        match error.hint_text() {
            Some(hint) => eprintln!("hint: {hint}"),
            None if ours => eprintln!("hint: `insula doctor` looks for what is wrong."),
            None => {}
        }
    }

    /// Asks before something that cannot be undone; `--yes` answers.
    pub(super) fn confirm(&self, question: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        let answer = self.ask(&format!("{question} [y/N] "), "--yes")?;
        if matches!(answer.to_lowercase().as_str(), "y" | "yes") { Ok(()) } else { Err(unchanged()) }
    }

    /// Asks for the name of what is about to be harmed; `--confirm=<name>` answers, `--yes` does not.
    pub(super) fn confirm_name(&self, what: &str, name: &str, given: Option<&str>) -> Result<()> {
        let typed = match given {
            Some(given) => given.to_owned(),
            None => self.ask(&format!("{what} Type `{name}` to go on: "), &format!("--confirm={name}"))?,
        };
        if typed == name { Ok(()) } else { Err(unchanged()) }
    }

    fn ask(&self, question: &str, flag: &str) -> Result<String> {
        if self.no_input || !io::stdin().is_terminal() {
            return Err(Error::malformed("This needs a confirmation, and there is nobody to ask.")
                .hint(format!("Add {flag} when you are sure.")));
        }
        eprint!("{question}");
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(Error::internal)?;
        Ok(line.trim().to_owned())
    }
}

fn unchanged() -> Error {
    Error::conflict("Not confirmed; nothing was changed.")
}

/// A value in a table. Control characters are shown as spaces: names come from customers, and a terminal obeys them.
fn cell(value: &Json) -> String {
    let text = match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Columns as wide as their widest cell.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = [["NAME", "STATE"], ["Käse", "active"], ["A", "gone"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(aligned(&rows), "NAME  STATE\nKäse  active\nA     gone");
    }

    #[test]
    fn a_cell_cannot_move_the_cursor() {
        assert_eq!(cell(&Json::from("a\u{1b}[2Jb\tc\n")), "a [2Jb c ");
    }
}
