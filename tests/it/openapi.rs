//! `/openapi.json`: complete, true, and made for whoever asks.

use std::collections::{BTreeMap, BTreeSet};

use insula::http::routes::{Route, operator_routes, tenant_routes};
use insula::pack::Method as Offered;
use reqwest::Method;
use serde_json::Value;

use crate::world::{Answer, World};

async fn document(world: &World, host: &str, token: Option<&str>) -> Value {
    let request = world.request(Method::GET, host, "/openapi.json");
    let request = token.into_iter().fold(request, |request, token| request.bearer(token));
    request.send().await.ok()
}

/// Operations of a document as `GET /api/v1/me`.
fn operations(document: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            all.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    all
}

/// Whether a documented operation is one of a route: names of resources are filled in, keys are not.
fn is_of(operation: &str, route: &Route) -> bool {
    let (method, path) = operation.split_once(' ').unwrap();
    let (given, template): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), route.path.split('/').collect());
    let filled = |part: &str| ["{resource}", "{report}", "{action}"].contains(&part);
    method == route.method.as_str()
        && given.len() == template.len()
        && given.iter().zip(template).all(|(given, part)| *given == part || (filled(part) && !given.starts_with('{')))
}

#[track_caller]
fn assert_same(documented: &BTreeSet<String>, routes: &[Route]) {
    for route in routes {
        let found = documented.iter().any(|operation| is_of(operation, route));
        assert!(found, "no document describes {} {}", route.method, route.path);
    }
    for operation in documented {
        assert!(routes.iter().any(|route| is_of(operation, route)), "no route answers {operation}");
    }
}

#[tokio::test]
async fn documents_and_route_tables_name_the_same_operations() {
    let world = World::new().await;
    let owner = world.token("acme", "owner").await;
    let mut documented = operations(&document(&world, "acme", Some(&owner)).await);
    documented.extend(operations(&document(&world, "", None).await));
    assert_same(&documented, &tenant_routes());
    let operator = world.operator().await;
    assert_same(&operations(&document(&world, "admin", Some(&operator)).await), &operator_routes());
}

#[tokio::test]
async fn every_document_is_sound() {
    let world = World::new().await;
    for (host, token) in [
        ("", None),
        ("acme", None),
        ("admin", None),
        ("acme", Some(world.token("acme", "owner").await)),
        ("acme", Some(world.token("acme", "sales1").await)),
        ("testcompany", Some(world.token("testcompany", "owner").await)),
        ("admin", Some(world.operator().await)),
    ] {
        assert_sound(&document(&world, host, token.as_deref()).await);
    }
}

