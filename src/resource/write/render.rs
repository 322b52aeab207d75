//! Changes of one row as SQL. Every statement answers `(count bigint, body text)`, the body as [`Row::read`] reads it.
//!
//! [`Row::read`]: super::super::row::Row::read

use super::super::body::{Field, Fields};
use super::super::plan::RowKey;
use super::super::row::{body, columns};
use crate::ident::Ident;
use crate::pack::{Column, Kind, Resource};
use crate::sql::{Sql, Value};

/// What a statement does when it finds no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// It says so.
    Told,
    /// It fails, so that everything before it in the transaction is undone.
    Demanded,
}

impl Counting {
    fn of(self, sql: &mut Sql, count: &'static str) {
        match self {
            Self::Told => sql.push(count),
            Self::Demanded => sql.push("insula.app_found(").push(count).push(")"),
        };
    }
}

/// The row that a statement is about: its key, and the versions of which one must stand there.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The resource.
    pub resource: &'a Resource,
    /// The key.
    pub key: &'a RowKey,
    /// The versions, when the caller names any.
    pub versions: Option<&'a [i64]>,
    /// What happens when it is not there.
    pub counting: Counting,
}

impl Target<'_> {
    fn condition(&self, sql: &mut Sql) {
        sql.push(" where ").ident(&self.resource.key.name).push(" = ").bind(self.key.0.clone());
        match self.versions {
            None => {}
            Some(_) if self.resource.version().is_none() => {
                sql.push(" and false");
            }
            Some(versions) => {
                let list = versions.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
                sql.push(" and row_version = any(").bind(Value::text(format!("{{{list}}}"))).push("::bigint[])");
            }
        }
    }

    fn answer(&self, sql: &mut Sql) {
        sql.push("select ");
        self.counting.of(sql, "count(*)");
        sql.push(", string_agg(").push(body(self.resource)).push(", '') from (select ");
        columns(sql, self.resource);
    }
}

/// One row.
pub fn read(target: &Target<'_>) -> Sql {
    let mut sql = Sql::default();
    target.answer(&mut sql);
    sql.push(" from ").ident(&target.resource.table);
    target.condition(&mut sql);
    sql.push(") r");
    sql
}

/// A new row.
pub fn insert(resource: &Resource, fields: &Fields<'_>) -> Sql {
    let mut sql = Sql::new("with w as (insert into ");
    sql.ident(&resource.table);
    if fields.is_empty() {
        sql.push(" default values");
    } else {
        separated(&mut sql, " (", &fields.0, |sql, field| {
            sql.ident(&field.column.name);
        });
        separated(&mut sql, ") values (", &fields.0, |sql, field| bound(sql, field));
        sql.push(")");
    }
    returning(&mut sql, resource);
    sql.push(") select count(*), string_agg(").push(body(resource)).push(", '') from (select ");
    columns(&mut sql, resource);
    sql.push(" from w) r");
    sql
}

/// Changes of one row.
pub fn update(target: &Target<'_>, fields: &Fields<'_>) -> Sql {
    let mut sql = Sql::new("with w as (update ");
    sql.ident(&target.resource.table);
    assignments(&mut sql, fields);
    target.condition(&mut sql);
    returning(&mut sql, target.resource);
    sql.push(") ");
    target.answer(&mut sql);
    sql.push(" from w) r");
    sql
}

/// The end of one row.
pub fn delete(target: &Target<'_>) -> Sql {
    let mut sql = Sql::new("with w as (delete from ");
    sql.ident(&target.resource.table);
    target.condition(&mut sql);
    sql.push(" returning 1) select ");
    target.counting.of(&mut sql, "count(*)");
    sql.push(", null::text from w");
    sql
}

/// Which of the two ways a replacement may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacing {
    /// Both.
    Either,
    /// Only make a row that is not there.
    New,
    /// Only replace a row that is there.
    Present,
}

