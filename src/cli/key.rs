//! `insula key`: encryption keys.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Exit;
use super::context::Context;
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
}

pub(super) fn run(context: &Context, args: KeyArgs) -> Result<Exit> {
    let KeyCommand::Generate = args.command;
    let key = SealingKey::generate()?;
    if context.out.json() {
        context.out.document(&json!({ "key": key }))?
    } else {
        context.out.data(&key)?
    }
    context.out.note("Keep it safe: without it the stored credentials of this installation cannot be read.");
    Ok(Exit::Done)
}
