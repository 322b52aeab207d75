//! What a tenant's role may do in its schema: the least that the manifests of its packs need.
//!
//! Rights are a set that can be compared: what a role holds is asked of PostgreSQL, and only what differs is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use sha2::{Digest, Sha256};
use tokio_postgres::Row;

use super::catalog::{Catalog, Column, Resource};
use super::manifest::{Method, ResourceEntry};
use super::source::Pack;
use crate::db::Place;
use crate::error::{Error, Result};
use crate::ident::Ident;
use crate::sql::literal;

/// Asks what a role holds: $1 = the role, $2 = the schema. For [`Held::read`].
pub const HELD: &str = include_str!("held.sql");

/// What rights are granted on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Schema,
    /// A table or view.
    Relation(String),
    /// A function with the types of its arguments.
    Function(String),
}

/// `column:privilege`, without a column `:privilege`.
type Entries = BTreeSet<String>;

/// Grants and row security.
#[derive(Debug, Default)]
pub struct Rights {
    grants: BTreeMap<Thing, Entries>,
    /// The condition of each table with row security: SQL of the pack's author, accepted by the pack check.
    scopes: BTreeMap<String, String>,
}

/// What a role holds now.
#[derive(Debug, Default)]
pub struct Held {
    grants: BTreeMap<Thing, Entries>,
    /// The mark of each policy that is in force.
    scopes: BTreeMap<String, String>,
}

impl Held {
    /// Reads the answer of [`HELD`].
    pub fn read(rows: &[Row]) -> Self {
        let mut held = Self::default();
        for row in rows {
            let (name, mut entries): (String, Vec<String>) = (row.get(1), row.get(2));
            let thing = match row.get(0) {
                "schema" => Thing::Schema,
                "relation" => Thing::Relation(name),
                "function" => Thing::Function(name),
                _ => {
                    held.scopes.insert(name, entries.pop().unwrap_or_default());
                    continue;
                }
            };
            held.grants.entry(thing).or_default().extend(entries);
        }
        held
    }
}

impl Rights {
    /// What a pack's manifest gives; while its module is switched off, its tables can only be read, whatever the service
    /// above would allow.
    pub fn of(catalog: &Catalog, pack: &Pack, switched_on: bool) -> Result<Self> {
        let manifest = &pack.manifest;
        let mut rights = Self::default();
        rights.give(Thing::Schema, "usage");
        for (name, entry) in &manifest.resource {
            let resource =
                catalog.resource(name).ok_or_else(|| Error::internal(format!("{name} is not in the catalogue")))?;
            rights.give_table(resource, entry, switched_on);
        }
        for name in manifest.report.keys() {
            let report =
                catalog.report(name).ok_or_else(|| Error::internal(format!("{name} is not in the catalogue")))?;
            let relation = report.relation.as_str();
            match report.parameters {
                None => rights.give(Thing::Relation(relation.to_owned()), "select"),
                Some(_) => rights.give(Thing::Function(format!("{relation}({})", report.signature)), "execute"),
            }
        }
        for job in catalog.jobs().iter().filter(|job| switched_on && job.module == manifest.code) {
            rights.give(Thing::Function(format!("{}()", job.function.as_str())), "execute");
        }
        manifest.select.iter().for_each(|view| rights.give(Thing::Relation(view.clone()), "select"));
        manifest.execute.iter().for_each(|signature| rights.give(Thing::Function(signature.clone()), "execute"));
        Ok(rights)
    }

    /// Adds what another pack gives.
    pub fn extend(&mut self, other: Self) {
        other.grants.into_iter().for_each(|(thing, entries)| self.grants.entry(thing).or_default().extend(entries));
        self.scopes.extend(other.scopes);
    }

    fn give(&mut self, thing: Thing, privilege: &str) {
        self.grants.entry(thing).or_default().insert(format!(":{privilege}"));
    }

    /// The catalogue knows which columns a body may hold; PostgreSQL refuses every other one too.
    fn give_table(&mut self, resource: &Resource, entry: &ResourceEntry, switched_on: bool) {
        let has = |method| resource.methods.contains(&method) && !resource.by_service.contains(&method);
        let key = |column: &Column| resource.replaceable() && column.name == resource.key.name;
        let table = resource.table.as_str();
        let mut columns = |privilege: &str, chosen: &dyn Fn(&Column) -> bool| {
            let names = resource.columns.iter().filter(|column| chosen(column)).map(|column| column.name.as_str());
            let entries = self.grants.entry(Thing::Relation(table.to_owned())).or_default();
            entries.extend(names.map(|name| format!("{name}:{privilege}")));
        };
        if !entry.hidden.is_empty() {
            columns("select", &|_| true);
        }
        if switched_on && has(Method::Create) && resource.maker.is_none() {
            columns("insert", &|column| column.writable || key(column));
        }
        if switched_on && has(Method::Update) {
            columns("update", &|column| column.writable);
        }
        if entry.hidden.is_empty() {
            self.give(Thing::Relation(table.to_owned()), "select");
        }
        if switched_on && has(Method::Delete) {
            self.give(Thing::Relation(table.to_owned()), "delete");
        }
        if let Some(scope) = &entry.scope {
            self.scopes.insert(table.to_owned(), scope.clone());
        }
        for function in resource.functions().filter(|_| switched_on) {
            self.give(Thing::Function(format!("{}(uuid, jsonb)", function.as_str())), "execute");
        }
    }

