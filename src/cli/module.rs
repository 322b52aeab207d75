//! `insula module`: what a tenant may use.

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::Value as Json;

use super::Exit;
use super::context::Context;
use super::output::Mark;
use crate::app::open_platform;
use crate::billing::Gate;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ops::{Platform, module_disable, module_enable, tenant_find};
use crate::tenant::{Tenant, Tenants};

#[derive(Args)]
pub(super) struct ModuleArgs {
    #[command(subcommand)]
    command: ModuleCommand,
}

#[derive(Subcommand)]
enum ModuleCommand {
    /// All modules and which of them a tenant may use
    #[command(before_help = "Examples:\n  insula module list acme\n  insula module list acme --json")]
    List {
        /// Subdomain of the tenant
        subdomain: String,
    },
    /// Switch a module on
    #[command(before_help = "Examples:\n  insula module enable acme crm")]
    Enable {
        /// Subdomain of the tenant
        subdomain: String,
        /// Code of the module
        module: String,
    },
    /// Switch a module off; its data stays
    #[command(before_help = "Examples:\n  insula module disable acme crm")]
    Disable {
        /// Subdomain of the tenant
        subdomain: String,
        /// Code of the module
        module: String,
    },
}

pub(super) async fn run(context: &Context, args: ModuleArgs) -> Result<Exit> {
    let config = context.installation()?;
    let platform = open_platform(&config).await?;
    let (ModuleCommand::List { subdomain }
    | ModuleCommand::Enable { subdomain, .. }
    | ModuleCommand::Disable { subdomain, .. }) = &args.command;
    let id = tenant_find(&platform, subdomain).await?;
    let tenant = Tenants::new(platform.database.clone(), &config.cache).by_id(id).await?;
    match &args.command {
        ModuleCommand::List { .. } => {
            let rows = modules(&config, &platform, &tenant).await?;
            context.out.rows(&["code", "name", "enabled", "source", "expires_at"], &rows)?;
        }
        ModuleCommand::Enable { module, .. } => {
            module_enable(&platform, &tenant, module, &context.by()).await?;
            changed(context, &config, &platform, &tenant, module, "enabled").await?;
        }
        ModuleCommand::Disable { module, .. } => {
            module_disable(&platform, &tenant, module, &context.by()).await?;
            changed(context, &config, &platform, &tenant, module, "disabled").await?;
        }
    }
    Ok(Exit::Done)
}

async fn modules(config: &Config, platform: &Platform, tenant: &Tenant) -> Result<Vec<Json>> {
    let gate = Gate::new(platform.database.clone(), Arc::clone(&platform.catalog), &config.cache);
    let entitlements = gate.entitlements(tenant.id).await?;
    let rows: Result<Vec<Json>, _> = entitlements.visible().map(serde_json::to_value).collect();
    rows.map_err(Error::internal)
}

async fn changed(
    context: &Context,
    config: &Config,
    platform: &Platform,
    tenant: &Tenant,
    module: &str,
    state: &str,
) -> Result<()> {
    context.out.line(Mark::Good, &tenant.subdomain, &format!("{module} is {state}"));
    if !context.out.json() {
        return Ok(());
    }
    let rows = modules(config, platform, tenant).await?;
    rows.iter().filter(|row| row["code"] == module).try_for_each(|row| context.out.object(row))
}
