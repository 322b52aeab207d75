//! The query string of a read, as written: no name in it is known to exist yet.

mod filter;
mod scan;
mod select;

use std::borrow::Cow;

pub use filter::{Key, Node, Operand, Operator, Path, Quantifier, Test};
pub use scan::{Complaint, Text};
pub use select::{Aggregate, Embed, Item};

use crate::error::{Error, Result};
use crate::pack::Parameter;
use scan::{Read, Scanner};

/// Rows of a list when the caller does not say.
const DEFAULT_LIMIT: u32 = 50;
/// Rows of a list at most.
pub const MAX_LIMIT: u32 = 500;
/// Conditions of a list at most: each makes the prepared statement larger that PostgreSQL keeps.
const MAX_CONDITIONS: usize = 50;
/// Sort columns of a list at most.
const MAX_SORTS: usize = 50;
/// Words of a search at most, and characters of it.
const MAX_WORDS: usize = 8;
const MAX_SEARCH: usize = 200;

/// One part of `order=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What is sorted by, as written.
    pub path: Path,
    /// Largest first.
    pub descending: bool,
    /// Where nulls go; by default last when ascending, first when descending, as in PostgreSQL.
    pub nulls_first: Option<bool>,
}

/// Which rows are wanted, in what order: of the list itself, or of a resource embedded in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// All must hold.
    pub conditions: Vec<Node>,
    /// Sort columns.
    pub order: Vec<Order>,
    /// Rows at most.
    pub limit: Option<u32>,
}

impl Narrowing {
    /// Whether it leaves everything as it is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A read as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// What leaves; empty for all columns.
    pub items: Vec<Item>,
    /// Which rows.
    pub rows: Narrowing,
    /// Which rows of embedded resources, by the path to them.
    pub embedded: Vec<(Vec<String>, Narrowing)>,
    /// Words that must all be found.
    pub search: Vec<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Another form than JSON.
    pub format: Option<String>,
    /// Values of a report's parameters.
    pub arguments: Vec<(String, String)>,
    /// All that decides which rows come in which order.
    identity: Vec<(String, String)>,
}

impl ListRequest {
    /// Reads a query string; the first fault in it is named.
    pub fn parse(query: &str) -> Result<Self> {
        Self::parse_for(&[], query)
    }

