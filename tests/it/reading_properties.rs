//! What must hold for any query: PostgreSQL takes whatever the parser and the planner let through, and a walk by cursors
//! meets every row once.

use std::collections::BTreeSet;

use insula::pack::{Column, Kind, Resource};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::world::{User, World};

/// Values that fit a type, and some that are strange in it.
fn value(kind: Kind) -> BoxedStrategy<String> {
    let fixed = |values: &'static [&'static str]| prop::sample::select(values).prop_map(str::to_owned).boxed();
    match kind {
        Kind::Uuid => fixed(&["0190a0b0-0000-7000-8000-000000000001", "x"]),
        Kind::Integer => fixed(&["0", "-3", "2147483647", "9223372036854775807", "1.5"]),
        Kind::Numeric => fixed(&["0", "10.555", "-1", "1e5", "99999999999999999999.99"]),
        Kind::Boolean => fixed(&["true", "false", "maybe"]),
        Kind::Date => fixed(&["2026-01-31", "0001-01-01", "9999-12-31", "2026-02-30"]),
        Kind::Timestamp => fixed(&["2026-01-31T10:00:00Z", "2026-01-31T10:00:00%2B05:30", "yesterday"]),
        Kind::Json => fixed(&["{\"a\":[1]}", "null", "\"x\"", "{"]),
        Kind::Array => fixed(&["{amount}", "{a,\"b,c\"}", "{}", "amount"]),
        Kind::DateRange => fixed(&["[2026-04-01,2027-04-01)", "(,)", "[,9999-12-31]", "2026-04-01"]),
        Kind::IntegerRange => fixed(&["[1,6)", "(,)", "[-2147483648,2147483647)", "[2,1)"]),
        Kind::NumericRange => fixed(&["[1,6.5)", "(,)", "[-1.50,1e5)", "[2,1)"]),
        Kind::Time => fixed(&["09:30", "23:59:59.5", "24:00", "x"]),
        Kind::Text | Kind::Other => fixed(&["", "Nina", "*a*", "50%25_\\\\", "it's", "\"q\"", "a,b", "नीना", "\\"]),
    }
}

fn condition(column: &Column) -> BoxedStrategy<String> {
    let name = column.name.as_str().to_owned();
    let scalar = prop::sample::select(
        &[
            "eq",
            "neq",
            "gt",
            "gte",
            "lt",
            "lte",
            "like",
            "ilike",
            "isdistinct",
            "cs",
            "cd",
            "ov",
            "match",
            "plfts",
            "fts",
        ][..],
    );
    let many = (prop::sample::select(&["in", "eq(any)", "like(all)", "gte(any)"][..]), value(column.kind));
    let negated = prop::sample::select(&["", "not."][..]);
    let test = prop_oneof![
        (scalar, value(column.kind)).prop_map(|(operator, value)| format!("{operator}.{value}")),
        many.prop_map(|(operator, value)| match operator {
            "in" => format!("in.({value},{value})"),
            other => format!("{other}.{{{value},{value}}}"),
        }),
        prop::sample::select(&["is.null", "is.not_null", "is.true", "is.unknown"][..]).prop_map(str::to_owned),
    ];
    (negated, test).prop_map(move |(negated, test)| format!("{name}={negated}{test}")).boxed()
}

