//! Conditions as SQL.

use super::spot;
use crate::pack::{Column, Kind};
use crate::resource::parse::Quantifier;
use crate::resource::plan::{Condition, Operand, Sort, SortBy};
use crate::sql::{Sql, Value};

/// A condition on the row of table `level`.
pub fn condition(sql: &mut Sql, level: usize, condition: &Condition<'_>) {
    match condition {
        Condition::Compare(place, sign, operand) => {
            spot(sql, level, *place);
            sql.push(sign);
            compared(sql, place.column, place.keys.is_empty(), operand);
        }
        Condition::Is(place, state) => {
            spot(sql, level, *place);
            sql.push(state);
        }
        Condition::Words(place, language, function, query) => {
            sql.push("to_tsvector('").push(language).push("', ");
            spot(sql, level, *place);
            sql.push(") @@ ").push(function).push("('").push(language).push("', ").bind(query.clone()).push(")");
        }
        Condition::Not(inner) => {
            sql.push("not (");
            self::condition(sql, level, inner);
            sql.push(")");
        }
        Condition::Any(members) => joined(sql, level, members, " or ", "false"),
        Condition::All(members) => joined(sql, level, members, " and ", "true"),
    }
}

fn joined(sql: &mut Sql, level: usize, members: &[Condition<'_>], word: &'static str, none: &'static str) {
    sql.push("(");
    for (at, member) in members.iter().enumerate() {
        sql.push(if at == 0 { "" } else { word });
        condition(sql, level, member);
    }
    sql.push(if members.is_empty() { none } else { "" }).push(")");
}

fn compared(sql: &mut Sql, column: &Column, whole: bool, operand: &Operand) {
    match operand {
        Operand::Plain(value) => sql.bind(value.clone()),
        Operand::Json(value) => sql.bind(value.clone()).push("::jsonb"),
        Operand::Many(quantifier, values) => {
            sql.push(if *quantifier == Quantifier::Any { "any (" } else { "all (" }).bind(values.clone()).push("::");
            // The type's name is PostgreSQL's own, from the catalogue.
            sql.push_trusted(if whole { element(column) } else { "text" }).push("[])")
        }
    };
}

/// The column's type without its limits: a cast to `numeric(18,2)` or `char(2)` would change the value.
fn element(column: &Column) -> &str {
    match column.kind {
        Kind::Text if column.sql_type.starts_with("character(") => "bpchar",
        Kind::Text if column.sql_type.starts_with("character varying(") => "varchar",
        Kind::Numeric => "numeric",
        Kind::Timestamp => "timestamptz",
        _ => &column.sql_type,
    }
}

/// Rows behind the one that has these sort values.
///
/// A row comparison where all sorts go one way over values that are never null, because one index can serve it;
/// otherwise `a > x or (a = x and (b > y or …))`, with the places of nulls.
pub fn after(sql: &mut Sql, level: usize, sorts: &[Sort<'_>], values: &[Option<String>]) {
    let uniform = sorts.iter().all(|sort| sort.descending == sorts[0].descending && !is_nullable(sort));
    if uniform && values.iter().all(Option::is_some) {
        sql.push("(");
        for (at, sort) in sorts.iter().enumerate() {
            sql.push(if at == 0 { "" } else { ", " });
            sorted(sql, level, sort);
        }
        sql.push(if sorts[0].descending { ") < (" } else { ") > (" });
        for (at, value) in values.iter().enumerate() {
            sql.push(if at == 0 { "" } else { ", " }).bind(bound(value));
        }
        sql.push(")");
        return;
    }
    for (at, (sort, value)) in sorts.iter().zip(values).enumerate() {
        sql.push("(");
        behind(sql, level, sort, value);
        if at + 1 < sorts.len() {
            sql.push(" or (");
            sorted(sql, level, sort);
            match value {
                Some(_) => sql.push(" = ").bind(bound(value)).push(" and "),
                None => sql.push(" is null and "),
            };
        }
    }
    for at in 0..sorts.len() {
        sql.push(if at == 0 { ")" } else { "))" });
    }
}

fn behind(sql: &mut Sql, level: usize, sort: &Sort<'_>, value: &Option<String>) {
    let nulls_follow = is_nullable(sort) && !sort.nulls_first;
    match value {
        None if sort.nulls_first => {
            sorted(sql, level, sort);
            sql.push(" is not null");
        }
        None => {
            sql.push("false");
        }
        Some(_) => {
            sorted(sql, level, sort);
            sql.push(if sort.descending { " < " } else { " > " }).bind(bound(value));
            if nulls_follow {
                sql.push(" or ");
                sorted(sql, level, sort);
                sql.push(" is null");
            }
        }
    }
}

fn is_nullable(sort: &Sort<'_>) -> bool {
    match &sort.by {
        SortBy::Spot(place) => place.is_nullable(),
        SortBy::Output(_) => true,
    }
}

fn bound(value: &Option<String>) -> Value {
    value.clone().map_or_else(Value::null, Value::text)
}

/// What a sort sorts by.
pub fn sorted(sql: &mut Sql, level: usize, sort: &Sort<'_>) {
    match &sort.by {
        SortBy::Spot(place) => spot(sql, level, *place),
        SortBy::Output(name) => {
            sql.alias(name);
        }
    }
}