    /// Reads the query string of a report with parameters.
    pub fn parse_for(parameters: &[Parameter], query: &str) -> Result<Self> {
        // The form's own decoder would put U+FFFD where the bytes are not UTF-8, and ask another question.
        percent_encoding::percent_decode_str(query)
            .decode_utf8()
            .map_err(|_| Error::malformed("The query is not valid UTF-8."))?;
        let mut request = Self::default();
        let mut said: Vec<String> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            once(&mut said, &name)?;
            if parameters.iter().any(|parameter| parameter.name == *name) {
                request.arguments.push((name.to_string(), value.to_string()));
            } else {
                request.parameter(&name, &value).map_err(|complaint| complaint.about(&name))?;
            }
            if !matches!(&*name, "select" | "limit" | "cursor" | "format") {
                request.identity.push((name.into_owned(), value.into_owned()));
            }
        }
        request.identity.sort_unstable();
        request.within_limits()?;
        Ok(request)
    }

    fn parameter(&mut self, name: &str, value: &str) -> Read<()> {
        match name {
            "select" => self.items = select::select(value)?,
            "cursor" => self.cursor = Some(value.to_owned()),
            "format" => self.format = Some(value.to_owned()),
            "q" => self.search = words(value)?,
            _ => {
                let (rows, key) = self.rows_of(name);
                narrow(rows, &key, value)?;
            }
        }
        Ok(())
    }

    /// `contact.state` is about the rows of the embedded `contact`; steps into JSON belong to the column.
    fn rows_of<'n>(&mut self, name: &'n str) -> (&mut Narrowing, Cow<'n, str>) {
        let (names, steps) = name.split_at(name.find("->").unwrap_or(name.len()));
        let mut path: Vec<&str> = names.split('.').collect();
        let mut key = Cow::from(path.pop().unwrap_or_default());
        if path.last() == Some(&"not") && matches!(&*key, "and" | "or") {
            path.pop();
            key = Cow::from(format!("not.{key}"));
        }
        if !steps.is_empty() {
            key = Cow::from(format!("{key}{steps}"));
        }
        if path.is_empty() {
            return (&mut self.rows, key);
        }
        let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
        let at = self.embedded.iter().position(|(known, _)| *known == path).unwrap_or_else(|| {
            self.embedded.push((path, Narrowing::default()));
            self.embedded.len() - 1
        });
        (&mut self.embedded[at].1, key)
    }

    fn within_limits(&self) -> Result<()> {
        let all = || std::iter::once(&self.rows).chain(self.embedded.iter().map(|(_, rows)| rows));
        if let Some((path, _)) = self.embedded.iter().find(|(_, rows)| rows.limit.is_some_and(|rows| rows > MAX_LIMIT))
        {
            let complaint = Complaint::new(format!("must be a number from 1 to {MAX_LIMIT}"));
            return Err(complaint.about(&format!("{}.limit", path.join("."))));
        }
        let conditions: usize = all().flat_map(|rows| &rows.conditions).map(Node::size).sum();
        let sorts: usize = all().map(|rows| rows.order.len()).sum();
        if conditions > MAX_CONDITIONS || sorts > MAX_SORTS {
            let message = format!("A list has at most {MAX_CONDITIONS} conditions and {MAX_SORTS} sort columns.");
            return Err(Error::malformed(message));
        }
        Ok(())
    }

    /// Rows of a page.
    pub fn limit(&self) -> u32 {
        self.rows.limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// What a cursor belongs to: everything that decides which rows come in which order.
    pub fn identity(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.identity).finish()
    }
}

/// Of what can be said once only, a second word would silently win or lose, and a cursor could not tell which.
fn once(said: &mut Vec<String>, name: &str) -> Result<()> {
    let last = name.rsplit('.').next().unwrap_or(name);
    let single = matches!(last, "order" | "limit") || matches!(name, "select" | "cursor" | "format" | "q");
    if single && said.iter().any(|other| other == name) {
        return Err(Complaint::new("is given twice").about(name));
    }
    said.extend(single.then(|| name.to_owned()));
    Ok(())
}

/// Values separated by commas, as between the braces of `{a,"b,c"}`.
pub fn list(text: &str) -> Result<Vec<Text>, Complaint> {
    let braced = format!("{{{text}}}");
    let mut scanner = Scanner::new(&braced);
    let texts = scanner.texts("{", '}')?;
    scanner.end().map(|()| texts)
}

fn narrow(rows: &mut Narrowing, key: &str, value: &str) -> Read<()> {
    match key {
        "limit" => rows.limit = Some(limit(value)?),
        "order" => rows.order = order(value)?,
        "and" | "or" => rows.conditions.push(filter::group(key == "or", false, value)?),
        "not.and" | "not.or" => rows.conditions.push(filter::group(key == "not.or", true, value)?),
        "offset" => {
            return Err(Complaint::new("is not known here").hint("Pages follow each other by `cursor=`."));
        }
        _ => {
            let mut scanner = Scanner::new(key);
            let path = filter::path(&mut scanner)?;
            scanner.end()?;
            rows.conditions.push(filter::parameter(path, value)?);
        }
    }
    Ok(())
}

fn limit(text: &str) -> Read<u32> {
    match text.parse() {
        Ok(rows) if rows >= 1 => Ok(rows),
        _ => Err(Complaint::new(format!("must be a number from 1 to {MAX_LIMIT}"))),
    }
}

fn order(text: &str) -> Read<Vec<Order>> {
    let mut scanner = Scanner::new(text);
    let mut terms = Vec::new();
    loop {
        terms.push(order_term(&mut scanner)?);
        if !scanner.eat(",") {
            scanner.end()?;
            return Ok(terms);
        }
    }
}

