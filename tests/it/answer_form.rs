//! The form of answers, the same for all resources and reports.

use std::collections::BTreeMap;

use insula::pack::Kind;
use jiff::{Timestamp, civil::Date};
use reqwest::Method;
use serde_json::{Value, json};

use super::crm_story::Office;
use super::world::{Answer, World, report_path};

#[tokio::test]
async fn every_list_has_the_same_envelope_and_values_have_the_form_of_their_type() {
    let office = Office::open().await;
    office.tangle().await;
    let owner = office.user("owner").await;
    let catalog = office.world.app.engine.catalog();
    let resources = catalog.resources().map(|r| (format!("/api/v1/{}?", r.name), &r.module, &r.columns));
    let reports = catalog.reports().map(|r| (report_path(r), &r.module, &r.columns));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (path, module, columns) in resources.chain(reports) {
        if !["crm", "system_admin"].contains(&module.as_str()) {
            continue;
        }
        let answer = owner.get(&format!("{path}&limit=40")).await;
        assert_eq!(answer.headers["content-type"], "application/json");
        let body = answer.ok();
        let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["object", "data", "has_more", "next_cursor", "total_count"], "{path}");
        assert_eq!((&body["object"], &body["total_count"]), (&json!("list"), &Value::Null));
        assert!(body["has_more"].is_boolean());
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        for row in body["data"].as_array().unwrap() {
            assert_eq!(row.as_object().unwrap().keys().collect::<Vec<_>>(), names, "{path}");
            for column in columns.iter().filter(|column| !row[column.name.as_str()].is_null()) {
                let value = &row[column.name.as_str()];
                assert!(has_form(column.kind, value), "{path} {} {value}", column.name.as_str());
                *seen.entry(format!("{:?}", column.kind)).or_default() += 1;
            }
        }
    }
    for kind in ["Array", "Boolean", "Date", "Integer", "Json", "Numeric", "Other", "Text", "Timestamp", "Uuid"] {
        assert!(seen.contains_key(kind), "no value of type {kind} was there to look at");
    }
}

/// Numbers that must stay exact are strings; moments are RFC 3339 in UTC.
fn has_form(kind: Kind, value: &Value) -> bool {
    let text = value.as_str();
    match kind {
        Kind::Uuid => text.is_some_and(|text| text.parse::<uuid::Uuid>().is_ok_and(|id| id.to_string() == text)),
        Kind::Numeric => text.is_some_and(|text| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.parse::<f64>().is_ok()
        }),
        Kind::Date => text.is_some_and(|text| text.parse::<Date>().is_ok_and(|date| date.to_string() == text)),
        Kind::Timestamp => text.is_some_and(|text| {
            text.parse::<Timestamp>().is_ok()
                && text.as_bytes()[10] == b'T'
                && (text.ends_with("+00:00") || text.ends_with('Z'))
        }),
        Kind::Integer => value.is_i64(),
        Kind::Boolean => value.is_boolean(),
        Kind::Array => value.is_array(),
        Kind::Time => text.is_some_and(|text| text.len() >= 8 && text.as_bytes()[2] == b':'),
        Kind::DateRange | Kind::IntegerRange | Kind::NumericRange => {
            text.is_some_and(|text| text.starts_with(['[', '(']))
        }
        Kind::Text | Kind::Other => text.is_some(),
        Kind::Json => true,
    }
}

