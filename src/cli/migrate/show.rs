//! What is behind and why, without changing anything.

use serde_json::{Value as Json, json};

use super::super::Exit;
use super::super::context::Context;
use super::super::output::Mark;
use crate::app::{open_database, open_platform};
use crate::db::pending_public;
use crate::error::{Error, Result};
use crate::ops::{
    Order, applied_public, fleet_versions, pending_tenants, rehearse, running_migration, troubled_tenants, verify_files,
};

/// Lists what is behind.
pub(super) async fn check(context: &Context, order: &Order) -> Result<Exit> {
    let config = context.installation()?;
    let behind = pending_public(&open_database(&config)?).await?;
    let mut rows: Vec<Json> = behind.iter().map(|name| step("public", name, Json::Null, Json::Null)).collect();
    if behind.is_empty() {
        let platform = open_platform(&config).await?;
        order.check(&platform).await?;
        verify_files(&platform, order.tenant.as_deref()).await?;
        let pending = pending_tenants(&platform, &order.selection()).await?;
        rows.extend(pending.iter().map(|p| step(&p.subdomain, &p.pack, p.from.into(), p.to.into())));
    } else {
        context.out.note(PUBLIC_FIRST);
    }
    if rows.is_empty() {
        context.out.note("Everything is up to date.");
    }
    if !rows.is_empty() || context.out.json() {
        context.out.rows(&["where", "what", "from", "to"], &rows)?;
    }
    Ok(if rows.is_empty() { Exit::Done } else { Exit::Pending })
}

const PUBLIC_FIRST: &str =
    "The public schema is behind; what tenants need is known once it has been brought up to date.";

fn step(place: &str, what: &str, from: Json, to: Json) -> Json {
    json!({ "where": place, "what": what, "from": from, "to": to })
}

/// Prints the SQL of what is pending, and whether it runs.
pub(super) async fn dry_run(context: &Context, order: &Order) -> Result<Exit> {
    let config = context.installation()?;
    let behind = pending_public(&open_database(&config)?).await?;
    if !behind.is_empty() {
        context.out.note(PUBLIC_FIRST);
        let rows: Vec<Json> = behind.iter().map(|name| step("public", name, Json::Null, Json::Null)).collect();
        context.out.rows(&["where", "what", "from", "to"], &rows)?;
        return Ok(Exit::Done);
    }
    let platform = open_platform(&config).await?;
    order.check(&platform).await?;
    let Some(trial) = rehearse(&platform, order).await? else {
        context.out.note("Everything is up to date.");
        return if context.out.json() {
            context.out.document(&Json::Null).map(|()| Exit::Done)
        } else {
            Ok(Exit::Done)
        };
    };
    if context.out.json() {
        context.out.document(&trial.json())?;
    } else {
        for (name, sql) in &trial.files {
            context.out.data(&format!("-- {name}\n{}", sql.trim_end()))?;
        }
    }
    match trial.fault {
        None => {
            context.out.line(Mark::Good, &trial.subdomain, "it runs; nothing of it was kept");
            Ok(Exit::Done)
        }
        Some(fault) => {
            let file = fault.file.map(|file| format!("{file}: ")).unwrap_or_default();
            context.out.line(Mark::Bad, &trial.subdomain, &format!("{file}{} {}", fault.sqlstate, fault.message));
            Ok(Exit::Failed)
        }
    }
}

/// Versions, who migrates now, and what failed.
pub(super) async fn status(context: &Context) -> Result<Exit> {
    let config = context.installation()?;
    let database = open_database(&config)?;
    let (applied, behind) = (applied_public(&database).await?, pending_public(&database).await?.len());
    let mut rows = vec![json!({ "what": "public", "version": applied, "tenants": null, "pending": behind })];
    if behind > 0 {
        context.out.rows(&VERSIONS, &rows)?;
        return Ok(Exit::Done);
    }
    let platform = open_platform(&config).await?;
    for pack in fleet_versions(&platform).await? {
        rows.push(serde_json::to_value(pack).map_err(Error::internal)?);
    }
    let troubled = troubled_tenants(&platform).await?;
    let troubled: Vec<Json> =
        troubled.iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(Error::internal)?;
    let running = running_migration(&platform).await?;
    if context.out.json() {
        let document = json!({ "versions": rows, "running": running, "failing": troubled });
        return context.out.document(&document).map(|()| Exit::Done);
    }
    context.out.rows(&VERSIONS, &rows)?;
    if let Some(running) = running {
        context.out.line(Mark::Warning, "running", &running);
    }
    if !troubled.is_empty() {
        context.out.data("")?;
        context.out.rows(&TROUBLES, &troubled)?;
    }
    Ok(Exit::Done)
}

const VERSIONS: [&str; 4] = ["what", "version", "tenants", "pending"];
const TROUBLES: [&str; 11] =
    ["subdomain", "pack", "from", "to", "state", "attempts", "since", "sqlstate", "file", "message", "blocked_by"];
