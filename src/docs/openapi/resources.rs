//! Operations on resources: lists, rows, bulk changes, actions.

use serde_json::{Value, json};

use super::components::{Components, schema};
use super::operation::{Operation, in_path, list_of};
use super::{Endpoint, Placed, filters};
use crate::docs::reader::Grants;
use crate::docs::schema::{change, input, required, row, title};
use crate::pack::{Action, Catalog, Kind, Method, Resource};

/// What a list can be asked for besides conditions.
const LIST: [&str; 10] = ["q", "and", "or", "not.and", "not.or", "select", "order", "limit", "cursor", "format"];
/// Headers that every answer about rows may have.
const ROW: [&str; 3] = ["ETag", "RateLimit", "RateLimit-Policy"];
const CHANGED: [&str; 5] = ["ETag", "Preference-Applied", "Idempotent-Replayed", "RateLimit", "RateLimit-Policy"];

/// Describes an endpoint for every resource on which the reader may use it.
pub fn describe(catalog: &Catalog, grants: &Grants, endpoint: &Endpoint, components: &mut Components) -> Vec<Placed> {
    if endpoint.path == "/api/v1/{resource}/{id}/actions/{action}" {
        return actions(catalog, grants, endpoint, components);
    }
    let make = |resource: &Resource, components: &mut Components| {
        let about = About { resource, module: module(catalog, resource) };
        let operation = about.operation(grants, endpoint, components)?;
        components.add("schemas", &resource.name, row(resource));
        components.add("schemas", &format!("{}.change", resource.name), change(resource));
        components.add("schemas", &format!("{}.new", resource.name), about.new_row());
        Some(Placed::new(endpoint, endpoint.path.replace("{resource}", &resource.name), operation))
    };
    catalog.resources().filter_map(|resource| make(resource, components)).collect()
}

fn module<'a>(catalog: &'a Catalog, resource: &'a Resource) -> &'a str {
    let pack = catalog.packs().iter().find(|pack| pack.manifest.code == resource.module);
    pack.map_or(resource.module.as_str(), |pack| pack.manifest.name.as_str())
}

fn actions(catalog: &Catalog, grants: &Grants, endpoint: &Endpoint, components: &mut Components) -> Vec<Placed> {
    let mut placed = Vec::new();
    for resource in catalog.resources() {
        let about = About { resource, module: module(catalog, resource) };
        for action in resource.actions.values().filter(|action| grants.may_act(resource, action)) {
            components.add("schemas", &resource.name, row(resource));
            let path = endpoint.path.replace("{resource}", &resource.name).replace("{action}", action.name.as_str());
            placed.push(Placed::new(endpoint, path, about.action(action)));
        }
    }
    placed
}

/// One resource, with the group its operations are shown in.
struct About<'a> {
    resource: &'a Resource,
    module: &'a str,
}

