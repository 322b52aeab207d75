//! `insula operator`: staff of the platform.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value as Json, json};

use super::Exit;
use super::context::Context;
use super::output::Mark;
use super::secret::PasswordArgs;
use crate::app::open_platform;
use crate::auth::password::PasswordHasher;
use crate::auth::{operator_create, operator_factor_remove, operator_factor_set};
use crate::error::{Error, Result};
use crate::ops::operator_list;

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

pub(super) async fn run(context: &Context, args: OperatorArgs) -> Result<Exit> {
    match args.command {
        OperatorCommand::Create { email, name, role, password } => {
            let hash = PasswordHasher::new(1).hash(password.require("INSULA_OPERATOR_PASSWORD")?).await?;
            let role = role.to_possible_value().map_or_else(String::new, |role| role.get_name().to_owned());
            let platform = context.platform().await?;
            let id = operator_create(&platform.database, &email, &name, &role, &hash).await?;
            context.out.line(Mark::Good, &email, &role);
            if context.out.json() {
                context.out.document(&json!({ "id": id, "email": email, "name": name, "role": role }))?;
            }
        }
        OperatorCommand::Totp { email, remove: true } => {
            operator_factor_remove(&context.platform().await?.database, &email).await?;
            context.out.line(Mark::Good, &email, "signs in without a second factor");
        }
        OperatorCommand::Totp { email, remove: false } => {
            let config = context.installation()?;
            let database = open_platform(&config).await?.database;
            let (url, codes) = operator_factor_set(&database, &config.domain, &email).await?;
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
    }
    Ok(Exit::Done)
}
