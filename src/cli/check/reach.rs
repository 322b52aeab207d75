//! `insula check connections` and `insula check isolation`.

use serde_json::{Value as Json, json};

use super::super::context::Context;
use super::super::output::Mark;
use super::Finding;
use crate::error::Result;
use crate::ops::{Platform, Reach, try_connections, try_isolation};

pub(super) async fn connections(context: &Context, platform: &Platform, only: Option<&str>) -> Result<Finding> {
    let mut all = Vec::new();
    try_connections(platform, only, |reach| all.push(tell(context, reach, "can be entered"))).await?;
    Ok(finding("connections", all))
}

pub(super) async fn isolation(context: &Context, platform: &Platform, only: Option<&str>) -> Result<Finding> {
    let mut all = Vec::new();
    try_isolation(platform, only, |reach| all.push(tell(context, reach, "keeps to itself"))).await?;
    Ok(finding("isolation", all))
}

fn tell(context: &Context, reach: Reach, good: &str) -> (bool, Json) {
    let Reach { subdomain, faults } = reach;
    if faults.is_empty() {
        context.out.line(Mark::Good, &subdomain, good);
    }
    faults.iter().for_each(|fault| context.out.line(Mark::Bad, &subdomain, fault));
    (faults.is_empty(), json!({ "tenant": subdomain, "faults": faults }))
}

fn finding(name: &'static str, all: Vec<(bool, Json)>) -> Finding {
    let sound = all.iter().all(|(sound, _)| *sound);
    Finding { sound, name, rows: all.into_iter().map(|(_, row)| row).collect() }
}
