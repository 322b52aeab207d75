//! A read held against the catalogue: every name is known, every value fits its column, and the caller may see all of it.

mod filter;
mod select;

pub use filter::{Condition, Operand};

use super::body::{column_text, scalar_text};
use super::export::Heading;
use super::parse::{Aggregate, Key, ListRequest, MAX_LIMIT, Narrowing, Order, Path};
use crate::error::{Error, Result, nearest};
use crate::ident::{Alias, Ident};
use crate::pack::{Catalog, Column, Kind, Parameter, Report, Resource, Verb};
use crate::sql::Value;

/// What a list is read from: a resource's table or a report's view.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// Table or view.
    pub relation: &'a Ident,
    /// Visible columns.
    pub columns: &'a [Column],
    /// The resource, with the key that makes an order unambiguous; reports have none.
    pub resource: Option<&'a Resource>,
    /// What a report's function takes; none for tables and views.
    pub parameters: Option<&'a [Parameter]>,
}

impl<'a> From<&'a Resource> for Shape<'a> {
    fn from(resource: &'a Resource) -> Self {
        Self { relation: &resource.table, columns: &resource.columns, resource: Some(resource), parameters: None }
    }
}

impl<'a> From<&'a Report> for Shape<'a> {
    fn from(report: &'a Report) -> Self {
        let parameters = report.parameters.as_deref();
        Self { relation: &report.relation, columns: &report.columns, resource: None, parameters }
    }
}

/// What a plan is held against: the catalogue, and what the caller may do with other resources.
#[derive(Clone, Copy)]
pub struct Sight<'a, 'm> {
    /// What there is.
    pub catalog: &'a Catalog,
    /// Refuses what the caller may not.
    pub may: &'m dyn Fn(&Resource, Verb) -> Result<()>,
}

/// A column, or a place inside a JSON column.
#[derive(Debug, Clone, Copy)]
pub struct Spot<'a> {
    /// The column.
    pub column: &'a Column,
    /// Steps into its document.
    pub keys: &'a [Key],
    /// Whether the last step gives text.
    pub as_text: bool,
}

impl Spot<'_> {
    /// The type of what stands there.
    pub fn kind(&self) -> Kind {
        match (self.keys, self.as_text) {
            ([], _) => self.column.kind,
            (_, true) => Kind::Text,
            (_, false) => Kind::Json,
        }
    }

    /// Whether nothing may stand there.
    pub fn is_nullable(&self) -> bool {
        self.column.nullable || !self.keys.is_empty()
    }
}

/// A value that leaves.
#[derive(Debug)]
pub struct Output<'a> {
    /// Its name in the answer.
    pub name: Alias<'a>,
    /// What it is.
    pub what: What<'a>,
}

/// What leaves under a name.
#[derive(Debug)]
pub enum What<'a> {
    /// A value of the row.
    Spot(Spot<'a>),
    /// A value of a group of rows; without a spot it counts them.
    Aggregate(Aggregate, Option<Spot<'a>>),
    /// Another resource.
    Embed(Embed<'a>),
}

/// How rows of two levels belong together.
#[derive(Debug)]
pub enum Join<'a> {
    /// Pairs of a column of the upper level and one of the lower.
    Direct(Vec<(&'a Ident, &'a Ident)>),
    /// Through rows of a table between: pairs of upper and middle, and of middle and lower.
    Through(&'a Ident, Vec<(&'a Ident, &'a Ident)>, Vec<(&'a Ident, &'a Ident)>),
}

impl<'a> Join<'a> {
    /// Pairs whose first column is the upper level's.
    pub fn upper(&self) -> &[(&'a Ident, &'a Ident)] {
        let (Self::Direct(pairs) | Self::Through(_, pairs, _)) = self;
        pairs
    }
}

/// Rows of another resource inside a row.
#[derive(Debug)]
pub struct Embed<'a> {
    /// How they belong to it.
    pub join: Join<'a>,
    /// Whether there is one at most: an object or null instead of an array.
    pub one: bool,
    /// Whether a row without any is left out.
    pub inner: bool,
    /// What is shown of them.
    pub level: Level<'a>,
}

/// A part of ORDER BY.
#[derive(Debug)]
pub struct Sort<'a> {
    /// What is sorted by.
    pub by: SortBy<'a>,
    /// Largest first.
    pub descending: bool,
    /// Where nulls go.
    pub nulls_first: bool,
}

