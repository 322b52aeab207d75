//! `GET /api/v1`: what the caller may use.

use serde_json::{Map, Value, json};

use super::matrix::scopes;
use super::reader::Grants;
use super::schema::title;
use crate::pack::{Catalog, Method, Pack, Report, Resource, Verb};

const METHODS: [(Method, &str); 5] = [
    (Method::List, "list"),
    (Method::Get, "get"),
    (Method::Create, "create"),
    (Method::Update, "update"),
    (Method::Delete, "delete"),
];

const VERBS: [(Verb, &str); 6] = [
    (Verb::View, "view"),
    (Verb::Create, "create"),
    (Verb::Edit, "edit"),
    (Verb::Delete, "delete"),
    (Verb::Report, "report"),
    (Verb::Export, "export"),
];

/// Modules with the resources, actions and reports that the caller may use.
pub fn directory(catalog: &Catalog, grants: &Grants) -> Value {
    let modules: Vec<Value> = catalog
        .packs()
        .iter()
        .filter(|pack| grants.has(&pack.manifest.code))
        .map(|pack| module(catalog, grants, pack))
        .collect();
    json!({
        "object": "directory",
        "modules": modules,
        "links": {
            "me": "/api/v1/me",
            "modules": "/api/v1/modules",
            "openapi": "/openapi.json",
            "docs": "/docs",
            "reference": "/redoc",
            "problems": "/problems",
        },
    })
}

fn module(catalog: &Catalog, grants: &Grants, pack: &Pack) -> Value {
    let code = &pack.manifest.code;
    let resources = catalog.resources().filter(|resource| resource.module == *code);
    let reports = catalog.reports().filter(|report| report.module == *code && grants.may_report(report));
    json!({
        "code": code,
        "name": pack.manifest.name,
        "description": pack.manifest.description,
        "resources": resources.filter_map(|resource| entry(grants, resource)).collect::<Vec<_>>(),
        "reports": reports.map(|report| report_entry(report)).collect::<Vec<_>>(),
    })
}

/// A resource, unless the caller can do nothing with it.
fn entry(grants: &Grants, resource: &Resource) -> Option<Value> {
    let methods: Vec<&str> =
        METHODS.iter().filter(|(method, _)| grants.may(resource, *method)).map(|(_, name)| *name).collect();
    let actions: Vec<&str> = resource
        .actions
        .values()
        .filter(|action| grants.may_act(resource, action))
        .map(|action| action.name.as_str())
        .collect();
    (!methods.is_empty() || !actions.is_empty()).then(|| {
        let url = format!("/api/v1/{}", resource.name);
        let schema_url = format!("{url}/schema");
        json!({ "name": resource.name, "title": title(&resource.name), "url": url, "schema_url": schema_url,
            "methods": methods, "actions": actions })
    })
}

/// Every verb and action of every resource, and every report, of the modules that answer: may the caller do it?
pub fn permissions(catalog: &Catalog, grants: &Grants) -> Value {
    let answers = |module: &str| grants.has(module);
    let resource = |resource: &Resource| {
        let verbs = VERBS.iter().map(|(verb, name)| ((*name).to_owned(), grants.may_do(resource, *verb).into()));
        let actions = resource.actions.values().map(|action| {
            let name = action.name.as_str().to_owned();
            (name, grants.may_act(resource, action).into())
        });
        let actions: Map<String, Value> = actions.collect();
        let mut can: Map<String, Value> = verbs.collect();
        can.insert("actions".to_owned(), actions.into());
        (resource.name.clone(), Value::from(can))
    };
    let resources = catalog.resources().filter(|resource| answers(&resource.module));
    let reports = catalog.reports().filter(|report| answers(&report.module));
    json!({
        "object": "permissions",
        "permissions": grants.granted().codes(),
        "resources": resources.map(|found| resource(found)).collect::<Map<_, _>>(),
        "reports": reports.map(|report| (report.name.clone(), grants.may_report(report).into())).collect::<Map<_, _>>(),
        "scopes": scopes(catalog, grants, grants.granted()),
    })
}

fn report_entry(report: &Report) -> Value {
    let url = format!("/api/v1/reports/{}", report.name);
    let schema_url = format!("{url}/schema");
    json!({ "name": report.name, "title": title(&report.name), "url": url, "schema_url": schema_url })
}
