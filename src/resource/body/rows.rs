//! Many new rows in one body: a JSON array, one JSON object a line (NDJSON), or CSV.

use std::ops::Range;

use serde_json::{Map, Value as Json};

use super::fields::{Field, Fields, pointer};
use crate::error::{Error, Kind, Result, nearest};
use crate::pack::{Column, Kind as Type, Resource};

/// Rows of one request that are made before it is answered.
pub const MOST_AT_ONCE: usize = 10_000;
/// Rows of one request: they are held in memory until they are made.
const MOST_ROWS: usize = 100_000;
/// Faults after which no more are looked for.
const MOST_FAULTS: usize = 50;

/// Rows as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows(pub Vec<Map<String, Json>>);

/// The refusal of more rows than one request may hold.
fn too_many() -> Error {
    let message = format!("A request may hold at most {MOST_ROWS} rows.");
    Error::new(Kind::TooLarge, "too_many_rows", message).hint("Send them in several requests.")
}

impl Rows {
    fn checked(self) -> Result<Self> {
        if self.0.len() > MOST_ROWS { Err(too_many()) } else { Ok(self) }
    }

    /// The objects of a JSON array.
    pub fn from_array(rows: Vec<Map<String, Json>>) -> Result<Self> {
        Self(rows).checked()
    }

    /// One JSON object a line; empty lines are nothing.
    pub fn from_lines(text: &[u8]) -> Result<Self> {
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let one = |(at, line)| {
            serde_json::from_slice(line)
                .map_err(|error| Error::malformed(format!("Line {} is not a JSON object: {error}.", at + 1)))
        };
        Self(lines.take(MOST_ROWS + 1).enumerate().map(one).collect::<Result<_>>()?).checked()
    }

    /// CSV (RFC 4180) with a line of names. An empty cell is as if the field were not given.
    pub fn from_csv(resource: &Resource, text: &[u8]) -> Result<Self> {
        let bad = |error: csv::Error| Error::malformed(format!("The body is not valid CSV: {error}."));
        let mut reader = csv::ReaderBuilder::new().from_reader(text);
        let names = reader.headers().map_err(bad)?.clone();
        let row = |record: csv::StringRecord| -> Map<String, Json> {
            let cells = names.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty());
            cells.map(|(name, cell)| (name.to_owned(), cell_value(resource.column(name), cell))).collect()
        };
        let records = reader.records().take(MOST_ROWS + 1);
        Self(records.map(|record| record.map(row).map_err(bad)).collect::<Result<_>>()?).checked()
    }

    /// Keeps only some fields.
    pub fn only(&mut self, names: &[&str]) {
        self.0.iter_mut().for_each(|row| row.retain(|name, _| names.contains(&name.as_str())));
    }

    /// Rows held against the columns; the first 50 faults are named by the place of the row: `#/3/email`.
    pub fn read<'a>(&self, resource: &'a Resource, upsert: bool, places: Range<usize>) -> Result<Vec<Fields<'a>>> {
        let mut faults = Error::validation();
        let mut all = Vec::with_capacity(places.len());
        for at in places {
            match Fields::of_new_row(resource, &self.0[at], upsert) {
                Ok(fields) if fields.is_empty() => {
                    faults = faults.field(format!("#/{at}"), "required", "must hold a field");
                }
                Ok(fields) => all.push(fields),
                Err(error) => faults = faults.joined(error.within(&format!("#/{at}"))),
            }
            if faults.faults().len() >= MOST_FAULTS {
                break;
            }
        }
        if self.0.is_empty() {
            faults = faults.field("#", "required", "must hold a row");
        }
        faults.if_any().map(|()| all)
    }
}

/// A cell as the JSON value that its column would be given.
fn cell_value(column: Option<&Column>, cell: &str) -> Json {
    let parsed = match column.map(|column| column.kind) {
        Some(Type::Integer) => cell.parse::<i64>().ok().map(Json::from),
        Some(Type::Boolean) => cell.parse::<bool>().ok().map(Json::from),
        Some(Type::Json | Type::Array) => serde_json::from_str(cell).ok(),
        _ => None,
    };
    parsed.unwrap_or_else(|| Json::from(cell))
}

/// Rows that are written by one statement: they have the same columns.
pub struct Group<'a> {
    /// The columns.
    pub columns: Vec<&'a Column>,
    /// A JSON array of the rows.
    pub json: String,
    /// Which rows of the body they are.
    pub places: Vec<usize>,
}

