//! `insula operator`: staff of the platform.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value as Json, json};

use super::Exit;
use super::context::Context;
use super::output::Mark;
use super::secret::PasswordArgs;
use crate::app::open_platform;
use crate::auth::password::PasswordHasher;
use crate::auth::{OperatorRole, operator_create, operator_factor_remove, operator_factor_set, policy};
use crate::error::{Error, Result};
use crate::ops::{OperatorChange, OperatorState, operator_change, operator_find, operator_list, operator_password_set};

#[derive(Args)]
pub(super) struct OperatorArgs {
    #[command(subcommand)]
    command: OperatorCommand,
}

#[derive(Subcommand)]
enum OperatorCommand {
    /// Register an operator
    #[command(before_help = "Examples:\n  \
                             insula operator create --email ann@example.com --name Ann --password-stdin < password.txt")]
    Create {
        /// E-mail address
        #[arg(long)]
        email: String,
        /// Name
        #[arg(long)]
        name: String,
        /// What the operator may do
        #[arg(long, default_value = "owner")]
        role: RoleArg,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List operators
    #[command(before_help = "Examples:\n  insula operator list")]
    List,
    /// Shut an operator out at once
    #[command(before_help = "Examples:\n  insula operator disable ann@example.com")]
    Disable {
        /// E-mail address
        email: String,
    },
    /// Let an operator in again
    #[command(before_help = "Examples:\n  insula operator enable ann@example.com")]
    Enable {
        /// E-mail address
        email: String,
    },
    /// Change what an operator may do; he signs in again
    #[command(before_help = "Examples:\n  insula operator set-role ann@example.com read_only")]
    SetRole {
        /// E-mail address
        email: String,
        /// What the operator may do from now on
        role: RoleArg,
    },
    /// Give an operator who forgot his password another one; he is signed out everywhere and need not wait
    #[command(before_help = "Examples:\n  \
                             insula operator set-password ann@example.com --password-stdin < password.txt")]
    SetPassword {
        /// E-mail address
        email: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Give an operator a second factor, in place of the one that there is, or take it off
    #[command(
        before_help = "Examples:\n  insula operator totp ann@example.com\n  insula operator totp ann@example.com --remove"
    )]
    Totp {
        /// E-mail address
        email: String,
        /// Take it off
        #[arg(long)]
        remove: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum RoleArg {
    /// Everything
    Owner,
    /// Tenants and their modules
    Support,
    /// Money
    Billing,
    /// Looking
    ReadOnly,
}

impl From<RoleArg> for OperatorRole {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Owner => Self::Owner,
            RoleArg::Support => Self::Support,
            RoleArg::Billing => Self::Billing,
            RoleArg::ReadOnly => Self::ReadOnly,
        }
    }
}

pub(super) async fn run(context: &Context, args: OperatorArgs) -> Result<Exit> {
    match args.command {
        OperatorCommand::Create { email, name, role, password } => {
            let password = password.require("INSULA_OPERATOR_PASSWORD")?;
            policy::check(&password, &[&email, &name])?;
            let hash = PasswordHasher::new(1).hash(password).await?;
            let (platform, role) = (context.platform().await?, OperatorRole::from(role));
            let id = operator_create(&platform.database, &context.by(), &email, &name, role, &hash).await?;
            context.out.line(Mark::Good, &email, role.as_str());
            if context.out.json() {
                context.out.document(&json!({ "id": id, "email": email, "name": name, "role": role }))?;
            }
        }
        OperatorCommand::SetPassword { email, password } => {
            let password = password.require("INSULA_OPERATOR_PASSWORD")?;
            policy::check(&password, &[&email])?;
            let database = context.platform().await?.database;
            let id = operator_find(&database, &email).await?;
            let hash = PasswordHasher::new(1).hash(password).await?;
            operator_password_set(&database, &context.by(), id, &hash).await?;
            context.out.line(Mark::Good, &email, "signs in with the new password");
        }
        OperatorCommand::Totp { email, remove: true } => {
            operator_factor_remove(&context.platform().await?.database, &context.by(), &email).await?;
            context.out.line(Mark::Good, &email, "signs in without a second factor");
        }
        OperatorCommand::Totp { email, remove: false } => {
            let config = context.installation()?;
            let database = open_platform(&config).await?.database;
            let (url, codes) = operator_factor_set(&database, &context.by(), &config.domain, &email).await?;
            if context.out.json() {
                context.out.document(&json!({ "otpauth_url": url, "recovery_codes": codes }))?;
            } else {
                context.out.data(&url)?;
                codes.iter().try_for_each(|code| context.out.data(code))?;
            }
            context.out.note(
                "The URL is for an authenticator. The codes, each good once, are for who lost it: keep them safe.",
            );
        }
        OperatorCommand::List => {
            let rows = operator_list(&context.platform().await?.database).await?;
            let rows: Result<Vec<Json>, _> = rows.iter().map(|row| serde_json::from_str(row.get())).collect();
            let columns = ["email", "name", "role", "state", "last_login_at"];
            context.out.rows(&columns, &rows.map_err(Error::internal)?)?;
        }
        OperatorCommand::Disable { email } => {
            let change = OperatorChange { state: Some(OperatorState::Disabled), ..OperatorChange::default() };
            make(context, &email, &change, "disabled").await?;
        }
        OperatorCommand::Enable { email } => {
            let change = OperatorChange { state: Some(OperatorState::Active), ..OperatorChange::default() };
            make(context, &email, &change, "active").await?;
        }
        OperatorCommand::SetRole { email, role } => {
            let role = OperatorRole::from(role);
            let change = OperatorChange { role: Some(role), ..OperatorChange::default() };
            make(context, &email, &change, role.as_str()).await?;
        }
    }
    Ok(Exit::Done)
}

async fn make(context: &Context, email: &str, change: &OperatorChange, now: &str) -> Result<()> {
    let database = context.platform().await?.database;
    operator_change(&database, &context.by(), None, operator_find(&database, email).await?, change).await?;
    context.out.line(Mark::Good, email, now);
    Ok(())
}
