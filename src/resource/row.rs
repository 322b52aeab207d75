//! One row as a statement gives it: its version, if its table counts versions, and its JSON.

use crate::pack::{Kind, Resource};
use crate::sql::Sql;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// `row_version`.
    pub version: Option<i64>,
    /// The row as JSON.
    pub json: String,
}

impl Row {
    /// Reads the body of a statement about one row: `<version or nothing>\n<JSON>`.
    pub fn read(body: &str) -> Option<Self> {
        let (version, json) = body.split_once('\n')?;
        Some(Self { version: version.parse().ok(), json: json.to_owned() })
    }
}

/// The body of one row, of a subquery `r`: what [`Row::read`] reads.
pub fn body(resource: &Resource) -> &'static str {
    if resource.version().is_some() {
        r"r.row_version::text || E'\n' || row_to_json(r)::text"
    } else {
        r"E'\n'::text || row_to_json(r)::text"
    }
}

/// The visible columns. `numeric` leaves as text: a JSON number would lose digits in the caller's floats.
pub fn columns(sql: &mut Sql, resource: &Resource) {
    for (at, column) in resource.columns.iter().enumerate() {
        sql.push(if at == 0 { "" } else { ", " }).ident(&column.name);
        if column.kind == Kind::Numeric {
            sql.push("::text as ").ident(&column.name);
        }
    }
}
