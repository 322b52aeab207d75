//! Values that do not fit, made from the catalogue: every writable column, filter and order of every resource and report.

use insula::pack::{self, Column, Kind};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use std::time::Duration;
use uuid::Uuid;

use super::bad_input::Watch;
use super::crm_story::{COMPANIES, Office, made};
use super::world::User;

/// JSON values that a column of this type cannot hold, whatever the table thinks of them.
fn misfits(column: &Column) -> Vec<Value> {
    let mut misfits = match column.kind {
        Kind::Uuid => vec![json!(5), json!(""), json!("not-a-uuid"), json!("0190a0b0-0000-7000-8000-00000000000g")],
        Kind::Text => vec![json!(5), json!(1.5), json!("a\0b")],
        Kind::Integer => vec![json!("5"), json!(1.5), json!(1e30), json!(u64::MAX), json!("")],
        Kind::Numeric => {
            let digits = "9".repeat(30);
            vec![
                json!("x"),
                json!(""),
                json!("1e5"),
                json!("NaN"),
                json!("12,5"),
                json!(digits),
                json!(1e30),
                json!("٣"),
            ]
        }
        Kind::Boolean => vec![json!("true"), json!(1), json!("")],
        Kind::Date => [
            "",
            "01/02/2026",
            "2026-13-01",
            "2026-02-30",
            "2026-1-1",
            "infinity",
            "today",
            "2026-01-01T00:00:00Z",
            "0000-01-01",
            "-000001-01-01",
            "+012026-01-01",
            "20260101",
        ]
        .map(Value::from)
        .into(),
        Kind::Timestamp => [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T25:00:00Z",
            "infinity",
            "now",
            "-004713-01-01T00:00:00Z",
            "0000-12-31T23:59:59Z",
        ]
        .map(Value::from)
        .into(),
        Kind::Array => vec![json!("amount"), json!(5), json!([["a"]]), json!([{}]), json!(["a\0"])],
        Kind::Json => vec![json!("a\0b"), json!({ "a": [{ "b": "\0" }] }), json!({ "\0": 1 })],
        Kind::DateRange => {
            ["2026-01-01", "[2026-02-30,)", "[2026-02-01,2026-01-01)", "[,", "empty", "[a\0b,)"].map(Value::from).into()
        }
        Kind::IntegerRange => ["5", "[1.5,)", "[2,1)", "[1,99999999999)", ""].map(Value::from).into(),
        Kind::NumericRange => ["5", "[1e3,)", "[2.5,2.4)", "[NaN,)", ""].map(Value::from).into(),
        Kind::Time => ["25:00", "9", "now", "09:30Z", "2026-02-28T09:30:00", ""].map(Value::from).into(),
        Kind::Other => panic!("teach this test what does not fit a {}", column.sql_type),
    };
    if column.sql_type == "integer" {
        misfits.extend([json!(i64::from(i32::MAX) + 1), json!(i64::from(i32::MIN) - 1)]);
    }
    if let Some(length) = column.sql_type.strip_prefix("character(") {
        misfits.push(json!("X".repeat(length.trim_end_matches(')').parse::<usize>().unwrap() + 1)));
    }
    if column.kind != Kind::Json {
        misfits.push(json!({ "an": "object" }));
        misfits.extend((column.kind != Kind::Boolean).then_some(json!(true)));
        misfits.extend((column.kind != Kind::Array).then_some(json!(["x"])));
        misfits.extend((!column.nullable).then_some(Value::Null));
    }
    misfits
}

/// A value of the column's type, as in a query.
fn fitting(column: &Column) -> &'static str {
    match column.kind {
        Kind::Uuid => "0190a0b0-0000-7000-8000-000000000001",
        Kind::Integer => "7",
        Kind::Numeric => "-12.50",
        Kind::Boolean => "true",
        Kind::Date => "2026-02-28",
        Kind::Timestamp => "2026-02-28T10:00:00.5%2B05:30",
        Kind::Text | Kind::Json | Kind::Array => "it's%20%E0%A4%85%25_%5C%22",
        Kind::DateRange => "[2026-02-28,)",
        Kind::IntegerRange => "[1,6)",
        Kind::NumericRange => "[1,6.5)",
        Kind::Time => "09:30",
        Kind::Other => "",
    }
}