    /// SQL that gives all of it to who has nothing; run by the owner role with the schema in its path.
    pub fn sql(&self, place: &Place) -> Result<String> {
        self.change(place, &Held::default(), false)
    }

    /// SQL that gives what a role lacks and, where that is wanted, takes away what it should not have; empty when there is
    /// nothing to do.
    pub fn change(&self, place: &Place, held: &Held, takes_away: bool) -> Result<String> {
        let role = &place.role;
        let mut sql = String::new();
        let (nothing, all) = (Entries::new(), self.grants.keys().chain(held.grants.keys()).collect::<BTreeSet<_>>());
        let differing = |thing: &&&Thing| {
            let wanted = self.grants.get(**thing).unwrap_or(&nothing);
            let has = held.grants.get(**thing).unwrap_or(&nothing);
            if takes_away { wanted != has } else { !wanted.is_subset(has) }
        };
        let differing: Vec<&Thing> = all.iter().filter(differing).copied().collect();
        for thing in differing.iter().filter(|thing| takes_away && held.grants.contains_key(thing)) {
            let _ = writeln!(sql, "revoke all on {} from {role};", on(thing, place)?);
        }
        for thing in differing {
            if let Some(privileges) = self.grants.get(thing).filter(|entries| !entries.is_empty()) {
                let _ = writeln!(sql, "grant {} on {} to {role};", list(privileges)?, on(thing, place)?);
            }
        }
        for (table, scope) in &self.scopes {
            let mark = mark(scope);
            if held.scopes.get(table) != Some(&mark) {
                let (table, mark) = (Ident::new(&**table)?, literal(&mark));
                let _ = writeln!(
                    sql,
                    "alter table {table} enable row level security;
                     drop policy if exists scope on {table};
                     create policy scope on {table} to {role} using ({scope}) with check ({scope});
                     comment on policy scope on {table} is {mark};"
                );
            }
        }
        Ok(sql)
    }
}

fn on(thing: &Thing, place: &Place) -> Result<String> {
    Ok(match thing {
        Thing::Schema => format!("schema {}", place.schema),
        Thing::Relation(name) => format!("table {}", Ident::new(&**name)?),
        Thing::Function(signature) => format!("function {signature}"),
    })
}

/// `select, insert ("a", "b")`
fn list(entries: &Entries) -> Result<String> {
    let mut columns: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for entry in entries {
        let (column, privilege) = entry.split_once(':').unwrap_or(("", entry));
        let names = columns.entry(privilege).or_default();
        if !column.is_empty() {
            names.push(Ident::new(column)?.to_string());
        }
    }
    let whole = |privilege: &str| entries.contains(&format!(":{privilege}"));
    let words = columns.iter().map(|(privilege, names)| match whole(privilege) {
        true => (*privilege).to_owned(),
        false => format!("{privilege} ({})", names.join(", ")),
    });
    Ok(words.collect::<Vec<_>>().join(", "))
}

/// PostgreSQL writes conditions back in words of its own: by this mark one is known again.
fn mark(scope: &str) -> String {
    let digest = Sha256::digest(scope);
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::db::BucketId;

    fn place() -> Place {
        let name = |name: &str| Ident::new(name).unwrap();
        Place {
            tenant: Uuid::nil(),
            bucket: BucketId(1),
            schema: name("tenant_acme"),
            role: name("i_t_acme"),
            owner: name("i_b1_owner"),
            timezone: Arc::from("UTC"),
        }
    }

    fn grants(of: &[(&str, &[&str])]) -> BTreeMap<Thing, Entries> {
        let entry = |(name, entries): &(&str, &[&str])| {
            (Thing::Relation((*name).to_owned()), entries.iter().map(|entry| (*entry).to_owned()).collect())
        };
        of.iter().map(entry).collect()
    }

    #[test]
    fn only_what_differs_is_changed() {
        let wanted = Rights {
            grants: grants(&[("a", &[":select", "x:insert", "y:insert"]), ("b", &[":select"])]),
            ..Rights::default()
        };
        let held = |of: &[(&str, &[&str])]| Held { grants: grants(of), ..Held::default() };
        let change = |of: &[(&str, &[&str])], takes_away| wanted.change(&place(), &held(of), takes_away).unwrap();
        assert_eq!(change(&[("a", &["y:insert", "x:insert", ":select"]), ("b", &[":select"])], true), "");
        let more: &[(&str, &[&str])] =
            &[("a", &[":delete", ":select", "x:insert"]), ("b", &[":select"]), ("c", &[":select"])];
        assert_eq!(
            change(more, true),
            "revoke all on table \"a\" from \"i_t_acme\";\nrevoke all on table \"c\" from \"i_t_acme\";\n\
             grant insert (\"x\", \"y\"), select on table \"a\" to \"i_t_acme\";\n"
        );
        let given = change(more, false);
        assert!(given.starts_with("grant insert") && !given.contains("revoke"), "{given}");
    }

    #[test]
    fn a_condition_is_made_anew_when_it_reads_otherwise() {
        let scopes = |scope: &str| BTreeMap::from([("a".to_owned(), scope.to_owned())]);
        let wanted = Rights { scopes: scopes("true"), ..Rights::default() };
        let change = |marked: &str| {
            let held = Held { scopes: scopes(marked), ..Held::default() };
            wanted.change(&place(), &held, true).unwrap()
        };
        assert_eq!(change(&mark("true")), "");
        for other in ["", &mark("false")] {
            assert!(change(other).contains("create policy scope on \"a\""), "{other}");
        }
    }
}
