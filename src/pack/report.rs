//! Reports of a manifest held against the template schema: views, and functions that take parameters.

use super::catalog::{Kind, Parameter, Report};
use super::check::{Complaint, INPUT_TYPES, did_you_mean};
use super::kind::input_kind;
use super::manifest::ReportEntry;
use super::source::Pack;
use super::template::{ColumnShape, Function, Shape, column, relation};
use crate::ident::Ident;

/// A report as PostgreSQL knows it.
pub fn report(pack: &Pack, name: &str, entry: &ReportEntry, shape: &Shape) -> Result<Report, Complaint> {
    let header = format!("report.{name}");
    let complain = |word: &str, why: String| Complaint::in_section(pack, &header, word, why);
    let report = |relation: &str, columns: &[ColumnShape], parameters, signature: &str| {
        let unusable = || complain(relation, format!("`{relation}` is not usable as a name"));
        Ok(Report {
            name: name.to_owned(),
            module: pack.manifest.code.clone(),
            relation: Ident::new(relation).map_err(|_| unusable())?,
            parameters,
            signature: signature.to_owned(),
            permission: entry.permission.clone(),
            public: entry.public,
            columns: columns.iter().filter_map(|shape| column(shape, false)).collect(),
        })
    };
    match (&entry.view, &entry.function) {
        (Some(view), None) if entry.parameters.is_empty() => {
            report(view, &relation(pack, &header, view, shape)?.columns, None, "")
        }
        (None, Some(name)) => {
            let function = function(name, shape).map_err(|why| complain(name, why))?;
            let parameters = parameters(entry, function).map_err(|(word, why)| complain(&word, why))?;
            report(name, &function.columns, Some(parameters), &function.arguments)
        }
        _ => Err(complain("", "needs either a `view`, or a `function` with `parameters`".to_owned())),
    }
}

fn function<'a>(name: &str, shape: &'a Shape) -> Result<&'a Function, String> {
    let known: Vec<String> = shape.functions.iter().map(|function| function.name.clone()).collect();
    let found: Vec<&Function> = shape.functions.iter().filter(|function| function.name == name).collect();
    match found[..] {
        [] => Err(format!("there is no function `{name}`{}", did_you_mean(name, &known))),
        [function] if function.columns.is_empty() => Err(format!("function `{name}` must return a table")),
        [function] => Ok(function),
        _ => Err(format!("there are several functions `{name}`; a report needs one of its own")),
    }
}

/// Every argument of the function is a parameter, and the other way round; those with a default are optional.
fn parameters(entry: &ReportEntry, function: &Function) -> Result<Vec<Parameter>, (String, String)> {
    let known: Vec<String> =
        function.names.iter().map(|name| name.strip_prefix("p_").unwrap_or(name).to_owned()).collect();
    if let Some(missing) = known.iter().find(|name| !entry.parameters.contains_key(*name)) {
        return Err((function.name.clone(), format!("`parameters` lacks `{missing}`")));
    }
    let mut parameters = Vec::new();
    for (name, kind) in &entry.parameters {
        let complain = |why: String| Err((name.clone(), why));
        let Some(position) = known.iter().position(|known| known == name) else {
            let hint = did_you_mean(name, &known);
            return complain(format!("function `{}` has no argument `p_{name}`{hint}", function.name));
        };
        let bare = kind.strip_suffix('?').unwrap_or(kind);
        if !INPUT_TYPES.contains(&bare) || input_kind(bare) == Kind::Json {
            return complain(format!("`{kind}` is not a type of a parameter"));
        }
        let required = bare.len() == kind.len();
        if required != (position + function.optional < known.len()) {
            return complain(format!("`{name}` is optional (`?`) exactly when `p_{name}` has a default"));
        }
        if function.columns.iter().any(|column| column.name == *name) {
            return complain(format!(
                "`{name}` is a column of the report too: a condition on it could not be told apart"
            ));
        }
        let Ok(argument) = Ident::new(&*function.names[position]) else {
            return complain(format!("`{name}` is not usable as a name"));
        };
        parameters.push(Parameter { name: name.clone(), argument, kind: input_kind(bare), required });
    }
    Ok(parameters)
}
