//! The command line: `insula <noun> <verb>`.
//!
//! Data goes to stdout, everything else to stderr. Secrets come from the environment, a file or standard input,
//! never from a flag.

mod bar;
mod check;
mod config;
mod context;
mod dev;
mod doctor;
mod fleet;
mod health;
mod inspect;
mod interrupt;
mod job;
mod key;
mod migrate;
mod module;
mod operator;
mod output;
mod pack;
mod reset;
mod secret;
mod serve;
mod tenant;
mod tenant_data;
mod tenant_life;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use self::context::Context;
use self::output::Output;
use crate::error::{Error, Kind, Result};

const EXAMPLES: &str = "Examples:
  insula dev                                   try everything on this machine
  insula serve --migrate                       run the service
  insula tenant create acme --name 'Acme Ltd' --plan crm --owner ann@acme.test
  insula doctor                                what is missing, and the next command";

/// Examples stand above everything else.
const HELP: &str = "{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";

/// A multi-tenant business platform in one binary over PostgreSQL.
#[derive(Parser)]
#[command(name = "insula", version, before_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Settings file (TOML); else the one that `INSULA_CONFIG` names
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Never ask; fail instead
    #[arg(long, global = true)]
    no_input: bool,
    /// Answer yes to questions
    #[arg(short, long, global = true)]
    yes: bool,
    /// Print no progress
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Print causes and more of the log; twice for all of it
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything here: private PostgreSQL, demo tenants, service
    Dev(dev::DevArgs),
    /// Run the service
    Serve(serve::ServeArgs),
    /// Bring the database up to date: public, then all tenants
    Migrate(migrate::MigrateArgs),
    /// Many tenants at once: seed
    Fleet(fleet::FleetArgs),
    /// Customers: create, list, show, suspend, resume, rename, delete, clone, backup, restore
    Tenant(tenant::TenantArgs),
    /// Files that hold a tenant: list, verify
    Backup(tenant_data::FileArgs),
    /// Modules of a tenant: list, enable, disable
    Module(module::ModuleArgs),
    /// What packs do by themselves: list
    Job(job::JobArgs),
    /// Packs: check, list
    Pack(pack::PackArgs),
    /// Staff of the platform: create, list, disable, enable, set-role, second factor
    Operator(operator::OperatorArgs),
    /// Keys: generate one for encryption, rotate those of tokens
    Key(key::KeyArgs),
    /// Whether what must hold does: audit, drift, connections, isolation, all
    Check(check::CheckArgs),
    /// What PostgreSQL knows: schemas, tables, locks, bloat, long-running, connections
    Inspect(inspect::InspectArgs),
    /// Destroy everything of this installation
    Reset(reset::ResetArgs),
    /// Settings in force and where each came from
    Config,
    /// Look for what is missing or wrong, with the next command
    Doctor,
    /// Exit 0 when a service on this machine is alive, else 1
    Health,
    /// Print the completion script of a shell
    #[command(
        before_help = "Examples:\n  insula completion bash > /etc/bash_completion.d/insula\n  source <(insula completion zsh)"
    )]
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// How a command ended that did not fail as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Done,
    /// What was looked for is not as it should be; it has been printed.
    Failed,
    /// Some of the work failed.
    Partly,
    /// There is work to do.
    Pending,
    /// Ctrl-C.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Partly => 3,
            Exit::Pending => 5,
            Exit::Interrupted => 130,
        })
    }
}

/// Reads the arguments, runs the command, prints what went wrong; gives the exit code.
pub fn main() -> ExitCode {
    let mut command = lead_with_examples(Cli::command());
    let cli = match command.try_get_matches_from_mut(std::env::args_os()).and_then(|m| Cli::from_arg_matches(&m)) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let context = Context::new(cli.global);
    let outcome = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(&context, cli.command)),
        Err(error) => Err(Error::internal(error)),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            context.out.error(&error);
            ExitCode::from(exit_code(error.kind()))
        }
    }
}

fn exit_code(kind: Kind) -> u8 {
    match kind {
        Kind::Malformed | Kind::Invalid => 2,
        Kind::Unauthenticated | Kind::Forbidden => 4,
        _ => 1,
    }
}

async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Dev(args) => dev::run(context, args).await,
        Command::Serve(args) => serve::run(context, args).await,
        Command::Migrate(args) => migrate::run(context, args).await,
        Command::Fleet(args) => fleet::run(context, args).await,
        Command::Tenant(args) => tenant::run(context, args).await,
        Command::Backup(args) => tenant_data::file(context, args).await,
        Command::Module(args) => module::run(context, args).await,
        Command::Job(args) => job::run(context, args).await,
        Command::Pack(args) => pack::run(context, args).await,
        Command::Operator(args) => operator::run(context, args).await,
        Command::Key(args) => key::run(context, args).await,
        Command::Check(args) => check::run(context, args).await,
        Command::Inspect(args) => inspect::run(context, args).await,
        Command::Reset(args) => reset::run(context, args).await,
        Command::Config => config::run(context),
        Command::Doctor => doctor::run(context).await,
        Command::Health => health::run(context).await,
        Command::Completion { shell } => completion(&context.out, shell),
    }
}

fn completion(out: &Output, shell: Shell) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "insula", &mut script);
    out.data(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}

fn lead_with_examples(command: clap::Command) -> clap::Command {
    command.help_template(HELP).mut_subcommands(lead_with_examples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        lead_with_examples(Cli::command()).debug_assert();
    }

    #[test]
    fn help_leads_with_examples() {
        let mut command = lead_with_examples(Cli::command());
        let help = command.render_help().to_string();
        assert!(help.find("Examples:") < help.find("Usage:"), "{help}");
    }
}
