//! The statement of each way to write, and what is refused before there is one.

use std::sync::Arc;

use insta::assert_snapshot;
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::pack::{Action, Column, Kind, Method};
use crate::resource::{Comparison, Resolution, Rows};
use crate::sql::Value;

fn column(name: &str, kind: Kind, sql_type: &str, writable: bool) -> Column {
    let (name, sql_type) = (Ident::new(name).unwrap(), sql_type.to_owned());
    Column {
        name,
        kind,
        sql_type,
        required: false,
        defaulted: false,
        nullable: true,
        writable,
        filterable: true,
        choices: Vec::new(),
        longest: None,
        comment: None,
    }
}

fn deals() -> Resource {
    let columns = vec![
        column("id", Kind::Uuid, "uuid", false),
        column("order", Kind::Text, "text", true),
        column("amount", Kind::Numeric, "numeric(18,2)", true),
        column("tags", Kind::Array, "text[]", true),
        column("facts", Kind::Json, "jsonb", true),
        column("row_version", Kind::Integer, "integer", false),
    ];
    Resource {
        name: "deals".into(),
        module: "crm".into(),
        table: Ident::new("crm_deal").unwrap(),
        key: columns[0].clone(),
        columns,
        methods: vec![Method::Create, Method::Update],
        by_service: Vec::new(),
        public: Vec::new(),
        references: Vec::new(),
        unique: Vec::new(),
        if_match_required: false,
        search: Vec::new(),
        scoped: false,
        regex: Vec::new(),
        maker: None,
        actions: Default::default(),
        permissions: Default::default(),
    }
}

fn planner(resource: Resource, if_match: Option<&str>, if_none_match: Option<&str>) -> Planner {
    let tags = |text: Option<&str>| Tags::parse("x", Comparison::Strong, text).unwrap();
    let preconditions = Preconditions { if_match: tags(if_match), if_none_match: tags(if_none_match) };
    let (resource, returning) = (Arc::new(resource), Returning::Representation);
    Planner { resource, preconditions, returning, counting: render::Counting::Told }
}

/// A planner for a request that names a version, or none.
fn about(if_match: Option<&str>) -> Planner {
    planner(deals(), if_match, None)
}

fn key() -> RowKey {
    RowKey::parse(&deals(), "0190a0b0-0000-7000-8000-000000000001").unwrap()
}

