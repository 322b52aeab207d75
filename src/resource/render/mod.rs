//! Plans as SQL. Every statement answers `(count bigint, body text)`.

mod filter;
mod read;

pub use read::{Count, Form, conditions, export, list, row};

use super::parse::Key;
use super::plan::Spot;
use crate::pack::Kind;
use crate::sql::{Sql, Value};

/// A value of the row of table `level`, in its own type.
fn spot(sql: &mut Sql, level: usize, spot: Spot<'_>) {
    let depth = spot.keys.len();
    sql.push(if depth == 0 { "" } else { "(" });
    sql.table(level).push(".").ident(&spot.column.name);
    for (at, key) in spot.keys.iter().enumerate() {
        sql.push(if spot.as_text && at + 1 == depth { " ->> " } else { " -> " });
        match key {
            Key::Name(name) => sql.bind(Value::text(name.clone())).push("::text"),
            Key::Index(index) => sql.bind(Value::text(index.to_string())).push("::int"),
        };
    }
    sql.push(if depth == 0 { "" } else { ")" });
}

/// The same as it leaves: `numeric` as text, because a JSON number would lose digits in the caller's floats.
fn output_value(sql: &mut Sql, level: usize, place: Spot<'_>) {
    spot(sql, level, place);
    if place.kind() == Kind::Numeric {
        sql.push("::text");
    }
}
