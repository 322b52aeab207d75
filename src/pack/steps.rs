//! Files that run outside a transaction: indexes made or dropped beside the work of others, a statement at a time.

use crate::ident::Ident;

/// The first line of such a file.
const MARK: &str = "-- insula: no-transaction";

/// One `create index concurrently` or `drop index concurrently`.
#[derive(Debug, Clone)]
pub struct IndexStep {
    /// The statement, without its semicolon.
    pub sql: String,
    /// The index.
    pub index: Ident,
    /// Whether it is made; else it is dropped.
    pub makes: bool,
}

impl IndexStep {
    /// The same for a transaction.
    pub fn blocking(&self) -> String {
        let at = self.sql.to_ascii_lowercase().find("concurrently").unwrap_or(self.sql.len());
        let rest = self.sql.get(at + "concurrently".len()..).unwrap_or_default();
        format!("{}{}", &self.sql[..at], rest.trim_start())
    }

    fn read(sql: &str) -> Option<Self> {
        let lower = sql.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_ascii_whitespace().collect();
        let (makes, rest) = match &words[..] {
            ["create", "unique", "index", "concurrently", rest @ ..]
            | ["create", "index", "concurrently", rest @ ..] => (true, rest),
            ["drop", "index", "concurrently", rest @ ..] => (false, rest),
            _ => return None,
        };
        let name = match rest {
            ["if", "not", "exists", name, "on", ..] | [name, "on", ..] if makes => name,
            ["if", "exists", name] | [name] if !makes => name,
            _ => return None,
        };
        Some(Self { sql: sql.to_owned(), index: Ident::new(*name).ok()?, makes })
    }
}

/// The statements of a file that is marked; nothing for one that is not.
///
/// # Errors
/// Names the statement that would leave something behind when it is interrupted.
pub fn index_steps(text: &str) -> Result<Option<Vec<IndexStep>>, String> {
    if text.lines().next().map(str::trim_end) != Some(MARK) {
        return Ok(None);
    }
    let read = |sql: String| {
        IndexStep::read(&sql).ok_or_else(|| {
            let head: String = sql.chars().take(60).collect();
            format!(
                "outside a transaction only `create [unique] index concurrently NAME on …` and `drop index concurrently \
                 NAME` can be resumed, not `{head}`"
            )
        })
    };
    statements(text).into_iter().map(read).collect::<Result<_, _>>().map(Some)
}

/// Splits at semicolons outside quotes; comments to the end of a line are left out.
fn statements(text: &str) -> Vec<String> {
    let (mut all, mut one, mut quote) = (Vec::new(), String::new(), None);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('-', None) if letters.peek() == Some(&'-') => while letters.next_if(|c| *c != '\n').is_some() {},
            (';', None) => all.push(std::mem::take(&mut one)),
            _ => {
                quote = match quote {
                    None if matches!(letter, '\'' | '"') => Some(letter),
                    Some(open) if open == letter => None,
                    same => same,
                };
                one.push(letter);
            }
        }
    }
    all.push(one);
    all.iter().map(|sql| sql.trim().to_owned()).filter(|sql| !sql.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_file_is_a_list_of_indexes() {
        let text = "-- insula: no-transaction\n-- why; because\ncreate unique index CONCURRENTLY if not exists a_idx\n  \
                    on a (b) where c <> ';--';\ndrop index concurrently if exists old_idx;\n";
        let steps = index_steps(text).unwrap().unwrap();
        let found: Vec<_> = steps.iter().map(|step| (step.index.as_str(), step.makes)).collect();
        assert_eq!(found, [("a_idx", true), ("old_idx", false)]);
        assert_eq!(steps[0].blocking(), "create unique index if not exists a_idx\n  on a (b) where c <> ';--'");
        assert_eq!(steps[1].blocking(), "drop index if exists old_idx");
    }

    #[test]
    fn what_cannot_be_resumed_is_refused_and_what_is_not_marked_is_a_transaction() {
        assert!(index_steps("create table a ();").unwrap().is_none());
        for bad in ["create table a ()", "create index a on b (c)", "create index concurrently on a (b)", "vacuum"] {
            let said = index_steps(&format!("{MARK}\n{bad};")).unwrap_err();
            assert!(said.contains(bad), "{said}");
        }
    }
}
