//! A neighbour with every right in his own house asks for what belongs to `acme`, by every route, with `acme`'s keys in
//! paths, filters and bodies. Each answer is the one for a key that does not exist; none holds a word of `acme`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use insula::http::routes::{Policy, Route, tenant_routes};
use insula::pack::{self, Action, Column, Kind, Resource, Verb};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::world::{Answer, World, report_path};

/// Stands in every row of `acme` that has room for a word.
const CANARY: &str = "canary7f3a91";
/// Resources without room for one. This list may only shrink.
const WORDLESS: [&str; 5] = ["deal_stage_log", "reporting_lines", "role_grants", "sessions", "user_locations"];
/// Names nothing in any tenant.
const ABSENT: &str = "018f0000-0000-7000-8000-000000000000";

/// Rows that the demo does not hold.
const FURNITURE: &str = "
    insert into sys_api_key (user_id, name, prefix, permissions)
      select id, 'Robot', left(md5(id::text), 12), '{deals.view}' from sys_user where email like 'owner@%';
    insert into sys_location (code, name, kind) values ('MAIN', 'Main office', 'office');
    insert into sys_user_location (user_id, location_id)
      select u.id, l.id from sys_user u, sys_location l where u.email like 'owner@%';
    insert into sys_holiday (on_date, location_id, name) select '2030-01-26', id, 'Republic Day' from sys_location;
    insert into sys_number_series (code, pattern) values ('test', 'T{SEQ}');
    insert into sys_approval_rule (doc_type, level, permission) values ('test', 1, 'approvals.decide');
    insert into sys_approval (doc_type, doc_id, level, permission, requested_by)
      select 'test', uuid_v7(), 1, 'approvals.decide', id from sys_user where email like 'owner@%';";

/// The canary goes where no rule of the table refuses it; triggers are off, so nothing notices.
const PLANT: &str = "
    set session_replication_role = replica;
    insert into tenant_acme.sys_setting (key, value) values ('acme_only', '\"CANARY\"');
    do $$
    declare
      c record;
    begin
      for c in
        select table_name as t, column_name as n
        from information_schema.columns join information_schema.tables using (table_schema, table_name)
        where table_schema = 'tenant_acme' and table_type = 'BASE TABLE' and data_type = 'text'
          and (table_name, column_name) not in (('sys_setting', 'key'), ('sys_role_grant', 'permission'))
      loop
        begin
          execute format('update tenant_acme.%I set %I = %2$I || ''CANARY'' where %2$I is not null', c.t, c.n);
        exception when check_violation then null;
        end;
      end loop;
    end $$";

type Rows = BTreeMap<String, Vec<Value>>;

/// `acme` and its neighbour.
struct Street {
    world: World,
    /// Token of the neighbour's owner.
    neighbour: String,
    resources: Vec<Arc<Resource>>,
    /// Rows by resource.
    acme: Rows,
    own: Rows,
    /// Every table of `acme` before the neighbour knocked.
    before: BTreeMap<String, String>,
}

impl Street {
    async fn new() -> Self {
        let world = World::new().await;
        let (owner, neighbour) = (world.token("acme", "owner").await, world.token("techstart", "owner").await);
        let client = world.superuser().await;
        for schema in ["tenant_acme", "tenant_techstart"] {
            client.batch_execute(&format!("set search_path = {schema}, insula; {FURNITURE}")).await.unwrap();
        }
        client.batch_execute(&PLANT.replace("CANARY", CANARY)).await.unwrap();
        let (resources, acme) = rows(&world, "acme", &owner).await;
        let (_, own) = rows(&world, "techstart", &neighbour).await;
        let wordless = acme.iter().filter(|(_, rows)| !json!(rows).to_string().contains(CANARY)).map(|(name, _)| name);
        assert_eq!(wordless.collect::<Vec<_>>(), WORDLESS, "every other resource of acme shows its canary to acme");
        let before = content(&world).await;
        Self { world, neighbour, resources, acme, own, before }
    }

    /// Asks as the neighbour; whatever the answer is, it holds nothing of `acme`.
    async fn ask(&self, method: &Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self.world.request(method.clone(), "techstart", path).bearer(&self.neighbour);
        let request = request.header("x-request-id", "same");
        // A replacement must find its row: otherwise it makes one of the neighbour's own, under any key.
        let request = if *method == Method::PUT { request.header("if-match", "*") } else { request };
        let answer = match body {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        };
        let seen = format!("{:?} {}", answer.headers, answer.text);
        assert!(!seen.contains(CANARY), "{method} {path} shows what belongs to acme: {seen}");
        answer
    }

    /// Asks twice, with something of `acme` and with what does not exist in its place: both read the same.
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

