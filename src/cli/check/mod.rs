//! `insula check`: whether what must hold does.

mod audit;
mod drift;
mod reach;

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::Exit;
use super::context::Context;
use crate::error::Result;
use crate::ops::{Platform, tenant_find};

#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(subcommand)]
    command: CheckCommand,
}

#[derive(Args)]
struct Which {
    /// Only this tenant
    #[arg(long, value_name = "SUBDOMAIN")]
    tenant: Option<String>,
}

#[derive(Subcommand)]
enum CheckCommand {
    /// Follow the audit of the platform and of tenants; exit 1 and name the first bad entry of each
    #[command(
        before_help = "Examples:\n  insula check audit\n  insula check audit --tenant acme\n  insula check audit --json"
    )]
    Audit(Which),
    /// Compare the schema of every tenant with what its packs make today; exit 1, name what differs, print the repair
    #[command(before_help = "Examples:\n  insula check drift\n  insula check drift --tenant acme > repair.sql")]
    Drift(Which),
    /// Enter every tenant's schema as a request does; exit 1 and name those where that fails
    #[command(before_help = "Examples:\n  insula check connections\n  insula check connections --json")]
    Connections(Which),
    /// Look whether a role of a tenant reaches beyond its schema, or others reach into it; exit 1 and name the ways
    #[command(before_help = "Examples:\n  insula check isolation\n  insula check isolation --tenant acme")]
    Isolation(Which),
    /// All of them
    #[command(before_help = "Examples:\n  insula check all\n  insula check all --json")]
    All(Which),
}

/// What a check found: whether all is well, and its rows under a name.
struct Finding {
    sound: bool,
    name: &'static str,
    rows: Vec<Json>,
}

pub(super) async fn run(context: &Context, args: CheckArgs) -> Result<Exit> {
    let (CheckCommand::Audit(which)
    | CheckCommand::Drift(which)
    | CheckCommand::Connections(which)
    | CheckCommand::Isolation(which)
    | CheckCommand::All(which)) = &args.command;
    let platform = context.platform().await?;
    if let Some(name) = &which.tenant {
        tenant_find(&platform, name).await?;
    }
    let only = which.tenant.as_deref();
    let findings = find(context, &platform, &args.command, only).await?;
    let sound = findings.iter().all(|finding| finding.sound);
    if context.out.json() {
        let mut document = json!({ "sound": sound });
        findings.into_iter().for_each(|finding| document[finding.name] = Json::Array(finding.rows));
        context.out.document(&document)?;
    }
    Ok(if sound { Exit::Done } else { Exit::Failed })
}

async fn find(context: &Context, platform: &Platform, what: &CheckCommand, only: Option<&str>) -> Result<Vec<Finding>> {
    Ok(match what {
        CheckCommand::Audit(_) => vec![audit::check(context, platform, only).await?],
        CheckCommand::Drift(_) => vec![drift::check(context, platform, only).await?],
        CheckCommand::Connections(_) => vec![reach::connections(context, platform, only).await?],
        CheckCommand::Isolation(_) => vec![reach::isolation(context, platform, only).await?],
        CheckCommand::All(_) => vec![
            reach::connections(context, platform, only).await?,
            reach::isolation(context, platform, only).await?,
            drift::check(context, platform, only).await?,
            audit::check(context, platform, only).await?,
        ],
    })
}