#[track_caller]
fn assert_sound(document: &Value) {
    assert_eq!(document["openapi"], "3.1.0");
    let tags: BTreeSet<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            let what = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{what}: the id is used twice");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{what}");
            assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{what}");
            assert_parameters(document, path, operation);
            assert_answers(document, &what, operation);
        }
    }
    let mut used = BTreeSet::new();
    references(document, &mut used);
    for target in &used {
        assert!(document.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target} leads nowhere");
    }
    for (group, parts) in
        document["components"].as_object().unwrap().iter().filter(|(group, _)| *group != "securitySchemes")
    {
        for name in parts.as_object().unwrap().keys() {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
            assert!(plain && used.contains(&format!("#/components/{group}/{name}")), "{group} {name}");
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn followed<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    value["$ref"].as_str().map_or(value, |target| document.pointer(target.trim_start_matches('#')).unwrap())
}

#[track_caller]
fn assert_parameters(document: &Value, path: &str, operation: &Value) {
    let mut seen = BTreeSet::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let parameter = followed(document, parameter);
        let (name, place) = (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
        assert!(seen.insert((place, name)), "{path}: {name} twice");
        assert!(
            parameter["schema"].is_object() && !parameter["description"].as_str().unwrap().is_empty(),
            "{path} {name}"
        );
        assert_eq!(place == "path", path.contains(&format!("{{{name}}}")), "{path} {name}");
        let of_report = place == "query" && path.starts_with("/api/v1/reports/");
        assert!(of_report || (place == "path") == (parameter["required"] == true), "{path} {name}");
    }
    assert_eq!(path.matches('{').count(), seen.iter().filter(|(place, _)| *place == "path").count(), "{path}");
}

#[track_caller]
fn assert_answers(document: &Value, what: &str, operation: &Value) {
    let answers = operation["responses"].as_object().unwrap();
    assert!(answers.keys().any(|status| status.starts_with('2')), "{what}");
    let mut needed = vec!["400", "429", "500", "503", "504"];
    if operation.get("security").is_none() {
        needed.extend(["401", "403", "404"]);
    }
    if operation.get("requestBody").is_some() {
        needed.extend(["413", "415", "422"]);
    }
    assert!(needed.iter().all(|status| answers.contains_key(*status)), "{what}: {:?}", answers.keys());
    for (status, answer) in answers {
        let answer = followed(document, answer);
        assert!(answer["description"].is_string() && answer["headers"]["X-Request-Id"].is_object(), "{what} {status}");
        if status.starts_with('4') && answer["content"].get("text/html").is_none() {
            let problem = &answer["content"]["application/problem+json"];
            for (code, example) in problem["examples"].as_object().unwrap() {
                assert_eq!(
                    (&example["value"]["code"], example["value"]["status"].to_string()),
                    (&Value::from(code.as_str()), status.clone())
                );
            }
        }
    }
}

#[tokio::test]
async fn a_document_says_what_its_reader_may_do_and_nothing_else() {
    let world = World::new().await;
    for mailbox in ["owner", "manager", "sales1"] {
        let user = world.user("acme", mailbox).await;
        let documented = operations(&document(&world, "acme", Some(&user.token)).await);
        for resource in world.app.engine.catalog().resources() {
            let path = format!("/api/v1/{}", resource.name);
            let list = user.get(&format!("{path}?limit=1")).await;
            assert_agrees(&documented, &format!("GET {path}"), &list);
            let create = user.request(Method::POST, &path).body("application/json", "{").send().await;
            assert_agrees(&documented, &format!("POST {path}"), &create);
            let one = format!("{path}/{}", uuid::Uuid::now_v7());
            for (method, offered) in [(Method::PATCH, Offered::Update), (Method::DELETE, Offered::Delete)] {
                let answer = user.request(method.clone(), &one).body("application/json", "{").send().await;
                assert_agrees(&documented, &format!("{method} {path}/{{id}}"), &answer);
                assert!(answer.status != 405 || !resource.methods.contains(&offered));
            }
        }
    }
}

#[track_caller]
fn assert_agrees(documented: &BTreeSet<String>, operation: &str, answer: &Answer) {
    let may = ![403, 405].contains(&answer.status.as_u16());
    assert_eq!(documented.contains(operation), may, "{operation}: {} {}", answer.status, answer.text);
}

#[tokio::test]
async fn a_salesperson_reads_of_deals_and_not_of_users() {
    let world = World::new().await;
    let sales1 = world.token("acme", "sales1").await;
    let document = document(&world, "acme", Some(&sales1)).await;
    let documented = operations(&document);
    for there in ["GET /api/v1/deals", "POST /api/v1/deals/{id}/actions/move", "GET /api/v1/reports/pipeline"] {
        assert!(documented.contains(there), "{there}");
    }
    for absent in ["DELETE /api/v1/deals/{id}", "POST /api/v1/deals/{id}/actions/reassign", "GET /api/v1/users"] {
        assert!(!documented.contains(absent), "{absent}");
    }
    let text = document.to_string();
    assert!(!text.contains("password_hash") && !text.contains("crm_deal") && !text.contains("tenant_acme"));
    let body =
        &document["paths"]["/api/v1/deals/{id}/actions/move"]["post"]["requestBody"]["content"]["application/json"];
    assert_eq!(body["schema"]["required"], serde_json::json!(["stage_id"]));
    let change = document["components"]["schemas"]["deals.change"]["properties"].as_object().unwrap();
    assert!(change.contains_key("title") && !change.contains_key("id") && !change.contains_key("closed_at"));
}

#[tokio::test]
async fn a_module_that_is_switched_off_disappears() {
    let world = World::new().await;
    let (owner, staff) = (world.user("acme", "owner").await, world.staff().await);
    let crm = |document: &Value| operations(document).iter().filter(|one| one.contains("/contacts")).count();
    assert!(crm(&document(&world, "acme", Some(&owner.token)).await) > 5);
    let acme = world.tenant_id("acme").await;
    assert_eq!(staff.delete(&format!("/api/v1/tenants/{acme}/modules/crm")).await.status, 204);
    assert_eq!(crm(&document(&world, "acme", Some(&owner.token)).await), 0);
    let directory = owner.get("/api/v1").await.ok();
    assert!(directory["modules"].as_array().unwrap().iter().all(|module| module["code"] != "crm"), "{directory}");
    assert_eq!(owner.get("/api/v1/contacts/schema").await.problem(403)["code"], "module_not_enabled");
}

#[tokio::test]
async fn who_has_the_document_already_gets_304() {
    let world = World::new().await;
    let mut tags = BTreeMap::new();
    for mailbox in ["owner", "manager", "sales1", "sales2"] {
        let user = world.user("acme", mailbox).await;
        let first = user.get("/openapi.json").await;
        let etag = first.headers["etag"].to_str().unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.len() == 34, "{etag}");
        assert_eq!(first.headers["cache-control"], "private, no-cache");
        assert_eq!(first.headers["vary"], "authorization");
        for given in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            let again = user.request(Method::GET, "/openapi.json").header("if-none-match", &given).send().await;
            assert_eq!(
                (again.status.as_u16(), again.text.as_str(), &again.headers["etag"]),
                (304, "", &first.headers["etag"])
            );
        }
        let other = user.request(Method::GET, "/openapi.json").header("if-none-match", "\"other\"").send().await;
        assert_eq!((other.status.as_u16(), other.text), (200, first.text));
        tags.insert(mailbox, etag);
    }
    assert_eq!(tags["sales1"], tags["sales2"]);
    assert_eq!(tags.values().collect::<BTreeSet<_>>().len(), 3);
}

