//! `insula check`: whether what must hold does.

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::Exit;
use super::context::Context;
use super::output::Mark;
use crate::audit::{Ledger, Verdict, ledgers, verify};
use crate::error::Result;
use crate::ops::tenant_find;

#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(subcommand)]
    command: CheckCommand,
}

#[derive(Subcommand)]
enum CheckCommand {
    /// Follow the audit of the platform and of tenants; exit 1 and name the first bad entry of each
    #[command(
        before_help = "Examples:\n  insula check audit\n  insula check audit --tenant acme\n  insula check audit --json"
    )]
    Audit {
        /// Only this tenant
        #[arg(long, value_name = "SUBDOMAIN")]
        tenant: Option<String>,
    },
}

pub(super) async fn run(context: &Context, args: CheckArgs) -> Result<Exit> {
    let CheckCommand::Audit { tenant } = args.command;
    let platform = context.platform().await?;
    if let Some(name) = &tenant {
        tenant_find(&platform, name).await?;
    }
    let (mut rows, mut sound) = (Vec::new(), true);
    for ledger in ledgers(&platform.database, tenant.as_deref()).await? {
        let verdict = verify(&platform.database, &ledger).await?;
        sound &= verdict.fault.is_none();
        rows.push(tell(context, &ledger, verdict));
    }
    if context.out.json() {
        context.out.document(&json!({ "sound": sound, "audits": rows }))?;
    }
    Ok(if sound { Exit::Done } else { Exit::Failed })
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
