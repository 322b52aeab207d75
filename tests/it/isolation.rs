//! A neighbour with every right in his own house asks for what belongs to another tenant, by every route, with the
//! other's keys in paths, filters and bodies. Each answer is the one for a key that does not exist; none holds a word of
//! the other's. Of each company of the demo there is a twin, so that neighbours have the same modules.

use std::collections::BTreeSet;

use insula::http::routes::{Policy, Route, tenant_routes};
use insula::pack::{self, Action, Kind, Resource, Verb};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::crm_story::COMPANIES;
use crate::street::{ABSENT, CANARY, Street, absent, furnish, rows, text};
use crate::world::{World, report_path};

/// Resources without room for one. This list may only shrink.
const WORDLESS: [&str; 27] = [
    "allocations",
    "assessments",
    "bins",
    "budgets",
    "cart_lines",
    "deal_stage_log",
    "enrollments",
    "entry_lines",
    "fee_allocations",
    "fee_plan_lines",
    "fees",
    "invoice_lines",
    "marks",
    "offerings",
    "order_lines",
    "prices",
    "product_costs",
    "quote_lines",
    "registers",
    "reporting_lines",
    "reservations",
    "role_grants",
    "sessions",
    "student_guardians",
    "tax_rates",
    "user_locations",
    "zones",
];
/// Resources of which no company of the demo has a row. This list may only shrink.
const WITHOUT_ROWS: [&str; 8] = [
    "attendance_changes",
    "cart_adjustments",
    "fx_rates",
    "mark_revisions",
    "payables",
    "published_reviews",
    "reviews",
    "unposted_events",
];

/// The fields of a row that a body may hold.
fn writable(resource: &Resource, row: &Value) -> Map<String, Value> {
    let fields = resource.columns.iter().filter(|column| column.writable).map(|column| column.name.as_str());
    fields.filter(|field| !row[field].is_null()).map(|field| (field.to_owned(), row[field].clone())).collect()
}

/// Requests about one row of the house: method, path and body.
fn about(street: &Street, resource: &Resource, row: &Value, route: &Route) -> Vec<(String, Option<Value>)> {
    let id = text(&row[resource.key.name.as_str()]);
    let path = route.path.replace("{resource}", &resource.name).replace("{id}", &id);
    match route.policy {
        Policy::Resource(Verb::Edit) => {
            let change: Map<String, Value> = writable(resource, row).into_iter().take(1).collect();
            vec![(path, Some(change.into()))]
        }
        Policy::Replace => vec![(path, Some(writable(resource, row).into()))],
        Policy::Resource(_) => vec![(path, None)],
        Policy::Action => {
            let one = |action: &Action| {
                (path.replace("{action}", action.name.as_str()), Some(input(street, resource, action)))
            };
            resource.actions.values().map(one).collect()
        }
        _ => panic!("teach this test about {}", route.path),
    }
}

/// Input that an action accepts, with the house's keys.
fn input(street: &Street, resource: &Resource, action: &Action) -> Value {
    let value = |field: &str, kind| match kind {
        Kind::Uuid => json!(street.of_house(resource, field)),
        Kind::Boolean => json!(true),
        Kind::Integer => json!(1),
        Kind::Numeric => json!("1.00"),
        Kind::Date => json!("2026-07-01"),
        Kind::Timestamp => json!("2026-07-01T09:30:00Z"),
        Kind::Json => json!([]),
        _ => json!("some words"),
    };
    action.input.iter().map(|input| (input.name.clone(), value(&input.name, input.kind))).collect::<Map<_, _>>().into()
}

async fn knock_everywhere(house: &'static str) {
    let street = Street::new(house).await;
    keys_in_paths(&street).await;
    keys_in_bodies(&street).await;
    lists_and_reports(&street).await;
}

#[tokio::test]
async fn a_neighbour_gets_nothing_of_acme() {
    knock_everywhere("acme").await;
}

#[tokio::test]
async fn a_neighbour_gets_nothing_of_testcompany() {
    knock_everywhere("testcompany").await;
}

