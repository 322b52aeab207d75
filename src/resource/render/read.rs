//! Reads as SQL: one statement, whatever is embedded.

use super::filter::{after, condition, sorted};
use super::{output_value, spot};
use crate::ident::Ident;
use crate::pack::{Kind, Resource};
use crate::resource::parse::Aggregate;
use crate::resource::plan::{Embed, Join, Level, ListPlan, Output, RowKey, SortBy, Spot, What};
use crate::sql::{Sql, Value};

/// A page ends when its JSON exceeds this many bytes, whatever its limit: `has_more` and the cursor say so.
const PAGE_BYTES: &str = "8388608";

/// What one embedded list may hold.
const EMBED_BYTES: &str = "2097152";

/// How the rows of a list are counted beyond its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// All are counted.
    Exact,
    /// PostgreSQL's estimate.
    Planned,
    /// Counted up to a thousand, then estimated.
    Estimated,
}

/// A page. The count is one more than the limit when there are more rows; the body is a line of JSON
/// `[rows shown, total or null, sort values of the last row shown or null]`, then the rows as a JSON array.
pub fn list(plan: &ListPlan<'_>, count: Option<Count>) -> Sql {
    let mut sql = Sql::new("select count(*), json_build_array(count(*) filter (where shown), ");
    total(&mut sql, plan, count);
    sql.push(
        ", ((array_agg(k) filter (where shown))[count(*) filter (where shown)])::json)::text || E'\\n[' \
         || coalesce(string_agg(j, ',') filter (where shown), '') || ']' \
         from (select j, k, n <= ",
    );
    sql.number(plan.limit).push(" and (n = 1 or size <= ").push(PAGE_BYTES);
    sql.push(") as shown from (select j, k, count(*) over w as n, sum(octet_length(j)) over w as size from (");
    rows(&mut sql, plan);
    sql.push(" offset 0) p window w as (rows unbounded preceding)) s) l");
    sql
}

/// Rows as `j` with their sort values as `k`, one more than the limit.
fn rows(sql: &mut Sql, plan: &ListPlan<'_>) {
    let level = &plan.level;
    if level.grouped {
        sql.push("select row_to_json(r)::text as j, null::text as k from (");
        shown_groups(sql, 0, level);
        select(sql, 0, level, &mut 1);
        from(sql, 0, level);
        filters(sql, 0, level, None);
        end(sql, 0, level);
        sql.push(" limit ").number(plan.limit + 1).push(") t0) r");
        return;
    }
    sql.push("select row_to_json(r)::text as j, ");
    keys(sql, plan);
    sql.push(" as k from (");
    base(sql, level, None);
    let behind = |sql: &mut Sql| after(sql, 0, &level.sorts, plan.after.as_deref().unwrap_or_default());
    filters(sql, 0, level, plan.after.as_ref().map(|_| &behind as &dyn Fn(&mut Sql)));
    end(sql, 0, level);
    sql.push(" limit ").number(plan.limit + 1).push(") t0 cross join lateral (");
    select(sql, 0, level, &mut 1);
    sql.push(") r");
}

fn keys(sql: &mut Sql, plan: &ListPlan<'_>) {
    let spots = plan.level.sorts.iter().filter_map(|sort| match sort.by {
        SortBy::Spot(place) => Some(place),
        SortBy::Output(_) => None,
    });
    let mut any = false;
    for place in spots {
        sql.push(if any { ", " } else { "json_build_array(" });
        spot(sql, 0, place);
        sql.push("::text");
        any = true;
    }
    sql.push(if any { ")::text" } else { "null::text" });
}

fn total(sql: &mut Sql, plan: &ListPlan<'_>, count: Option<Count>) {
    match count.map(|count| if plan.estimable { count } else { Count::Exact }) {
        None => {
            sql.push("null::bigint");
        }
        Some(Count::Exact) => {
            sql.push("(select count(*) from (");
            counted(sql, plan);
            sql.push(") c)");
        }
        Some(Count::Planned) => planned(sql, plan),
        Some(Count::Estimated) => {
            sql.push("(select case when c.n > 1000 then greatest(c.n, ");
            planned(sql, plan);
            sql.push(") else c.n end from (select count(*) as n from (");
            counted(sql, plan);
            sql.push(" limit 1001) c) c)");
        }
    }
}