/// Resources and reports with their paths.
fn readable(office: &Office) -> Vec<(String, Vec<Column>)> {
    let resources = office.resources().into_iter().map(|r| (format!("/api/v1/{}", r.name), r.columns.clone()));
    let reports = office.world.app.engine.catalog().reports();
    let reports = reports
        .filter(|r| office.company.1.contains(&&*r.module) && r.parameters.is_none())
        .map(|r| (format!("/api/v1/reports/{}", r.name), r.columns.clone()));
    resources.chain(reports).collect()
}

#[tokio::test]
async fn a_value_that_does_not_fit_its_column_is_named() {
    for company in COMPANIES {
        send_misfits(&Office::of(company).await).await;
    }
}

async fn send_misfits(office: &Office) {
    let owner = office.user("owner").await;
    let watch = Watch::begin(office).await;
    let mut tried = 0;
    for resource in office.resources_with(pack::Method::Update) {
        let path = format!("/api/v1/{}", resource.name);
        let listed = owner.rows(&path).await;
        let key = listed.first().map_or_else(
            || Uuid::nil().to_string(),
            |row| row[resource.key.name.as_str()].as_str().unwrap().to_owned(),
        );
        for column in resource.columns.iter().filter(|column| column.writable) {
            let (name, pointer) = (column.name.as_str(), format!("#/{}", column.name.as_str()));
            for (at, misfit) in misfits(column).into_iter().enumerate() {
                let what = format!("{path} {name} = {misfit}");
                let mut answers = vec![owner.patch(&format!("{path}/{key}"), json!({ name: misfit })).await];
                // Both read the same way, so one in each column shows it.
                if at == 0 && resource.methods.contains(&pack::Method::Create) {
                    answers.push(owner.post(&path, json!({ name: misfit })).await);
                }
                for answer in answers {
                    let problem = watch.refused(&answer, &what);
                    assert_eq!(problem["status"], 422, "{what}: {}", answer.text);
                    let faults = problem["errors"].as_array().unwrap_or_else(|| panic!("{what}: {}", answer.text));
                    assert!(faults.iter().any(|fault| fault["pointer"] == pointer), "{what}: {}", answer.text);
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
    watch.nothing_changed(office).await;
}

#[tokio::test]
async fn every_column_is_filtered_and_ordered_by_values_of_its_type_only() {
    for company in COMPANIES {
        filter_and_order_everything(&Office::of(company).await).await;
    }
}

async fn filter_and_order_everything(office: &Office) {
    let owner = office.user("owner").await;
    let watch = Watch::begin(office).await;
    for (path, columns) in readable(office) {
        for column in &columns {
            let name = column.name.as_str();
            let value = fitting(column);
            let compared = format!(
                "{name}=eq.{value}&{name}=neq.{value}&{name}=gt.{value}&{name}=gte.{value}&{name}=lt.{value}&{name}=lte.{value}"
            );
            let answer = owner.get(&format!("{path}?{compared}&{name}=is.null")).await;
            let expected = if matches!(column.kind, Kind::Json | Kind::Array | Kind::Other) { 400 } else { 200 };
            assert_eq!(answer.status.as_u16(), expected, "{path} {name}: {}", answer.text);
            let bad = ["", "a%00b", "1e9", "%27;--", "2026-02-30", "infinity"];
            for value in bad.iter().filter(|_| column.kind != Kind::Text) {
                let what = format!("{path}?{name}=gte.{value}");
                let problem = watch.refused(&owner.get(&what).await, &what);
                assert_eq!(
                    (&problem["status"], &problem["errors"][0]["parameter"]),
                    (&json!(400), &json!(name)),
                    "{what}"
                );
            }
        }
        let sortable: Vec<_> =
            columns.iter().filter(|column| !matches!(column.kind, Kind::Json | Kind::Array)).collect();
        for order in ["asc", "desc", "asc.nullsfirst", "desc.nullslast"] {
            for some in sortable.chunks(8) {
                let some: Vec<String> = some.iter().map(|column| format!("{}.{order}", column.name.as_str())).collect();
                owner.get(&format!("{path}?order={}&limit=1", some.join(","))).await.ok();
            }
        }
    }
    watch.nothing_changed(office).await;
}

#[tokio::test]
async fn a_text_that_is_too_long_is_refused_or_kept_whole() {
    let mut kept = Vec::new();
    for company in COMPANIES {
        kept.extend(send_long_texts(&Office::of(company).await).await);
    }
    insta::assert_snapshot!(kept.join(" "), @"activities.body activities.outcome listings.body");
}

/// Gives the fields that took one.
async fn send_long_texts(office: &Office) -> Vec<String> {
    let owner = office.user("owner").await;
    let watch = Watch::begin(office).await;
    // Random letters: an index cannot squeeze them.
    let mut state = 1u64;
    let mut letter = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        char::from(b'a' + (state >> 33) as u8 % 26)
    };
    let long: String = (0..20_000).map(|_| letter()).collect();
    let place = json!({ "code": "NOOK", "name": "X", "kind": "office" });
    let place = made(owner.post("/api/v1/locations", place).await);
    for (resource, new) in [
        ("holidays", json!({ "on_date": "2026-01-01", "name": "X", "location_id": place })),
        ("number_series", json!({ "code": "x", "pattern": "{SEQ}" })),
        ("approval_rules", json!({ "doc_type": "x", "level": 1, "permission": "x.y" })),
    ] {
        made(owner.post(&format!("/api/v1/{resource}"), new).await);
    }
    let mut kept = Vec::new();
    for resource in office.resources_with(pack::Method::Update) {
        let path = format!("/api/v1/{}", resource.name);
        let rows = owner.rows(&path).await;
        let Some(row) = rows.first() else { continue };
        for column in resource.columns.iter().filter(|column| column.writable && column.kind == Kind::Text) {
            let name = column.name.as_str();
            let row = format!("{path}/{}", row[resource.key.name.as_str()].as_str().unwrap());
            for text in [
                long.clone(),
                format!("{long}.example"),
                format!("{long}@example.com"),
                format!("+1{}", "2".repeat(9000)),
            ] {
                let answer = owner.patch(&row, json!({ name: text })).await;
                watch.discreet(&answer, name);
                if answer.status == 200 {
                    assert_eq!(answer.json()[name], text);
                    kept.push(format!("{}.{name}", resource.name));
                } else {
                    let problem = watch.refused(&answer, name);
                    let faults = problem["errors"].as_array().cloned().unwrap_or_default();
                    let named = faults.iter().any(|fault| fault["pointer"] == format!("#/{name}"));
                    // An index over an expression has no field to name.
                    let named = named || problem["detail"] == "A value is too long.";
                    // A row may be in a state that refuses any change first.
                    assert!(answer.status == 409 || (answer.status == 422 && named), "{row} {name}: {}", answer.text);
                }
            }
        }
    }
    kept.dedup();
    kept
}

/// Runs a property with the same cases every time, each with a deadline.
fn for_all<S: Strategy>(cases: u32, strategy: &S, check: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng).run(strategy, check).unwrap();
}

async fn in_time(answer: impl Future<Output = super::world::Answer>) -> super::world::Answer {
    tokio::time::timeout(Duration::from_secs(10), answer).await.expect("an answer")
}

fn any_json() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-5..5i32).prop_map(Value::from)
    ];
    let special = prop::sample::select(vec![
        "",
        "0",
        "-0.00",
        "1e5",
        "NaN",
        "null",
        "2026-02-28",
        "9999-12-31T23:59:59Z",
        "\0",
        "'; --",
        "\u{202e}",
        "🦀",
        "+919876543210",
        "a@b.example",
        "INR",
        "call",
        "0190a0b0-0000-7000-8000-000000000001",
    ]);
    let text =
        prop_oneof![special.prop_map(Value::from), ".{0,40}".prop_map(Value::from), "[a-z]{300}".prop_map(Value::from)];
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number, text];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((".{0,8}", inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect()))
        ]
    })
}