#[tokio::test]
async fn a_new_row_says_where_it_is_and_reads_the_same_there() {
    let office = Office::open().await;
    let sales1 = office.user("sales1").await;
    let body =
        json!({ "first_name": "Ünï 🦀 \"quoted\"", "phone": "+918012340009", "source": "Line\nbreak\ttab \\ \u{1}" });
    let created = sales1.post("/api/v1/contacts", body.clone()).await;
    assert_eq!(
        (created.status.as_u16(), &created.headers["content-type"]),
        (201, &"application/json".parse().unwrap())
    );
    let row = created.json();
    let location = created.headers["location"].to_str().unwrap();
    assert_eq!(location, format!("/api/v1/contacts/{}", row["id"].as_str().unwrap()));
    assert_eq!(sales1.get(location).await.ok(), row);
    assert_eq!((&row["first_name"], &row["source"]), (&body["first_name"], &body["source"]));
    assert_eq!(
        (&row["row_version"], &row["created_at"], &row["created_by"]),
        (&json!(1), &row["updated_at"], &row["owner_id"])
    );
    let id: uuid::Uuid = row["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    let changed = sales1.patch(location, json!({ "source": null })).await;
    assert_eq!((changed.status.as_u16(), changed.headers.get("location")), (200, None));
    let changed = changed.json();
    assert_eq!(
        (&changed["row_version"], &changed["source"], &changed["created_at"]),
        (&json!(2), &Value::Null, &row["created_at"])
    );
    let gone = office.user("manager").await.delete(location).await;
    assert_eq!((gone.status.as_u16(), gone.text.as_str(), gone.headers.get("content-type")), (204, "", None));
}

#[tokio::test]
async fn numbers_are_ordered_as_numbers_and_nothings_where_the_caller_says() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let amounts = async |order: &str| -> Vec<Option<f64>> {
        let rows = owner.rows(&format!("/api/v1/deals?order={order}")).await;
        rows.iter().map(|row| row["amount"].as_str().map(|amount| amount.parse().unwrap())).collect()
    };
    let up = amounts("amount").await;
    let (some, none): (Vec<_>, Vec<_>) = up.iter().partition(|amount| amount.is_some());
    assert!(some.len() > 30 && !none.is_empty(), "the demo has both");
    assert!(some.is_sorted() && up.starts_with(&some), "{up:?}");
    let down: Vec<_> = up.iter().rev().copied().collect();
    assert_eq!(amounts("amount.desc").await, down);
    assert_eq!(
        amounts("amount.desc.nullslast,id").await,
        [some.iter().rev().copied().collect(), none.clone()].concat()
    );
    assert_eq!(amounts("amount.asc.nullsfirst").await, [none, some].concat());
    // Two sort columns, the second backwards.
    let rows = owner.rows("/api/v1/deals?order=stage_id,title.desc").await;
    let keys: Vec<_> =
        rows.iter().map(|row| (row["stage_id"].to_string(), std::cmp::Reverse(row["title"].to_string()))).collect();
    assert!(keys.is_sorted_by(|a, b| a.0 < b.0 || (a.0 == b.0 && a.1.0 >= b.1.0)), "{keys:?}");
    // A page is the beginning of the whole.
    let page = owner.get("/api/v1/deals?order=amount.desc.nullslast&limit=7").await.ok();
    let whole = owner.rows("/api/v1/deals?order=amount.desc.nullslast").await;
    assert_eq!((page["data"].as_array().unwrap().as_slice(), &page["has_more"]), (&whole[..7], &json!(true)));
    let fifty = owner.get("/api/v1/deals").await.ok();
    assert_eq!((fifty["data"].as_array().unwrap().len(), &fifty["has_more"]), (50, &json!(true)));
}

