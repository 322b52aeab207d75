//! SQL text and its values, put together so that a value can never become text.
//!
//! A [`Sql`] is built from `&'static str` pieces, [`Ident`]s and binds. The one way round is named after what it
//! is: [`Sql::push_trusted`], for SQL that a pack's manifest holds.

use std::error::Error as StdError;
use std::fmt::Write;

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, ToSql, Type};

use crate::ident::{Alias, Ident};

/// A bound value, sent in text format: PostgreSQL reads it with the input function of the type it is compared to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(Option<String>);

impl Value {
    /// A value in PostgreSQL's text form.
    pub fn text(value: impl Into<String>) -> Self {
        Self(Some(value.into()))
    }

    /// An array in PostgreSQL's text form; every item is quoted.
    pub fn array<'t>(items: impl IntoIterator<Item = Option<&'t str>>) -> Self {
        let mut text = String::from("{");
        for item in items {
            text.push_str(if text.len() > 1 { "," } else { "" });
            match item {
                Some(item) => {
                    let _ = write!(text, "\"{}\"", item.replace('\\', r"\\").replace('"', "\\\""));
                }
                None => text.push_str("null"),
            }
        }
        text.push('}');
        Self(Some(text))
    }

    /// The text form, or nothing for null.
    pub fn as_text(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// SQL null.
    pub fn null() -> Self {
        Self(None)
    }
}

impl ToSql for Value {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match &self.0 {
            None => Ok(IsNull::Yes),
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}

/// A statement under construction: text with `$n` places and their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    /// A statement that starts with `text`.
    pub fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    /// Appends text of our own.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Appends a name, quoted.
    pub fn ident(&mut self, name: &Ident) -> &mut Self {
        let _ = write!(self.text, "{name}");
        self
    }

    /// Appends the name of a value in the answer, quoted.
    pub fn alias(&mut self, name: &Alias<'_>) -> &mut Self {
        let _ = write!(self.text, "{name}");
        self
    }

    /// Appends the name of the `level`th table of a statement: `t0`, `t1`, ….
    pub fn table(&mut self, level: usize) -> &mut Self {
        let _ = write!(self.text, "t{level}");
        self
    }

    /// Appends a number as text: a position, or a LIMIT. A bound LIMIT would have PostgreSQL plan for a tenth of all rows,
    /// find that plan worse than one for the number at hand, and so plan anew each time.
    pub fn number(&mut self, number: u32) -> &mut Self {
        let _ = write!(self.text, "{number}");
        self
    }

    /// Appends a place for a value.
    pub fn bind(&mut self, value: Value) -> &mut Self {
        self.values.push(value);
        let _ = write!(self.text, "${}", self.values.len());
        self
    }

    /// Appends SQL written by a pack author and accepted by the pack check. Never for anything a request holds.
    pub fn push_trusted(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// The statement as a template of PostgreSQL's `format()`, and its values as an array for it.
    pub fn into_template(self) -> (String, Value) {
        let mut template = String::with_capacity(self.text.len() + 16);
        for (at, piece) in self.text.replace('%', "%%").split('$').enumerate() {
            let digits = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
            match at {
                0 => template.push_str(piece),
                _ => {
                    let _ = write!(template, "%{}$L{}", &piece[..digits], &piece[digits..]);
                }
            }
        }
        let values = Value::array(self.values.iter().map(|value| value.0.as_deref()));
        (template, values)
    }

    /// The statement's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The values of `$1`, `$2`, ….
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}

/// A string literal, quoted so that any setting of `standard_conforming_strings` reads it alike.
///
/// Only for statements that take no binds, such as `SET LOCAL`.
pub fn literal(value: &str) -> String {
    let escaped = value.replace('\0', "").replace('\'', "''");
    if escaped.contains('\\') { format!(" E'{}'", escaped.replace('\\', "\\\\")) } else { format!("'{escaped}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_places_and_names_are_quoted() {
        let mut sql = Sql::new("select ");
        sql.ident(&Ident::new("order").unwrap()).push(" where id = ").bind(Value::text("x' or 1=1"));
        assert_eq!(sql.text(), "select \"order\" where id = $1");
        assert_eq!(sql.values(), [Value::text("x' or 1=1")]);
    }

    #[test]
    fn a_template_names_its_values_by_position() {
        let mut sql = Sql::new("a % b = ");
        sql.bind(Value::text("x\"\\")).push(" or c = ").bind(Value::null()).push("::int");
        let (template, values) = sql.into_template();
        assert_eq!(template, "a %% b = %1$L or c = %2$L::int");
        assert_eq!(values, Value::text(r#"{"x\"\\",null}"#));
    }

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r" E'a\\''b'");
    }
}
