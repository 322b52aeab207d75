//! `insula key`: encryption keys, and the keys of access tokens.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::Exit;
use super::context::Context;
use super::output::Mark;
use crate::auth::rotate_key;
use crate::auth::token::Audience;
use crate::db::seal::SealingKey;
use crate::error::Result;

#[derive(Args)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Make a key for `encryption.key`
    #[command(before_help = "Examples:\n  (umask 077; insula key generate > insula.key)\n  \
                             INSULA_ENCRYPTION_KEY_FILE=insula.key insula serve")]
    Generate,
    /// Sign access tokens with new keys from now on; nobody is signed out
    #[command(before_help = "Examples:\n  insula key rotate\n  insula key rotate --audience operator --emergency")]
    Rotate {
        /// Whose tokens
        #[arg(long, default_value = "all")]
        audience: AudienceArg,
        /// Keys may have leaked: accept nothing any more that the old ones signed. Users go on by their refresh tokens,
        /// operators sign in again.
        #[arg(long)]
        emergency: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AudienceArg {
    /// Users of tenants
    Tenant,
    /// Operators
    Operator,
    /// Both
    All,
}

impl AudienceArg {
    fn audiences(self) -> &'static [Audience] {
        match self {
            Self::Tenant => &[Audience::Tenant],
            Self::Operator => &[Audience::Operator],
            Self::All => &[Audience::Tenant, Audience::Operator],
        }
    }
}

pub(super) async fn run(context: &Context, args: KeyArgs) -> Result<Exit> {
    match args.command {
        KeyCommand::Generate => generate(context),
        KeyCommand::Rotate { audience, emergency } => rotate(context, audience, emergency).await,
    }
}

fn generate(context: &Context) -> Result<Exit> {
    let key = SealingKey::generate()?;
    if context.out.json() {
        context.out.document(&json!({ "key": key }))?
    } else {
        context.out.data(&key)?
    }
    context.out.note("Keep it safe: without it the stored credentials of this installation cannot be read.");
    Ok(Exit::Done)
}

async fn rotate(context: &Context, audience: AudienceArg, emergency: bool) -> Result<Exit> {
    let database = context.platform().await?.database;
    let mut rotated = Vec::new();
    for audience in audience.audiences() {
        let (kid, removed) = rotate_key(&database, *audience, emergency).await?;
        context.out.line(Mark::Good, audience.as_str(), &format!("{kid} signs, {removed} old keys removed"));
        rotated.push(json!({ "audience": audience.as_str(), "kid": kid, "removed": removed }));
    }
    if context.out.json() {
        context.out.document(&rotated.into())?;
    }
    Ok(Exit::Done)
}
