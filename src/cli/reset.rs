//! `insula reset`: everything of this installation goes.

use clap::Args;
use serde_json::json;

use super::Exit;
use super::context::Context;
use super::output::Mark;
use crate::app::open_database;
use crate::error::{Error, Result};
use crate::ops::{destroy, find_doomed};

#[derive(Args)]
#[command(before_help = "Examples:\n  insula reset --yes-destroy-everything\n  \
                         insula reset --yes-destroy-everything --confirm=insula")]
pub(super) struct ResetArgs {
    /// All tenants, operators, plans and bills are to be destroyed
    #[arg(long, required = true)]
    yes_destroy_everything: bool,
    /// The setting `instance`, for a database that is no demo
    #[arg(long, value_name = "INSTANCE")]
    confirm: Option<String>,
}

pub(super) async fn run(context: &Context, args: ResetArgs) -> Result<Exit> {
    let config = context.installation()?;
    let database = open_database(&config)?;
    let mut gone = 0;
    match find_doomed(&database).await? {
        None => context.out.note("There is nothing to destroy."),
        Some(doomed) => {
            if doomed.sessions > 0 {
                let message = format!("{} other sessions of `{}` are connected.", doomed.sessions, config.instance);
                return Err(Error::conflict(message)
                    .hint("Stop the service first; `insula inspect connections` shows who it is."));
            }
            gone = doomed.tenants();
            if !doomed.is_demo {
                let what = format!("This database is no demo. {gone} tenants and everything else in it will be lost.");
                context.out.confirm_name(&what, &config.instance, args.confirm.as_deref())?;
            }
            destroy(&database, &doomed, |subdomain| context.out.doing(&format!("destroying {subdomain}"))).await?;
            let text = format!("{gone} tenants and the registry are gone; `insula migrate` begins anew");
            context.out.line(Mark::Good, &config.instance, &text);
        }
    }
    if context.out.json() {
        context.out.document(&json!({ "instance": config.instance, "tenants": gone }))?;
    }
    Ok(Exit::Done)
}
