//! `insula check audit`.

use serde_json::{Value as Json, json};

use super::super::context::Context;
use super::super::output::Mark;
use super::Finding;
use crate::audit::{Ledger, Verdict, ledgers, verify};
use crate::error::Result;
use crate::ops::Platform;

pub(super) async fn check(context: &Context, platform: &Platform, only: Option<&str>) -> Result<Finding> {
    let (mut rows, mut sound) = (Vec::new(), true);
    for ledger in ledgers(&platform.database, only).await? {
        let verdict = verify(&platform.database, &ledger).await?;
        sound &= verdict.fault.is_none();
        rows.push(tell(context, &ledger, verdict));
    }
    Ok(Finding { sound, name: "audits", rows })
}

fn tell(context: &Context, ledger: &Ledger, Verdict { entries, fault }: Verdict) -> Json {
    let name = ledger.subdomain().unwrap_or("platform");
    match fault {
        None => context.out.line(Mark::Good, name, &format!("{entries} entries")),
        Some(fault) => {
            let why = format!("entry {}: {}; {entries} before it are sound", fault.seq, fault.damage);
            context.out.line(Mark::Bad, name, &why);
        }
    }
    let fault = fault
        .map(|fault| json!({ "seq": fault.seq, "damage": fault.damage.code(), "detail": fault.damage.to_string() }));
    json!({ "audit": name, "entries": entries, "fault": fault })
}