fn columns(office: &Office, resource: &str) -> Vec<String> {
    let resource = office.world.app.engine.catalog().resource(resource).unwrap().clone();
    resource.columns.iter().map(|column| column.name.as_str().to_owned()).collect()
}

async fn write_random(
    user: &User<'_>,
    resource: &str,
    row: &str,
    body: &Map<String, Value>,
) -> Vec<super::world::Answer> {
    let path = format!("/api/v1/{resource}");
    let body = Value::Object(body.clone());
    vec![in_time(user.post(&path, body.clone())).await, in_time(user.patch(&format!("{path}/{row}"), body)).await]
}

#[test]
fn no_body_breaks_the_service() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let office = runtime.block_on(Office::open());
    let (owner, watch) = (runtime.block_on(office.user("owner")), runtime.block_on(Watch::begin(&office)));
    for resource in ["contacts", "deals"] {
        let row = runtime.block_on(owner.rows(&format!("/api/v1/{resource}")))[0]["id"].as_str().unwrap().to_owned();
        let mut names = columns(&office, resource);
        names.push("nonsense".into());
        // Often a body that could be one, so that PostgreSQL gets to judge it too.
        let start = match resource {
            "contacts" => json!({ "first_name": "Any", "phone": "+919876543210" }),
            _ => json!({ "title": "Any", "organization_id": Value::Null, "amount": "1" }),
        };
        let bodies = (vec((prop::sample::select(names), any_json()), 0..4), any::<bool>());
        for_all(120, &bodies, |(fields, with_start)| {
            let mut body = if with_start { start.as_object().unwrap().clone() } else { Map::new() };
            body.extend(fields);
            for answer in runtime.block_on(write_random(&owner, resource, &row, &body)) {
                prop_assert!(answer.status.as_u16() < 500, "{body:?}: {}", answer.text);
                if answer.status.as_u16() >= 400 {
                    watch.refused(&answer, &format!("{body:?}"));
                }
            }
            Ok(())
        });
    }
}

