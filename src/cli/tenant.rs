//! `insula tenant`: customers.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::Exit;
use super::context::Context;
use super::output::Mark;
use super::secret::PasswordArgs;
use super::{tenant_data, tenant_life};
use crate::app::open_platform;
use crate::auth::password::PasswordHasher;
use crate::auth::policy;
use crate::error::{Error, Place, Result};
use crate::ident::Subdomain;
use crate::ops::{
    NewTenant, Owner, Platform, Term, recover, tenant_create, tenant_find, tenant_list, tenant_resume, tenant_show,
    tenant_suspend, user_email, user_set_password,
};
use crate::tenant::Tenants;

/// The owner's or user's password, where no flag names a source.
const PASSWORD_VARIABLE: &str = "INSULA_OWNER_PASSWORD";

/// Tenants read at once.
const PAGE: i64 = 500;

#[derive(Args)]
pub(super) struct TenantArgs {
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Subcommand)]
enum TenantCommand {
    /// Make a tenant: schema, role, packs, owner
    Create(CreateArgs),
    /// List tenants
    #[command(before_help = "Examples:\n  insula tenant list\n  insula tenant list --state suspended --json")]
    List {
        /// Only those in this state
        #[arg(long)]
        state: Option<StateArg>,
    },
    /// Show one tenant
    #[command(before_help = "Examples:\n  insula tenant show acme")]
    Show {
        /// Its subdomain
        subdomain: String,
    },
    /// Close a tenant for now; nothing is lost
    #[command(before_help = "Examples:\n  insula tenant suspend acme --reason 'Bill of May is unpaid'\n  \
                             insula tenant suspend acme --reason Abuse --confirm=acme")]
    Suspend {
        /// Its subdomain
        subdomain: String,
        /// Why; the customer will ask
        #[arg(long)]
        reason: String,
        /// The subdomain once more, instead of being asked
        #[arg(long, value_name = "SUBDOMAIN")]
        confirm: Option<String>,
    },
    /// Open a suspended tenant again
    #[command(before_help = "Examples:\n  insula tenant resume acme\n  \
                             insula tenant resume acme --reason 'Bill of May is paid'")]
    Resume {
        /// Its subdomain
        subdomain: String,
        /// Why, for the journal
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Copy a tenant to try things in: no letter leaves the copy
    Clone(tenant_life::CloneArgs),
    /// Give a tenant another subdomain; the old one leads there for a while
    Rename(tenant_life::RenameArgs),
    /// Take a tenant out of service, and erase it after a time in which this can be undone
    Delete(tenant_life::DeleteArgs),
    /// Bring back a deleted tenant
    Undelete(tenant_life::UndeleteArgs),
    /// Erase a deleted tenant now
    Purge(tenant_life::PurgeArgs),
    /// Write all data of a tenant as CSV and JSON, for whoever asks for his data
    Export(tenant_data::ExportArgs),
    /// Save everything of a tenant into a file
    Backup(tenant_data::BackupArgs),
    /// Bring a tenant back as it was, or make a new one of a backup
    Restore(tenant_data::RestoreArgs),
    /// Take the last restore back
    Unrestore(tenant_life::UnrestoreArgs),
    /// Set a user's password and end the user's sessions
    #[command(before_help = "Examples:\n  insula tenant password acme --password-stdin < password.txt\n  \
                             insula tenant password acme --user ann@acme.test --password-file password.txt")]
    Password {
        /// Its subdomain
        subdomain: String,
        /// The user's address; else the owner's
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
        #[command(flatten)]
        password: PasswordArgs,
    },
}

#[derive(Args)]
#[command(
    before_help = "Examples:\n  insula tenant create acme --name 'Acme Ltd' --plan crm --owner ann@acme.test\n  \
                         insula tenant create acme --name 'Acme Ltd' --plan crm --owner ann@acme.test \\\n    \
                         --trial-days 14 --password-stdin < password.txt"
)]
struct CreateArgs {
    /// Its name in URLs
    subdomain: String,
    /// Its name for people
    #[arg(long)]
    name: String,
    /// Plan or edition
    #[arg(long)]
    plan: String,
    /// E-mail address of the first user
    #[arg(long, value_name = "EMAIL")]
    owner: String,
    /// First name of the owner; else the address's first part
    #[arg(long, value_name = "NAME")]
    owner_first_name: Option<String>,
    /// Last name of the owner
    #[arg(long, value_name = "NAME", default_value = "")]
    owner_last_name: String,
    /// Begin with a trial of so many days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=366))]
    trial_days: Option<u16>,
    #[command(flatten)]
    password: PasswordArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateArg {
    Provisioning,
    Active,
    Suspended,
    Deleting,
}

pub(super) async fn run(context: &Context, args: TenantArgs) -> Result<Exit> {
    match args.command {
        TenantCommand::Create(args) => create(context, args).await?,
        TenantCommand::List { state } => list(context, state).await?,
        TenantCommand::Show { subdomain } => {
            let platform = context.platform().await?;
            show(context, &platform, &subdomain).await?;
        }
        TenantCommand::Suspend { subdomain, reason, confirm } => {
            let platform = context.platform().await?;
            let id = tenant_find(&platform, &subdomain).await?;
            let what = format!("All users of `{subdomain}` will be refused.");
            context.out.confirm_name(&what, &subdomain, confirm.as_deref())?;
            tenant_suspend(&platform, id, &reason, &context.by()).await?;
            changed(context, &platform, &subdomain, "suspended").await?;
        }
        TenantCommand::Resume { subdomain, reason } => {
            let platform = context.platform().await?;
            let id = tenant_find(&platform, &subdomain).await?;
            tenant_resume(&platform, id, &reason, &context.by()).await?;
            changed(context, &platform, &subdomain, "active again").await?;
        }
        TenantCommand::Clone(args) => return tenant_life::clone(context, args).await,
        TenantCommand::Rename(args) => return tenant_life::rename(context, args).await,
        TenantCommand::Delete(args) => return tenant_life::delete(context, args).await,
        TenantCommand::Undelete(args) => return tenant_life::undelete(context, args).await,
        TenantCommand::Purge(args) => return tenant_life::purge(context, args).await,
        TenantCommand::Export(args) => return tenant_data::export(context, args).await,
        TenantCommand::Backup(args) => return tenant_data::backup(context, args).await,
        TenantCommand::Restore(args) => return tenant_data::restore(context, args).await,
        TenantCommand::Unrestore(args) => return tenant_life::unrestore(context, args).await,
        TenantCommand::Password { subdomain, user, password } => {
            set_password(context, &subdomain, user.as_deref(), &password).await?;
        }
    }
    Ok(Exit::Done)
}

async fn create(context: &Context, args: CreateArgs) -> Result<()> {
    let subdomain = Subdomain::new(&args.subdomain).map_err(as_flags)?;
    let password = args.password.read(PASSWORD_VARIABLE)?;
    let password_hash = match password {
        Some(password) => {
            policy::check(&password, &[&args.owner, subdomain.as_str(), &args.name])?;
            Some(PasswordHasher::new(1).hash(password).await?)
        }
        None => None,
    };
    let name_in_address = args.owner.split('@').next().unwrap_or_default().to_owned();
    let new = NewTenant {
        subdomain,
        name: args.name,
        plan: args.plan,
        term: args.trial_days.map_or(Term::Active, Term::Trial),
        owner: Owner {
            email: args.owner,
            first_name: args.owner_first_name.unwrap_or(name_in_address),
            last_name: args.owner_last_name,
            password_hash,
        },
        by: context.by(),
    };
    let platform = context.platform().await?;
    recover(&platform).await?;
    let has_password = new.owner.password_hash.is_some();
    context.out.doing(&format!("making {}", new.subdomain));
    let made = tenant_create(&platform, new).await.map_err(as_flags)?;
    changed(context, &platform, &made.subdomain, "active").await?;
    if !has_password {
        let name = &made.subdomain;
        let how = format!("`insula tenant password {name} --password-stdin` sets it.");
        context.out.line(Mark::Warning, "no password yet", &how);
    }
    Ok(())
}

/// Faults name the fields of the API; here they are flags.
fn as_flags(error: Error) -> Error {
    const FLAGS: [(&str, &str); 5] = [
        ("#/company", "--name"),
        ("#/plan", "--plan"),
        ("#/email", "--owner"),
        ("#/first_name", "--owner-first-name"),
        ("#/subdomain", "SUBDOMAIN"),
    ];
    if error.faults().is_empty() {
        return error;
    }
    let mut renamed = Error::new(error.kind(), error.code().to_owned(), error.message());
    for fault in error.faults() {
        let (Place::Pointer(place) | Place::Parameter(place)) = &fault.place;
        let flag = FLAGS.iter().find(|(field, _)| field == place).map_or(place.as_str(), |(_, flag)| flag);
        renamed = renamed.parameter(flag, fault.code.clone(), fault.detail.clone());
    }
    match error.hint_text() {
        Some(hint) => renamed.hint(hint),
        None => renamed,
    }
    .context(error.private_context())
}

async fn list(context: &Context, state: Option<StateArg>) -> Result<()> {
    let wanted = state.and_then(|state| Some(state.to_possible_value()?.get_name().to_owned()));
    let platform = context.platform().await?;
    let mut rows: Vec<Json> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = tenant_list(&platform, after.as_deref(), PAGE).await?;
        let more = i64::try_from(page.len()).unwrap_or(PAGE) > PAGE;
        let page = page.iter().take(usize::try_from(PAGE).unwrap_or(usize::MAX));
        rows.extend(page.map(|row| parse(row)).collect::<Result<Vec<_>>>()?);
        after = rows.last().and_then(|row| row["subdomain"].as_str()).map(str::to_owned);
        if !more {
            break;
        }
    }
    rows.retain(|row| wanted.as_deref().is_none_or(|state| row["state"] == state));
    context.out.rows(&["subdomain", "name", "state", "plan", "packs", "created_at"], &rows)
}

