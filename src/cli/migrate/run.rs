//! The migration itself.

use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::super::Exit;
use super::super::context::Context;
use super::super::interrupt::first_signal;
use super::super::output::{Mark, say};
use super::MigrateArgs;
use super::progress::Progress;
use crate::app::{open_database, open_platform};
use crate::db::{By, migrate_public};
use crate::error::Result;
use crate::ops::{Halt, Leader, Platform, Summary, migrate_fleet, most_jobs, pending_tenants, recover};

pub(super) async fn migrate(context: &Context, args: &MigrateArgs) -> Result<Exit> {
    let config = context.installation()?;
    let stop = first_signal(|| say("Stopping after the tenants at work; Ctrl-C again ends it at once."))?;
    context.out.doing("public schema");
    let public = migrate_public(&open_database(&config)?).await?;
    let said = if public.is_empty() { "up to date".to_owned() } else { public.join(", ") };
    context.out.line(Mark::Good, "public schema", &said);
    let platform = open_platform(&config).await?;
    let recovered = recover(&platform).await?;
    for line in &recovered {
        context.out.line(Mark::Good, "recovered", line);
    }
    let (summary, tenants) = lead(context, &platform, args, &stop).await?;
    if context.out.json() {
        let Summary { total, migrated, failed, quarantined, .. } = summary;
        let counts = json!({ "total": total, "migrated": migrated, "failed": failed, "quarantined": quarantined });
        let document = json!({ "public": public, "recovered": recovered, "tenants": tenants, "summary": counts });
        context.out.document(&document)?;
    }
    Ok(conclude(context, &summary))
}

/// Takes the lead, works, and gives it back whatever came of it.
async fn lead(
    context: &Context,
    platform: &Platform,
    args: &MigrateArgs,
    stop: &CancellationToken,
) -> Result<(Summary, Vec<Json>)> {
    let (order, by) = (args.order(), context.by());
    order.check(platform).await?;
    let selection = order.selection();
    let by = By { name: format!("{}, process {}", by.name, std::process::id()), ..by };
    let leader = match args.wait {
        true => Leader::wait(platform, &order, &by).await?,
        false => Leader::claim(platform, &order, &by).await?,
    };
    let pending = pending_tenants(platform, &selection).await?;
    let mut names: Vec<&str> =
        pending.iter().filter(|item| selection.takes(item)).map(|item| item.subdomain.as_str()).collect();
    names.dedup();
    let most = most_jobs(platform);
    if args.pace.jobs > most && names.len() > most {
        let note = format!("{most} tenants at once: `database.control_pool` has no connections for more.");
        context.out.note(&note);
    }
    let progress = Progress::new(&context.out, names.len());
    let tell = |event: crate::ops::Event<'_>| progress.tell(&event);
    let summary = migrate_fleet(platform, leader, &order, stop, tell).await?;
    Ok((summary, progress.end()))
}

fn conclude(context: &Context, summary: &Summary) -> Exit {
    let Summary { total, migrated, failed, quarantined, halt } = *summary;
    if quarantined > 0 {
        let text =
            format!("{quarantined} failed before and were left out; `insula migrate --retry-failed` tries them again");
        context.out.line(Mark::Warning, "quarantine", &text);
    }
    let rest = total - migrated - failed;
    match halt {
        Some(Halt::Asked) => {
            let done = migrated + failed;
            context.out.note(&format!(
                "Stopped after {done} of {total} tenants; what is done stays done. Run it again to go on."
            ));
            return Exit::Interrupted;
        }
        Some(Halt::Paused) => {
            let done = migrated + failed;
            context.out.note(&format!("Paused after {done} of {total} tenants; run it again to go on."));
            return Exit::Pending;
        }
        Some(Halt::Canary) => {
            context.out.line(Mark::Bad, "canary", &format!("one of the first tenants failed; {rest} were not touched"));
        }
        Some(Halt::Failures) => {
            context.out.line(Mark::Bad, "stopped", &format!("too many failures; {rest} tenants were not touched"));
        }
        None if total == 0 && quarantined == 0 => context.out.line(Mark::Good, "tenants", "up to date"),
        None => {
            let mark = if failed == 0 { Mark::Good } else { Mark::Bad };
            let more =
                if failed == 0 { String::new() } else { format!(", {failed} failed; see `insula migrate status`") };
            context.out.line(mark, "tenants", &format!("{migrated} of {total} migrated{more}"));
        }
    }
    if failed + quarantined == 0 { Exit::Done } else { Exit::Partly }
}
