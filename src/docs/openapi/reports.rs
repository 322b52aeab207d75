//! Operations on reports.

use serde_json::{Value, json};

use super::components::{Components, schema};
use super::operation::{Operation, list_of};
use super::resources::exports;
use super::{Endpoint, Placed, filters};
use crate::docs::reader::Grants;
use crate::docs::schema::{parameter as value_of, report_row, title};
use crate::pack::{Catalog, Parameter, Report};

/// What a report can be asked for besides conditions.
const LIST: [&str; 9] = ["and", "or", "not.and", "not.or", "select", "order", "limit", "cursor", "format"];

/// Describes an endpoint for every report that the reader may see.
pub fn describe(catalog: &Catalog, grants: &Grants, endpoint: &Endpoint, components: &mut Components) -> Vec<Placed> {
    let make = |report: &Report, components: &mut Components| {
        let pack = catalog.packs().iter().find(|pack| pack.manifest.code == report.module);
        let module = pack.map_or(report.module.as_str(), |pack| pack.manifest.name.as_str());
        let operation = match (endpoint.method.as_str(), endpoint.path) {
            ("GET", "/api/v1/reports/{report}") => read(report, module, components),
            ("GET", "/api/v1/reports/{report}/schema") => shape(report, module),
            _ => return None,
        };
        Some(Placed::new(endpoint, endpoint.path.replace("{report}", &report.name), operation))
    };
    let allowed = catalog.reports().filter(|report| grants.may_report(report));
    allowed.filter_map(|report| make(report, components)).collect()
}

fn read(report: &Report, module: &str, components: &mut Components) -> Operation {
    let name = format!("report.{}", report.name);
    components.add("schemas", &name, report_row(report));
    let row = json!({ "anyOf": [schema(&name), schema("Selected")] });
    let operation = Operation::new(
        module,
        format!("reports.{}", report.name),
        format!("Report: {}", title(&report.name).to_lowercase()),
    );
    let operation = operation.shared(&LIST);
    let asked = report.parameters.iter().flatten().map(asked_with);
    let operation = asked.fold(operation, Operation::with);
    let operation = filters::of_columns(&report.columns, components).into_iter().fold(operation, Operation::with);
    exports(operation.shared(&["Prefer.list"]).answer(200, "A page of the report.", list_of(row)))
        .headers(200, &["Link", "Preference-Applied", "RateLimit", "RateLimit-Policy"])
        .problems(&[406, 422])
}

fn asked_with(parameter: &Parameter) -> Value {
    let schema = value_of(parameter);
    let about = if parameter.required { "What the report is asked for." } else { "Narrows the report." };
    json!({
        "name": parameter.name, "in": "query", "required": parameter.required, "description": about, "schema": schema,
    })
}

fn shape(report: &Report, module: &str) -> Operation {
    Operation::new(
        module,
        format!("reports.{}.schema", report.name),
        format!("JSON Schema of the report {}", title(&report.name).to_lowercase()),
    )
    .answer(200, "The schema.", json!({ "type": "object" }))
}
