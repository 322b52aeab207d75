//! `insula dev`: everything on this machine, with demo tenants.

mod run;
mod show;
pub(super) mod state;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use self::state::Claim;
use super::Exit;
use super::context::{Context, DEV_FOLDER};
use super::serve::Addresses;
use crate::app::open_platform;
use crate::auth::{Authenticator, Lives, Patience, load_keyring, password::PasswordHasher};
use crate::config::variable;
use crate::db::server::{Binaries, erase, find_binaries};
use crate::error::{Error, Result};
use crate::ops::{tenant_find, user_email};
use crate::tenant::Tenants;

/// Below the folder of everything that is kept: letters, which are written down instead of sent.
const MAIL: &str = "mail";

#[derive(Args)]
#[command(before_help = "Examples:\n  insula dev\n  insula dev --listen 127.0.0.1:0 --ready-file demo.json\n  \
                         insula dev token acme\n  insula dev reset --yes")]
pub(super) struct DevArgs {
    #[command(subcommand)]
    command: Option<DevCommand>,
    #[command(flatten)]
    addresses: Addresses,
    /// Apex domain; tenants are at <subdomain>.<DOMAIN>
    #[arg(long)]
    domain: Option<String>,
    /// Write addresses and sign-ins to this file once it serves (JSON)
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Folder of PostgreSQL's programs, instead of looking for them
    #[arg(long, value_name = "DIR", global = true)]
    pg_bin: Option<PathBuf>,
    /// Folder of everything that is kept
    #[arg(long, value_name = "DIR", default_value = DEV_FOLDER, global = true)]
    data_dir: PathBuf,
}

#[derive(Subcommand)]
enum DevCommand {
    /// Print an access token of a tenant's user
    #[command(before_help = "Examples:\n  insula dev token acme\n  insula dev token acme --user sales1@acme.test")]
    Token {
        /// Subdomain of the tenant
        subdomain: String,
        /// The user's address; else the owner's
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
    },
    /// Delete the data of `insula dev`
    #[command(before_help = "Examples:\n  insula dev reset\n  insula dev reset --yes")]
    Reset,
}

pub(super) async fn run(context: &Context, args: DevArgs) -> Result<Exit> {
    match &args.command {
        None => run::run(context, &args).await,
        Some(DevCommand::Token { subdomain, user }) => token(context, &args.data_dir, subdomain, user.as_deref()).await,
        Some(DevCommand::Reset) => reset(context, &args).await,
    }
}

/// Signs a user in without a password, by way of the running demo's database.
async fn token(context: &Context, folder: &Path, subdomain: &str, user: Option<&str>) -> Result<Exit> {
    let Some(state) = state::running(folder)? else {
        return Err(Error::conflict(format!("`insula dev` is not running in {}.", folder.display()))
            .hint("Start it in another terminal: `insula dev`."));
    };
    let mut config = context.layers()?.read()?;
    context.start_logs(&config.log, "warn")?;
    state.apply(&mut config);
    let platform = open_platform(&config).await?;
    let id = tenant_find(&platform, subdomain).await?;
    let tenant = Tenants::new(platform.database.clone(), &config.cache).by_id(id).await?.in_service()?;
    let email = user_email(&platform.database, &tenant.place, user).await?;
    let keyring = load_keyring(&platform.database, &config.auth.issuer).await?;
    let (hasher, lives) = (PasswordHasher::new(1).into(), Lives::from(&config.auth));
    let authenticator = Authenticator::new(platform.database, keyring, hasher, lives, Patience::from(&config.auth));
    let signed_in = authenticator.sign_in_known(tenant.id, &tenant.place, &email).await?;
    if context.out.json() {
        let token =
            json!({ "access_token": signed_in.access_token, "expires_in": signed_in.expires_in, "email": email });
        context.out.document(&token)?;
    } else {
        context.out.data(&signed_in.access_token)?;
    }
    Ok(Exit::Done)
}

async fn reset(context: &Context, args: &DevArgs) -> Result<Exit> {
    let folder = &args.data_dir;
    if !folder.exists() {
        context.out.note(&format!("There is no {}; nothing to delete.", folder.display()));
        return Ok(Exit::Done);
    }
    let claim = Claim::take(folder)?;
    context.out.confirm(&format!("Delete all data of `insula dev` in {}?", folder.display()))?;
    erase(&binaries(context, args).await?, &folder.join("pg")).await?;
    match std::fs::remove_dir_all(folder.join(MAIL)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::internal(error)),
        _ => {}
    }
    claim.forget_key()?;
    context.out.note(&format!("Deleted. `insula dev` starts over in {}.", folder.display()));
    Ok(Exit::Done)
}

async fn binaries(context: &Context, args: &DevArgs) -> Result<Binaries> {
    find_binaries(args.pg_bin.as_deref(), &downloads(), |step| context.out.doing(step)).await
}

/// Where a downloaded PostgreSQL is kept. The user who runs it for root cannot enter root's home.
fn downloads() -> PathBuf {
    let home = variable("HOME").filter(|home| home != "/root");
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(Path::new(&home?).join(".cache")));
    cache.unwrap_or_else(|| PathBuf::from("/var/cache")).join("insula").join("postgresql")
}
