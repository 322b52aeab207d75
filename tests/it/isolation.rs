//! A neighbour with every right in his own house asks for what belongs to another tenant, by every route, with the
//! other's keys in paths, filters and bodies. Each answer is the one for a key that does not exist; none holds a word of
//! the other's. Of each company of the demo there is a twin, so that neighbours have the same modules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use insula::http::routes::{Policy, Route, tenant_routes};
use insula::ops::seed_twin;
use insula::pack::{self, Action, Column, Kind, Resource, Verb};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::crm_story::COMPANIES;
use crate::world::{Answer, World, report_path, spread};

/// Stands in every row of the house that has room for a word.
const CANARY: &str = "canary7f3a91";
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
const WITHOUT_ROWS: [&str; 7] =
    ["attendance_changes", "cart_adjustments", "fx_rates", "mark_revisions", "payables", "reviews", "unposted_events"];
/// Names nothing in any tenant.
const ABSENT: &str = "018f0000-0000-7000-8000-000000000000";

/// Rows that the demo does not hold.
const FURNITURE: &str = "
    insert into sys_api_key (user_id, name, prefix, permissions)
      select id, 'Robot', left(md5(id::text), 12), '{deals.view}' from sys_user where email like 'owner@%';
    insert into sys_location (code, name, kind) values ('NOOK', 'Side office', 'office');
    insert into sys_user_location (user_id, location_id)
      select u.id, l.id from sys_user u, sys_location l where u.email like 'owner@%'
      on conflict do nothing;
    insert into sys_holiday (on_date, location_id, name) select '2030-01-26', id, 'Republic Day' from sys_location where code = 'NOOK';
    insert into sys_number_series (code, pattern) values ('test', 'T{SEQ}');
    insert into sys_approval_rule (doc_type, level, permission) values ('test', 1, 'approvals.decide');
    insert into sys_approval (doc_type, doc_id, level, permission, requested_by)
      select 'test', uuid_v7(), 1, 'approvals.decide', id from sys_user where email like 'owner@%';";

/// The canary goes where no rule of the table refuses it; triggers are off, so nothing notices.
const PLANT: &str = "
    set session_replication_role = replica;
    insert into HOUSE.sys_setting (key, value) values ('house_only', '\"CANARY\"');
    do $$
    declare
      c record;
    begin
      for c in
        select table_name as t, column_name as n
        from information_schema.columns join information_schema.tables using (table_schema, table_name)
        where table_schema = 'HOUSE' and table_type = 'BASE TABLE' and data_type = 'text'
          and (table_name, column_name) not in (('sys_setting', 'key'), ('sys_role_grant', 'permission'))
      loop
        begin
          execute format('update HOUSE.%I set %I = %2$I || ''CANARY'' where %2$I is not null', c.t, c.n);
        exception when check_violation then null;
        end;
      end loop;
    end $$";

/// What there is, and what of it had rows in some street.
#[derive(Default)]
struct Tried {
    all: BTreeSet<String>,
    seen: BTreeSet<String>,
    worded: BTreeSet<String>,
}

impl Tried {
    fn in_street(&mut self, street: &Street) {
        self.all.extend(street.world.app.engine.catalog().resources().map(|resource| resource.name.clone()));
        self.seen.extend(street.theirs.keys().cloned());
        let worded = street.theirs.iter().filter(|(_, rows)| json!(rows).to_string().contains(CANARY));
        self.worded.extend(worded.map(|(name, _)| name.clone()));
    }

    fn was_all(&self) {
        let left: Vec<&String> = self.all.difference(&self.seen).collect();
        assert_eq!(left, WITHOUT_ROWS, "give a company of the demo rows of these");
        let wordless: Vec<&String> = self.seen.difference(&self.worded).collect();
        assert_eq!(wordless, WORDLESS, "all others show their canary to their own owner");
    }
}

type Rows = BTreeMap<String, Vec<Value>>;

/// A house and its neighbour.
struct Street {
    world: World,
    house: &'static str,
    neighbour: String,
    /// Token of the neighbour's owner.
    token: String,
    resources: Vec<Arc<Resource>>,
    /// Rows by resource.
    theirs: Rows,
    own: Rows,
    /// Every table of the house before the neighbour knocked.
    before: BTreeMap<String, String>,
}

impl Street {
    /// A company and one that is like it; only `acme` has a neighbour of its kind in the demo already.
    async fn new(house: &'static str) -> Self {
        let world = World::new().await;
        let neighbour = match house {
            "acme" => "techstart".to_owned(),
            // Roles belong to the whole server, which other tests use too.
            _ => format!("zenith-{}", world.database.replace('_', "-")),
        };
        let app = &world.app;
        seed_twin(&app.platform, &app.tenants, &app.hasher, house, &neighbour).await.unwrap();
        let (owner, token) = (world.token(house, "owner").await, world.token(&neighbour, "owner").await);
        let schemas = [format!("tenant_{house}"), format!("tenant_{}", neighbour.replace('-', "_"))];
        let client = world.superuser().await;
        if house != "acme" {
            client.batch_execute(&spread(&schemas[1])).await.unwrap();
        }
        for schema in &schemas {
            client.batch_execute(&format!("set search_path = {schema}, insula; {FURNITURE}")).await.unwrap();
        }
        client.batch_execute(&PLANT.replace("CANARY", CANARY).replace("HOUSE", &schemas[0])).await.unwrap();
        let (resources, theirs) = rows(&world, house, &owner).await;
        let (_, own) = rows(&world, &neighbour, &token).await;
        assert_eq!(
            own.keys().collect::<Vec<_>>(),
            theirs.keys().collect::<Vec<_>>(),
            "the neighbour has rows of the same"
        );
        let before = content(&world, house).await;
        Self { world, house, neighbour, token, resources, theirs, own, before }
    }