/// What a list is sorted by.
#[derive(Debug)]
pub enum SortBy<'a> {
    /// A value of the row.
    Spot(Spot<'a>),
    /// A value of a group, by its name in the answer.
    Output(Alias<'a>),
}

/// One relation of a read with everything that leaves of it.
#[derive(Debug)]
pub struct Level<'a> {
    /// Table, view or function.
    pub relation: &'a Ident,
    /// What the function is called with; none for tables and views.
    pub arguments: Option<Vec<(&'a Ident, Value)>>,
    /// What leaves.
    pub outputs: Vec<Output<'a>>,
    /// All must hold.
    pub conditions: Vec<Condition<'a>>,
    /// Order.
    pub sorts: Vec<Sort<'a>>,
    /// Rows at most.
    pub limit: Option<u32>,
    /// Whether rows are added up in groups of equal plain values.
    pub grouped: bool,
}

/// A list that PostgreSQL will accept.
#[derive(Debug)]
pub struct ListPlan<'a> {
    /// What is read.
    pub level: Level<'a>,
    /// Rows of a page.
    pub limit: u32,
    /// Where the page before ended: a value for each sort.
    pub after: Option<Vec<Option<String>>>,
    /// Whether PostgreSQL may guess how many rows there are: it would count those in that the caller does not see.
    pub estimable: bool,
}

impl<'a> ListPlan<'a> {
    /// Plans a list.
    pub fn new(sight: Sight<'a, '_>, shape: Shape<'a>, request: &'a ListRequest) -> Result<Self> {
        let mut level = select::level(sight, shape, &request.items, &request.rows, &request.embedded)?;
        level.arguments = shape.arguments(&request.arguments)?;
        level.conditions.extend(filter::search(shape, &request.search)?);
        if let Some(resource) = shape.resource.filter(|_| !level.grouped) {
            level.end_order(&resource.key);
        }
        let requires = |output: &Output<'_>| matches!(output.what, What::Embed(Embed { inner: true, .. }));
        let hides = shape.resource.is_none_or(|resource| resource.scoped) || level.outputs.iter().any(requires);
        Ok(Self { level, limit: request.limit(), after: None, estimable: !hides })
    }

    /// Refuses a limit that only a file may have.
    pub fn is_page(&self) -> Result<()> {
        if self.limit <= MAX_LIMIT {
            return Ok(());
        }
        let detail = format!("must be a number from 1 to {MAX_LIMIT}");
        Err(refuse("limit", "invalid_parameter", detail).hint("A file, such as format=csv, may have more rows."))
    }

    /// Whether pages can follow each other: an order without ties.
    pub fn has_cursors(&self, shape: Shape<'_>) -> bool {
        shape.resource.is_some() && !self.level.grouped
    }
}

impl<'a> Level<'a> {
    /// Plans what is shown of one row.
    pub fn of_row(sight: Sight<'a, '_>, resource: &'a Resource, request: &'a ListRequest) -> Result<Self> {
        if !request.rows.is_empty() || request.cursor.is_some() || !request.search.is_empty() {
            return Err(Error::malformed("A single record takes `select` and conditions on embedded resources only."));
        }
        let level = select::level(sight, Shape::from(resource), &request.items, &request.rows, &request.embedded)?;
        if level.grouped {
            return Err(Error::malformed("A single record cannot be added up."));
        }
        Ok(level)
    }

    /// Parameters whose values only PostgreSQL can judge.
    pub fn judged(&self) -> Vec<String> {
        let mut own = Vec::new();
        self.conditions.iter().for_each(|condition| condition.judged(&mut own));
        let embedded = self.outputs.iter().flat_map(|output| match &output.what {
            What::Embed(embed) => {
                embed.level.judged().iter().map(|path| format!("{}.{path}", output.name.as_str())).collect()
            }
            What::Spot(_) | What::Aggregate(..) => Vec::new(),
        });
        own.into_iter().map(str::to_owned).chain(embedded).collect()
    }