fn object(json: Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

fn body() -> Map<String, Json> {
    object(json!({ "order": "it's", "amount": 12.5, "tags": ["a", "b\"c"], "facts": { "a": null } }))
}

/// The statements with their values in place, for reading.
fn shown(part: &Part) -> String {
    let one = |sql: &Sql| {
        let binds = sql.values().iter().enumerate().map(|(n, value)| format!("\n${} {value:?}", n + 1));
        format!("{}{}", sql.text(), binds.collect::<String>())
    };
    part.queries.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn a_row_is_read_with_its_version() {
    assert_snapshot!(shown(&about(None).read(key())));
}

#[test]
fn a_new_row() {
    assert_snapshot!("insert", shown(&about(None).create(&body()).unwrap()));
    assert_snapshot!("insert_defaults", shown(&about(None).create(&Map::new()).unwrap()));
}

#[test]
fn a_patch_merges_documents_and_may_name_versions() {
    assert_snapshot!("update", shown(&about(None).update(key(), &body()).unwrap()));
    let versions = about(Some("\"v3\", \"v4\", W/\"v5\""));
    assert_snapshot!("update_version", shown(&versions.update(key(), &object(json!({ "facts": [1] }))).unwrap()));
    assert_snapshot!("update_nothing", shown(&versions.update(key(), &Map::new()).unwrap()));
}

#[test]
fn a_row_is_removed() {
    assert_snapshot!("delete", shown(&about(None).delete(key()).unwrap()));
    assert_snapshot!("delete_version", shown(&about(Some("\"v3\"")).delete(key()).unwrap()));
    let demanding = Planner { counting: render::Counting::Demanded, ..about(None) };
    assert_snapshot!("delete_in_batch", shown(&demanding.delete(key()).unwrap()));
}

#[test]
fn a_row_is_made_or_replaced() {
    let body = object(json!({ "id": "0190A0B0-0000-7000-8000-000000000001", "amount": "1" }));
    assert_snapshot!("replace", shown(&about(None).replace(key(), &body).unwrap()));
    assert_snapshot!("replace_present", shown(&about(Some("*")).replace(key(), &body).unwrap()));
    assert_snapshot!("replace_absent", shown(&planner(deals(), None, Some("*")).replace(key(), &body).unwrap()));
    let other = object(json!({ "id": "0190a0b0-0000-7000-8000-000000000002" }));
    assert_eq!(about(None).replace(key(), &other).unwrap_err().faults()[0].code, "read_only");
    assert!(planner(deals(), None, Some("\"v1\"")).replace(key(), &body).is_err());
}

#[test]
fn an_action_is_a_call_and_a_look_at_the_row() {
    let (name, function) = (Ident::new("move").unwrap(), Ident::new("crm_deal_move").unwrap());
    let action = Action { name, function, permission: "deals.move".into(), public: false, input: Vec::new() };
    assert_snapshot!("action", shown(&about(None).act(key(), &action, &Map::new()).unwrap()));
    let versioned = about(Some("\"v3\"")).act(key(), &action, &Map::new()).unwrap();
    assert!(versioned.one_moment);
    assert_snapshot!("action_version", shown(&versioned));
}

#[test]
fn a_resource_may_demand_that_the_version_is_named() {
    let strict = |if_match| planner(Resource { if_match_required: true, ..deals() }, if_match, None);
    let code = |outcome: Result<Part>| outcome.map_or_else(|error| error.code().to_owned(), |_| "planned".to_owned());
    for (if_match, expected) in [(None, "precondition_required"), (Some("\"v1\""), "planned"), (Some("*"), "planned")] {
        assert_eq!(code(strict(if_match).update(key(), &body())), expected);
        assert_eq!(code(strict(if_match).replace(key(), &body())), expected);
        assert_eq!(code(strict(if_match).delete(key())), expected);
    }
    let new = Planner { preconditions: planner(deals(), None, Some("*")).preconditions, ..strict(None) };
    assert_eq!(code(new.replace(key(), &body())), "planned");
}

#[test]
fn where_no_versions_are_counted_none_matches() {
    let columns = deals().columns.into_iter().filter(|column| column.name.as_str() != "row_version").collect();
    let plain = Resource { columns, ..deals() };
    let part = planner(plain, Some("\"v3\""), None).delete(key()).unwrap();
    assert!(part.queries[0].text().contains(" and false"), "{}", shown(&part));
    assert!(part.queries[0].values().iter().all(|value| *value != Value::text("{3}")));
}

fn rows() -> Rows {
    let rows =
        json!([{ "amount": "1.50", "tags": ["a"] }, { "order": "it's", "facts": { "a": [1] } }, { "amount": 2 }]);
    Rows(rows.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect())
}

fn bulk(resolution: Option<Resolution>) -> Bulk {
    Bulk::new(Arc::new(deals()), rows(), resolution, None).unwrap()
}

#[test]
fn many_rows_are_one_statement_for_each_set_of_columns() {
    let filled = about(None).create_many(bulk(None)).unwrap();
    assert_eq!(filled.places, [[0, 1, 2]], "columns without a default count as given");
    assert_snapshot!("insert_many", shown(&filled));
    let planner = about(None);
    let merged = planner.create_many(bulk(Some(Resolution::Merge))).unwrap();
    assert_eq!(merged.places, [[0].as_slice(), &[1], &[2]], "a merge changes what is given and nothing else");
    assert_snapshot!("merge_many", shown(&merged));
    let ignore = planner.conflicts(Resolution::Ignore, None).unwrap();
    assert_snapshot!("ignore_one", shown(&planner.upsert(&object(json!({ "amount": 1 })), &ignore).unwrap()));
}

#[test]
fn answers_of_several_statements_come_in_the_order_of_the_body() {
    let planner = about(None);
    let merged = planner.create_many(bulk(Some(Resolution::Merge))).unwrap();
    let part = Part { places: vec![vec![0, 2], vec![1]], ..merged };
    let answer = |body: &str, count| Answer { count, body: Some(body.to_owned()) };
    let reply = part.reply(&[answer(r#"[{"n":0},{"n":2}]"#, 2), answer(r#"[{"n":1}]"#, 1)]).unwrap().unwrap();
    assert_eq!(
        reply.body.unwrap(),
        r#"{"object":"list","data":[{"n":0},{"n":1},{"n":2}],"has_more":false,"next_cursor":null,"total_count":null}"#
    );
}