fn counted(sql: &mut Sql, plan: &ListPlan<'_>) {
    let level = &plan.level;
    if level.grouped {
        select(sql, 0, level, &mut 1);
    } else {
        sql.push("select 1");
    }
    from(sql, 0, level);
    filters(sql, 0, level, None);
    groups(sql, level);
}

/// The planner is asked about the same rows; its statement takes no binds, so PostgreSQL itself puts the values in.
fn planned(sql: &mut Sql, plan: &ListPlan<'_>) {
    let mut asked = Sql::default();
    counted(&mut asked, plan);
    let (template, values) = asked.into_template();
    sql.push("app_planned(").bind(Value::text(template)).push("::text, ").bind(values).push("::text[])");
}

/// The form of the rows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A JSON object a row.
    Json,
    /// A value each column, as text.
    Text,
    /// The same, with times of day where the tenant is, as people read them in a sheet.
    Sheet,
}

/// The rows of a file, all of them unless the request sets a limit.
pub fn export(plan: &ListPlan<'_>, form: Form) -> Sql {
    let level = &plan.level;
    let mut sql = Sql::default();
    if form == Form::Json {
        sql.push("select row_to_json(r)::text from (");
    } else {
        for (position, output) in level.outputs.iter().enumerate() {
            sql.push(if position == 0 { "select " } else { ", " });
            let local =
                form == Form::Sheet && matches!(&output.what, What::Spot(place) if place.kind() == Kind::Timestamp);
            sql.push(if local { "(r." } else { "r." }).alias(&output.name);
            sql.push(if local { " at time zone current_setting('app.timezone'))::text" } else { "::text" });
        }
        sql.push(" from (");
    }
    if level.grouped {
        shown_groups(&mut sql, 0, level);
    }
    select(&mut sql, 0, level, &mut 1);
    from(&mut sql, 0, level);
    filters(&mut sql, 0, level, None);
    end(&mut sql, 0, level);
    if let Some(limit) = level.limit {
        sql.push(" limit ").number(limit);
    }
    sql.push(if level.grouped { ") t0) r" } else { ") r" });
    sql
}

/// One row: its version, a line feed, and what is shown of it.
pub fn row(resource: &Resource, level: &Level<'_>, key: &RowKey) -> Sql {
    let mut sql = Sql::new("select count(*), string_agg(");
    let version = resource.version();
    if let Some(column) = version {
        sql.push("t0.").ident(column).push("::text || ");
    }
    sql.push("E'\\n' || row_to_json(r)::text, '') from (");
    base(&mut sql, level, version);
    let this = |sql: &mut Sql| {
        sql.push("t0.").ident(&resource.key.name).push(" = ").bind(key.0.clone());
    };
    filters(&mut sql, 0, level, Some(&this));
    sql.push(") t0 cross join lateral (");
    select(&mut sql, 0, level, &mut 1);
    sql.push(") r");
    sql
}

/// The columns that the rest of the statement asks for; others may be closed to the tenant's role.
fn base(sql: &mut Sql, level: &Level<'_>, version: Option<&Ident>) {
    let mut needed: Vec<&Ident> = version.into_iter().collect();
    for output in &level.outputs {
        match &output.what {
            What::Spot(place) => needed.push(&place.column.name),
            What::Embed(embed) => needed.extend(embed.join.upper().iter().map(|(column, _)| *column)),
            What::Aggregate(..) => {}
        }
    }
    needed.extend(level.sorts.iter().filter_map(|sort| match &sort.by {
        SortBy::Spot(place) => Some(&place.column.name),
        SortBy::Output(_) => None,
    }));
    for (at, column) in needed.iter().enumerate().filter(|(at, column)| !needed[..*at].contains(column)) {
        sql.push(if at == 0 { "select " } else { ", " }).push("t0.").ident(column);
    }
    from(sql, 0, level);
}