#[tokio::test]
async fn everybody_gets_the_part_that_is_meant_for_him() {
    let world = World::new().await;
    let public = operations(&document(&world, "acme", None).await);
    assert!(public.contains("POST /api/v1/auth/login") && !public.contains("POST /api/v1/signup"), "{public:?}");
    assert!(!public.iter().any(|operation| operation.contains("contacts") || operation.ends_with("/me")));
    assert!(operations(&document(&world, "", None).await).contains("POST /api/v1/signup"));
    let reader = "insert into public.operators (email, name, role, password_hash)
        select 'reader@insula.test', 'Reader', 'read_only', password_hash from public.operators limit 1";
    world.superuser().await.batch_execute(reader).await.unwrap();
    let reader = world.operator_token("reader").await;
    let staff = operations(&document(&world, "admin", Some(&reader)).await);
    assert!(staff.contains("GET /api/v1/tenants") && !staff.contains("POST /api/v1/tenants"), "{staff:?}");

    let ask = |host: &'static str, token: &'static str| {
        world.request(Method::GET, host, "/openapi.json").bearer(token).send()
    };
    assert_eq!(ask("acme", "garbage").await.problem(401)["code"], "unauthenticated");
    assert_eq!(ask("admin", "garbage").await.problem(401)["code"], "unauthenticated");
    let nowhere = world.request(Method::GET, "nowhere", "/openapi.json").send().await;
    assert_eq!(nowhere.problem(404)["code"], "tenant_not_found");
}