/// Rows in as few groups as their sets of columns need, in the order of the body. Where `fill`, a column without a
/// default counts as given, because leaving it out means null.
pub fn group<'a>(resource: &'a Resource, rows: &[Fields<'a>], fill: bool) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (place, fields) in rows.iter().enumerate() {
        let given = |column: &Column| fields.0.iter().any(|field| field.column.name == column.name);
        let free = |column: &Column| fill && column.writable && column.nullable && !column.defaulted;
        let columns: Vec<&Column> = resource.columns.iter().filter(|column| given(column) || free(column)).collect();
        let same =
            |group: &Group<'_>| group.columns.iter().map(|column| &column.name).eq(columns.iter().map(|c| &c.name));
        let at = groups.iter().position(same).unwrap_or_else(|| {
            groups.push(Group { columns, json: "[".to_owned(), places: Vec::new() });
            groups.len() - 1
        });
        let group = &mut groups[at];
        group.json.push_str(if group.places.is_empty() { "" } else { "," });
        push_row(&mut group.json, fields);
        group.places.push(place);
    }
    groups.iter_mut().for_each(|group| group.json.push(']'));
    groups
}

fn push_row(json: &mut String, fields: &Fields<'_>) {
    json.push('{');
    for (at, Field { column, value, .. }) in fields.0.iter().enumerate() {
        json.push_str(if at == 0 { "" } else { "," });
        json.push_str(&Json::from(column.name.as_str()).to_string());
        json.push(':');
        match (column.kind, value.as_text()) {
            (_, None) => json.push_str("null"),
            (Type::Json | Type::Array, Some(text)) => json.push_str(text),
            (_, Some(text)) => json.push_str(&Json::from(text).to_string()),
        }
    }
    json.push('}');
}

/// The columns of an upsert's `on_conflict=`: those of a unique constraint, or the key.
pub fn conflict_columns<'a>(resource: &'a Resource, named: Option<&str>) -> Result<Vec<&'a Column>> {
    let Some(named) = named else { return Ok(vec![&resource.key]) };
    let mut names: Vec<&str> = named.split(',').map(str::trim).collect();
    names.sort_unstable();
    let set = resource.unique.iter().find(|set| set.iter().map(crate::ident::Ident::as_str).eq(names.iter().copied()));
    let columns = set.map(|set| set.iter().filter_map(|name| resource.column(name.as_str())).collect::<Vec<_>>());
    match columns {
        Some(columns) if columns.len() == names.len() => Ok(columns),
        _ => {
            let sets: Vec<String> = resource
                .unique
                .iter()
                .filter(|set| set.iter().all(|name| resource.column(name.as_str()).is_some()))
                .map(|set| set.iter().map(crate::ident::Ident::as_str).collect::<Vec<_>>().join(","))
                .collect();
            let error = Error::malformed("The query is not valid.");
            let error =
                error.parameter("on_conflict", "invalid_parameter", "must be the columns of a unique constraint");
            Err(error.hint(format!("Possible are: {}.", sets.join("; "))))
        }
    }
}

/// The names of `columns=`.
pub fn known_columns<'t>(resource: &Resource, named: &'t str) -> Result<Vec<&'t str>> {
    let names: Vec<&str> = named.split(',').map(str::trim).collect();
    let known = || resource.columns.iter().map(|column| column.name.as_str());
    for name in &names {
        if resource.column(name).is_none() {
            let meant = nearest(name, known()).map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
            let detail = format!("there is no column {}{meant}", pointer(name).trim_start_matches("#/"));
            return Err(Error::malformed("The query is not valid.").parameter("columns", "unknown_column", detail));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_are_objects_and_empty_lines_are_nothing() {
        let rows = Rows::from_lines(b"{\"a\":1}\r\n\n{\"a\":2}\n").unwrap();
        assert_eq!(json!(rows.0), json!([{ "a": 1 }, { "a": 2 }]));
        assert_eq!(Rows::from_lines(b"{}\n[1]").unwrap_err().kind(), Kind::Malformed);
        let many = "{}\n".repeat(MOST_ROWS + 1);
        assert_eq!(Rows::from_lines(many.as_bytes()).unwrap_err().code(), "too_many_rows");
    }
}
