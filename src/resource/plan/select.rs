//! What leaves, and how embedded resources belong to the rows above them.

use super::filter::conditions;
use super::{Embed, Join, Level, Output, Shape, Sight, Sort, SortBy, Spot, What, refuse};
use crate::error::{Error, Result, nearest};
use crate::ident::{Alias, Ident};
use crate::pack::{Kind, Reference, Resource, Verb};
use crate::resource::parse::{self, Aggregate, Item, Key, Narrowing, Path};

/// Narrowings of what is embedded, by the path to it.
type Embedded = [(Vec<String>, Narrowing)];

/// Plans a level and everything embedded in it.
pub fn level<'a>(
    sight: Sight<'a, '_>,
    shape: Shape<'a>,
    items: &'a [Item],
    rows: &'a Narrowing,
    embedded: &'a Embedded,
) -> Result<Level<'a>> {
    let mut planner = Planner { sight, embedded, path: Vec::new(), used: 0 };
    let level = planner.level(shape, items, rows)?;
    if planner.used == embedded.len() {
        return Ok(level);
    }
    let unknown = embedded.iter().find(|(path, _)| !names_embed(items, path));
    let name = unknown.map(|(path, _)| path.join(".")).unwrap_or_default();
    Err(refuse(&name, "unknown_embed", format!("`{name}` is not embedded by `select`"))
        .hint(format!("For example select=*,{name}(*)")))
}

fn names_embed(items: &[Item], path: &[String]) -> bool {
    let [first, rest @ ..] = path else { return true };
    items
        .iter()
        .any(|item| matches!(item, Item::Embed(embed) if embed.label() == first && names_embed(&embed.items, rest)))
}

struct Planner<'a, 'm> {
    sight: Sight<'a, 'm>,
    embedded: &'a Embedded,
    path: Vec<&'a str>,
    used: usize,
}