    /// A value of `acme` that fits a field of this name and resource: one that stands there, or the key of a row.
    fn of_acme(&self, resource: &Resource, field: &str) -> String {
        let here = self.acme[&resource.name].iter().chain(self.acme.values().flatten());
        let value = here.filter_map(|row| row.get(field)).find(|value| !value.is_null());
        let keyed = if resource.key.kind == Kind::Uuid { &*resource.name } else { "users" };
        text(value.unwrap_or_else(|| &self.acme[keyed].last().unwrap()["id"]))
    }

    /// Rows of `acme` whose keys are no keys of the neighbour's: some keys are words.
    fn only_of_acme(&self, resource: &Resource) -> Vec<&Value> {
        let key = resource.key.name.as_str();
        let own = |row: &&Value| self.own[&resource.name].iter().any(|other| other[key] == row[key]);
        self.acme[&resource.name].iter().filter(|row| !own(row)).take(2).collect()
    }

    async fn nothing_happened(&self) {
        assert_eq!(content(&self.world).await, self.before, "the neighbour changed something of acme's");
    }
}

/// All rows of what a tenant has switched on, as its owner sees them.
async fn rows(world: &World, subdomain: &str, token: &str) -> (Vec<Arc<Resource>>, Rows) {
    let (mut resources, mut all) = (Vec::new(), Rows::new());
    for resource in world.app.engine.catalog().resources() {
        let path = format!("/api/v1/{}?limit=500", resource.name);
        let answer = world.request(Method::GET, subdomain, &path).bearer(token).send().await;
        if answer.status == 403 && answer.json()["code"] == "module_not_enabled" {
            continue;
        }
        let rows = answer.ok()["data"].as_array().unwrap().clone();
        assert!(!rows.is_empty(), "give {subdomain} a row of {} in FURNITURE", resource.name);
        all.insert(resource.name.clone(), rows);
        resources.push(resource.clone());
    }
    (resources, all)
}

/// Every table of `acme` with the number of its rows and a digest of them.
async fn content(world: &World) -> BTreeMap<String, String> {
    let client = world.superuser().await;
    let tables =
        client.query("select tablename::text from pg_tables where schemaname = 'tenant_acme'", &[]).await.unwrap();
    let mut content = BTreeMap::new();
    for table in tables.iter().map(|row| row.get::<_, String>(0)) {
        let sql = format!(
            "select count(*) || ' ' || md5(string_agg(t::text, ',' order by t::text)) from tenant_acme.{table} t"
        );
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

/// Requests about one row of `acme`: method, path and body.
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

/// Input that an action accepts, with `acme`'s keys.
fn input(street: &Street, resource: &Resource, action: &Action) -> Value {
    let value = |field: &str, kind| match kind {
        Kind::Uuid => json!(street.of_acme(resource, field)),
        Kind::Boolean => json!(true),
        _ => json!("some words"),
    };
    action.input.iter().map(|input| (input.name.clone(), value(&input.name, input.kind))).collect::<Map<_, _>>().into()
}

#[tokio::test]
async fn keys_of_a_neighbour_in_paths_name_nothing() {
    let street = Street::new().await;
    let mut asked = 0;
    // The stories of operations and of roles tell of these.
    let told_elsewhere = [Policy::Own, Policy::Roles];
    let named = |route: &&Route| route.path.contains("{id}") && !told_elsewhere.contains(&route.policy);
    for route in tenant_routes().iter().filter(named) {
        for resource in &street.resources {
            for row in street.only_of_acme(resource) {
                let key = text(&row[resource.key.name.as_str()]);
                for (path, body) in about(&street, resource, row, route) {
                    let answer = street.compare(&route.method, &path, body.as_ref(), &key, absent(&resource.key)).await;
                    assert!([404, 405].contains(&answer.status.as_u16()), "{} {path}: {}", route.method, answer.text);
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
    let street = Street::new().await;
    let mut accepted = BTreeSet::new();
    for resource in &street.resources {
        let own = &street.own[&resource.name][0];
        let key = text(&own[resource.key.name.as_str()]);
        let row = format!("/api/v1/{}/{key}", resource.name);
        for column in resource.columns.iter().filter(|column| column.writable && column.kind == Kind::Uuid) {
            let field = column.name.as_str();
            let theirs = street.of_acme(resource, field);
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
            let body = input(&street, resource, action);
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
    let street = Street::new().await;
    for resource in &street.resources {
        let list = format!("/api/v1/{}?limit=500", resource.name);
        let own = street.ask(&Method::GET, &list, None).await.ok();
        assert!(!own["data"].as_array().unwrap().is_empty());
        for column in resource.columns.iter().filter(|column| column.kind == Kind::Uuid) {
            let theirs = street.of_acme(resource, column.name.as_str());
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
