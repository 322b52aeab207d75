//! `insula tenant clone`, `rename`, `delete`, `undelete`, `purge`, `unrestore`.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::Exit;
use super::bar::rows_bar;
use super::context::Context;
use super::output::Mark;
use super::tenant::changed;
use crate::app::open_platform;
use crate::error::Result;
use crate::ident::Subdomain;
use crate::ops::{
    Tell, Told, quiet, recover, tenant_clone, tenant_delete, tenant_find, tenant_purge, tenant_rename, tenant_undelete,
    tenant_unrestore,
};

#[derive(Args)]
#[command(before_help = "Examples:\n  insula tenant clone acme acme-sandbox\n  \
                         insula tenant clone acme acme-trial --name 'Acme, trial of June'")]
pub(super) struct CloneArgs {
    /// The tenant to copy
    subdomain: String,
    /// Name in URLs of the copy
    new_subdomain: String,
    /// Name for people of the copy
    #[arg(long)]
    name: Option<String>,
}

#[derive(Args)]
#[command(before_help = "Examples:\n  insula tenant rename acme acme-group")]
pub(super) struct RenameArgs {
    /// Its subdomain
    subdomain: String,
    /// The one that it gets
    new_subdomain: String,
}

#[derive(Args)]
#[command(
    before_help = "Examples:\n  insula tenant delete acme\n  insula tenant delete acme --confirm=acme --grace-days 7"
)]
pub(super) struct DeleteArgs {
    /// Its subdomain
    subdomain: String,
    /// Days in which it can be undone, instead of the setting's
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=3660))]
    grace_days: Option<u32>,
    /// The subdomain once more, instead of being asked
    #[arg(long, value_name = "SUBDOMAIN")]
    confirm: Option<String>,
}

#[derive(Args)]
#[command(before_help = "Examples:\n  insula tenant undelete acme")]
pub(super) struct UndeleteArgs {
    /// Its subdomain
    subdomain: String,
}

#[derive(Args)]
#[command(before_help = "Examples:\n  insula tenant unrestore acme --confirm=acme")]
pub(super) struct UnrestoreArgs {
    /// Its subdomain
    subdomain: String,
    /// The subdomain once more, instead of being asked
    #[arg(long, value_name = "SUBDOMAIN")]
    confirm: Option<String>,
}

#[derive(Args)]
#[command(before_help = "Examples:\n  insula tenant purge acme --confirm=acme")]
pub(super) struct PurgeArgs {
    /// Its subdomain
    subdomain: String,
    /// The subdomain once more, instead of being asked
    #[arg(long, value_name = "SUBDOMAIN")]
    confirm: Option<String>,
}

pub(super) async fn clone(context: &Context, args: CloneArgs) -> Result<Exit> {
    let new = Subdomain::new(&args.new_subdomain)?;
    let platform = context.platform().await?;
    recover(&platform).await?;
    let id = tenant_find(&platform, &args.subdomain).await?;
    let bar = rows_bar(&context.out);
    let seen = bar.clone();
    let tell: Tell = Arc::new(move |told| {
        if let (Some(bar), Told::Rows(progress)) = (&seen, told) {
            bar.set_length(progress.of);
            bar.set_position(progress.rows);
        }
    });
    context.out.doing(&format!("copying {}", args.subdomain));
    let made = tenant_clone(&platform, id, new, args.name, &context.by(), tell).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    changed(context, &platform, &made?.subdomain, &format!("a copy of {}; no letter leaves it", args.subdomain))
        .await?;
    Ok(Exit::Done)
}

pub(super) async fn rename(context: &Context, args: RenameArgs) -> Result<Exit> {
    let new = Subdomain::new(&args.new_subdomain)?;
    let config = context.installation()?;
    let platform = open_platform(&config).await?;
    let id = tenant_find(&platform, &args.subdomain).await?;
    let days = config.tenants.redirect_days;
    let old = tenant_rename(&platform, id, &new, days, &context.by()).await?;
    let said = format!("was {old}, whose address leads here for {days} days");
    changed(context, &platform, new.as_str(), &said).await?;
    Ok(Exit::Done)
}

pub(super) async fn delete(context: &Context, args: DeleteArgs) -> Result<Exit> {
    let config = context.installation()?;
    let platform = open_platform(&config).await?;
    let name = &args.subdomain;
    let id = tenant_find(&platform, name).await?;
    let days = args.grace_days.unwrap_or(config.tenants.grace_days);
    let what = format!("`{name}` goes out of service, and in {days} days nothing of it is left.");
    context.out.confirm_name(&what, name, args.confirm.as_deref())?;
    let purge_at = tenant_delete(&platform, id, days, &context.by()).await?;
    changed(context, &platform, name, &format!("deleted; until {purge_at} `insula tenant undelete {name}` undoes it"))
        .await?;
    Ok(Exit::Done)
}

pub(super) async fn undelete(context: &Context, args: UndeleteArgs) -> Result<Exit> {
    let platform = context.platform().await?;
    let id = tenant_find(&platform, &args.subdomain).await?;
    tenant_undelete(&platform, id, &context.by()).await?;
    changed(context, &platform, &args.subdomain, "back as it was").await?;
    Ok(Exit::Done)
}

pub(super) async fn purge(context: &Context, args: PurgeArgs) -> Result<Exit> {
    let platform = context.platform().await?;
    recover(&platform).await?;
    let name = &args.subdomain;
    let id = tenant_find(&platform, name).await?;
    let what = format!("Everything of `{name}` is erased now and for ever.");
    context.out.confirm_name(&what, name, args.confirm.as_deref())?;
    tenant_purge(&platform, id, &context.by()).await?;
    context.out.line(Mark::Good, name, "erased; nobody can have the name for 90 days");
    if context.out.json() {
        context.out.document(&json!({ "id": id, "subdomain": name, "state": "deleted" }))?;
    }
    Ok(Exit::Done)
}

pub(super) async fn unrestore(context: &Context, args: UnrestoreArgs) -> Result<Exit> {
    let config = context.installation()?;
    let platform = open_platform(&config).await?;
    recover(&platform).await?;
    let name = &args.subdomain;
    let id = tenant_find(&platform, name).await?;
    let what = format!("`{name}` becomes what it was before its last restore; what came since is put aside.");
    context.out.confirm_name(&what, name, args.confirm.as_deref())?;
    let since = tenant_unrestore(&platform, id, config.tenants.shelf_days, &context.by(), quiet()).await?;
    changed(context, &platform, name, &format!("the restore of {since} is taken back")).await?;
    Ok(Exit::Done)
}
