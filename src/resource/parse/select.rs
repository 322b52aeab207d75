//! What leaves: `select=id,total:amount.sum(),contact:contacts!contact_id!inner(first_name)`.

use super::filter::{Path, path};
use super::scan::{Complaint, Read, Scanner};
use crate::error::nearest;

/// Levels of embedding at most.
const MAX_DEPTH: usize = 3;
/// Embedded resources at most.
const MAX_EMBEDS: usize = 10;
/// Selected items at most, over all levels.
const MAX_ITEMS: usize = 200;

/// How rows of a group become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// How many values, or rows.
    Count,
    /// Their sum.
    Sum,
    /// Their mean.
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

const AGGREGATES: [(&str, Aggregate); 5] = [
    ("count", Aggregate::Count),
    ("sum", Aggregate::Sum),
    ("avg", Aggregate::Avg),
    ("min", Aggregate::Min),
    ("max", Aggregate::Max),
];

/// One part of `select=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// `*`
    All,
    /// `alias:column->json.aggregate()`
    Column {
        /// Name in the answer.
        alias: Option<String>,
        /// What is selected.
        path: Path,
        /// Over groups.
        aggregate: Option<Aggregate>,
    },
    /// `alias:count()`
    Count {
        /// Name in the answer.
        alias: Option<String>,
    },
    /// `alias:name!hint!inner(…)`
    Embed(Embed),
}

/// Another resource inside a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embed {
    /// Name in the answer.
    pub alias: Option<String>,
    /// Resource, or foreign key column, as written.
    pub name: String,
    /// Foreign key column that is meant when there are several.
    pub hint: Option<String>,
    /// Whether rows without it are left out.
    pub inner: bool,
    /// What leaves of it.
    pub items: Vec<Item>,
}

impl Embed {
    /// The name that parameters such as `contact.order` use.
    pub fn label(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }
}

/// Reads `select=`.
pub fn select(value: &str) -> Read<Vec<Item>> {
    let mut scanner = Scanner::new(value);
    let mut counted = Counted::default();
    let items = items(&mut scanner, 0, &mut counted)?;
    scanner.end()?;
    Ok(items)
}

#[derive(Default)]
struct Counted {
    items: usize,
    embeds: usize,
}

fn items(scanner: &mut Scanner<'_>, depth: usize, counted: &mut Counted) -> Read<Vec<Item>> {
    let mut items = Vec::new();
    loop {
        counted.items += 1;
        if counted.items > MAX_ITEMS {
            return Err(Complaint::new(format!("has more than {MAX_ITEMS} parts")));
        }
        items.push(item(scanner, depth, counted)?);
        if !scanner.eat(",") {
            return Ok(items);
        }
    }
}

fn item(scanner: &mut Scanner<'_>, depth: usize, counted: &mut Counted) -> Read<Item> {
    if scanner.eat("*") {
        return Ok(Item::All);
    }
    let mut alias = None;
    let mut whole = path(scanner)?;
    if scanner.rest().starts_with("::") {
        return Err(Complaint::new("cannot cast").hint("Values have one form each; leave the `::` out."));
    }
    if whole.keys.is_empty() && scanner.eat(":") {
        alias = Some(whole.column);
        whole = path(scanner)?;
    }
    if whole.keys.is_empty() && whole.column == "count" && scanner.eat("()") {
        return Ok(Item::Count { alias });
    }
    if whole.keys.is_empty() && matches!(scanner.peek(), Some('!' | '(')) {
        return embed(scanner, alias, whole.column, depth, counted).map(Item::Embed);
    }
    let aggregate = if scanner.eat(".") { Some(aggregate(scanner)?) } else { None };
    Ok(Item::Column { alias, path: whole, aggregate })
}

fn aggregate(scanner: &mut Scanner<'_>) -> Read<Aggregate> {
    let word = scanner.name()?;
    scanner.expect("()")?;
    if let Some((_, aggregate)) = AGGREGATES.iter().find(|(name, _)| *name == word) {
        return Ok(*aggregate);
    }
    let known = AGGREGATES.map(|(name, _)| name);
    let hint = nearest(word, known)
        .map_or_else(|| format!("Aggregates are {}.", known.join(", ")), |name| format!("Did you mean `{name}()`?"));
    Err(Complaint::new(format!("`{word}()` is not an aggregate")).hint(hint))
}

fn embed(
    scanner: &mut Scanner<'_>,
    alias: Option<String>,
    name: String,
    depth: usize,
    counted: &mut Counted,
) -> Read<Embed> {
    counted.embeds += 1;
    if depth == MAX_DEPTH || counted.embeds > MAX_EMBEDS {
        return Err(Complaint::new(format!(
            "embeds more than {MAX_EMBEDS} resources, or deeper than {MAX_DEPTH} levels"
        )));
    }
    let (mut hint, mut inner) = (None, false);
    while scanner.eat("!") {
        match scanner.name()? {
            "inner" => inner = true,
            "left" => inner = false,
            column => hint = Some(column.to_owned()),
        }
    }
    scanner.expect("(")?;
    let items = items(scanner, depth + 1, counted)?;
    scanner.expect(")")?;
    Ok(Embed { alias, name, hint, inner, items })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_paths_aggregates_and_embeds() {
        let items = select(
            "*,n:data->>name,count(),total:amount.sum(),contact:contacts!contact_id!inner(id,organizations(name))",
        )
        .unwrap();
        assert_eq!(items.len(), 5);
        assert_eq!(items[2], Item::Count { alias: None });
        assert!(matches!(&items[3], Item::Column { aggregate: Some(Aggregate::Sum), .. }));
        let Item::Embed(embed) = &items[4] else { panic!("{items:?}") };
        assert_eq!((embed.label(), embed.hint.as_deref(), embed.inner), ("contact", Some("contact_id"), true));
        assert!(matches!(&embed.items[1], Item::Embed(inner) if inner.name == "organizations"));
    }

    #[test]
    fn what_cannot_be_selected_is_refused() {
        for bad in ["", "a,", "a::text", "a.total()", "a(b", "a(b))", "a(b(c(d(e))))", "a b", "a!(b)", "x:y:z"] {
            assert!(select(bad).is_err(), "{bad}");
        }
        assert!(select(&["a(b)"; 11].join(",")).is_err());
    }
}