impl About<'_> {
    fn operation(&self, grants: &Grants, endpoint: &Endpoint, components: &mut Components) -> Option<Operation> {
        let may = |method| grants.may(self.resource, method);
        match (endpoint.method.as_str(), endpoint.path) {
            ("GET", "/api/v1/{resource}") if may(Method::List) => Some(self.list(components)),
            ("POST", "/api/v1/{resource}") if may(Method::Create) && self.by_service() => Some(self.key_create()),
            ("POST", "/api/v1/{resource}") if may(Method::Create) => match self.resource.maker {
                Some(_) => Some(self.make()),
                None => Some(self.create()),
            },
            ("PATCH", "/api/v1/{resource}") if may(Method::Update) => Some(self.bulk_update(components)),
            ("DELETE", "/api/v1/{resource}") if may(Method::Delete) && !self.by_service() => {
                Some(self.bulk_delete(components))
            }
            ("GET", "/api/v1/{resource}/schema") if may(Method::List) => Some(self.schema()),
            ("GET", "/api/v1/{resource}/{id}") if may(Method::Get) => Some(self.get()),
            ("PUT", "/api/v1/{resource}/{id}")
                if may(Method::Create) && may(Method::Update) && self.resource.maker.is_none() =>
            {
                Some(self.put())
            }
            ("PATCH", "/api/v1/{resource}/{id}") if may(Method::Update) => Some(self.update()),
            ("DELETE", "/api/v1/{resource}/{id}") if may(Method::Delete) => Some(self.delete()),
            _ => None,
        }
    }

    fn does(&self, verb: &str, summary: String) -> Operation {
        Operation::new(self.module, format!("{}.{verb}", self.resource.name), summary)
    }

    /// `contacts`, `deal stage log`
    fn words(&self) -> String {
        self.resource.name.replace('_', " ")
    }

    fn row(&self) -> Value {
        schema(&self.resource.name)
    }

    fn body(&self, kind: &str) -> Value {
        schema(&format!("{}.{kind}", self.resource.name))
    }

    fn selected(&self) -> Value {
        json!({ "anyOf": [self.row(), schema("Selected")] })
    }

    fn new_row(&self) -> Value {
        let name = format!("{}: new", title(&self.resource.name));
        if let Some(maker) = &self.resource.maker {
            let mut schema = input(maker);
            schema["title"] = name.into();
            return schema;
        }
        json!({ "title": name, "allOf": [self.body("change")],
            "type": "object", "required": required(self.resource) })
    }

    fn key(&self) -> Value {
        let schema = match self.resource.key.kind {
            Kind::Uuid => json!({ "type": "string", "format": "uuid" }),
            Kind::Integer => json!({ "type": "integer", "format": "int64" }),
            _ => json!({ "type": "string", "minLength": 1 }),
        };
        in_path("id", &format!("`{}` of the row.", self.resource.key.name.as_str()), schema)
    }

    fn filtered(&self, operation: Operation, components: &mut Components) -> Operation {
        filters::of_columns(&self.resource.columns, components).into_iter().fold(operation, Operation::with)
    }

    fn list(&self, components: &mut Components) -> Operation {
        let operation = self.does("list", format!("List {}", self.words())).shared(&LIST);
        let operation = self.filtered(operation, components).shared(&["Prefer.list", "If-None-Match"]);
        exports(operation.answer(200, "A page.", list_of(self.selected())))
            .headers(200, &["Link", "Preference-Applied", "RateLimit", "RateLimit-Policy"])
            .problems(&[406, 422])
    }

    fn get(&self) -> Operation {
        self.does("get", format!("Read one of {}", self.words()))
            .with(self.key())
            .shared(&["select", "If-None-Match"])
            .answer(200, "The row.", self.selected())
            .headers(200, &ROW)
            .empty(304, "The row is still the same.")
            .headers(304, &["ETag"])
            .problems(&[406, 422])
    }

    fn schema(&self) -> Operation {
        self.does("schema", format!("JSON Schema of {}", self.words()))
            .about("JSON Schema 2020-12 of a row, with hints for forms and tables under `x-ui`.")
            .answer(200, "The schema.", json!({ "type": "object" }))
    }

    fn create(&self) -> Operation {
        let rows = json!({ "type": "array", "items": self.body("new") });
        let begun = json!({
            "type": "object",
            "properties": {
                "object": { "const": "operation" }, "id": { "type": "string", "format": "uuid" },
                "state": { "const": "running" },
            },
            "required": ["object", "id", "state"],
        });
        let created = json!({ "anyOf": [self.row(), list_of(self.row())] });
        let text = || json!({ "schema": { "type": "string" } });
        self.does("create", format!("Make {}", self.words()))
            .about(
                "One object, or many as an array, CSV or NDJSON: all of them are made, or none. With `respond-async`, \
                 and for more than 10,000 rows, they are made after the answer.",
            )
            .shared(&["columns", "on_conflict", "Prefer.create", "Idempotency-Key"])
            .body(json!({ "anyOf": [self.body("new"), rows] }))
            .content("text/csv", text())
            .content("application/x-ndjson", text())
            .answer(200, "With `resolution=`: nothing new was made.", created.clone())
            .headers(200, &CHANGED)
            .answer(201, "Made.", created)
            .headers(201, &CHANGED)
            .headers(201, &["Location"])
            .answer(202, "Begun; `Location` tells how far it has come.", begun)
            .headers(202, &["Location", "Preference-Applied", "Idempotent-Replayed", "RateLimit", "RateLimit-Policy"])
            .problems(&[409])
    }

    /// Rows that a function makes come one at a time.
    fn make(&self) -> Operation {
        self.does("create", format!("Make one of {}", self.words()))
            .shared(&["Prefer.row", "Idempotency-Key"])
            .body(self.body("new"))
            .answer(201, "Made.", self.row())
            .headers(201, &CHANGED)
            .headers(201, &["Location"])
            .problems(&[409])
    }

    /// Whether the service makes and ends the rows itself: API keys.
    fn by_service(&self) -> bool {
        !self.resource.by_service.is_empty()
    }

    fn key_create(&self) -> Operation {
        let key = json!({ "type": "string", "examples": ["insula_ak_3f9a1c0b7d2e_…"],
            "description": "For `Authorization: Bearer …`. It is told once." });
        let made = json!({ "allOf": [self.row(), {
            "type": "object", "properties": { "key": key }, "required": ["key"] }] });
        self.does("create", format!("Make one of {}", self.words()))
            .about(
                "A key acts for its maker, within `permissions` and what its maker may do at the moment. `*` leaves out \
                 `api_keys`, `roles`, `sessions` and `users`, which a key may touch only where it names them.",
            )
            .body(self.body("new"))
            .answer(201, "Made.", made)
            .headers(201, &["Location", "RateLimit", "RateLimit-Policy"])
            .problems(&[409])
    }

    fn put(&self) -> Operation {
        self.does("put", format!("Make or replace one of {}", self.words()))
            .about("With a key of the caller's making. Fields that are left out get their defaults.")
            .with(self.key())
            .shared(&["Prefer.row", "If-Match", "If-None-Match"])
            .body(self.body("new"))
            .answer(200, "Replaced.", self.row())
            .headers(200, &CHANGED)
            .answer(201, "Made.", self.row())
            .headers(201, &CHANGED)
            .headers(201, &["Location"])
            .empty(204, "Done, with `return=minimal`.")
            .problems(&[409, 412, 428])
    }

    fn update(&self) -> Operation {
        self.does("update", format!("Change one of {}", self.words()))
            .about("A merge patch (RFC 7396): null empties a field, a field that is left out stays.")
            .with(self.key())
            .shared(&["Prefer.row", "If-Match", "Idempotency-Key"])
            .body(self.body("change"))
            .content("application/merge-patch+json", json!({ "schema": self.body("change") }))
            .answer(200, "The row as it is now.", self.row())
            .headers(200, &CHANGED)
            .empty(204, "Done, with `return=minimal`.")
            .problems(&[409, 412, 428])
    }

    fn delete(&self) -> Operation {
        self.does("delete", format!("Remove one of {}", self.words()))
            .with(self.key())
            .shared(&["Prefer.row", "If-Match"])
            .empty(204, "Removed.")
            .problems(&[409, 412, 422, 428])
    }

    fn bulk_update(&self, components: &mut Components) -> Operation {
        let operation = self.does("update_many", format!("Change all {} that meet conditions", self.words()));
        self.filtered(operation, components)
            .about("Only with `Prefer: handling=strict, max-affected=N`; more rows than N, and nothing is changed.")
            .shared(&["and", "or", "not.and", "not.or", "Prefer.many", "Idempotency-Key"])
            .body(self.body("change"))
            .answer(200, "The changed rows.", list_of(self.row()))
            .headers(200, &CHANGED)
            .empty(204, "Done, with `return=minimal`.")
            .problems(&[409])
    }

    fn bulk_delete(&self, components: &mut Components) -> Operation {
        let operation = self.does("delete_many", format!("Remove all {} that meet conditions", self.words()));
        self.filtered(operation, components)
            .about("Only with `Prefer: handling=strict, max-affected=N`; more rows than N, and nothing is removed.")
            .shared(&["and", "or", "not.and", "not.or", "Prefer.many"])
            .answer(200, "The removed rows, with `return=representation`.", list_of(self.row()))
            .headers(200, &CHANGED)
            .empty(204, "Removed.")
            .problems(&[409, 422])
    }

    fn action(&self, action: &Action) -> Operation {
        let name = action.name.as_str();
        let needs_input = action.input.iter().any(|input| input.required);
        let operation = self
            .does(&format!("actions.{name}"), format!("{}: {}", title(&self.resource.name), title(name).to_lowercase()))
            .with(self.key())
            .shared(&["Idempotency-Key"])
            .body(input(action))
            .answer(200, "The row as it is afterwards.", self.row())
            .headers(200, &CHANGED)
            .empty(204, "Done; the row is no longer among those that the caller sees.")
            .problems(&[409]);
        if needs_input { operation } else { operation.optional_body() }
    }
}

/// The formats of lists and reports besides JSON.
pub fn exports(operation: Operation) -> Operation {
    let kinds =
        ["text/csv", "application/x-ndjson", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"];
    let all =
        kinds.iter().fold(operation, |operation, kind| operation.media(200, "", kind, json!({ "type": "string" })));
    all.headers(200, &["Content-Disposition"])
}