    /// What the columns of a file are called and hold.
    pub fn headings(&self) -> Vec<Heading> {
        let kind = |output: &Output<'_>| match &output.what {
            What::Spot(spot) | What::Aggregate(Aggregate::Min | Aggregate::Max, Some(spot)) => spot.kind(),
            What::Aggregate(Aggregate::Count, _) => Kind::Integer,
            What::Aggregate(..) => Kind::Numeric,
            What::Embed(_) => Kind::Json,
        };
        let heading = |output: &Output<'_>| Heading { name: output.name.as_str().to_owned(), kind: kind(output) };
        self.outputs.iter().map(heading).collect()
    }

    /// Rows of equal sort values come in the order of their keys, in the direction of the last sort: so one index may
    /// serve both.
    fn end_order(&mut self, key: &'a Column) {
        let is_key = |sort: &Sort<'_>| matches!(&sort.by, SortBy::Spot(spot) if spot.column.name == key.name);
        if !self.sorts.iter().any(is_key) {
            let descending = self.sorts.last().is_some_and(|sort| sort.descending);
            let by = SortBy::Spot(Spot { column: key, keys: &[], as_text: false });
            self.sorts.push(Sort { by, descending, nulls_first: descending });
        }
    }
}

impl<'a> Shape<'a> {
    /// A place that conditions and sorts may name.
    fn spot(&self, path: &'a Path, parameter: &str) -> Result<Spot<'a>> {
        let spot = self.visible_spot(path, parameter)?;
        if spot.column.filterable {
            return Ok(spot);
        }
        let detail = format!("lists cannot be filtered or sorted by `{}`", path.column);
        Err(refuse(parameter, "not_filterable", detail))
    }

    /// A place that may be selected.
    fn visible_spot(&self, path: &'a Path, parameter: &str) -> Result<Spot<'a>> {
        let column = self.column(&path.column, parameter)?;
        if !path.keys.is_empty() && column.kind != Kind::Json {
            return Err(refuse(parameter, "invalid_parameter", format!("`{}` is not a JSON document", path.column)));
        }
        Ok(Spot { column, keys: &path.keys, as_text: path.as_text })
    }

    fn column(&self, name: &str, parameter: &str) -> Result<&'a Column> {
        self.columns.iter().find(|column| column.name.as_str() == name).ok_or_else(|| {
            let error = refuse(parameter, "unknown_column", format!("there is no column `{name}`"));
            match nearest(name, self.columns.iter().map(|column| column.name.as_str())) {
                Some(meant) => error.hint(format!("Did you mean `{meant}`?")),
                None => error,
            }
        })
    }

    /// Values for a function's parameters: each is given once at most, fits its type, and is there when it must be.
    fn arguments(&self, given: &[(String, String)]) -> Result<Option<Vec<(&'a Ident, Value)>>> {
        let Some(parameters) = self.parameters else { return Ok(None) };
        let mut faults = Error::malformed("The query is not valid.");
        let mut arguments = Vec::new();
        for parameter in parameters {
            let mut values = given.iter().filter(|(name, _)| *name == parameter.name).map(|(_, text)| text);
            let refused = match (values.next(), values.next()) {
                (None, _) if parameter.required => Some(("required", "is required".to_owned())),
                (None, _) => None,
                (Some(_), Some(_)) => Some(("duplicate_field", "is given twice".to_owned())),
                (Some(text), None) => match scalar_text(parameter.kind, text) {
                    Ok(text) => {
                        arguments.push((&parameter.argument, Value::text(text)));
                        None
                    }
                    Err(detail) => Some(("invalid_value", detail)),
                },
            };
            if let Some((code, detail)) = refused {
                faults = faults.parameter(&parameter.name, code, detail);
            }
        }
        faults.if_any().map(|()| Some(arguments))
    }

    fn sort(&self, order: &'a Order) -> Result<Sort<'a>> {
        let spot = self.spot(&order.path, "order")?;
        if matches!(spot.kind(), Kind::Json | Kind::Array) {
            let detail = format!("cannot sort by `{}`, which has no order", order.path.column);
            return Err(refuse("order", "invalid_parameter", detail));
        }
        let nulls_first = order.nulls_first.unwrap_or(order.descending);
        Ok(Sort { by: SortBy::Spot(spot), descending: order.descending, nulls_first })
    }

    fn sorts(&self, rows: &'a Narrowing) -> Result<Vec<Sort<'a>>> {
        rows.order.iter().map(|order| self.sort(order)).collect()
    }
}

fn refuse(parameter: &str, code: &'static str, detail: impl Into<String>) -> Error {
    Error::malformed("The query is not valid.").parameter(parameter, code, detail)
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
