//! A list request held against the catalogue: every name is known, every value fits its column.

use super::body::column_text;
use super::parse::{ListRequest, Operator};
use crate::error::{Error, Result, nearest};
use crate::ident::Ident;
use crate::pack::{Column, Kind, Report, Resource};
use crate::sql::Value;

/// What a list is read from: a resource's table or a report's view.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// Table or view.
    pub relation: &'a Ident,
    /// Visible columns.
    pub columns: &'a [Column],
    /// Column that makes an order unambiguous, if there is one.
    pub key: Option<&'a Column>,
}

impl<'a> From<&'a Resource> for Shape<'a> {
    fn from(resource: &'a Resource) -> Self {
        Self { relation: &resource.table, columns: &resource.columns, key: Some(&resource.key) }
    }
}

impl<'a> From<&'a Report> for Shape<'a> {
    fn from(report: &'a Report) -> Self {
        Self { relation: &report.view, columns: &report.columns, key: None }
    }
}

/// A condition on a column.
#[derive(Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    /// `column operator value`
    Compare(&'a Ident, &'static str, Value),
    /// `column is …`
    Is(&'a Ident, &'static str),
}

/// A part of ORDER BY.
#[derive(Debug, PartialEq, Eq)]
pub struct Sort<'a> {
    /// The column.
    pub column: &'a Ident,
    /// ` desc`, ` nulls last` and so on.
    pub direction: &'static str,
}

/// A list that PostgreSQL will accept.
#[derive(Debug)]
pub struct ListPlan<'a> {
    /// What it is read from.
    pub shape: Shape<'a>,
    /// All must hold.
    pub conditions: Vec<Condition<'a>>,
    /// Order.
    pub sorts: Vec<Sort<'a>>,
    /// Rows at most.
    pub limit: u32,
}

impl<'a> ListPlan<'a> {
    /// Plans a list.
    pub fn new(shape: Shape<'a>, request: &ListRequest) -> Result<Self> {
        let conditions = request
            .filters
            .iter()
            .map(|filter| condition(shape.column(&filter.column, &filter.column)?, filter.operator, &filter.value))
            .collect::<Result<_>>()?;
        let mut sorts = Vec::with_capacity(request.order.len() + 1);
        for order in &request.order {
            let column = &shape.column(&order.column, "order")?.name;
            sorts.push(Sort { column, direction: direction(order.descending, order.nulls_first) });
        }
        if let Some(key) = shape.key.filter(|key| sorts.iter().all(|sort| *sort.column != key.name)) {
            sorts.push(Sort { column: &key.name, direction: "" });
        }
        Ok(Self { shape, conditions, sorts, limit: request.limit })
    }
}

impl<'a> Shape<'a> {
    /// A refusal by PostgreSQL of a value that only it can judge, such as an interval.
    pub fn unfit(&self, request: &ListRequest, refusal: Error) -> Error {
        let judged = |name: &str| self.columns.iter().any(|c| c.name.as_str() == name && c.kind == Kind::Other);
        let unfit =
            request.filters.iter().filter(|filter| judged(&filter.column)).fold(
                Error::malformed("The query is not valid.").context(refusal.private_context()),
                |error, filter| error.parameter(&filter.column, "invalid_value", "does not fit the type of the column"),
            );
        if unfit.faults().is_empty() { refusal } else { unfit }
    }

    fn column(&self, name: &str, parameter: &str) -> Result<&'a Column> {
        self.columns.iter().find(|column| column.name.as_str() == name).ok_or_else(|| {
            let error = Error::malformed("The query is not valid.");
            let error = error.parameter(parameter, "unknown_column", format!("there is no column `{name}`"));
            match nearest(name, self.columns.iter().map(|column| column.name.as_str())) {
                Some(meant) => error.hint(format!("Did you mean `{meant}`?")),
                None => error,
            }
        })
    }
}

fn direction(descending: bool, nulls_first: Option<bool>) -> &'static str {
    match (descending, nulls_first) {
        (false, None) => "",
        (true, None) => " desc",
        (false, Some(true)) => " nulls first",
        (false, Some(false)) => " nulls last",
        (true, Some(true)) => " desc nulls first",
        (true, Some(false)) => " desc nulls last",
    }
}

fn condition<'a>(column: &'a Column, operator: Operator, value: &str) -> Result<Condition<'a>> {
    let refuse = |detail: String| {
        Error::malformed("The query is not valid.").parameter(column.name.as_str(), "invalid_value", detail)
    };
    if operator == Operator::Is {
        let state = match value {
            "null" => " is null",
            "not_null" => " is not null",
            "true" if column.kind == Kind::Boolean => " is true",
            "false" if column.kind == Kind::Boolean => " is false",
            _ => return Err(refuse("after `is.` comes null or not_null, for booleans true or false too".to_owned())),
        };
        return Ok(Condition::Is(&column.name, state));
    }
    if matches!(column.kind, Kind::Json | Kind::Array) {
        return Err(refuse("columns of this type cannot be compared".to_owned()));
    }
    let value = column_text(column, value).map_err(refuse)?;
    let sign = match operator {
        Operator::Neq => " <> ",
        Operator::Gt => " > ",
        Operator::Gte => " >= ",
        Operator::Lt => " < ",
        Operator::Lte => " <= ",
        Operator::Eq | Operator::Is => " = ",
    };
    Ok(Condition::Compare(&column.name, sign, Value::text(value)))
}

/// A row's key, as written in a path and found to fit its column.
#[derive(Debug, Clone)]
pub struct RowKey(pub(super) Value);

impl RowKey {
    /// Reads the key in a path; one that cannot exist is not found.
    pub fn parse(resource: &Resource, text: &str) -> Result<Self> {
        let text = column_text(&resource.key, text).map_err(|_| Error::not_found())?;
        Ok(Self(Value::text(text)))
    }
}
