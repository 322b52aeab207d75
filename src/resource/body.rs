//! JSON bodies held against columns and inputs: every field is known and fits, and every fault is named.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::error::{Error, Result, nearest};
use crate::pack::{Action, Column, Kind, Resource};
use crate::sql::Value;

/// Fields of a row with their values, in the order of the body.
#[derive(Debug)]
pub struct Fields<'a>(pub(super) Vec<(&'a Column, Value)>);

impl<'a> Fields<'a> {
    /// The fields of a new row.
    pub fn to_create(resource: &'a Resource, body: &Map<String, Json>) -> Result<Self> {
        let (fields, mut faults) = read(resource, body);
        for column in resource.columns.iter().filter(|column| column.required && column.writable) {
            let name = column.name.as_str();
            if !body.contains_key(name) {
                faults = faults.field(pointer(name), "required", "is required");
            }
        }
        faults.if_any().map(|()| fields)
    }

    /// The fields that a merge patch changes (RFC 7396).
    pub fn to_update(resource: &'a Resource, body: &Map<String, Json>) -> Result<Self> {
        let (fields, faults) = read(resource, body);
        faults.if_any().map(|()| fields)
    }

    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn read<'a>(resource: &'a Resource, body: &Map<String, Json>) -> (Fields<'a>, Error) {
    let mut fields = Vec::with_capacity(body.len());
    let mut faults = Error::validation();
    for (name, value) in body {
        match resource.column(name) {
            Some(column) if column.writable => match column_value(column, value) {
                Ok(value) => fields.push((column, value)),
                Err((code, detail)) => faults = faults.field(pointer(name), code, detail),
            },
            Some(_) => faults = faults.field(pointer(name), "read_only", "cannot be set"),
            None => {
                let known = resource.columns.iter().filter(|column| column.writable).map(|column| column.name.as_str());
                faults = faults.field(pointer(name), "unknown_field", unknown(name, known));
            }
        }
    }
    (Fields(fields), faults)
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

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(name, known)
        .map_or_else(|| "is not a field".to_owned(), |meant| format!("is not a field; did you mean `{meant}`?"))
}

/// A JSON pointer (RFC 6901) to a top-level field, as a URI fragment.
pub fn pointer(field: &str) -> String {
    format!("#/{}", field.replace('~', "~0").replace('/', "~1"))
}

type Refusal = (&'static str, String);

fn column_value(column: &Column, value: &Json) -> Result<Value, Refusal> {
    if value.is_null() && column.kind != Kind::Json {
        return if column.nullable { Ok(Value::null()) } else { Err(("required", "must not be null".to_owned())) };
    }
    let text = json_text(column.kind, value)?;
    match most(column) {
        Some(most) if column.kind == Kind::Text && text.chars().count() > most => {
            Err(("too_long", format!("must have at most {most} characters")))
        }
        Some(most) if column.kind == Kind::Numeric && whole_digits(&text) > most => {
            Err(("too_large", format!("must have at most {most} digits before the point")))
        }
        _ => match in_range(column, &text) {
            Ok(()) => Ok(Value::text(text)),
            Err(detail) => Err(("too_large", detail)),
        },
    }
}

/// `character varying(40)` holds 40 characters, `numeric(18,2)` 16 digits before the point.
fn most(column: &Column) -> Option<usize> {
    let inside = column.sql_type.split_once('(')?.1.strip_suffix(')')?;
    let (length, scale) = inside.split_once(',').unwrap_or((inside, "0"));
    length.parse::<usize>().ok()?.checked_sub(scale.parse().ok()?)
}

fn whole_digits(decimal: &str) -> usize {
    decimal.split('.').next().unwrap_or_default().trim_start_matches(['-', '+', '0']).len()
}

/// A value in text form, as in a filter, checked against a column.
pub fn column_text(column: &Column, text: &str) -> Result<String, String> {
    let text = scalar_text(column.kind, text)?;
    in_range(column, &text).map(|()| text)
}

/// `integer` and `smallint` hold less than the 64 bits that were checked before.
fn in_range(column: &Column, text: &str) -> Result<(), String> {
    let (least, most) = match column.sql_type.as_str() {
        "smallint" => (i64::from(i16::MIN), i64::from(i16::MAX)),
        "integer" => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => return Ok(()),
    };
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(()),
        _ => Err(format!("must be from {least} to {most}")),
    }
}

