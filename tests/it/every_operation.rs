//! Every operation of the service, from the route tables and the catalogue, ready to be tried.

use insula::http::routes::{Policy, Route, operator_routes, tenant_routes};
use insula::pack::{self, Catalog, Resource, Verb};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Answer, World};

/// In place of a permission: what it is about belongs to one user.
pub const OWNERSHIP: &str = "its owner only";
/// The module that cannot be switched off for one tenant.
pub const MANDATORY: &str = "system_admin";

/// A route with its places filled in.
pub struct Operation {
    pub method: Method,
    pub path: String,
    /// Module and permission that it needs.
    pub right: Option<(String, String)>,
    /// Whether the resource offers it.
    pub offered: bool,
    /// A body that must be read to know what is asked for; else one that cannot be read is sent.
    pub body: Option<Value>,
}

impl Operation {
    /// Signing out works for everybody, once, and passwords and codes want a body; the stories of sessions and of the
    /// second factor tell.
    pub fn leaves_signed_in(&self) -> bool {
        let of_factor = self.path.contains("/me/totp") && self.method != Method::GET;
        !self.path.contains("/auth/logout") && !self.path.ends_with("/me/password") && !of_factor
    }

    fn new(route: &Route, path: String, module: &str, permission: &str, offered: bool) -> Self {
        let right = Some((module.to_owned(), permission.to_owned()));
        Self { method: route.method.clone(), path, right, offered, body: None }
    }
}

/// Every operation of a tenant that needs a token.
pub fn tenant_operations(catalog: &Catalog) -> Vec<Operation> {
    tenant_routes()
        .iter()
        .filter(|route| route.policy != Policy::Public)
        .flat_map(|route| expand(catalog, route))
        .collect()
}

fn expand(catalog: &Catalog, route: &Route) -> Vec<Operation> {
    let path = || route.path.replace("{id}", &Uuid::now_v7().to_string());
    let on = |resource: &Resource| path().replace("{resource}", &resource.name);
    let operations: Vec<Operation> = match route.policy {
        Policy::SignedIn => {
            vec![Operation { method: route.method.clone(), path: path(), right: None, offered: true, body: None }]
        }
        Policy::Roles => vec![Operation::new(route, path(), MANDATORY, "roles.manage", true)],
        Policy::Own => vec![Operation::new(route, path(), MANDATORY, OWNERSHIP, true)],
        Policy::Resource(verb) => {
            let offered = |resource: &Resource| resource.methods.contains(&pack_method(route, verb));
            let one = |resource: &Resource| {
                Operation::new(route, on(resource), &resource.module, resource.permission(verb), offered(resource))
            };
            catalog.resources().map(|resource| one(resource)).collect()
        }
        Policy::Replace => {
            let one = |resource: &Resource| {
                let permission = resource.permission(Verb::Create);
                Operation::new(route, on(resource), &resource.module, permission, resource.replaceable())
            };
            catalog.resources().map(|resource| one(resource)).collect()
        }
        Policy::Batch => {
            let alone = tenant_routes().into_iter().filter(|other| {
                let of_a_row = other.path.contains("{id}") || other.method == Method::POST;
                of_a_row && matches!(other.policy, Policy::Resource(_) | Policy::Replace | Policy::Action)
            });
            let all = alone.flat_map(|other| expand(catalog, &other));
            all.map(|inner| {
                let good = json!({ "method": "GET", "path": "/api/v1/me" });
                let request = json!({ "method": inner.method.as_str(), "path": inner.path, "body": { "x": 1 } });
                let body = Some(json!({ "requests": [request, good] }));
                Operation { method: route.method.clone(), path: path(), body, ..inner }
            })
            .collect()
        }
        Policy::Action => {
            let all = catalog
                .resources()
                .flat_map(|resource| resource.actions.values().map(move |action| (resource, action)));
            all.map(|(resource, action)| {
                let path = on(resource).replace("{action}", action.name.as_str());
                Operation::new(route, path, &resource.module, &action.permission, true)
            })
            .collect()
        }
        Policy::Report => {
            let one = |report: &pack::Report| {
                Operation::new(
                    route,
                    path().replace("{report}", &report.name),
                    &report.module,
                    &report.permission,
                    true,
                )
            };
            catalog.reports().map(|report| one(report)).collect()
        }
        Policy::Public | Policy::Operator | Policy::OperatorSelf | Policy::TenantAdmin | Policy::PlatformOwner => {
            panic!("{} is no tenant route", route.path)
        }
    };
    assert!(!operations.is_empty(), "nothing to try for {}", route.path);
    for operation in &operations {
        assert!(!operation.path.contains('{'), "teach this test to fill in {}", operation.path);
    }
    operations
}

/// What a pack says in its manifest to offer a route.
fn pack_method(route: &Route, verb: Verb) -> pack::Method {
    match verb {
        Verb::View if route.path.contains("{id}") => pack::Method::Get,
        Verb::View | Verb::Report | Verb::Export => pack::Method::List,
        Verb::Create => pack::Method::Create,
        Verb::Edit => pack::Method::Update,
        Verb::Delete => pack::Method::Delete,
    }
}

/// The operators' operations that need a token, with their policies; about a tenant and an operator that exist.
pub async fn operator_operations(world: &World) -> Vec<(Operation, Policy)> {
    let tenant = world.tenant_id("acme").await;
    let sql = "select id::text from public.operators where email = 'operator@insula.test'";
    let colleague: String = world.superuser().await.query_one(sql, &[]).await.unwrap().get(0);
    let sql =
        "select (select id::text from public.migration_runs limit 1), (select id::text from public.operations limit 1)";
    let work = world.superuser().await.query_one(sql, &[]).await.unwrap();
    let (run, operation): (String, String) = (work.get(0), work.get(1));
    let guarded = operator_routes().into_iter().filter(|route| route.policy != Policy::Public);
    guarded
        .map(|route| {
            let id = match route.path.split('/').nth(3) {
                Some("operators") => &colleague,
                Some("migrations") => &run,
                Some("operations") => &operation,
                _ => &tenant,
            };
            let path = route.path.replace("{id}", id).replace("{code}", "crm");
            let path = path.replace("{name}", &format!("{tenant}_20260601T101112Z"));
            let path = path.replace("{session}", &Uuid::now_v7().to_string());
            assert!(!path.contains('{'), "teach this test to fill in {path}");
            (Operation { method: route.method, path, right: None, offered: true, body: None }, route.policy)
        })
        .collect()
}

/// Tries an operation. The body cannot be read: whoever gets as far as reading it was not refused in time.
pub async fn attempt(world: &World, host: &str, operation: &Operation, token: Option<&str>) -> Answer {
    let mut request = world.request(operation.method.clone(), host, &operation.path);
    if let Some(token) = token {
        request = request.bearer(token);
    }
    if [Method::POST, Method::PUT, Method::PATCH].contains(&operation.method) {
        let body = operation.body.as_ref().map_or_else(|| "{".to_owned(), Value::to_string);
        request = request.body("application/json", body);
    }
    request.send().await
}

#[track_caller]
pub fn expect(answer: &Answer, operation: &Operation, status: u16, code: &str) {
    let what = format!("{} {}: {}", operation.method, operation.path, answer.text);
    assert_eq!(answer.status.as_u16(), status, "{what}");
    assert_eq!(answer.problem(status)["code"], code, "{what}");
    assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "{what}");
    if status == 401 {
        assert_eq!(answer.headers["www-authenticate"], "Bearer", "{what}");
    }
}
