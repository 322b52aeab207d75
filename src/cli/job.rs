//! `insula job`: what packs do by themselves.

use clap::{Args, Subcommand};
use serde_json::Value as Json;

use super::Exit;
use super::context::Context;
use crate::app::open_platform;
use crate::error::{Error, Result};
use crate::ops::{job_list, tenant_find};

#[derive(Args)]
pub(super) struct JobArgs {
    #[command(subcommand)]
    command: JobCommand,
}

#[derive(Subcommand)]
enum JobCommand {
    /// When the jobs of tenants ran last, what they did, and when they are due again
    #[command(before_help = "Examples:\n  insula job list acme\n  insula job list --failing --json")]
    List {
        /// Subdomain of a tenant; else all
        subdomain: Option<String>,
        /// Only those that failed the last time
        #[arg(long)]
        failing: bool,
    },
}

pub(super) async fn run(context: &Context, args: JobArgs) -> Result<Exit> {
    let platform = open_platform(&context.installation()?).await?;
    let JobCommand::List { subdomain, failing } = args.command;
    let tenant = match subdomain {
        Some(subdomain) => Some(tenant_find(&platform, &subdomain).await?),
        None => None,
    };
    let rows = job_list(&platform, tenant, failing).await?;
    let rows: Result<Vec<Json>, _> = rows.iter().map(|row| serde_json::from_str(row.get())).collect();
    let columns = ["tenant", "pack", "job", "started_at", "did", "failures", "message", "due_at"];
    context.out.rows(&columns, &rows.map_err(Error::internal)?)?;
    Ok(Exit::Done)
}
