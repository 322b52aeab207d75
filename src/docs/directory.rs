//! `GET /api/v1`: what the caller may use.

use serde_json::{Value, json};

use super::reader::Grants;
use super::schema::title;
use crate::pack::{Catalog, Method, Pack, Report, Resource};

const METHODS: [(Method, &str); 5] = [
    (Method::List, "list"),
    (Method::Get, "get"),
    (Method::Create, "create"),
    (Method::Update, "update"),
    (Method::Delete, "delete"),
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

fn report_entry(report: &Report) -> Value {
    let url = format!("/api/v1/reports/{}", report.name);
    let schema_url = format!("{url}/schema");
    json!({ "name": report.name, "title": title(&report.name), "url": url, "schema_url": schema_url })
}