    /// Asks as the neighbour; whatever the answer is, it holds nothing of the house.
    async fn ask(&self, method: &Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self.world.request(method.clone(), &self.neighbour, path).bearer(&self.token);
        let request = request.header("x-request-id", "same");
        // A replacement must find its row: otherwise it makes one of the neighbour's own, under any key.
        let request = if *method == Method::PUT { request.header("if-match", "*") } else { request };
        let answer = match body {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        };
        let seen = format!("{:?} {}", answer.headers, answer.text);
        assert!(!seen.contains(CANARY), "{method} {path} shows what belongs to {}: {seen}", self.house);
        answer
    }

    /// Asks twice, with something of the house and with what does not exist in its place: both read the same.
    async fn compare(&self, method: &Method, path: &str, body: Option<&Value>, theirs: &str, absent: &str) -> Answer {
        let other = |text: &str| text.replace(theirs, absent);
        let other_body = body.map(|body| serde_json::from_str(&other(&body.to_string())).unwrap());
        let answer = self.ask(method, path, body).await;
        let expected = self.ask(method, &other(path), other_body.as_ref()).await;
        let what = format!("{method} {path} {body:?}");
        assert_eq!((answer.status, other(&answer.text)), (expected.status, expected.text), "{what}");
        let headers = |answer: &Answer| -> BTreeMap<String, String> {
            let headers =
                answer.headers.iter().filter(|(name, _)| !["date", "content-length"].contains(&name.as_str()));
            headers.map(|(name, value)| (name.to_string(), other(value.to_str().unwrap()))).collect()
        };
        assert_eq!(
            headers(&answer),
            headers(&Answer { headers: expected.headers, text: String::new(), ..answer }),
            "{what}"
        );
        answer
    }

    /// A value of the house that fits a field of this name and resource: one that stands there, or the key of a row.
    fn of_house(&self, resource: &Resource, field: &str) -> String {
        let here = self.theirs[&resource.name].iter().chain(self.theirs.values().flatten());
        let value = here.filter_map(|row| row.get(field)).find(|value| !value.is_null());
        let keyed = if resource.key.kind == Kind::Uuid { &*resource.name } else { "users" };
        text(value.unwrap_or_else(|| &self.theirs[keyed].last().unwrap()["id"]))
    }

    /// Rows of the house whose keys are no keys of the neighbour's: some keys are words.
    fn only_of_house(&self, resource: &Resource) -> Vec<&Value> {
        let key = resource.key.name.as_str();
        let own = |row: &&Value| self.own[&resource.name].iter().any(|other| other[key] == row[key]);
        self.theirs[&resource.name].iter().filter(|row| !own(row)).take(2).collect()
    }

    async fn nothing_happened(&self) {
        let after = content(&self.world, self.house).await;
        assert_eq!(after, self.before, "the neighbour changed something of {}", self.house);
    }
}

/// The rows of what a tenant has switched on, as its owner sees them.
async fn rows(world: &World, subdomain: &str, token: &str) -> (Vec<Arc<Resource>>, Rows) {
    let (mut resources, mut all) = (Vec::new(), Rows::new());
    for resource in world.app.engine.catalog().resources() {
        let path = format!("/api/v1/{}?limit=500", resource.name);
        let answer = world.request(Method::GET, subdomain, &path).bearer(token).send().await;
        if answer.status == 403 && answer.json()["code"] == "module_not_enabled" {
            continue;
        }
        let rows = answer.ok()["data"].as_array().unwrap().clone();
        if rows.is_empty() {
            continue;
        }
        all.insert(resource.name.clone(), rows);
        resources.push(resource.clone());
    }
    (resources, all)
}

/// Every table of a tenant with the number of its rows and a digest of them.
async fn content(world: &World, subdomain: &str) -> BTreeMap<String, String> {
    let client = world.superuser().await;
    let schema = format!("tenant_{subdomain}");
    let tables = "select tablename::text from pg_tables where schemaname = $1";
    let tables = client.query(tables, &[&schema]).await.unwrap();
    let mut content = BTreeMap::new();
    for table in tables.iter().map(|row| row.get::<_, String>(0)) {
        let sql =
            format!("select count(*) || ' ' || md5(string_agg(t::text, ',' order by t::text)) from {schema}.{table} t");
        content
            .insert(table, client.query_one(&sql, &[]).await.unwrap().get::<_, Option<String>>(0).unwrap_or_default());
    }
    content
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A key of the same kind that names nothing anywhere.
fn absent(key: &Column) -> &'static str {
    match key.kind {
        Kind::Uuid => ABSENT,
        Kind::Integer => "999999999",
        _ => "names_nothing",
    }
}

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

#[tokio::test]
async fn keys_of_a_neighbour_in_paths_name_nothing() {
    let mut tried = Tried::default();
    for (house, _) in COMPANIES {
        let street = Street::new(house).await;
        keys_in_paths(&street).await;
        tried.in_street(&street);
    }
    tried.was_all();
}

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

#[tokio::test]
async fn keys_of_a_neighbour_in_bodies_are_refused_like_absent_ones() {
    let mut tried = Tried::default();
    for (house, _) in COMPANIES {
        let street = Street::new(house).await;
        keys_in_bodies(&street).await;
        tried.in_street(&street);
    }
    tried.was_all();
}

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

#[tokio::test]
async fn lists_filters_and_reports_hold_nothing_of_a_neighbour() {
    let mut tried = Tried::default();
    for (house, _) in COMPANIES {
        let street = Street::new(house).await;
        lists_and_reports(&street).await;
        tried.in_street(&street);
    }
    tried.was_all();
}

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