#[test]
fn no_query_breaks_the_service() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let office = runtime.block_on(Office::open());
    let (owner, watch) = (runtime.block_on(office.user("owner")), runtime.block_on(Watch::begin(&office)));
    let mut names = columns(&office, "deals");
    names.extend(["order", "limit", "select", "or", "not.title", "contact.email", "x"].map(str::to_owned));
    let operators =
        prop::sample::select(vec!["eq", "neq", "gt", "gte", "lt", "lte", "is", "not.eq", "like", "in", "x", ""]);
    let values = prop_oneof![
        prop::sample::select(vec![
            "null",
            "not_null",
            "true",
            "1",
            "12.5",
            "2026-01-01",
            "title.desc",
            "amount.asc.nullsfirst,id",
            "(1,2)",
            "%00",
            "%ff"
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,20}".prop_map(|text| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()),
        ".{0,10}".prop_map(|text| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()),
    ];
    let pair =
        (prop::sample::select(names), operators, values).prop_map(|(name, operator, value)| match name.as_str() {
            "order" | "limit" => format!("{name}={value}"),
            _ => format!("{name}={operator}.{value}"),
        });
    let raw = "[!$-;=?-Z_a-z~&%]{0,40}".prop_filter("a URL", |raw| !raw.contains('#'));
    let queries = prop_oneof![3 => vec(pair, 0..5).prop_map(|pairs| pairs.join("&")), 1 => raw];
    for_all(250, &queries, |query| {
        for path in ["deals", "reports/stale_deals"] {
            let answer = runtime.block_on(in_time(owner.get(&format!("/api/v1/{path}?{query}"))));
            prop_assert!([200, 400].contains(&answer.status.as_u16()), "{query}: {}", answer.text);
            if answer.status != 200 {
                watch.refused(&answer, &query);
            }
        }
        Ok(())
    });
    runtime.block_on(watch.nothing_changed(&office));
}