fn select(sql: &mut Sql, at: usize, level: &Level<'_>, next: &mut usize) {
    sql.push("select ");
    for (position, output) in level.outputs.iter().enumerate() {
        sql.push(if position == 0 { "" } else { ", " });
        what(sql, at, level.grouped, output, next);
        if !is_named_like_its_column(output) {
            sql.push(" as ").alias(&output.name);
        }
    }
}

fn is_named_like_its_column(output: &Output<'_>) -> bool {
    let What::Spot(place) = output.what else { return false };
    place.keys.is_empty() && place.kind() != Kind::Numeric && output.name.as_str() == place.column.name.as_str()
}

/// Groups keep their own types until they are sorted.
fn what(sql: &mut Sql, at: usize, grouped: bool, output: &Output<'_>, next: &mut usize) {
    match &output.what {
        What::Spot(place) if grouped => spot(sql, at, *place),
        What::Spot(place) => output_value(sql, at, *place),
        What::Aggregate(aggregate, place) => aggregated(sql, at, *aggregate, *place),
        What::Embed(embed) => embedded(sql, at, embed, next),
    }
}

fn aggregated(sql: &mut Sql, at: usize, aggregate: Aggregate, place: Option<Spot<'_>>) {
    let Some(place) = place else {
        sql.push("count(*)");
        return;
    };
    sql.push(match aggregate {
        Aggregate::Count => "count(",
        Aggregate::Sum => "sum(",
        Aggregate::Avg => "avg(",
        Aggregate::Min => "min(",
        Aggregate::Max => "max(",
    });
    spot(sql, at, place);
    sql.push(")");
}

/// What leaves of groups; the groups themselves follow as table `at` in parentheses.
fn shown_groups(sql: &mut Sql, at: usize, level: &Level<'_>) {
    for (position, output) in level.outputs.iter().enumerate() {
        sql.push(if position == 0 { "select " } else { ", " }).table(at).push(".").alias(&output.name);
        if is_numeric(output) {
            sql.push("::text as ").alias(&output.name);
        }
    }
    sql.push(" from (");
}

/// Means, and sums of anything but small integers, are `numeric` in PostgreSQL.
fn is_numeric(output: &Output<'_>) -> bool {
    match &output.what {
        What::Spot(place) | What::Aggregate(Aggregate::Min | Aggregate::Max, Some(place)) => {
            place.kind() == Kind::Numeric
        }
        What::Aggregate(Aggregate::Sum, Some(place)) => {
            place.kind() == Kind::Numeric || place.column.sql_type == "bigint"
        }
        What::Aggregate(Aggregate::Avg, _) => true,
        What::Aggregate(..) | What::Embed(_) => false,
    }
}

/// An embedded list holds at most 2 MiB, and without a limit of its own 1000 rows; more is an error, because nobody would
/// see that some are missing. The bytes are added up row by row, so that PostgreSQL never holds more of them.
fn embedded(sql: &mut Sql, above: usize, embed: &Embed<'_>, next: &mut usize) {
    let Embed { one, level, .. } = embed;
    if *one {
        sql.push("(select row_to_json(r) from (");
        embedded_rows(sql, above, embed, next);
        sql.push(") r)");
        return;
    }
    sql.push("(select case when max(size) > ").push(EMBED_BYTES);
    sql.push(if level.limit.is_some() { "" } else { " or count(*) > 1000" });
    sql.push(" then app_too_many() else coalesce(json_agg(j) filter (where size <= ").push(EMBED_BYTES);
    sql.push("), '[]') end from (select j, sum(octet_length(j::text)) over (rows unbounded preceding) as size");
    sql.push(" from (select row_to_json(r) as j from (");
    embedded_rows(sql, above, embed, next);
    sql.push(") r offset 0) e) e)");
}

