//! A house and its neighbour: two companies of one kind, of which the first has its canary in every row.

use std::collections::BTreeMap;
use std::sync::Arc;

use insula::ops::seed_twin;
use insula::pack::{Column, Kind, Resource};
use reqwest::Method;
use serde_json::Value;

use crate::world::{Answer, World, spread};

/// Stands in every row of the house that has room for a word.
pub const CANARY: &str = "canary7f3a91";
/// Names nothing in any tenant.
pub const ABSENT: &str = "018f0000-0000-7000-8000-000000000000";

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

pub type Rows = BTreeMap<String, Vec<Value>>;

/// A house and its neighbour.
pub struct Street {
    pub world: World,
    pub house: &'static str,
    neighbour: String,
    /// Token of the neighbour's owner.
    token: String,
    pub resources: Vec<Arc<Resource>>,
    /// Rows by resource.
    pub theirs: Rows,
    pub own: Rows,
    /// Every table of the house before the neighbour knocked.
    before: BTreeMap<String, String>,
}

impl Street {
    /// A company and one that is like it; only `acme` has a neighbour of its kind in the demo already.
    pub async fn new(house: &'static str) -> Self {
        let world = World::new().await;
        let neighbour = match house {
            "acme" => "techstart".to_owned(),
            // Roles belong to the whole server, which other tests use too.
            _ => format!("zenith-{}", world.database.replace('_', "-")),
        };
        let app = &world.app;
        seed_twin(&app.platform, &app.tenants, &app.hasher, house, &neighbour).await.unwrap();
        let (owner, token) = (world.token(house, "owner").await, world.token(&neighbour, "owner").await);
        if house != "acme" {
            let schema = format!("tenant_{}", neighbour.replace('-', "_"));
            world.superuser().await.batch_execute(&spread(&schema)).await.unwrap();
        }
        furnish(&world, house, true).await;
        furnish(&world, &neighbour, false).await;
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
    pub async fn ask(&self, method: &Method, path: &str, body: Option<&Value>) -> Answer {
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
    pub async fn compare(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        theirs: &str,
        absent: &str,
    ) -> Answer {
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
    pub fn of_house(&self, resource: &Resource, field: &str) -> String {
        let here = self.theirs[&resource.name].iter().chain(self.theirs.values().flatten());
        let value = here.filter_map(|row| row.get(field)).find(|value| !value.is_null());
        let keyed = if resource.key.kind == Kind::Uuid { &*resource.name } else { "users" };
        text(value.unwrap_or_else(|| &self.theirs[keyed].last().unwrap()["id"]))
    }

    /// Rows of the house whose keys are no keys of the neighbour's: some keys are words.
    pub fn only_of_house(&self, resource: &Resource) -> Vec<&Value> {
        let key = resource.key.name.as_str();
        let own = |row: &&Value| self.own[&resource.name].iter().any(|other| other[key] == row[key]);
        self.theirs[&resource.name].iter().filter(|row| !own(row)).take(2).collect()
    }

    pub async fn nothing_happened(&self) {
        let after = content(&self.world, self.house).await;
        assert_eq!(after, self.before, "the neighbour changed something of {}", self.house);
    }
}

/// Rows that the demo lacks, and in the house its canary.
pub async fn furnish(world: &World, subdomain: &str, planted: bool) {
    let schema = format!("tenant_{}", subdomain.replace('-', "_"));
    let client = world.superuser().await;
    client.batch_execute(&format!("set search_path = {schema}, insula; {FURNITURE}")).await.unwrap();
    if planted {
        client.batch_execute(&PLANT.replace("CANARY", CANARY).replace("HOUSE", &schema)).await.unwrap();
    }
}

/// The rows of what a tenant has switched on, as its owner sees them.
pub async fn rows(world: &World, subdomain: &str, token: &str) -> (Vec<Arc<Resource>>, Rows) {
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

pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A key of the same kind that names nothing anywhere.
pub fn absent(key: &Column) -> &'static str {
    match key.kind {
        Kind::Uuid => ABSENT,
        Kind::Integer => "999999999",
        _ => "names_nothing",
    }
}