fn parse(row: &RawValue) -> Result<Json> {
    serde_json::from_str(row.get()).map_err(Error::internal)
}

async fn show(context: &Context, platform: &Platform, subdomain: &str) -> Result<()> {
    let id = tenant_find(platform, subdomain).await?;
    context.out.object(&parse(&tenant_show(platform, id).await?)?)
}

/// Says what a tenant is now; with `--json`, as data.
pub(super) async fn changed(context: &Context, platform: &Platform, subdomain: &str, state: &str) -> Result<()> {
    context.out.line(Mark::Good, subdomain, state);
    if context.out.json() { show(context, platform, subdomain).await } else { Ok(()) }
}

async fn set_password(context: &Context, name: &str, user: Option<&str>, password: &PasswordArgs) -> Result<()> {
    let password = password.require(PASSWORD_VARIABLE)?;
    let config = context.installation()?;
    let platform = open_platform(&config).await?;
    let id = tenant_find(&platform, name).await?;
    let tenant = Tenants::new(platform.database.clone(), &config.cache).by_id(id).await?;
    let email = user_email(&platform.database, &tenant.place, user).await?;
    policy::check(&password, &[&email, &tenant.subdomain, &tenant.name])?;
    let hash = PasswordHasher::new(1).hash(password).await?;
    user_set_password(&platform.database, &tenant.place, &email, &hash).await?;
    context.out.line(Mark::Good, name, &format!("new password for {email}"));
    Ok(())
}