fn embedded_rows(sql: &mut Sql, above: usize, embed: &Embed<'_>, next: &mut usize) {
    let at = *next;
    *next += 1;
    let level = &embed.level;
    if level.grouped {
        shown_groups(sql, at, level);
    }
    select(sql, at, level, next);
    joined(sql, above, at, embed, next);
    end(sql, at, level);
    if !embed.one {
        sql.push(" limit ").number(level.limit.unwrap_or(1001));
    }
    if level.grouped {
        sql.push(") ").table(at);
    }
}

/// The rows of an embedded level that belong to the row above, filtered.
fn joined(sql: &mut Sql, above: usize, at: usize, embed: &Embed<'_>, next: &mut usize) {
    let between = *next;
    *next += usize::from(matches!(embed.join, Join::Through(..)));
    let belongs = |sql: &mut Sql| match &embed.join {
        Join::Direct(pairs) => pairs_equal(sql, above, at, pairs),
        Join::Through(middle, upper, lower) => {
            sql.push("exists (select from ").ident(middle).push(" ").table(between).push(" where ");
            pairs_equal(sql, above, between, upper);
            sql.push(" and ");
            pairs_equal(sql, between, at, lower);
            sql.push(")");
        }
    };
    from(sql, at, &embed.level);
    filters(sql, at, &embed.level, Some(&belongs));
}

fn pairs_equal(sql: &mut Sql, one: usize, other: usize, pairs: &[(&Ident, &Ident)]) {
    for (position, (left, right)) in pairs.iter().enumerate() {
        sql.push(if position == 0 { "" } else { " and " });
        sql.table(other).push(".").ident(right).push(" = ").table(one).push(".").ident(left);
    }
}

fn from(sql: &mut Sql, at: usize, level: &Level<'_>) {
    sql.push(" from ").ident(level.relation);
    if let Some(arguments) = &level.arguments {
        for (position, (name, value)) in arguments.iter().enumerate() {
            sql.push(if position == 0 { "(" } else { ", " }).ident(name).push(" => ").bind(value.clone());
        }
        sql.push(if arguments.is_empty() { "()" } else { ")" });
    }
    sql.push(" ").table(at);
}

/// WHERE: what `first` writes, the level's own conditions, and that required embedded rows exist.
fn filters(sql: &mut Sql, at: usize, level: &Level<'_>, first: Option<&dyn Fn(&mut Sql)>) {
    let mut word = " where ";
    if let Some(first) = first {
        sql.push(word);
        first(sql);
        word = " and ";
    }
    for member in &level.conditions {
        sql.push(word);
        condition(sql, at, member);
        word = " and ";
    }
    for output in &level.outputs {
        if let What::Embed(embed @ Embed { inner: true, .. }) = &output.what {
            let lower = at + INNER;
            sql.push(word).push("exists (select");
            joined(sql, at, lower, embed, &mut (lower + 1));
            sql.push(")");
            word = " and ";
        }
    }
}

/// ` where …`: the rows of a list that is changed instead of read; its table goes by the name `t0`.
pub fn conditions(sql: &mut Sql, plan: &ListPlan<'_>) {
    filters(sql, 0, &plan.level, None);
}

/// Table numbers of EXISTS conditions start this far above those of their level.
const INNER: usize = 20;

/// GROUP BY and ORDER BY.
fn end(sql: &mut Sql, at: usize, level: &Level<'_>) {
    groups(sql, level);
    for (position, sort) in level.sorts.iter().enumerate() {
        sql.push(if position == 0 { " order by " } else { ", " });
        sorted(sql, at, sort);
        sql.push(if sort.descending { " desc" } else { "" });
        sql.push(match (sort.descending, sort.nulls_first) {
            (false, true) => " nulls first",
            (true, false) => " nulls last",
            _ => "",
        });
    }
}

fn groups(sql: &mut Sql, level: &Level<'_>) {
    if !level.grouped {
        return;
    }
    let plain = (1..).zip(&level.outputs).filter(|(_, output)| matches!(output.what, What::Spot(_)));
    for (count, (position, _)) in plain.enumerate() {
        sql.push(if count == 0 { " group by " } else { ", " }).number(position);
    }
}
