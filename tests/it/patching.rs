//! PATCH is a JSON Merge Patch (RFC 7396), inside documents too, and values are kept exactly or refused.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::crm_story::{Office, made};
use super::world::World;

/// `MergePatch(Target, Patch)` of RFC 7396, section 2, word for word.
fn merge_patch(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            let there = target.remove(name).unwrap_or(Value::Null);
            target.insert(name.clone(), merge_patch(there, value));
        }
    }
    Value::Object(target)
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..3i32).prop_map(Value::from),
        prop::sample::select(vec!["", "a", "null", "🦀"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let names = prop::sample::select(vec!["a", "b", "c", "", "0", "a.b"]);
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            3 => prop::collection::vec((names, inner), 0..5)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into())
        ]
    })
}

#[test]
fn postgresql_merges_as_the_rfc_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::new());
    let superuser = runtime.block_on(world.superuser());
    let merged = |target: &Value, patch: &Value| -> Value {
        let sql = "select coalesce(insula.app_merge($1, $2), 'null')";
        runtime.block_on(superuser.query_one(sql, &[target, patch])).unwrap().get(0)
    };
    let rfc: Value = serde_json::from_str(RFC_EXAMPLES).unwrap();
    for example in rfc.as_array().unwrap() {
        assert_eq!(merged(&example[0], &example[1]), example[2], "{example}");
    }
    let config = Config { cases: 800, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&(document(), document()), |(target, patch)| {
        let once = merged(&target, &patch);
        prop_assert_eq!(&once, &merge_patch(target.clone(), &patch), "{} {}", target, patch);
        prop_assert_eq!(merged(&once, &patch), once, "a patch applied twice changes nothing more");
        prop_assert_eq!(merged(&target, &json!({})), merge_patch(target, &json!({})));
        Ok(())
    });
    outcome.unwrap();
}

/// Appendix A of RFC 7396: original, patch, result.
const RFC_EXAMPLES: &str = r#"[
    [{"a":"b"}, {"a":"c"}, {"a":"c"}], [{"a":"b"}, {"b":"c"}, {"a":"b","b":"c"}], [{"a":"b"}, {"a":null}, {}],
    [{"a":"b","b":"c"}, {"a":null}, {"b":"c"}], [{"a":["b"]}, {"a":"c"}, {"a":"c"}], [{"a":"c"}, {"a":["b"]}, {"a":["b"]}],
    [{"a":{"b":"c"}}, {"a":{"b":"d","c":null}}, {"a":{"b":"d"}}], [{"a":[{"b":"c"}]}, {"a":[1]}, {"a":[1]}],
    [["a","b"], ["c","d"], ["c","d"]], [{"a":"b"}, ["c"], ["c"]], [{"a":"foo"}, null, null], [{"a":"foo"}, "bar", "bar"],
    [{"e":null}, {"a":1}, {"e":null,"a":1}], [[1,2], {"a":"b","c":null}, {"a":"b"}], [{}, {"a":{"bb":{"ccc":null}}}, {"a":{"bb":{}}}]
]"#;

#[tokio::test]
async fn a_document_in_a_row_is_patched_and_not_replaced() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let address = json!({ "line1": "1 MG Road", "city": "Pune", "geo": { "lat": 18, "long": 73 } });
    let place = json!({ "code": "PN1", "name": "Pune", "kind": "office", "address": address });
    let place = format!("/api/v1/locations/{}", made(owner.post("/api/v1/locations", place).await));
    let change = json!({ "address": { "city": null, "pin": "411001", "geo": { "lat": 19 } } });
    let changed = owner.patch(&place, change).await.ok();
    let expected = json!({ "line1": "1 MG Road", "geo": { "lat": 19, "long": 73 }, "pin": "411001" });
    assert_eq!((&changed["address"], &changed["name"]), (&expected, &json!("Pune")));
    let refused = owner.patch(&place, json!({ "address": null })).await.problem(422);
    assert_eq!(
        refused["errors"][0],
        json!({ "pointer": "#/address", "code": "required", "detail": "must not be null" })
    );
    let array = owner.patch(&place, json!({ "address": [] })).await;
    assert_eq!(array.problem(422)["errors"][0]["pointer"], "#/address", "the pack wants an object");
}

#[tokio::test]
async fn money_is_kept_to_the_last_digit_or_refused_with_the_way_to_send_it() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let contact = office.text("select id::text from crm_contact limit 1").await;
    let deal = json!({ "title": "Exact", "contact_id": contact });
    let deal = format!("/api/v1/deals/{}", made(owner.post("/api/v1/deals", deal).await));
    for exact in ["1234567890123456.78", "0.10", "12.5000"] {
        let kept = owner.patch(&deal, json!({ "amount": exact })).await.ok()["amount"].as_str().unwrap().to_owned();
        assert_eq!(kept, exact.strip_suffix("00").unwrap_or(exact));
    }
    for rounded in ["1234567890123.4567", "0.005", "1e308", "100000000000000000000001", "0.1000000000000000055"] {
        let body = format!(r#"{{"amount":{rounded}}}"#);
        let answer = owner.request(Method::PATCH, &deal).body("application/json", body).send().await;
        assert_eq!(answer.status, 422, "{rounded}: {}", answer.text);
    }
    assert_eq!(owner.get(&deal).await.ok()["amount"], "12.50");
    let long = owner.patch(&deal, json!({ "title": "x".repeat(70_000) })).await.problem(422);
    assert_eq!(long["errors"][0]["code"], "too_long");
}
