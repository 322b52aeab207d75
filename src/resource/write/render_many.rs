//! Changes of many rows as SQL. Every statement answers `(count bigint, body text)`, the body a JSON array of rows.

use super::super::body::{Fields, Group};
use super::super::plan::ListPlan;
use super::super::prefer::Resolution;
use super::super::render::conditions;
use super::super::row::{body, columns};
use super::render::{assignments, returning, separated};
use crate::pack::{Column, Resource};
use crate::sql::{Sql, Value};

/// Rows of the same columns; on conflict they are merged or left out.
pub fn insert_many(resource: &Resource, group: &Group<'_>, upsert: Option<&Upsert<'_>>, answer: Answering) -> Sql {
    let mut sql = Sql::new("with w as (insert into ");
    sql.ident(&resource.table);
    separated(&mut sql, " (", &group.columns, |sql, column| {
        sql.ident(&column.name);
    });
    separated(&mut sql, ") select ", &group.columns, |sql, column| {
        sql.push("r.").ident(&column.name);
    });
    sql.push(" from jsonb_populate_recordset(null::").ident(&resource.table).push(", ");
    sql.bind(Value::text(&*group.json)).push("::jsonb) with ordinality r order by r.ordinality");
    if let Some(upsert) = upsert {
        on_conflict(&mut sql, group, upsert);
    }
    if answer == Answering::Number {
        sql.push(" returning 1) select count(*), null::text from w");
        return sql;
    }
    returning(&mut sql, resource);
    sql.push(") select count(*), ");
    match answer {
        Answering::Row => sql.push("string_agg(").push(body(resource)).push(", '')"),
        Answering::Rows | Answering::Number => sql.push(ROWS),
    };
    sql.push(" from (select ");
    columns(&mut sql, resource);
    sql.push(" from w) r");
    sql
}

fn on_conflict(sql: &mut Sql, group: &Group<'_>, upsert: &Upsert<'_>) {
    separated(sql, " on conflict (", &upsert.columns, |sql, column| {
        sql.ident(&column.name);
    });
    let named = |column: &&Column| upsert.columns.iter().any(|other| other.name == column.name);
    let merged: Vec<&Column> =
        group.columns.iter().copied().filter(|column| column.writable && !named(column)).collect();
    if upsert.resolution == Resolution::Ignore || merged.is_empty() {
        sql.push(") do nothing");
        return;
    }
    separated(sql, ") do update set ", &merged, |sql, column| {
        sql.ident(&column.name).push(" = excluded.").ident(&column.name);
    });
}

/// How rows answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answering {
    /// As one row with its version.
    Row,
    /// As a JSON array.
    Rows,
    /// With their number only.
    Number,
}

/// What happens to new rows that are there already.
pub struct Upsert<'a> {
    /// Columns that say which row is meant.
    pub columns: Vec<&'a Column>,
    /// What happens.
    pub resolution: Resolution,
}

const ROWS: &str = "'[' || coalesce(string_agg(row_to_json(r)::text, ','), '') || ']'";

/// Changes of all rows of a list, unless they are more than `most`.
pub fn update_where(resource: &Resource, plan: &ListPlan<'_>, fields: &Fields<'_>, most: u64) -> Sql {
    let mut sql = Sql::new("with w as (update ");
    sql.ident(&resource.table).push(" t0");
    assignments(&mut sql, fields);
    conditions(&mut sql, plan);
    returning(&mut sql, resource);
    sql.push(") select ");
    at_most(&mut sql, most);
    sql.push(", ").push(ROWS).push(" from (select ");
    columns(&mut sql, resource);
    sql.push(" from w) r");
    sql
}

/// The end of all rows of a list, unless they are more than `most`.
pub fn delete_where(resource: &Resource, plan: &ListPlan<'_>, most: u64) -> Sql {
    let mut sql = Sql::new("with w as (delete from ");
    sql.ident(&resource.table).push(" t0");
    conditions(&mut sql, plan);
    sql.push(" returning 1) select ");
    at_most(&mut sql, most);
    sql.push(", null::text from w");
    sql
}

fn at_most(sql: &mut Sql, most: u64) {
    sql.push("insula.app_at_most(count(*), ").bind(Value::text(most.to_string())).push("::bigint)");
}
