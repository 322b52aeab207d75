//! The query string of a list, as written: no name in it is known to exist yet.

use std::borrow::Cow;

use crate::error::{Error, Result, nearest};

/// Rows of a list when the caller does not say.
const DEFAULT_LIMIT: u32 = 50;
/// Rows of a list at most.
const MAX_LIMIT: u32 = 500;
/// Conditions of a list at most: each makes the prepared statement larger that PostgreSQL keeps.
const MAX_FILTERS: usize = 50;
/// Sort columns of a list at most.
const MAX_SORTS: usize = 50;

/// How a column is compared, in PostgREST's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// equal
    Eq,
    /// not equal
    Neq,
    /// greater
    Gt,
    /// greater or equal
    Gte,
    /// less
    Lt,
    /// less or equal
    Lte,
    /// null, `not_null`, true, false
    Is,
}

const OPERATORS: [(&str, Operator); 7] = [
    ("eq", Operator::Eq),
    ("neq", Operator::Neq),
    ("gt", Operator::Gt),
    ("gte", Operator::Gte),
    ("lt", Operator::Lt),
    ("lte", Operator::Lte),
    ("is", Operator::Is),
];

/// `column=operator.value`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Column as written.
    pub column: String,
    /// How it is compared.
    pub operator: Operator,
    /// The value as written.
    pub value: String,
}

/// One part of `order=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Column as written.
    pub column: String,
    /// Largest first.
    pub descending: bool,
    /// Where nulls go; by default last when ascending, first when descending, as in PostgreSQL.
    pub nulls_first: Option<bool>,
}

/// A list request as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRequest {
    /// All must hold.
    pub filters: Vec<Filter>,
    /// Sort columns.
    pub order: Vec<Order>,
    /// Rows at most.
    pub limit: u32,
}

impl ListRequest {
    /// Reads a query string; every fault in it is named.
    pub fn parse(query: &str) -> Result<Self> {
        let mut request = Self { filters: Vec::new(), order: Vec::new(), limit: DEFAULT_LIMIT };
        // The form's own decoder would put U+FFFD where the bytes are not UTF-8, and ask another question.
        percent_encoding::percent_decode_str(query)
            .decode_utf8()
            .map_err(|_| Error::malformed("The query is not valid UTF-8."))?;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "limit" => request.limit = limit(&value)?,
                "order" => request.order = order(&value)?,
                _ => request.filters.push(filter(name, &value)?),
            }
        }
        if request.filters.len() > MAX_FILTERS || request.order.len() > MAX_SORTS {
            let message = format!("A list has at most {MAX_FILTERS} conditions and {MAX_SORTS} sort columns.");
            return Err(Error::malformed(message));
        }
        Ok(request)
    }
}

fn refuse(parameter: &str, detail: impl Into<String>) -> Error {
    Error::malformed("The query is not valid.").parameter(parameter, "invalid_parameter", detail)
}

fn limit(text: &str) -> Result<u32> {
    match text.parse() {
        Ok(rows @ 1..=MAX_LIMIT) => Ok(rows),
        _ => Err(refuse("limit", format!("must be a number from 1 to {MAX_LIMIT}"))),
    }
}

fn order(text: &str) -> Result<Vec<Order>> {
    text.split(',').map(order_term).collect()
}

fn order_term(text: &str) -> Result<Order> {
    let mut words = text.split('.');
    let column = words.next().unwrap_or_default().to_owned();
    let mut order = Order { column, descending: false, nulls_first: None };
    for word in words {
        match word {
            "asc" => order.descending = false,
            "desc" => order.descending = true,
            "nullsfirst" => order.nulls_first = Some(true),
            "nullslast" => order.nulls_first = Some(false),
            other => return Err(refuse("order", format!("`{other}` is not asc, desc, nullsfirst or nullslast"))),
        }
    }
    Ok(order)
}

fn filter(column: Cow<'_, str>, text: &str) -> Result<Filter> {
    let known = OPERATORS.map(|(name, _)| name);
    let Some((word, value)) = text.split_once('.') else {
        return Err(
            refuse(&column, "needs an operator before the value").hint(format!("For example {column}=eq.{text}"))
        );
    };
    match OPERATORS.iter().find(|(name, _)| *name == word) {
        Some((_, operator)) => Ok(Filter { column: column.into_owned(), operator: *operator, value: value.to_owned() }),
        None => {
            let hint = nearest(word, known).map_or_else(
                || format!("Operators are {}.", known.join(", ")),
                |name| format!("Did you mean `{name}`?"),
            );
            Err(refuse(&column, format!("`{word}` is not an operator")).hint(hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn filters_order_and_limit() {
        let request =
            ListRequest::parse("state=eq.active&amount=gte.10.5&order=name.desc.nullslast,id&limit=5").unwrap();
        assert_eq!(request.limit, 5);
        assert_eq!(
            request.filters[1],
            Filter { column: "amount".into(), operator: Operator::Gte, value: "10.5".into() }
        );
        assert_eq!(request.order[0], Order { column: "name".into(), descending: true, nulls_first: Some(false) });
    }

    #[test]
    fn a_bare_value_is_refused_with_the_way_to_write_it() {
        let error = ListRequest::parse("state=active").unwrap_err();
        assert_eq!(error.hint_text(), Some("For example state=eq.active"));
        for bad in ["limit=0", "limit=501", "limit=x", "order=id.up", "a=equals.1"] {
            assert!(ListRequest::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_query_string_panics(query in ".{0,200}") {
            let _ = ListRequest::parse(&query);
        }
    }
}