/// A query over the columns of a resource and what can be embedded in it.
fn query(resource: &Resource, targets: &[String]) -> BoxedStrategy<String> {
    let columns = resource.columns.clone();
    let conditions =
        prop::collection::vec(prop::sample::select(columns.clone()).prop_flat_map(|c| condition(&c)), 0..4);
    let names: Vec<String> = columns.iter().map(|column| column.name.as_str().to_owned()).collect();
    let order = prop::collection::vec(
        (
            prop::sample::select(names.clone()),
            prop::sample::select(&["", ".desc", ".nullsfirst", ".desc.nullslast"][..]),
        ),
        0..3,
    );
    let embeds = match targets {
        [] => Just(Vec::new()).boxed(),
        targets => prop::collection::vec(prop::sample::select(targets.to_vec()), 0..3).boxed(),
    };
    let extras =
        prop::sample::select(&["", "&limit=3", "&q=nina", "&select=count()", "&or=(id.is.null,id.not.is.null)"][..]);
    (conditions, order, embeds, extras)
        .prop_map(|(conditions, order, embeds, extras)| {
            let mut parts = conditions;
            if !order.is_empty() {
                let terms: Vec<String> = order.into_iter().map(|(name, way)| format!("{name}{way}")).collect();
                parts.push(format!("order={}", terms.join(",")));
            }
            if !embeds.is_empty() && !extras.contains("select") {
                let shown: Vec<String> =
                    embeds.iter().enumerate().map(|(at, name)| format!("e{at}:{name}(*)")).collect();
                parts.push(format!("select=*,{}&e0.limit=2", shown.join(",")));
            }
            format!("{}{extras}", parts.join("&"))
        })
        .boxed()
}

/// Queries of every resource, several times each. Panics inside tell which.
async fn ask(owner: &User<'_>, path: &str) -> StatusCode {
    let answer = owner.request(Method::GET, path).header("prefer", "count=exact").send().await;
    assert!(!answer.status.is_server_error(), "{path}: {} {}", answer.status, answer.text);
    answer.status
}

#[tokio::test]
async fn whatever_is_let_through_postgresql_takes() {
    let world = World::new().await;
    let owner = world.user("acme", "owner").await;
    let catalog = world.app.engine.catalog();
    let here: Vec<_> = catalog.resources().filter(|r| ["crm", "system_admin"].contains(&r.module.as_str())).collect();
    let mut runner = TestRunner::new(Config::default());
    let (mut answered, mut refused) = (0, 0);
    for resource in &here {
        let up = resource.references.iter().filter_map(|r| catalog.resource_of(&r.target)).map(|r| r.name.clone());
        let down = here.iter().filter(|other| other.references.iter().any(|r| r.target == resource.table));
        let targets: Vec<String> = up.chain(down.map(|r| r.name.clone())).collect();
        for _ in 0..25 {
            let query = query(resource, &targets).new_tree(&mut runner).unwrap().current();
            match ask(&owner, &format!("/api/v1/{}?{query}", resource.name)).await {
                StatusCode::OK => answered += 1,
                _ => refused += 1,
            }
        }
    }
    println!("{answered} answered, {refused} refused");
    assert!(answered > 50 && refused > 50, "{answered} answered, {refused} refused");
}

#[tokio::test]
async fn junk_of_the_grammars_own_letters_is_refused_or_answered() {
    let world = World::new().await;
    let owner = world.user("acme", "owner").await;
    let mut runner = TestRunner::new(Config::default());
    let junk =
        "[a-c.,:()!*\"\\\\{}>=&-]{0,30}|(state|id|value)(->>?[a-b0])?=(not\\.)?(eq|in|like|is)\\.[a-c(),\"{}]{0,9}";
    let junk = prop::string::string_regex(junk).unwrap();
    for _ in 0..150 {
        let text = junk
            .new_tree(&mut runner)
            .unwrap()
            .current()
            .replace('"', "%22")
            .replace('{', "%7B")
            .replace('}', "%7D")
            .replace('\\', "%5C")
            .replace('>', "%3E");
        for path in [
            format!("contacts?{text}"),
            format!("settings?select={text}"),
            format!("deals?or=({text})"),
            format!("deals?order={text}"),
        ] {
            ask(&owner, &format!("/api/v1/{path}")).await;
        }
    }
}

/// Rows of equal names and none, so that ties and nulls meet the ends of pages.
const MANY: &str = "set session_replication_role = replica;
    insert into tenant_acme.crm_contact (first_name, last_name, title, source, email, owner_id)
    select 'Walk', (array['A', 'B', null])[1 + n % 3], (array['x', null])[1 + n % 2], 'walk', 'w' || n || '@walk.test', u.id
    from generate_series(1, 60) n, (select id from tenant_acme.sys_user limit 1) u";