/// A row wholly as the body says; columns that it does not name get their defaults. The count is 1 when a row was
/// replaced and 2 when it was made.
pub fn replace(target: &Target<'_>, fields: &Fields<'_>, way: Replacing) -> Sql {
    let mut sql = Sql::new("with ");
    if way != Replacing::New {
        replace_present(&mut sql, target, fields);
    }
    if way == Replacing::Either {
        sql.push(", ");
    }
    if way != Replacing::Present {
        replace_absent(&mut sql, target, fields, way);
    }
    sql.push(" select ");
    target.counting.of(&mut sql, "coalesce(sum(n), 0)::bigint");
    sql.push(", string_agg(b, '') from (");
    let part = |sql: &mut Sql, start: &'static str, end: &'static str| {
        sql.push(start).push(body(target.resource)).push(" as b from (select ");
        columns(sql, target.resource);
        sql.push(end);
    };
    match way {
        Replacing::Present => part(&mut sql, "select 1 as n, ", " from u) r"),
        Replacing::New => part(&mut sql, "select 2 as n, ", " from i) r"),
        Replacing::Either => {
            part(&mut sql, "select 1 as n, ", " from u) r union all ");
            part(&mut sql, "select 2, ", " from i) r");
        }
    }
    sql.push(") x");
    sql
}

fn replace_present(sql: &mut Sql, target: &Target<'_>, fields: &Fields<'_>) {
    let resource = target.resource;
    sql.push("u as (update ").ident(&resource.table);
    let all: Vec<&Column> =
        resource.columns.iter().filter(|column| column.writable && column.name != resource.key.name).collect();
    separated(sql, " set ", &all, |sql, column| {
        sql.ident(&column.name).push(" = ");
        match fields.0.iter().find(|field| field.column.name == column.name) {
            Some(field) => bound(sql, field),
            None => {
                sql.push("default");
            }
        }
    });
    target.condition(sql);
    returning(sql, resource);
    sql.push(")");
}

fn replace_absent(sql: &mut Sql, target: &Target<'_>, fields: &Fields<'_>, way: Replacing) {
    let resource = target.resource;
    sql.push("i as (insert into ").ident(&resource.table).push(" (").ident(&resource.key.name);
    for field in &fields.0 {
        sql.push(", ").ident(&field.column.name);
    }
    sql.push(") select ").bind(target.key.0.clone());
    for field in &fields.0 {
        bound(sql.push(", "), field);
    }
    match way {
        Replacing::New => sql.push(" on conflict (").ident(&resource.key.name).push(") do nothing"),
        _ => sql.push(" where not exists (select from u)"),
    };
    returning(sql, resource);
    sql.push(")");
}

/// A call of an action's function.
pub fn action(target: &Target<'_>, function: &Ident, input: Value) -> Sql {
    let call = |sql: &mut Sql| {
        sql.ident(function).push("(").bind(target.key.0.clone()).push("::uuid, ").bind(input.clone()).push("::jsonb)");
    };
    let mut sql = Sql::new("select ");
    if target.versions.is_none() {
        sql.push("1::bigint, ");
        call(&mut sql);
        sql.push("::text");
    } else {
        target.counting.of(&mut sql, "count(*)");
        sql.push(", string_agg(a::text, '') from (select ");
        call(&mut sql);
        sql.push(" as a from ").ident(&target.resource.table);
        target.condition(&mut sql);
        sql.push(") called");
    }
    sql
}

/// ` set a = …, b = …`; an object merges with the document that stands there.
pub fn assignments(sql: &mut Sql, fields: &Fields<'_>) {
    separated(sql, " set ", &fields.0, |sql, field| {
        let name = &field.column.name;
        sql.ident(name).push(" = ");
        if field.merges {
            sql.push("insula.app_merge(").ident(name).push(", ").bind(field.value.clone()).push(")");
        } else {
            bound(sql, field);
        }
    });
}

/// ` returning` all visible columns.
pub fn returning(sql: &mut Sql, resource: &Resource) {
    separated(sql, " returning ", &resource.columns, |sql, column| {
        sql.ident(&column.name);
    });
}

fn bound(sql: &mut Sql, field: &Field<'_>) {
    if field.column.kind == Kind::Array && field.value != Value::null() {
        // The type's name is PostgreSQL's own, from the catalogue.
        sql.push("array(select jsonb_array_elements_text(")
            .bind(field.value.clone())
            .push("::jsonb))::")
            .push_trusted(&field.column.sql_type);
    } else {
        sql.bind(field.value.clone());
    }
}

/// Items with commas between them.
pub fn separated<T>(sql: &mut Sql, before: &'static str, items: &[T], mut each: impl FnMut(&mut Sql, &T)) {
    for (at, item) in items.iter().enumerate() {
        sql.push(if at == 0 { before } else { ", " });
        each(sql, item);
    }
}