impl<'a> Planner<'a, '_> {
    fn level(&mut self, shape: Shape<'a>, items: &'a [Item], rows: &'a Narrowing) -> Result<Level<'a>> {
        let outputs = self.outputs(shape, items)?;
        let grouped = outputs.iter().any(|output| matches!(output.what, What::Aggregate(..)));
        if grouped {
            self.may_add_up(shape, &outputs)?;
        }
        let sorts = if grouped { group_sorts(shape, &outputs, rows)? } else { shape.sorts(rows)? };
        let conditions = conditions(shape, &rows.conditions)?;
        Ok(Level { relation: shape.relation, arguments: None, outputs, conditions, sorts, limit: rows.limit, grouped })
    }

    fn outputs(&mut self, shape: Shape<'a>, items: &'a [Item]) -> Result<Vec<Output<'a>>> {
        let mut outputs = Vec::new();
        if items.is_empty() {
            outputs.extend(all(shape));
        }
        for item in items {
            match item {
                Item::All => outputs.extend(all(shape)),
                Item::Count { alias } => {
                    let name = name(alias.as_deref(), "count")?;
                    outputs.push(Output { name, what: What::Aggregate(Aggregate::Count, None) });
                }
                Item::Column { alias, path, aggregate } => {
                    outputs.push(column(shape, alias.as_deref(), path, *aggregate)?);
                }
                Item::Embed(embed) => outputs.push(self.embed(shape, embed)?),
            }
        }
        for (at, output) in outputs.iter().enumerate() {
            if outputs[..at].iter().any(|other| other.name == output.name) {
                let detail = format!("`{}` is selected twice", output.name.as_str());
                return Err(
                    refuse("select", "invalid_parameter", detail).hint("Give one of them another name: name:column")
                );
            }
        }
        Ok(outputs)
    }

    fn may_add_up(&self, shape: Shape<'a>, outputs: &[Output<'_>]) -> Result<()> {
        if outputs.iter().any(|output| matches!(output.what, What::Embed(_))) {
            return Err(refuse("select", "invalid_parameter", "cannot embed resources in rows that are added up"));
        }
        match shape.resource {
            Some(resource) => (self.sight.may)(resource, Verb::Report),
            None => Ok(()),
        }
    }

    fn embed(&mut self, shape: Shape<'a>, embed: &'a parse::Embed) -> Result<Output<'a>> {
        let from = shape.resource.ok_or_else(|| refuse("select", "unknown_embed", "a report embeds nothing"))?;
        let link = self.link(from, embed)?;
        for resource in link.middle.into_iter().chain([link.to]) {
            (self.sight.may)(resource, Verb::View)?;
        }
        self.path.push(embed.label());
        let narrowing = self.embedded.iter().find(|(path, _)| path.iter().eq(self.path.iter()));
        self.used += usize::from(narrowing.is_some());
        let rows = narrowing.map_or(const { &NO_NARROWING }, |(_, rows)| rows);
        let mut level = self.level(Shape::from(link.to), &embed.items, rows)?;
        self.path.pop();
        let one = link.one && !level.grouped;
        if !one && !level.grouped {
            level.end_order(&link.to.key);
        }
        let name = name(embed.alias.as_deref(), &embed.name)?;
        Ok(Output { name, what: What::Embed(Embed { join: link.join, one, inner: embed.inner, level }) })
    }

    /// The one way from a resource to what is to be embedded.
    fn link(&self, from: &'a Resource, embed: &parse::Embed) -> Result<Link<'a>> {
        let mut links = self.links(from, &embed.name);
        if let Some(hint) = &embed.hint {
            links.retain(|link| link.hints.iter().any(|column| column.as_str() == hint));
        }
        if links.iter().any(|link| link.pairs) {
            links.retain(|link| link.pairs);
        }
        match links.len() {
            1 => Ok(links.remove(0)),
            0 => Err(self.unknown(from, embed)),
            _ => {
                let ways: Vec<String> = links
                    .iter()
                    .flat_map(|link| &link.hints)
                    .map(|hint| format!("{}!{hint}(…)", embed.name, hint = hint.as_str()))
                    .collect();
                Err(refuse("select", "ambiguous_embed", format!("`{}` can be embedded in several ways", embed.name))
                    .hint(format!("Write one of {}.", ways.join(", "))))
            }
        }
    }

    /// Every way from a resource to the resource of a name, or over the foreign key column of a name.
    fn links(&self, from: &'a Resource, name: &str) -> Vec<Link<'a>> {
        let catalog = self.sight.catalog;
        let over = |reference: &Reference| {
            let [(column, _)] = &reference.columns[..] else { return false };
            column.as_str() == name || column.as_str().strip_suffix("_id") == Some(name)
        };
        let named = catalog.resource(name);
        let mut links = Vec::new();
        for reference in &from.references {
            // Between rows of one resource its name means those that point here, the column's name the one pointed to.
            let to = named.filter(|to| to.table == reference.target && to.table != from.table);
            let to = to.or_else(|| catalog.resource_of(&reference.target).filter(|_| over(reference)));
            links.extend(to.map(|to| Link::up(reference, to)));
        }
        let Some(to) = named else { return links };
        links.extend(to.references.iter().filter(|back| back.target == from.table).map(|back| Link::down(back, to)));
        if links.is_empty() {
            links.extend(catalog.resources().flat_map(|middle| Link::through(from, middle, to)));
        }
        links
    }

    fn unknown(&self, from: &Resource, embed: &parse::Embed) -> Error {
        let catalog = self.sight.catalog;
        let mut known: Vec<&str> = Vec::new();
        for reference in &from.references {
            known.extend(catalog.resource_of(&reference.target).map(|to| to.name.as_str()));
        }
        let back = |other: &&std::sync::Arc<Resource>| other.references.iter().any(|back| back.target == from.table);
        known.extend(catalog.resources().filter(back).map(|other| other.name.as_str()));
        known.sort_unstable();
        known.dedup();
        let wanted = match &embed.hint {
            Some(hint) => format!("{}!{hint}", embed.name),
            None => embed.name.clone(),
        };
        let error = refuse("select", "unknown_embed", format!("`{}` cannot embed `{wanted}`", from.name));
        match nearest(&embed.name, known.iter().copied()) {
            Some(meant) if meant != embed.name => error.hint(format!("Did you mean `{meant}`?")),
            _ if known.is_empty() => error,
            _ => error.hint(format!("It can embed {}.", known.join(", "))),
        }
    }
}

static NO_NARROWING: Narrowing = Narrowing { conditions: Vec::new(), order: Vec::new(), limit: None };

/// A way from one resource to another.
struct Link<'a> {
    to: &'a Resource,
    middle: Option<&'a Resource>,
    join: Join<'a>,
    one: bool,
    /// Foreign key columns that tell this way from others.
    hints: Vec<&'a Ident>,
    /// Whether the resource between pairs rows, each two once: a plainer way than over rows that happen to name both.
    pairs: bool,
}

impl<'a> Link<'a> {
    /// Along a foreign key of the upper resource.
    fn up(reference: &'a Reference, to: &'a Resource) -> Self {
        let pairs = reference.columns.iter().map(|(here, there)| (here, there)).collect();
        let hints = reference.columns.iter().map(|(here, _)| here).collect();
        Self { to, middle: None, join: Join::Direct(pairs), one: true, hints, pairs: false }
    }

    /// Against a foreign key of the lower resource.
    fn down(back: &'a Reference, to: &'a Resource) -> Self {
        let pairs = back.columns.iter().map(|(here, there)| (there, here)).collect();
        let hints = back.columns.iter().map(|(here, _)| here).collect();
        Self { to, middle: None, join: Join::Direct(pairs), one: back.unique, hints, pairs: false }
    }

