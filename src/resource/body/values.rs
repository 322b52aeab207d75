//! One value held against its type: what PostgreSQL would refuse or change in silence is refused here, with a sentence.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::pack::{Column, Kind};
use crate::sql::Value;

/// Bytes of one text or document.
const LONGEST: usize = 64 * 1024;
/// Levels of one document.
const DEEPEST: usize = 32;
/// Digits of a decimal, before and after the point.
const MOST_DIGITS: usize = 40;

/// A stable code and a phrase about the field.
pub type Refusal = (&'static str, String);

/// A JSON value in PostgreSQL's text form, checked against a column.
pub fn column_value(column: &Column, value: &Json) -> Result<Value, Refusal> {
    if value.is_null() {
        return if column.nullable { Ok(Value::null()) } else { Err(("required", "must not be null".to_owned())) };
    }
    let text = json_text(column.kind, value)?;
    match column.kind {
        Kind::Text => most_characters(column, &text)?,
        Kind::Numeric => fits_precision(column, &text)?,
        _ => in_range(column, &text).map_err(|detail| ("too_large", detail))?,
    }
    Ok(Value::text(text))
}

/// `character varying(40)` holds 40 characters.
fn most_characters(column: &Column, text: &str) -> Result<(), Refusal> {
    match arguments(column) {
        Some((most, _)) if text.chars().count() > most => {
            Err(("too_long", format!("must have at most {most} characters")))
        }
        _ => Ok(()),
    }
}

/// `numeric(18,2)` holds 16 digits before the point and rounds in silence after 2.
fn fits_precision(column: &Column, decimal: &str) -> Result<(), Refusal> {
    let Some((precision, scale)) = arguments(column) else { return Ok(()) };
    let most = precision.saturating_sub(scale);
    let fraction = decimal.split_once('.').map_or("", |(_, fraction)| fraction).trim_end_matches('0');
    if whole_digits(decimal) > most {
        return Err(("too_large", format!("must have at most {most} digits before the point")));
    }
    if fraction.len() > scale {
        return Err(("too_precise", format!("must have at most {scale} digits after the point")));
    }
    Ok(())
}

/// The numbers in the name of a type: length, or precision and scale.
fn arguments(column: &Column) -> Option<(usize, usize)> {
    let inside = column.sql_type.split_once('(')?.1.strip_suffix(')')?;
    let (first, second) = inside.split_once(',').unwrap_or((inside, "0"));
    Some((first.parse().ok()?, second.parse().ok()?))
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
pub fn json_text(kind: Kind, value: &Json) -> Result<String, Refusal> {
    let text = plain_text(kind, value)?;
    if text.len() > LONGEST {
        return Err(("too_long", format!("must have at most {LONGEST} bytes")));
    }
    Ok(text)
}

fn plain_text(kind: Kind, value: &Json) -> Result<String, Refusal> {
    let wrong = |what: &str| Err(("invalid_type", format!("must be {what}")));
    match (kind, value) {
        (Kind::Json, any) if deeper_than(any, DEEPEST) => {
            Err(("too_deep", format!("must have at most {DEEPEST} levels")))
        }
        (Kind::Json, any) => without_nul(any),
        (Kind::Array, Json::Array(items)) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            without_nul(value)
        }
        (Kind::Array, _) => wrong("an array"),
        (Kind::Boolean, Json::Bool(yes)) => Ok(yes.to_string()),
        (Kind::Boolean, _) => wrong("true or false"),
        (Kind::Integer, Json::Number(number)) if number.is_i64() => Ok(number.to_string()),
        (Kind::Integer, _) => wrong("a whole number"),
        (Kind::Numeric, Json::Number(number)) => decimal(number),
        (_, Json::String(text)) => scalar_text(kind, text).map_err(|detail| ("invalid_format", detail)),
        (Kind::Numeric, _) => wrong("a number, or a number in a string"),
        _ => wrong("a string"),
    }
}

/// A value in text form, as in a filter or a JSON string, checked against a type.
pub fn scalar_text(kind: Kind, text: &str) -> Result<String, String> {
    let fits = match kind {
        Kind::Uuid => return text.parse::<Uuid>().map(|id| id.to_string()).map_err(|_| "must be a uuid".to_owned()),
        Kind::Integer => text.parse::<i64>().map_err(|_| "must be a whole number").map(drop),
        Kind::Numeric => is_decimal(text).then_some(()).ok_or("must be a decimal number such as 12.50"),
        Kind::Boolean => matches!(text, "true" | "false").then_some(()).ok_or("must be true or false"),
        Kind::Date => date(text).map(drop).ok_or("must be a date such as 2026-07-16"),
        Kind::Timestamp => {
            return timestamp(text).ok_or_else(|| "must be a time such as 2026-07-16T09:30:00Z".to_owned());
        }
        Kind::Time => is_time(text).then_some(()).ok_or("must be a time of day such as 09:30"),
        Kind::DateRange => {
            return range(text, date).ok_or_else(|| {
                "must be a range of dates such as [2026-04-01,2027-04-01), with an open end such as [2026-04-01,)"
                    .to_owned()
            });
        }
        Kind::IntegerRange => {
            let bound = |text: &str| text.parse::<i32>().ok();
            return range(text, bound).ok_or_else(|| "must be a range of whole numbers such as [1,6)".to_owned());
        }
        Kind::NumericRange => {
            let bound = |text: &str| is_decimal(text).then(|| text.parse::<f64>().ok()).flatten();
            return range(text, bound).ok_or_else(|| "must be a range of numbers such as [50,60.5)".to_owned());
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

fn deeper_than(json: &Json, levels: usize) -> bool {
    match json {
        Json::Array(items) => levels == 0 || items.iter().any(|item| deeper_than(item, levels - 1)),
        Json::Object(fields) => levels == 0 || fields.values().any(|value| deeper_than(value, levels - 1)),
        _ => false,
    }
}

/// All digits of a number, never an exponent.
fn decimal(number: &serde_json::Number) -> Result<String, Refusal> {
    let digits = match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    };
    let significant = digits.chars().filter(char::is_ascii_digit).collect::<String>().trim_matches('0').len();
    if digits.len() > MOST_DIGITS {
        Err(("too_large", format!("must have at most {MOST_DIGITS} digits")))
    } else if number.is_f64() && significant > 15 {
        Err(("too_precise", "has more digits than a JSON number keeps; send it as a string".to_owned()))
    } else {
        Ok(digits)
    }
}

/// A day of the years 1 to 9999 and nothing else: what both sides read alike.
fn date(text: &str) -> Option<Date> {
    text.parse::<Date>().ok().filter(|date| date.year() >= 1 && date.to_string() == text)
}

fn is_time(text: &str) -> bool {
    text.as_bytes().get(2) == Some(&b':') && text.parse::<Time>().is_ok()
}

/// A range in PostgreSQL's text form, with or without its bounds and in their order.
fn range<T: PartialOrd>(text: &str, bound: impl Fn(&str) -> Option<T>) -> Option<String> {
    let inside = text.strip_prefix(['[', '('])?.strip_suffix([']', ')'])?;
    let (lower, upper) = inside.split_once(',')?;
    let end = |text: &str| if text.is_empty() { Some(None) } else { bound(text).map(Some) };
    let (lower, upper) = (end(lower)?, end(upper)?);
    lower.zip(upper).is_none_or(|(lower, upper)| lower <= upper).then(|| text.to_owned())
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
    digits.len() <= MOST_DIGITS && all_digits(whole) && all_digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn amount() -> Column {
        Column {
            name: crate::ident::Ident::new("amount").unwrap(),
            kind: Kind::Numeric,
            sql_type: "numeric(18,2)".to_owned(),
            required: false,
            defaulted: false,
            nullable: true,
            writable: true,
            filterable: true,
            choices: Vec::new(),
            longest: None,
            comment: None,
        }
    }

    #[test]
    fn a_decimal_is_kept_exactly_or_refused() {
        for (given, outcome) in [
            (json!(12.5), "12.5"),
            (json!("12.5000"), "12.5000"),
            (json!(9007199254740993_i64), "9007199254740993"),
            (json!(12.345), "too_precise"),
            (json!("12.345"), "too_precise"),
            (json!(1234567890.1234567), "too_precise"),
            (json!(1e308), "too_large"),
            (json!(1e-308), "too_large"),
            (json!(100_000_000_000_000_000_i64), "too_large"),
        ] {
            let found = column_value(&amount(), &given);
            let code = found.clone().map_or_else(|(code, _)| code.to_owned(), |value| format!("{value:?}"));
            assert!(code.contains(outcome), "{given}: {code}");
        }
    }

    #[test]
    fn long_and_deep_values_are_refused() {
        let code = |kind, value: Json| json_text(kind, &value).map_or_else(|(code, _)| code, |_| "fits");
        assert_eq!(code(Kind::Text, json!("x".repeat(LONGEST))), "fits");
        assert_eq!(code(Kind::Text, json!("x".repeat(LONGEST + 1))), "too_long");
        assert_eq!(code(Kind::Array, json!(vec!["x".repeat(1024); 64])), "too_long");
        let deep = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(code(Kind::Json, deep(DEEPEST)), "fits");
        assert_eq!(code(Kind::Json, deep(DEEPEST + 1)), "too_deep");
    }

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
            (Kind::Time, json!("09:30")),
            (Kind::DateRange, json!("[2026-04-01,2027-04-01)")),
            (Kind::DateRange, json!("(,2027-04-01]")),
            (Kind::IntegerRange, json!("[-3,)")),
            (Kind::NumericRange, json!("[0,50.50)")),
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
            (Kind::Time, json!("25:00")),
            (Kind::Time, json!("9:30")),
            (Kind::Time, json!("allballs")),
            (Kind::DateRange, json!("2026-04-01")),
            (Kind::DateRange, json!("[2026-04-01,2026-03-01)")),
            (Kind::DateRange, json!("[2026-02-30,)")),
            (Kind::DateRange, json!("empty")),
            (Kind::IntegerRange, json!("[1,99999999999)")),
            (Kind::IntegerRange, json!("[1,2,3)")),
            (Kind::NumericRange, json!("[1e3,)")),
            (Kind::Text, json!("a\0b")),
            (Kind::Text, json!(5)),
            (Kind::Array, json!([["nested"]])),
            (Kind::Json, json!({"a": "\0"})),
        ] {
            assert!(json_text(kind, &bad).is_err(), "{kind:?} {bad}");
        }
    }
}