#[tokio::test]
async fn every_answer_carries_its_id_and_stays_out_of_caches() {
    let office = Office::open().await;
    let sales1 = office.user("sales1").await;
    let contact = sales1.rows("/api/v1/contacts").await[0]["id"].as_str().unwrap().to_owned();
    for (method, path, status) in [
        (Method::GET, "/api/v1/contacts".to_owned(), 200),
        (Method::GET, format!("/api/v1/contacts/{contact}"), 200),
        (Method::HEAD, "/api/v1/contacts".to_owned(), 200),
        (Method::GET, "/api/v1/contacts?x=1".to_owned(), 400),
        (Method::GET, "/api/v1/settings".to_owned(), 403),
        (Method::GET, "/api/v1/nowhere".to_owned(), 404),
        (Method::PUT, "/api/v1/contacts".to_owned(), 405),
        (Method::POST, "/api/v1/contacts".to_owned(), 415),
        (Method::GET, "/nowhere/at/all".to_owned(), 404),
    ] {
        let ask = |id: &str| sales1.request(method.clone(), &path).header("x-request-id", id).send();
        let answer = ask("Trace-7_a.b").await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.headers["x-request-id"], "Trace-7_a.b");
        assert_eq!(answer.headers["cache-control"], "private, no-store", "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        if status >= 400 {
            assert_problem(&answer, &path);
        }
        // An id that could not be logged as it is gets replaced, and each request has one of its own.
        for bad in ["", "with space", "semi;colon", &"x".repeat(65), "ünï"] {
            let given = ask(bad).await.headers["x-request-id"].to_str().unwrap().to_owned();
            assert!(given != bad && given.len() == 32 && given.bytes().all(|b| b.is_ascii_hexdigit()), "{given}");
            assert_ne!(sales1.get(&path).await.headers["x-request-id"], given.as_str());
        }
    }
    let nobody = office.world.request(Method::GET, "acme", "/api/v1/contacts").send().await;
    assert_eq!(nobody.headers["www-authenticate"], "Bearer");
    assert_problem(&nobody, "/api/v1/contacts");
}

/// RFC 9457 with our members, and no others.
#[track_caller]
fn assert_problem(answer: &Answer, path: &str) {
    let problem = answer.problem(answer.status.as_u16());
    let keys: Vec<_> = problem.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(&keys[..7], ["type", "title", "status", "detail", "instance", "code", "request_id"]);
    assert!(keys[7..].iter().all(|key| ["hint", "errors"].contains(key)), "{keys:?}");
    let code = problem["code"].as_str().unwrap();
    assert_eq!(problem["type"], format!("https://insula.test/problems/{}", code.replace('_', "-")));
    assert_eq!(problem["instance"], path.split('?').next().unwrap());
    assert!(problem["detail"].as_str().unwrap().ends_with('.') && problem["title"].as_str().unwrap().ends_with('.'));
}

#[tokio::test]
async fn a_path_that_is_no_text_gets_a_problem_from_every_operation() {
    let world = World::new().await;
    let (staff, owner) = (world.staff().await, world.user("acme", "owner").await);
    let key = uuid::Uuid::now_v7();
    for (user, method, path) in [
        (&staff, Method::GET, "tenants/%ff".to_owned()),
        (&staff, Method::POST, "tenants/%ff/actions/suspend".to_owned()),
        (&staff, Method::POST, "tenants/%ff/actions/resume".to_owned()),
        (&staff, Method::PUT, format!("tenants/{key}/modules/%ff")),
        (&staff, Method::DELETE, format!("tenants/{key}/modules/%ff")),
        (&owner, Method::GET, "contacts/%ff".to_owned()),
        (&owner, Method::PUT, "contacts/%ff".to_owned()),
        (&owner, Method::PATCH, "contacts/%ff".to_owned()),
        (&owner, Method::DELETE, "contacts/%ff".to_owned()),
        (&owner, Method::POST, format!("contacts/{key}/actions/%ff")),
    ] {
        let answer = user.request(method.clone(), &format!("/api/v1/{path}")).json(&json!({})).send().await;
        assert_eq!(answer.problem(400)["detail"], "The path is not valid UTF-8.", "{method} {path}");
    }
}

#[tokio::test]
async fn a_method_that_a_resource_lacks_names_those_it_has() {
    let world = World::new().await;
    let owner = world.user("acme", "owner").await;
    let key = uuid::Uuid::now_v7();
    for (method, path, allow) in [
        (Method::POST, "deal_stage_log".to_owned(), "GET,HEAD"),
        (Method::PATCH, "deal_stage_log".to_owned(), "GET,HEAD"),
        (Method::DELETE, format!("deal_stage_log/{key}"), "GET,HEAD"),
        (Method::PUT, format!("deal_stage_log/{key}"), "GET,HEAD"),
    ] {
        let answer = owner.request(method.clone(), &format!("/api/v1/{path}")).json(&json!({})).send().await;
        assert_eq!(answer.problem(405)["code"], "method_not_allowed");
        assert_eq!(answer.headers["allow"], allow, "{method} {path}");
    }
}