    /// Over a resource between that names both.
    fn through(from: &'a Resource, middle: &'a Resource, to: &'a Resource) -> Vec<Self> {
        let backs = middle.references.iter().filter(|back| back.target == from.table);
        let ons = || middle.references.iter().filter(|on| on.target == to.table);
        backs
            .flat_map(|back| ons().filter(move |on| *on != back).map(move |on| (back, on)))
            .map(|(back, on)| {
                let above = back.columns.iter().map(|(here, there)| (there, here)).collect();
                let below = on.columns.iter().map(|(here, there)| (here, there)).collect();
                let hints = on.columns.iter().map(|(here, _)| here).collect();
                let mut both: Vec<&Ident> = back.columns.iter().chain(&on.columns).map(|(here, _)| here).collect();
                both.sort_unstable();
                let pairs = middle.unique.iter().any(|columns| columns.iter().eq(both.iter().copied()));
                let join = Join::Through(&middle.table, above, below);
                Self { to, middle: Some(middle), join, one: false, hints, pairs }
            })
            .collect()
    }
}

fn all<'a>(shape: Shape<'a>) -> impl Iterator<Item = Output<'a>> {
    shape.columns.iter().map(|column| {
        let what = What::Spot(Spot { column, keys: &[], as_text: false });
        Output { name: Alias::from(&column.name), what }
    })
}

fn column<'a>(
    shape: Shape<'a>,
    alias: Option<&'a str>,
    path: &'a Path,
    aggregate: Option<Aggregate>,
) -> Result<Output<'a>> {
    let spot = shape.visible_spot(path, "select")?;
    let what = match aggregate {
        None => What::Spot(spot),
        Some(aggregate) => {
            fits(aggregate, spot)?;
            What::Aggregate(aggregate, Some(spot))
        }
    };
    let word = match aggregate {
        Some(Aggregate::Count) => Some("count"),
        Some(Aggregate::Sum) => Some("sum"),
        Some(Aggregate::Avg) => Some("avg"),
        Some(Aggregate::Min) => Some("min"),
        Some(Aggregate::Max) => Some("max"),
        None => None,
    };
    Ok(Output { name: name(alias, word.unwrap_or_else(|| last_name(path)))?, what })
}

/// As in PostgREST: `data->address->>city` is called `city`, `data->tags->0` is called `tags`.
fn last_name(path: &Path) -> &str {
    let named = path.keys.iter().rev().find_map(|key| match key {
        Key::Name(name) => Some(name.as_str()),
        Key::Index(_) => None,
    });
    named.unwrap_or(&path.column)
}

fn name<'a>(alias: Option<&'a str>, otherwise: &'a str) -> Result<Alias<'a>> {
    let chosen = alias.unwrap_or(otherwise);
    Alias::new(chosen).ok_or_else(|| {
        let detail = format!("`{chosen}` cannot be a name in the answer: use letters, digits and `_`");
        refuse("select", "invalid_parameter", detail).hint("Choose a name: name:column")
    })
}

fn fits(aggregate: Aggregate, spot: Spot<'_>) -> Result<()> {
    let kind = spot.kind();
    let (ok, what) = match aggregate {
        Aggregate::Count => (true, ""),
        Aggregate::Sum | Aggregate::Avg => (matches!(kind, Kind::Integer | Kind::Numeric), "numbers"),
        Aggregate::Min | Aggregate::Max => {
            let ordered = matches!(kind, Kind::Integer | Kind::Numeric | Kind::Text | Kind::Date | Kind::Timestamp);
            (ordered, "numbers, texts, dates and times")
        }
    };
    if ok {
        return Ok(());
    }
    let detail = format!("`{}` cannot be added up this way: only {what} can", spot.column.name.as_str());
    Err(refuse("select", "invalid_parameter", detail))
}

/// Groups are sorted by what leaves of them.
fn group_sorts<'a>(shape: Shape<'a>, outputs: &[Output<'a>], rows: &'a Narrowing) -> Result<Vec<Sort<'a>>> {
    let find = |column: &str| outputs.iter().find(|output| output.name.as_str() == column);
    rows.order
        .iter()
        .map(|order| match find(&order.path.column).filter(|_| order.path.keys.is_empty()) {
            Some(output) => {
                let by = SortBy::Output(output.name.clone());
                let nulls_first = order.nulls_first.unwrap_or(order.descending);
                Ok(Sort { by, descending: order.descending, nulls_first })
            }
            None => {
                shape.spot(&order.path, "order")?;
                let detail = format!("cannot sort groups by `{}`, which they do not show", order.path.column);
                Err(refuse("order", "invalid_parameter", detail))
            }
        })
        .collect()
}
