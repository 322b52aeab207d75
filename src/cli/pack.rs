//! `insula pack`: what can be installed in tenants.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::Exit;
use super::context::Context;
use super::output::Mark;
use crate::app::open_database;
use crate::db::pending_public;
use crate::error::Result;
use crate::pack::{Packs, load_catalog};

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
        Some(folder) => Packs::load_with(folder)?,
        None => Ok(Packs::load(&config.packs.path)?),
    };
    let packs = match packs {
        Ok(packs) => packs,
        Err(complaints) => {
            let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
            return refused(context, &lines);
        }
    };
    context.out.line(Mark::Good, "manifests", &summary(&packs));
    if config.database.url.expose().is_empty() {
        context.out.line(
            Mark::Warning,
            "not checked",
            "SQL and the names of tables and columns: that needs a database",
        );
        context.out.note("hint: Set DATABASE_URL, or run `insula dev` in this folder meanwhile.");
    } else {
        let database = open_database(&config)?;
        if pending_public(&database).await?.is_empty() {
            load_catalog(&database, packs).await?;
            context.out.line(Mark::Good, "SQL", "tables, columns, functions");
        } else {
            context.out.line(Mark::Warning, "not checked", "SQL: the public schema is behind, run `insula migrate`");
        }
    }
    if context.out.json() {
        refused(context, &[])?
    } else {
        Exit::Done
    };
    Ok(Exit::Done)
}

fn refused(context: &Context, complaints: &[String]) -> Result<Exit> {
    if context.out.json() {
        context.out.document(&json!(complaints))?;
    } else {
        complaints.iter().try_for_each(|line| context.out.data(line))?;
    }
    Ok(if complaints.is_empty() { Exit::Done } else { Exit::Failed })
}

fn summary(packs: &Packs) -> String {
    let one = |pack: &crate::pack::Pack| format!("{} {}", pack.manifest.code, pack.version());
    packs.iter().map(one).collect::<Vec<_>>().join(" · ")
}

fn list(context: &Context) -> Result<Exit> {
    let packs = Packs::load(&context.layers()?.read()?.packs.path)?;
    let row = |pack: &crate::pack::Pack| {
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