#[tokio::test]
async fn a_neighbour_gets_nothing_of_multistore() {
    knock_everywhere("multistore").await;
}

#[tokio::test]
async fn a_neighbour_gets_nothing_of_greenwood() {
    knock_everywhere("greenwood").await;
}

/// What the tests above try is not nothing: every resource has rows in one of the houses, and shows its canary to its owner.
#[tokio::test]
async fn every_resource_has_rows_and_a_canary_somewhere() {
    let world = World::new().await;
    let catalog = world.app.engine.catalog();
    let mut empty: BTreeSet<&str> = catalog.resources().map(|resource| resource.name.as_str()).collect();
    let mut wordless = empty.clone();
    for (house, _) in COMPANIES {
        let owner = world.token(house, "owner").await;
        furnish(&world, house, true).await;
        for (name, rows) in rows(&world, house, &owner).await.1 {
            empty.remove(&*name);
            if json!(rows).to_string().contains(CANARY) {
                wordless.remove(&*name);
            }
        }
    }
    assert_eq!(empty, WITHOUT_ROWS.into());
    let wordless: BTreeSet<&str> = wordless.difference(&empty).copied().collect();
    assert_eq!(wordless, WORDLESS.into());
}

/// Keys of the house in paths name nothing.
async fn keys_in_paths(street: &Street) {
    let mut asked = 0;
    // The stories of operations and of roles tell of these.
    let told_elsewhere = [Policy::Own, Policy::Roles];
    let named = |route: &&Route| route.path.contains("{id}") && !told_elsewhere.contains(&route.policy);
    for route in tenant_routes().iter().filter(named) {
        for resource in &street.resources {
            for row in street.only_of_house(resource) {
                let key = text(&row[resource.key.name.as_str()]);
                for (path, body) in about(street, resource, row, route) {
                    let answer = street.compare(&route.method, &path, body.as_ref(), &key, absent(&resource.key)).await;
                    // An action may look at its input before it looks for the row.
                    let refused = [404, 405].contains(&answer.status.as_u16());
                    let refused =
                        refused || (route.policy == Policy::Action && [409, 422].contains(&answer.status.as_u16()));
                    assert!(refused, "{} {path}: {}", route.method, answer.text);
                    asked += usize::from(answer.status == 404);
                    let if_match = (route.method == Method::PUT).then_some("*");
                    if resource.by_service.contains(&pack::Method::Delete) && route.method == Method::DELETE {
                        continue;
                    }
                    let wish =
                        json!({ "method": route.method.as_str(), "path": path, "body": body, "if_match": if_match });
                    let batch = json!({ "requests": [wish] });
                    let within =
                        street.compare(&Method::POST, "/api/v1/batch", Some(&batch), &key, absent(&resource.key)).await;
                    assert_eq!(within.status, answer.status, "{batch}: {}", within.text);
                }
            }
        }
    }
    assert!(asked > 80, "{asked}");
    street.nothing_happened().await;
}

/// Keys of the house in bodies are refused like absent ones.
async fn keys_in_bodies(street: &Street) {
    let mut accepted = BTreeSet::new();
    for resource in &street.resources {
        let own = &street.own[&resource.name][0];
        let key = text(&own[resource.key.name.as_str()]);
        let row = format!("/api/v1/{}/{key}", resource.name);
        for column in resource.columns.iter().filter(|column| column.writable && column.kind == Kind::Uuid) {
            let field = column.name.as_str();
            let theirs = street.of_house(resource, field);
            let change = json!({ field: theirs });
            let changed = street.compare(&Method::PATCH, &row, Some(&change), &theirs, ABSENT).await;
            let mut new = writable(resource, own);
            new.insert(field.to_owned(), json!(theirs));
            let list = format!("/api/v1/{}", resource.name);
            let made = street.compare(&Method::POST, &list, Some(&new.into()), &theirs, ABSENT).await;
            for answer in [changed, made] {
                if answer.status.is_success() {
                    accepted.insert(format!("{}.{field}", resource.name));
                }
            }
        }
        for action in
            resource.actions.values().filter(|action| action.input.iter().any(|input| input.kind == Kind::Uuid))
        {
            let path = format!("{row}/actions/{}", action.name.as_str());
            let body = input(street, resource, action);
            for theirs in body.as_object().unwrap().values().filter_map(Value::as_str).filter(|text| text.len() == 36) {
                let answer = street.compare(&Method::POST, &path, Some(&body), theirs, ABSENT).await;
                assert!(answer.status.is_client_error(), "{path}: {}", answer.text);
            }
        }
    }
    assert_eq!(accepted, BTreeSet::new(), "these fields take any key");
    street.nothing_happened().await;
}