fn order_term(scanner: &mut Scanner<'_>) -> Read<Order> {
    let mut order = Order { path: filter::path(scanner)?, descending: false, nulls_first: None };
    while scanner.eat(".") {
        match scanner.name()? {
            "asc" => order.descending = false,
            "desc" => order.descending = true,
            "nullsfirst" => order.nulls_first = Some(true),
            "nullslast" => order.nulls_first = Some(false),
            other => return Err(Complaint::new(format!("`{other}` is not asc, desc, nullsfirst or nullslast"))),
        }
    }
    Ok(order)
}

fn words(text: &str) -> Read<Vec<String>> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if words.is_empty() || words.len() > MAX_WORDS || text.chars().count() > MAX_SEARCH || text.contains('\0') {
        return Err(Complaint::new(format!(
            "must be 1 to {MAX_WORDS} words of together at most {MAX_SEARCH} characters"
        )));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(query: &str) -> ListRequest {
        ListRequest::parse(query).unwrap()
    }

    #[test]
    fn filters_order_and_limit() {
        let request = parse("state=eq.active&amount=gte.10.5&order=name.desc.nullslast,id&limit=5");
        assert_eq!((request.limit(), request.rows.conditions.len()), (5, 2));
        let first = &request.rows.order[0];
        assert_eq!((first.path.column.as_str(), first.descending, first.nulls_first), ("name", true, Some(false)));
    }

    #[test]
    fn parameters_of_embedded_resources_name_their_path() {
        let request = parse("a.order=x.desc&a.b.limit=3&a.not.or=(x.eq.1)&a.data->>k=eq.2&a.x=is.null");
        assert!(request.rows.is_empty());
        let paths: Vec<String> = request.embedded.iter().map(|(path, _)| path.join(".")).collect();
        assert_eq!(paths, ["a", "a.b"]);
        assert_eq!(request.embedded[0].1.conditions.len(), 3);
    }

    #[test]
    fn a_cursor_belongs_to_filters_and_order_alone() {
        let one = parse("order=name&state=eq.x&select=id&limit=5&cursor=abc");
        assert_eq!(one.identity(), parse("state=eq.x&order=name").identity());
        assert_ne!(one.identity(), parse("state=eq.y&order=name").identity());
        assert_ne!(parse("a=eq.1&b=eq.2").identity(), parse("a=eq.1%26b=eq.2").identity());
    }

    #[test]
    fn what_can_be_said_once_only_is_refused_the_second_time() {
        for twice in [
            "order=a&order=b",
            "limit=1&limit=2",
            "q=a&q=b",
            "select=a&select=b",
            "cursor=a&cursor=b",
            "format=csv&format=xlsx",
            "a.order=b&a.order=c",
            "a.limit=501&a.limit=5",
        ] {
            assert!(ListRequest::parse(twice).is_err(), "{twice}");
        }
        assert!(ListRequest::parse("a=gt.1&a=lt.5&or=(b.eq.1)&or=(c.eq.1)&order=a&x.order=a").is_ok());
    }

    #[test]
    fn a_bare_value_is_refused_with_the_way_to_write_it() {
        let error = ListRequest::parse("state=active").unwrap_err();
        assert_eq!(error.hint_text(), Some("For example state=eq.active"));
        let bad =
            ["limit=0", "a.limit=501", "limit=x", "order=id.up", "a=equals.1", "q=", "offset=3", "=eq.1", "a.=eq.1"];
        for bad in bad {
            assert!(ListRequest::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_query_string_panics(query in ".{0,200}") {
            let _ = ListRequest::parse(&query);
        }

        #[test]
        fn no_query_of_the_grammars_own_letters_panics(query in "[a-c.,:()!*\"\\\\{}>&=-]{0,60}") {
            let _ = ListRequest::parse(&format!("select={query}"));
            let _ = ListRequest::parse(&format!("or={query}"));
            let _ = ListRequest::parse(&query);
        }
    }
}
