//! `insula migrate`: `public` first, then every tenant.

use std::cell::RefCell;
use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::context::Context;
use super::interrupt::first_signal;
use super::output::{Mark, say};
use crate::app::{open_database, open_platform};
use crate::db::{migrate_public, pending_public};
use crate::error::Result;
use crate::ops::{
    Pending, Platform, applied_public, migrate_tenants, pack_versions, pending_tenants, recover, tenant_find,
};

#[derive(Args)]
#[command(before_help = "Examples:\n  insula migrate\n  insula migrate --check && echo up to date\n  \
                         insula migrate --tenant acme\n  insula migrate status")]
pub(super) struct MigrateArgs {
    #[command(subcommand)]
    command: Option<MigrateCommand>,
    /// Only this tenant, after the public schema
    #[arg(long, value_name = "SUBDOMAIN")]
    tenant: Option<String>,
    /// Change nothing; exit 5 when something is pending
    #[arg(long, conflicts_with = "dry_run")]
    check: bool,
    /// Change nothing; list what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Subcommand)]
enum MigrateCommand {
    /// Versions of the public schema and of the packs in tenants
    Status,
}

pub(super) async fn run(context: &Context, args: MigrateArgs) -> Result<Exit> {
    let only = args.tenant.as_deref();
    match args.command {
        Some(MigrateCommand::Status) => status(context).await,
        None if args.check || args.dry_run => {
            let any = show_pending(context, only).await?;
            Ok(if any && args.check { Exit::Pending } else { Exit::Done })
        }
        None => migrate(context, only).await,
    }
}

/// Lists what is behind; says whether anything is.
async fn show_pending(context: &Context, only: Option<&str>) -> Result<bool> {
    let config = context.installation()?;
    let behind = pending_public(&open_database(&config)?).await?;
    let mut rows: Vec<Json> = behind.iter().map(|name| step("public", name, Json::Null, Json::Null)).collect();
    if behind.is_empty() {
        let platform = open_platform(&config).await?;
        let pending = pending_of(&platform, only).await?;
        rows.extend(pending.iter().map(|p| step(&p.subdomain, &p.pack, p.from.into(), p.to.into())));
    } else {
        context
            .out
            .note("The public schema is behind; what tenants need is known once it has been brought up to date.");
    }
    if rows.is_empty() {
        context.out.note("Everything is up to date.");
    }
    if !rows.is_empty() || context.out.json() {
        context.out.rows(&["where", "what", "from", "to"], &rows)?;
    }
    Ok(!rows.is_empty())
}

fn step(place: &str, what: &str, from: Json, to: Json) -> Json {
    json!({ "where": place, "what": what, "from": from, "to": to })
}

/// The tenant's name is checked, so that a slip is not taken for "nothing to do".
async fn pending_of(platform: &Platform, only: Option<&str>) -> Result<Vec<Pending>> {
    if let Some(name) = only {
        tenant_find(platform, name).await?;
    }
    pending_tenants(platform, only).await
}

async fn migrate(context: &Context, only: Option<&str>) -> Result<Exit> {
    let config = context.installation()?;
    let stop = first_signal(|| say("Stopping after this tenant; Ctrl-C again ends it at once."))?;
    context.out.doing("public schema");
    let public = migrate_public(&open_database(&config)?).await?;
    let said = if public.is_empty() { "up to date".to_owned() } else { public.join(", ") };
    context.out.line(Mark::Good, "public schema", &said);
    let platform = open_platform(&config).await?;
    let recovered = recover(&platform).await?;
    for line in &recovered {
        context.out.line(Mark::Good, "recovered", line);
    }
    let pending = pending_of(&platform, only).await?;
    if pending.is_empty() {
        context.out.line(Mark::Good, "tenants", "up to date");
    }
    let (exit, tenants) = each_tenant(context, &platform, pending, &stop).await;
    if context.out.json() {
        context.out.document(&json!({ "public": public, "recovered": recovered, "tenants": tenants }))?;
    }
    Ok(exit)
}

/// One tenant after the other, a line each, until a signal says stop.
async fn each_tenant(
    context: &Context,
    platform: &Platform,
    pending: Vec<Pending>,
    stop: &CancellationToken,
) -> (Exit, Vec<Json>) {
    let mut tenants: BTreeMap<String, Vec<Pending>> = BTreeMap::new();
    for item in pending {
        tenants.entry(item.subdomain.clone()).or_default().push(item);
    }
    let (total, mut failures, outcomes) = (tenants.len(), 0, RefCell::new(Vec::new()));
    for (at, (_, items)) in (1..).zip(tenants) {
        if stop.is_cancelled() {
            context.out.note(&format!("Stopped after {} of {total} tenants; what is done stays done.", at - 1));
            return (Exit::Interrupted, outcomes.into_inner());
        }
        let packs = items.iter().map(|item| format!("{} {} → {}", item.pack, item.from, item.to)).collect::<Vec<_>>();
        failures += migrate_tenants(platform, items, |subdomain, outcome| {
            outcomes.borrow_mut().push(tell(
                context,
                &format!("[{at}/{total}] {}", packs.join(", ")),
                subdomain,
                outcome,
            ));
        })
        .await;
    }
    (if failures == 0 { Exit::Done } else { Exit::Partly }, outcomes.into_inner())
}

fn tell(context: &Context, work: &str, subdomain: &str, outcome: Result<()>) -> Json {
    match outcome {
        Ok(()) => {
            context.out.line(Mark::Good, subdomain, work);
            json!({ "subdomain": subdomain, "outcome": "migrated" })
        }
        Err(error) => {
            let cause = format!("{} {}", error.message(), error.private_context());
            context.out.line(Mark::Bad, subdomain, &format!("{work}: {}", cause.trim()));
            json!({ "subdomain": subdomain, "outcome": "failed", "error": cause.trim() })
        }
    }
}

async fn status(context: &Context) -> Result<Exit> {
    let config = context.installation()?;
    let database = open_database(&config)?;
    let (applied, behind) = (applied_public(&database).await?, pending_public(&database).await?.len());
    let mut rows = vec![json!({ "what": "public", "version": applied, "tenants": null, "pending": behind })];
    if behind == 0 {
        let platform = open_platform(&config).await?;
        let versions = pack_versions(&platform.database).await?;
        let pending = pending_tenants(&platform, None).await?;
        for pack in platform.catalog.packs().iter() {
            let code = &pack.manifest.code;
            let tenants: i64 = versions.iter().filter(|(name, ..)| name == code).map(|(.., tenants)| tenants).sum();
            let behind = pending.iter().filter(|item| item.pack == *code).count();
            rows.push(json!({ "what": code, "version": pack.version(), "tenants": tenants, "pending": behind }));
        }
    }
    context.out.rows(&["what", "version", "tenants", "pending"], &rows)?;
    Ok(Exit::Done)
}