/// Lists, filters and reports hold nothing of the house.
async fn lists_and_reports(street: &Street) {
    for resource in &street.resources {
        let list = format!("/api/v1/{}?limit=500", resource.name);
        let own = street.ask(&Method::GET, &list, None).await.ok();
        assert!(!own["data"].as_array().unwrap().is_empty());
        for column in resource.columns.iter().filter(|column| column.kind == Kind::Uuid) {
            let theirs = street.of_house(resource, column.name.as_str());
            let path = format!("{list}&{}=eq.{theirs}", column.name.as_str());
            let found = street.compare(&Method::GET, &path, None, &theirs, ABSENT).await.ok();
            assert_eq!(found["data"], json!([]), "{path}");
        }
    }
    for report in street.world.app.engine.catalog().reports() {
        street.ask(&Method::GET, &report_path(report), None).await;
    }
    for path in ["/api/v1/me", "/api/v1/modules"] {
        street.ask(&Method::GET, path, None).await.ok();
    }
    street.nothing_happened().await;
}

#[tokio::test]
async fn two_tenants_that_share_one_connection_see_each_their_own() {
    let world = World::with(|mut config| {
        config.database.bucket_pool = 1;
        config
    })
    .await;
    let (acme, techstart) = (world.user("acme", "owner").await, world.user("techstart", "owner").await);
    let resources: Vec<_> =
        world.app.engine.catalog().resources().filter(|resource| resource.module == "crm").collect();
    for _ in 0..3 {
        for resource in &resources {
            let path = format!("/api/v1/{}", resource.name);
            let key = resource.key.name.as_str();
            let keys = |rows: Vec<Value>| -> BTreeSet<String> { rows.iter().map(|row| text(&row[key])).collect() };
            let (of_acme, of_techstart) = (keys(acme.rows(&path).await), keys(techstart.rows(&path).await));
            assert!(!of_acme.is_empty() && !of_techstart.is_empty());
            assert!(of_acme.is_disjoint(&of_techstart), "{path}");
        }
    }
}

#[tokio::test]
async fn keys_and_numbers_of_two_tenants_differ() {
    let world = World::new().await;
    let client = world.superuser().await;
    let keys = client
        .query(
            "select t.relname::text, a.attname::text from pg_constraint c
             join pg_class t on t.oid = c.conrelid
             join pg_attribute a on a.attrelid = t.oid and a.attnum = c.conkey[1]
             where c.contype = 'p' and cardinality(c.conkey) = 1 and t.relnamespace = 'tenant_acme'::regnamespace
               and a.atttypid in ('uuid'::regtype, 'bigint'::regtype)",
            &[],
        )
        .await
        .unwrap();
    assert!(keys.len() > 10);
    for row in keys {
        let (table, key): (String, String) = (row.get(0), row.get(1));
        let same = format!("select count(*) from tenant_acme.{table} join tenant_techstart.{table} using ({key})");
        assert_eq!(client.query_one(&same, &[]).await.unwrap().get::<_, i64>(0), 0, "{table}");
    }
    let sequences =
        "select count(*), count(distinct last_value / 1000000) from pg_sequences where schemaname like 'tenant_%'";
    let row = client.query_one(sequences, &[]).await.unwrap();
    assert!(row.get::<_, i64>(0) >= 3);
    assert_eq!(row.get::<_, i64>(1), 5, "one million for each tenant");
}
