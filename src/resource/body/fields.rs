//! Names of a body held against the columns of a row or the inputs of an action.

use serde_json::{Map, Value as Json};

use super::values::{column_value, json_text};
use crate::error::{Error, Result, nearest};
use crate::pack::{Action, Column, Kind, Resource};
use crate::sql::Value;

/// A column and what it is set to.
#[derive(Debug)]
pub struct Field<'a> {
    /// The column.
    pub column: &'a Column,
    /// Its value in PostgreSQL's text form.
    pub value: Value,
    /// Whether the value is a merge patch of the document that stands there (RFC 7396).
    pub merges: bool,
}

/// Fields of a row with their values, in the order of the body.
#[derive(Debug)]
pub struct Fields<'a>(pub(in crate::resource) Vec<Field<'a>>);

impl<'a> Fields<'a> {
    /// The fields of a new row.
    pub fn to_create(resource: &'a Resource, body: &Map<String, Json>) -> Result<Self> {
        let (fields, faults) = read(resource, body, |column| column.writable);
        missing(resource, body, faults).if_any().map(|()| fields)
    }

    /// The fields of one of many new rows; where rows that are there already are merged, it may hold its key.
    pub fn of_new_row(resource: &'a Resource, body: &Map<String, Json>, upsert: bool) -> Result<Self> {
        let keyed = upsert && resource.replaceable();
        let may_hold = |column: &Column| column.writable || (keyed && column.name == resource.key.name);
        let (fields, faults) = read(resource, body, may_hold);
        missing(resource, body, faults).if_any().map(|()| fields)
    }

    /// The fields that a merge patch changes (RFC 7396).
    pub fn to_update(resource: &'a Resource, body: &Map<String, Json>) -> Result<Self> {
        let (mut fields, faults) = read(resource, body, |column| column.writable);
        for field in &mut fields.0 {
            field.merges = field.column.sql_type == "jsonb" && body[field.column.name.as_str()].is_object();
        }
        faults.if_any().map(|()| fields)
    }

    /// The fields of a row that is wholly replaced; its key may be repeated, as long as it is the one of the path.
    pub fn to_replace(resource: &'a Resource, key: &Value, body: &Map<String, Json>) -> Result<Self> {
        let is_key = |column: &Column| column.name == resource.key.name;
        let (mut fields, mut faults) = read(resource, body, |column| column.writable || is_key(column));
        if fields.0.iter().any(|field| is_key(field.column) && field.value != *key) {
            faults = faults.field(pointer(resource.key.name.as_str()), "read_only", "must be the one of the address");
        }
        fields.0.retain(|field| !is_key(field.column));
        let mut named = body.clone();
        named.insert(resource.key.name.as_str().to_owned(), Json::Null);
        missing(resource, &named, faults).if_any().map(|()| fields)
    }

    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn read<'a>(
    resource: &'a Resource,
    body: &Map<String, Json>,
    may_hold: impl Fn(&Column) -> bool,
) -> (Fields<'a>, Error) {
    let mut fields = Vec::with_capacity(body.len());
    let mut faults = Error::validation();
    for (name, json) in body {
        match resource.column(name) {
            Some(column) if may_hold(column) => match column_value(column, json) {
                Ok(value) => fields.push(Field { column, value, merges: false }),
                Err((code, detail)) => faults = faults.field(pointer(name), code, detail),
            },
            Some(_) => faults = faults.field(pointer(name), "read_only", "cannot be set"),
            None => {
                let known = resource.columns.iter().filter(|column| may_hold(column));
                let known = known.map(|column| column.name.as_str());
                faults = faults.field(pointer(name), "unknown_field", unknown(name, known));
            }
        }
    }
    (Fields(fields), faults)
}

fn missing(resource: &Resource, body: &Map<String, Json>, faults: Error) -> Error {
    let required = resource.columns.iter().filter(|column| column.required && column.writable);
    required
        .map(|column| column.name.as_str())
        .filter(|name| !body.contains_key(*name))
        .fold(faults, |faults, name| faults.field(pointer(name), "required", "is required"))
}

/// The input of an action, checked; PostgreSQL gets it as one document.
pub fn action_input(action: &Action, body: &Map<String, Json>) -> Result<Value> {
    let mut faults = Error::validation();
    let mut checked = body.clone();
    for (name, value) in body {
        match action.input.iter().find(|input| input.name == *name) {
            Some(_) if value.is_null() => {}
            Some(input) => match json_text(input.kind, value) {
                Ok(text) if input.kind != Kind::Json && value.is_string() => {
                    checked.insert(name.clone(), Json::String(text));
                }
                Ok(_) => {}
                Err((code, detail)) => faults = faults.field(pointer(name), code, detail),
            },
            None => {
                let known = action.input.iter().map(|input| input.name.as_str());
                faults = faults.field(pointer(name), "unknown_field", unknown(name, known));
            }
        }
    }
    for input in action.input.iter().filter(|input| input.required) {
        if body.get(&input.name).is_none_or(Json::is_null) {
            faults = faults.field(pointer(&input.name), "required", "is required");
        }
    }
    faults.if_any()?;
    serde_json::to_string(&checked).map(Value::text).map_err(Error::internal)
}

/// Refuses columns of a resource that the function which makes its rows does not take.
pub fn refuse_unmakeable(resource: &Resource, maker: &Action, body: &Map<String, Json>) -> Result<()> {
    let takes = |name: &str| maker.input.iter().any(|input| input.name == name);
    let fixed = body.keys().filter(|name| resource.column(name).is_some() && !takes(name));
    fixed.fold(Error::validation(), |faults, name| faults.field(pointer(name), "read_only", "cannot be set")).if_any()
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(name, known)
        .map_or_else(|| "is not a field".to_owned(), |meant| format!("is not a field; did you mean `{meant}`?"))
}

/// A JSON pointer (RFC 6901) to a top-level field, as a URI fragment.
pub fn pointer(field: &str) -> String {
    format!("#/{}", field.replace('~', "~0").replace('/', "~1"))
}