/// A JSON value in PostgreSQL's text form.
fn json_text(kind: Kind, value: &Json) -> Result<String, Refusal> {
    let wrong = |what: &str| Err(("invalid_type", format!("must be {what}")));
    match (kind, value) {
        (Kind::Json, any) => without_nul(any),
        (Kind::Array, Json::Array(items)) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            without_nul(value)
        }
        (Kind::Array, _) => wrong("an array"),
        (Kind::Boolean, Json::Bool(yes)) => Ok(yes.to_string()),
        (Kind::Boolean, _) => wrong("true or false"),
        (Kind::Integer, Json::Number(number)) if number.is_i64() => Ok(number.to_string()),
        (Kind::Integer, _) => wrong("a whole number"),
        (Kind::Numeric, Json::Number(number)) => Ok(decimal(number)),
        (_, Json::String(text)) => scalar_text(kind, text).map_err(|detail| ("invalid_format", detail)),
        (Kind::Numeric, _) => wrong("a number, or a number in a string"),
        _ => wrong("a string"),
    }
}

/// A value in text form, as in a filter or a JSON string, checked against a type.
fn scalar_text(kind: Kind, text: &str) -> Result<String, String> {
    let fits = match kind {
        Kind::Uuid => return text.parse::<Uuid>().map(|id| id.to_string()).map_err(|_| "must be a uuid".to_owned()),
        Kind::Integer => text.parse::<i64>().map_err(|_| "must be a whole number").map(drop),
        Kind::Numeric => is_decimal(text).then_some(()).ok_or("must be a decimal number such as 12.50"),
        Kind::Boolean => matches!(text, "true" | "false").then_some(()).ok_or("must be true or false"),
        Kind::Date => is_date(text).then_some(()).ok_or("must be a date such as 2026-07-16"),
        Kind::Timestamp => {
            return timestamp(text).ok_or_else(|| "must be a time such as 2026-07-16T09:30:00Z".to_owned());
        }
        Kind::Text | Kind::Json | Kind::Array | Kind::Other => {
            (!text.contains('\0')).then_some(()).ok_or("must not contain a NUL character")
        }
    };
    fits.map(|()| text.to_owned()).map_err(str::to_owned)
}

/// PostgreSQL's text cannot hold U+0000, neither plain nor escaped in JSON.
fn without_nul(json: &Json) -> Result<String, Refusal> {
    fn holds_nul(json: &Json) -> bool {
        match json {
            Json::String(text) => text.contains('\0'),
            Json::Array(items) => items.iter().any(holds_nul),
            Json::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
            _ => false,
        }
    }
    if holds_nul(json) {
        Err(("invalid_format", "must not contain a NUL character".to_owned()))
    } else {
        Ok(json.to_string())
    }
}

/// All digits of a number, never an exponent.
fn decimal(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

/// A day of the years 1 to 9999 and nothing else: what both sides read alike.
fn is_date(text: &str) -> bool {
    text.parse::<Date>().is_ok_and(|date| date.year() >= 1 && date.to_string() == text)
}

/// A moment of the years 1 to 9999 in the one form that PostgreSQL reads alike.
fn timestamp(text: &str) -> Option<String> {
    let moment = text.parse::<Timestamp>().ok()?.to_string();
    (!moment.starts_with(['-']) && !moment.starts_with("0000")).then_some(moment)
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    digits.len() <= 40 && all_digits(whole) && all_digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_must_fit_their_type() {
        let id = "0190a0b0-0000-7000-8000-000000000001";
        for (kind, good) in [
            (Kind::Uuid, json!(id)),
            (Kind::Integer, json!(-3)),
            (Kind::Numeric, json!("12.50")),
            (Kind::Numeric, json!(12.5)),
            (Kind::Date, json!("2026-02-28")),
            (Kind::Timestamp, json!("2026-02-28T10:00:00+05:30")),
            (Kind::Boolean, json!(false)),
            (Kind::Text, json!("it's")),
            (Kind::Array, json!(["a", "b"])),
            (Kind::Json, json!({"a": [1]})),
            (Kind::Json, json!("six characters: \\u0000")),
        ] {
            assert!(json_text(kind, &good).is_ok(), "{kind:?} {good}");
        }
        for (kind, bad) in [
            (Kind::Uuid, json!("1")),
            (Kind::Integer, json!(1.5)),
            (Kind::Numeric, json!("1e999999")),
            (Kind::Numeric, json!("NaN")),
            (Kind::Date, json!("2026-02-30")),
            (Kind::Date, json!("20260228")),
            (Kind::Date, json!("0000-02-28")),
            (Kind::Timestamp, json!("2026-02-28")),
            (Kind::Boolean, json!("true")),
            (Kind::Text, json!("a\0b")),
            (Kind::Text, json!(5)),
            (Kind::Array, json!([["nested"]])),
            (Kind::Json, json!({"a": "\0"})),
        ] {
            assert!(json_text(kind, &bad).is_err(), "{kind:?} {bad}");
        }
    }
}
