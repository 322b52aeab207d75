//! `insula inspect`: what PostgreSQL knows of tenants and their work.

use clap::{Args, ValueEnum};

use super::Exit;
use super::context::Context;
use crate::error::Result;
use crate::ops::{View, look, tenant_find};

#[derive(Args)]
#[command(before_help = "Examples:\n  insula inspect schemas\n  insula inspect tables --tenant acme\n  \
                         insula inspect locks --json")]
pub(super) struct InspectArgs {
    /// What to look at
    view: ViewArg,
    /// Only this tenant
    #[arg(long, value_name = "SUBDOMAIN")]
    tenant: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ViewArg {
    /// Tenants by the size of their schemas
    Schemas,
    /// Tables with their sizes
    Tables,
    /// Who waits for whom
    Locks,
    /// Tables with many dead rows
    Bloat,
    /// Transactions open for more than a second
    LongRunning,
    /// Connections by role and state; those of a tenant are its bucket's
    Connections,
}

impl From<ViewArg> for View {
    fn from(view: ViewArg) -> Self {
        match view {
            ViewArg::Schemas => Self::Schemas,
            ViewArg::Tables => Self::Tables,
            ViewArg::Locks => Self::Locks,
            ViewArg::Bloat => Self::Bloat,
            ViewArg::LongRunning => Self::LongRunning,
            ViewArg::Connections => Self::Connections,
        }
    }
}

pub(super) async fn run(context: &Context, args: InspectArgs) -> Result<Exit> {
    let platform = context.platform().await?;
    if let Some(name) = &args.tenant {
        tenant_find(&platform, name).await?;
    }
    let view = View::from(args.view);
    let rows = look(&platform, view, args.tenant.as_deref()).await?;
    context.out.rows(view.columns(), rows.as_array().map_or(&[], Vec::as_slice))?;
    Ok(Exit::Done)
}
