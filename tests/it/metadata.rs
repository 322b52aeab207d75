//! `GET /api/v1` and the schemas of rows.

use serde_json::{Value, json};

use super::crm_story::Office;
use super::world::report_path;

#[tokio::test]
async fn the_directory_lists_what_the_caller_may_use() {
    let office = Office::open().await;
    let sales1 = office.user("sales1").await;
    let directory = sales1.get("/api/v1").await.ok();
    let modules = directory["modules"].as_array().unwrap();
    let crm = modules.iter().find(|module| module["code"] == "crm").unwrap();
    let resource =
        |name: &str| crm["resources"].as_array().unwrap().iter().find(|entry| entry["name"] == name).cloned();
    assert_eq!(
        resource("deals").unwrap(),
        json!({
            "name": "deals",
            "title": "Deals",
            "url": "/api/v1/deals",
            "schema_url": "/api/v1/deals/schema",
            "methods": ["list", "get", "create", "update"],
            "actions": ["move"],
        })
    );
    assert_eq!(resource("stages").unwrap()["methods"], json!(["list", "get"]));
    let system = modules.iter().find(|module| module["code"] == "system_admin").unwrap();
    let names: Vec<&Value> = system["resources"].as_array().unwrap().iter().map(|entry| &entry["name"]).collect();
    assert_eq!(names, [&json!("sessions")], "a salesperson has nothing else to do there");
    for entry in ["resources", "reports"].iter().flat_map(|kind| crm[*kind].as_array().unwrap()) {
        let name = entry["name"].as_str().unwrap();
        let report = office.world.app.engine.catalog().report(name).filter(|_| entry["methods"].is_null());
        let url = report.map_or_else(|| entry["url"].as_str().unwrap().to_owned(), |report| report_path(report));
        for link in [&*url, entry["schema_url"].as_str().unwrap()] {
            sales1.get(link).await.ok();
        }
    }
    for link in directory["links"].as_object().unwrap().values() {
        let answer = sales1.get(link.as_str().unwrap()).await;
        assert_eq!(answer.status, 200, "{link}");
    }
}

#[tokio::test]
async fn a_schema_describes_every_row() {
    let office = Office::open().await;
    office.tangle().await;
    let owner = office.user("owner").await;
    for resource in office.world.app.engine.catalog().resources() {
        if !["crm", "system_admin"].contains(&resource.module.as_str()) {
            continue;
        }
        let schema = owner.get(&format!("/api/v1/{}/schema", resource.name)).await.ok();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        for row in owner.rows(&format!("/api/v1/{}", resource.name)).await {
            assert_fits(&schema, &row);
        }
    }
}

/// The schema's own words held against a row.
#[track_caller]
fn assert_fits(schema: &Value, row: &Value) {
    let row = row.as_object().unwrap();
    let names: Vec<&str> = schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(row.keys().collect::<Vec<_>>(), names);
    for (name, value) in row {
        let property = &schema["properties"][name];
        let kinds = match &property["type"] {
            Value::Null => continue,
            Value::Array(kinds) => kinds.clone(),
            kind => vec![kind.clone()],
        };
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        assert!(kinds.contains(&kind.into()), "{}.{name}: {value} is not {kinds:?}", schema["title"]);
        let choices = property["enum"].as_array();
        assert!(
            choices.is_none_or(|all| all.contains(value)),
            "{}.{name}: {value} is not {choices:?}",
            schema["title"]
        );
    }
}

#[tokio::test]
async fn a_schema_tells_forms_what_they_need() {
    let office = Office::open().await;
    let sales1 = office.user("sales1").await;
    let schema = sales1.get("/api/v1/contacts/schema").await.ok();
    assert_eq!(
        schema["x-ui"],
        json!({
            "resource": "contacts",
            "module": "crm",
            "key": "id",
            "label": ["first_name", "last_name"],
            "search": ["first_name", "last_name", "email", "phone"],
            "actions": [
                { "name": "archive", "title": "Archive", "input": { "type": "object", "properties": {}, "required": [], "additionalProperties": false } },
                { "name": "restore", "title": "Restore", "input": { "type": "object", "properties": {}, "required": [], "additionalProperties": false } },
            ],
        })
    );
    let property = |name: &str| schema["properties"][name].clone();
    assert_eq!(property("id"), json!({ "type": "string", "format": "uuid", "title": "Id", "readOnly": true }));
    assert_eq!(property("state")["readOnly"], true);
    assert_eq!(property("state")["enum"], json!(["active", "archived", "merged"]));
    let owner = json!({ "type": "string", "format": "uuid", "title": "Owner", "x-ui": { "reference": "users" } });
    assert_eq!(property("owner_id"), owner);
    assert_eq!(property("email")["type"], json!(["string", "null"]));

    let report = sales1.get("/api/v1/reports/pipeline/schema").await.ok();
    assert_eq!(report["x-ui"], json!({ "report": "pipeline", "module": "crm" }));
    assert_eq!(sales1.get("/api/v1/settings/schema").await.problem(403)["code"], "forbidden");
    assert_eq!(sales1.get("/api/v1/reports/duplicates/schema").await.problem(403)["code"], "forbidden");
}

#[tokio::test]
async fn no_row_hides_behind_a_schema() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let refused = owner.post("/api/v1/settings", json!({ "key": "schema", "value": 1 })).await;
    assert_eq!(
        refused.problem(422)["errors"],
        json!([{ "pointer": "#/key", "code": "invalid_value", "detail": "is a word of the API" }])
    );
}
