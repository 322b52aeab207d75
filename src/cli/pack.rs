//! `insula pack`: what can be installed in tenants.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::Exit;
use super::context::Context;
use super::output::Mark;
use crate::app::open_database;
use crate::config::Config;
use crate::db::pending_public;
use crate::error::{Error, Result};
use crate::pack::{Pack, Packs, check_catalog};

#[derive(Args)]
pub(super) struct PackArgs {
    #[command(subcommand)]
    command: PackCommand,
}

#[derive(Subcommand)]
enum PackCommand {
    /// Name everything that is wrong with packs
    #[command(before_help = "Examples:\n  insula pack check\n  insula pack check ./packs/library")]
    Check {
        /// A pack, or a folder of packs; else those of this program and of `packs.path`
        folder: Option<PathBuf>,
    },
    /// List the packs of this program and of `packs.path`
    #[command(before_help = "Examples:\n  insula pack list\n  insula pack list --json")]
    List,
}

pub(super) async fn run(context: &Context, args: PackArgs) -> Result<Exit> {
    match args.command {
        PackCommand::Check { folder } => check(context, folder.as_deref()).await,
        PackCommand::List => list(context),
    }
}

async fn check(context: &Context, folder: Option<&Path>) -> Result<Exit> {
    let config = context.config()?;
    let packs = match folder {
        Some(folder) => Packs::load_with(folder)?.map_err(|found| found.iter().map(ToString::to_string).collect()),
        None => Packs::load(&config.packs.path).map_err(|error| complaints(&error)),
    };
    let packs = match packs {
        Ok(packs) => packs,
        Err(found) => return refused(context, &found),
    };
    context.out.line(Mark::Good, "manifests", &summary(&packs));
    let found = check_sql(context, &config, packs).await?;
    if found.is_empty() && !context.out.json() { Ok(Exit::Done) } else { refused(context, &found) }
}

/// Runs the files in a schema of their own, where there is a database; gives the complaints.
async fn check_sql(context: &Context, config: &Config, packs: Packs) -> Result<Vec<String>> {
    if config.database.url.expose().is_empty() {
        let what = "SQL and the names of tables, columns and functions: that needs a database";
        context.out.line(Mark::Warning, "not checked", what);
        context.out.note("hint: Set DATABASE_URL, or run `insula dev` in this folder meanwhile.");
        return Ok(Vec::new());
    }
    let database = open_database(config)?;
    if !pending_public(&database).await?.is_empty() {
        context.out.line(Mark::Warning, "not checked", "SQL: the public schema is behind, run `insula migrate`");
        return Ok(Vec::new());
    }
    let found = check_catalog(&database, packs).await?;
    if found.is_empty() {
        context.out.line(Mark::Good, "SQL", "tables, columns, functions, row scopes");
    }
    Ok(found.iter().map(ToString::to_string).collect())
}

/// The lines of a refusal, one for each complaint.
fn complaints(error: &Error) -> Vec<String> {
    let message = error.message();
    message.lines().filter(|line| !line.ends_with("not valid:")).map(str::to_owned).collect()
}

/// Prints complaints as data: `file:line: what`.
fn refused(context: &Context, complaints: &[String]) -> Result<Exit> {
    if context.out.json() {
        context.out.document(&json!(complaints))?;
    } else {
        complaints.iter().try_for_each(|line| context.out.data(line))?;
    }
    Ok(if complaints.is_empty() { Exit::Done } else { Exit::Failed })
}

fn summary(packs: &Packs) -> String {
    let one = |pack: &Pack| format!("{} {}", pack.manifest.code, pack.version());
    packs.iter().map(one).collect::<Vec<_>>().join(" · ")
}

fn list(context: &Context) -> Result<Exit> {
    let packs = Packs::load(&context.layers()?.read()?.packs.path)?;
    let row = |pack: &Pack| {
        let manifest = &pack.manifest;
        json!({
            "code": manifest.code,
            "name": manifest.name,
            "version": pack.version(),
            "requires": manifest.requires,
            "resources": manifest.resource.len(),
            "reports": manifest.report.len(),
        })
    };
    let rows: Vec<Json> = packs.iter().map(row).collect();
    context.out.rows(&["code", "name", "version", "requires", "resources", "reports"], &rows)?;
    Ok(Exit::Done)
}
