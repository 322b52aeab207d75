//! OpenAPI 3.1, made from the route table and the catalogue for one reader: only what he may call.

mod components;
mod copies;
mod documents;
mod factor;
mod filters;
mod life;
mod links;
mod migrations;
mod operation;
mod operators;
mod platform;
mod reports;
mod resources;
mod roles;
mod words;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::components::Components;
use self::operation::Operation;
use super::problems::Problems;
use super::reader::{Grants, Reader};
use crate::pack::Catalog;

/// A route: method in capitals and path template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// `GET`
    pub method: String,
    /// `/api/v1/{resource}/{id}`
    pub path: &'static str,
}

/// What documents are made from.
pub struct World<'a> {
    /// Resources and reports.
    pub catalog: &'a Catalog,
    /// Error codes.
    pub problems: &'a Problems,
    /// The apex domain, where problem types are described.
    pub domain: &'a str,
}

/// An operation with the place where it stands in the document.
struct Placed {
    path: String,
    method: String,
    operation: Operation,
}

impl Placed {
    fn new(endpoint: &Endpoint, path: String, operation: Operation) -> Self {
        Self { path, method: endpoint.method.to_ascii_lowercase(), operation }
    }
}

/// The document for a reader.
pub fn document(world: &World<'_>, reader: &Reader, endpoints: &[Endpoint]) -> Value {
    let mut components = Components::new(world);
    let mut placed: Vec<Placed> =
        endpoints.iter().flat_map(|endpoint| describe(world, reader, endpoint, &mut components)).collect();
    placed.sort_by(|a, b| words::rank(&a.path).cmp(&words::rank(&b.path)));
    let tags = words::tags(world.catalog, placed.iter().map(|placed| placed.operation.tag.as_str()));
    let mut paths: Map<String, Value> = Map::new();
    for Placed { path, method, operation } in placed {
        let item =
            paths.entry(path).or_insert_with(|| json!({ "parameters": [components::parameter("X-Request-Id")] }));
        item[method] = operation.render();
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": words::title(reader),
            "version": env!("CARGO_PKG_VERSION"),
            "description": words::introduction(reader),
        },
        "servers": [{ "url": "/", "description": "The host that this document came from" }],
        "security": [{ "bearer": [] }],
        "tags": tags,
        "paths": paths,
    });
    document["components"] = components.used_in(&document);
    document
}

/// Every endpoint has a description, or the comparison of the documents with the route table fails.
fn describe(world: &World<'_>, reader: &Reader, endpoint: &Endpoint, components: &mut Components) -> Vec<Placed> {
    let general = platform::describe(reader, endpoint)
        .or_else(|| links::describe(reader, endpoint))
        .or_else(|| documents::describe(endpoint));
    if let Some(operation) = general {
        return vec![Placed::new(endpoint, endpoint.path.to_owned(), operation)];
    }
    match reader {
        Reader::User(grants) => {
            if let Some(operation) = factor::describe(endpoint) {
                return vec![Placed::new(endpoint, endpoint.path.to_owned(), operation)];
            }
            if let Some(operation) = roles::describe(grants, endpoint) {
                return vec![Placed::new(endpoint, endpoint.path.to_owned(), operation)];
            }
            of_packs(world, grants, endpoint, components)
        }
        Reader::TenantVisitor(grants) if !endpoint.path.ends_with("/schema") => {
            let public = of_packs(world, grants, endpoint, components).into_iter();
            public.map(|placed| Placed { operation: placed.operation.for_anybody(), ..placed }).collect()
        }
        Reader::Operator(role) => operators::describe(*role, endpoint)
            .map(|operation| Placed::new(endpoint, endpoint.path.to_owned(), operation))
            .into_iter()
            .collect(),
        Reader::Visitor | Reader::TenantVisitor(_) | Reader::StaffVisitor => Vec::new(),
    }
}

/// What packs offer.
fn of_packs(world: &World<'_>, grants: &Grants, endpoint: &Endpoint, components: &mut Components) -> Vec<Placed> {
    let resources = resources::describe(world.catalog, grants, endpoint, components);
    let reports = reports::describe(world.catalog, grants, endpoint, components);
    resources.into_iter().chain(reports).collect()
}

/// Names of what a document refers to: `#/components/<group>/<name>`.
fn references(value: &Value, found: &mut BTreeMap<String, ()>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name == "$ref") {
                    Some(target) => drop(found.insert(target.to_owned(), ())),
                    None => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}
