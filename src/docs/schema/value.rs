//! JSON Schema of one value.

use serde_json::{Value, json};

use crate::pack::{Column, Input, Kind, Parameter};

/// A value as answers hold it.
pub fn answer(column: &Column) -> Value {
    let schema = match column.kind {
        Kind::Numeric => json!({ "type": "string", "format": "decimal", "examples": ["12.50"] }),
        kind => plain(kind, &column.sql_type),
    };
    chosen(or_null(schema, column.nullable), column)
}

/// A value as bodies may hold it.
pub fn body(column: &Column) -> Value {
    let sized = size(&column.sql_type);
    let schema = match column.kind {
        Kind::Text => match sized.map(|(length, _)| length).or(column.longest.map(|length| length as usize)) {
            Some(length) => json!({ "type": "string", "maxLength": length }),
            None => plain(Kind::Text, &column.sql_type),
        },
        Kind::Numeric => decimal(sized),
        kind => plain(kind, &column.sql_type),
    };
    chosen(or_null(schema, column.nullable), column)
}

/// The values that a check names; they come in the order in which it names them.
fn chosen(mut schema: Value, column: &Column) -> Value {
    if column.kind == Kind::Text && !column.choices.is_empty() {
        let null = column.nullable.then_some(Value::Null);
        schema["enum"] = column.choices.iter().map(|choice| json!(choice)).chain(null).collect();
    }
    schema
}

/// A value of an action's input.
pub fn input(input: &Input) -> Value {
    let schema = match input.kind {
        Kind::Numeric => decimal(None),
        kind => plain(kind, ""),
    };
    or_null(schema, !input.required)
}

/// A value of a report's parameter.
pub fn parameter(parameter: &Parameter) -> Value {
    plain(parameter.kind, "")
}

fn plain(kind: Kind, sql_type: &str) -> Value {
    match kind {
        Kind::Uuid => json!({ "type": "string", "format": "uuid" }),
        Kind::Text | Kind::Numeric => json!({ "type": "string" }),
        Kind::Integer => match sql_type {
            "smallint" => json!({ "type": "integer", "minimum": i16::MIN, "maximum": i16::MAX }),
            "integer" => json!({ "type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX }),
            _ => json!({ "type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX }),
        },
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Date => json!({ "type": "string", "format": "date" }),
        Kind::Timestamp => json!({ "type": "string", "format": "date-time" }),
        Kind::Json => json!({}),
        Kind::Array => json!({ "type": "array", "items": { "type": ["string", "number", "boolean", "null"] } }),
        Kind::Time => json!({ "type": "string", "examples": ["09:30:00"] }),
        Kind::DateRange => json!({ "type": "string", "examples": ["[2026-04-01,2027-04-01)"] }),
        Kind::IntegerRange => json!({ "type": "string", "examples": ["[1,6)"] }),
        Kind::NumericRange => json!({ "type": "string", "examples": ["[50,60.5)"] }),
        Kind::Other => json!({ "type": "string", "x-postgresql-type": sql_type }),
    }
}

/// Exact decimals are read as numbers and as strings, and always answered as strings.
fn decimal(size: Option<(usize, usize)>) -> Value {
    let whole = size.map_or(38, |(digits, scale)| digits.saturating_sub(scale));
    let (pattern, bound) =
        (format!(r"^-?[0-9]{{1,{}}}(\.[0-9]{{1,2}})?$", whole.max(1)), 10f64.powi(whole.min(15) as i32));
    json!({ "type": ["string", "number"], "format": "decimal", "pattern": pattern,
        "exclusiveMinimum": -bound, "exclusiveMaximum": bound, "examples": ["12.50"] })
}

/// `character varying(40)` is 40, `numeric(18,2)` is 18 and 2.
fn size(sql_type: &str) -> Option<(usize, usize)> {
    let inside = sql_type.split_once('(')?.1.strip_suffix(')')?;
    let (length, scale) = inside.split_once(',').unwrap_or((inside, "0"));
    Some((length.parse().ok()?, scale.parse().ok()?))
}

/// Null beside the other types. A schema without a type allows null already.
fn or_null(mut schema: Value, nullable: bool) -> Value {
    if let (true, Some(types)) = (nullable, schema.get_mut("type")) {
        let mut list = match types.take() {
            Value::Array(list) => list,
            one => vec![one],
        };
        list.push("null".into());
        *types = list.into();
    }
    schema
}
