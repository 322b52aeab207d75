//! JSON Schema (2020-12) of rows, bodies and inputs.

mod sample;
mod value;

use serde_json::{Map, Value, json};

pub(super) use sample::sample;
pub(super) use value::parameter;

use super::reader::Grants;
use crate::pack::{Action, Catalog, Column, Report, Resource};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of a resource's row, with hints for forms and tables under `x-ui`.
pub fn resource_schema(catalog: &Catalog, grants: &Grants, resource: &Resource) -> Value {
    let mut schema = json!({ "$schema": DIALECT, "$id": format!("/api/v1/{}/schema", resource.name) });
    merge(&mut schema, row(resource));
    for reference in &resource.references {
        if let ([(column, _)], Some(target)) = (&reference.columns[..], catalog.resource_of(&reference.target)) {
            schema["properties"][column.as_str()]["x-ui"] = json!({ "reference": target.name });
        }
    }
    let search: Vec<&str> = resource.search.iter().map(|column| column.as_str()).collect();
    let actions: Vec<Value> = resource
        .actions
        .values()
        .filter(|action| grants.may_act(resource, action))
        .map(|action| json!({ "name": action.name.as_str(), "title": title(action.name.as_str()), "input": input(action) }))
        .collect();
    schema["x-ui"] = json!({
        "resource": resource.name,
        "module": resource.module,
        "key": resource.key.name.as_str(),
        "label": label(catalog, resource),
        "search": search,
        "actions": actions,
    });
    if let Some(maker) = resource.maker.as_ref().filter(|maker| grants.may_act(resource, maker)) {
        schema["x-ui"]["create"] = input(maker);
    }
    schema
}

/// The schema of a report's row.
pub fn report_schema(report: &Report) -> Value {
    let mut schema = json!({ "$schema": DIALECT, "$id": format!("/api/v1/reports/{}/schema", report.name) });
    merge(&mut schema, report_row(report));
    schema["x-ui"] = json!({ "report": report.name, "module": report.module });
    schema
}

fn merge(schema: &mut Value, more: Value) {
    if let (Value::Object(schema), Value::Object(more)) = (schema, more) {
        schema.extend(more);
    }
}

/// A row as answers hold it.
pub(super) fn row(resource: &Resource) -> Value {
    rows(&title(&resource.name), &resource.columns, |column| !column.writable)
}

/// A report's row as answers hold it.
pub(super) fn report_row(report: &Report) -> Value {
    rows(&title(&report.name), &report.columns, |_| false)
}

fn rows(title: &str, columns: &[Column], read_only: impl Fn(&Column) -> bool) -> Value {
    let property = |column: &Column| {
        let mut schema = described(value::answer(column), column);
        if read_only(column) {
            schema["readOnly"] = true.into();
        }
        (column.name.as_str().to_owned(), schema)
    };
    let properties: Map<String, Value> = columns.iter().map(property).collect();
    let required: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    json!({ "title": title, "type": "object", "properties": properties, "required": required })
}

/// The fields that a body may hold, none of them required: a merge patch.
pub(super) fn change(resource: &Resource) -> Value {
    let writable = resource.columns.iter().filter(|column| column.writable);
    let properties: Map<String, Value> =
        writable.map(|column| (column.name.as_str().to_owned(), described(value::body(column), column))).collect();
    json!({ "title": format!("{}: changes", title(&resource.name)), "type": "object", "properties": properties,
        "additionalProperties": false })
}

/// Names of the fields that a new row needs.
pub(super) fn required(resource: &Resource) -> Vec<&str> {
    let needed = resource.columns.iter().filter(|column| column.required && column.writable);
    needed.map(|column| column.name.as_str()).collect()
}

/// An action's input.
pub(super) fn input(action: &Action) -> Value {
    let property = |input: &crate::pack::Input| {
        let mut schema = value::input(input);
        schema["title"] = title(&input.name).into();
        (input.name.clone(), schema)
    };
    let properties: Map<String, Value> = action.input.iter().map(property).collect();
    let required: Vec<&str> =
        action.input.iter().filter(|input| input.required).map(|input| input.name.as_str()).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn described(mut schema: Value, column: &Column) -> Value {
    let name = column.name.as_str();
    schema["title"] = title(name).into();
    if let Some(comment) = &column.comment {
        schema["description"] = comment.as_str().into();
    }
    schema
}

/// `expected_close` → `Expected close`, `owner_id` → `Owner`.
pub(super) fn title(name: &str) -> String {
    let words = name.strip_suffix("_id").unwrap_or(name).replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

/// The visible columns that the manifest's label is made of.
fn label<'a>(catalog: &Catalog, resource: &'a Resource) -> Vec<&'a str> {
    let manifest = catalog.packs().iter().find(|pack| pack.manifest.code == resource.module);
    let entry = manifest.and_then(|pack| pack.manifest.resource.get(&resource.name));
    let sql = entry.and_then(|entry| entry.label.as_deref()).unwrap_or_default();
    let words: Vec<&str> = sql.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let mut columns: Vec<&str> =
        resource.columns.iter().map(|column| column.name.as_str()).filter(|name| words.contains(name)).collect();
    columns.sort_by_key(|name| words.iter().position(|word| word == name));
    columns
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn names_become_titles() {
        assert_eq!(title("expected_close"), "Expected close");
        assert_eq!(title("owner_id"), "Owner");
        assert_eq!(title("id"), "Id");
    }
}
