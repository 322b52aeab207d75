//! `insula check drift`: verdicts to the terminal, repairs as data.

use serde_json::{Value as Json, json};

use super::super::context::Context;
use super::super::output::Mark;
use super::Finding;
use crate::error::Result;
use crate::ops::{Compared, Difference, Likeness, Platform, compare_schemas};

pub(super) async fn check(context: &Context, platform: &Platform, only: Option<&str>) -> Result<Finding> {
    let mut all = Vec::new();
    compare_schemas(platform, only, |compared| {
        tell(context, &compared);
        all.push(compared);
    })
    .await?;
    let sound = all.iter().all(|one| !matches!(one.verdict, Likeness::Different(_)));
    if !context.out.json() {
        all.iter().filter_map(repair).try_for_each(|sql| context.out.data(&sql))?;
    }
    Ok(Finding { sound, name: "schemas", rows: all.iter().map(row).collect() })
}

fn tell(context: &Context, compared: &Compared) {
    let name = &compared.subdomain;
    match &compared.verdict {
        Likeness::Equal => context.out.line(Mark::Good, name, "as its packs make it"),
        Likeness::Behind(packs) => {
            let what = format!("not compared, not at the newest version: {}", packs.join(", "));
            context.out.line(Mark::Warning, name, &what);
        }
        Likeness::Different(found) => {
            for Difference { kind, name: thing, how, .. } in found {
                context.out.line(Mark::Bad, name, &format!("{kind} {thing}: {}", how.as_str()));
            }
        }
    }
}

/// A transaction that makes a schema what it should be.
fn repair(compared: &Compared) -> Option<String> {
    let Likeness::Different(found) = &compared.verdict else { return None };
    let place = &compared.place;
    let steps: Vec<&str> = found.iter().map(|one| one.repair.as_str()).filter(|sql| !sql.is_empty()).collect();
    Some(format!(
        "-- {}: read it before you run it\nbegin;\nset local role {};\nset local search_path = {}, insula, pg_temp;\n{}\ncommit;",
        compared.subdomain,
        place.owner,
        place.schema,
        steps.join("\n")
    ))
}

fn row(compared: &Compared) -> Json {
    let difference =
        |one: &Difference| json!({ "kind": one.kind, "name": one.name, "how": one.how.as_str(), "repair": one.repair });
    let (state, differences, behind): (_, Vec<Json>, &[String]) = match &compared.verdict {
        Likeness::Equal => ("equal", Vec::new(), &[]),
        Likeness::Behind(packs) => ("behind", Vec::new(), packs),
        Likeness::Different(found) => ("different", found.iter().map(difference).collect(), &[]),
    };
    json!({ "tenant": compared.subdomain, "state": state, "behind": behind, "differences": differences })
}