#[tokio::test]
async fn a_walk_by_cursors_meets_every_row_that_stays_exactly_once() {
    let world = World::new().await;
    let (owner, outside) = (world.user("acme", "owner").await, world.superuser().await);
    outside.batch_execute(MANY).await.unwrap();
    const WAYS: [&str; 4] = ["", ".desc", ".nullsfirst", ".desc.nullslast"];
    let order = prop::collection::vec(
        (
            prop::sample::select(&["last_name", "title", "first_name", "created_at", "id"][..]),
            prop::sample::select(&WAYS[..]),
        ),
        0..4,
    );
    let mut runner = TestRunner::new(Config::default());
    for round in 0..12 {
        let (order, limit) = (order.clone(), 1_u32..17).new_tree(&mut runner).unwrap().current();
        let order: Vec<String> = order.iter().map(|(name, way)| format!("{name}{way}")).collect();
        let order = if order.is_empty() { String::new() } else { format!("&order={}", order.join(",")) };
        let base = format!("/api/v1/contacts?source=eq.walk&select=id,email{order}&limit={limit}");
        let staying: BTreeSet<String> = owner
            .rows("/api/v1/contacts?source=eq.walk&select=id,email&email=like.w*")
            .await
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect();
        let (mut met, mut pages): (Vec<String>, usize) = (Vec::new(), 0);
        let mut next = Some(base.clone());
        while let Some(path) = next.take() {
            let page = owner.get(&path).await.ok();
            met.extend(
                page["data"].as_array().unwrap().iter().map(|row: &Value| row["id"].as_str().unwrap().to_owned()),
            );
            next = page["next_cursor"].as_str().map(|cursor| format!("{base}&cursor={cursor}"));
            assert_eq!(page["has_more"], next.is_some(), "{base}");
            // Others come and go meanwhile; their names begin with another letter. They are numbered by pages: the rows of
            // the last page may all have gone before it is read.
            pages += 1;
            let sql = format!(
                "insert into tenant_acme.crm_contact (first_name, last_name, source, email, owner_id)
                   select 'Walk', (array['A', null])[1 + {0} % 2], 'walk', 'z{round}-{0}@walk.test', id from tenant_acme.sys_user limit 1;
                 delete from tenant_acme.crm_contact where email = 'z{round}-{1}@walk.test'",
                pages,
                pages - 1
            );
            outside.batch_execute(&sql).await.unwrap();
        }
        let unique: BTreeSet<&String> = met.iter().collect();
        assert_eq!(unique.len(), met.len(), "a row came twice: {base}");
        assert!(staying.iter().all(|id| unique.contains(id)), "a row was passed over: {base}");
    }
}

#[tokio::test]
async fn a_cursor_serves_its_own_query_only() {
    let world = World::new().await;
    let (owner, neighbour) = (world.user("acme", "owner").await, world.user("techstart", "owner").await);
    let page = owner.get("/api/v1/contacts?order=last_name&limit=2").await.ok();
    let cursor = page["next_cursor"].as_str().unwrap();
    let follow = |query: &str| format!("/api/v1/{query}&limit=2&cursor={cursor}");
    owner.get(&follow("contacts?order=last_name")).await.ok();
    owner.get(&follow("contacts?order=last_name&select=id")).await.ok();
    for query in ["contacts?order=first_name", "contacts?order=last_name&state=eq.active", "organizations?order=name"] {
        let problem = owner.get(&follow(query)).await.problem(400);
        assert_eq!(problem["errors"][0]["code"], "invalid_cursor", "{query}");
    }
    neighbour.get(&follow("contacts?order=last_name")).await.problem(400);
    for order in ["order=last_name&order=first_name", "order=first_name&order=last_name"] {
        let problem = owner.get(&follow(&format!("contacts?{order}"))).await.problem(400);
        assert_eq!(problem["errors"][0]["parameter"], "order", "{order}");
    }
    let tampered = cursor.replacen(|c: char| c.is_ascii_lowercase(), "Z", 1);
    owner.get(&format!("/api/v1/contacts?order=last_name&cursor={tampered}")).await.problem(400);
}
