//! `insula migrate`: `public` first, then every tenant.

mod progress;
mod run;
mod show;

use clap::{Args, Subcommand};

use super::Exit;
use super::context::Context;
use crate::error::Result;
use crate::ops::Order;

#[derive(Args)]
#[command(before_help = "Examples:\n  insula migrate\n  insula migrate --check && echo up to date\n  \
                         insula migrate --dry-run --tenant acme\n  insula migrate --canary 5 --waves 10,50 --jobs 8\n  \
                         insula migrate --tenant acme --pack crm\n  insula migrate status")]
pub(super) struct MigrateArgs {
    #[command(subcommand)]
    command: Option<MigrateCommand>,
    /// Only this tenant, after the public schema; also when it is in quarantine
    #[arg(long, value_name = "SUBDOMAIN")]
    tenant: Option<String>,
    /// Only this pack, and those it requires
    #[arg(long, value_name = "CODE")]
    pack: Option<String>,
    /// Change nothing; exit 5 when something is pending
    #[arg(long, conflicts_with = "dry_run")]
    check: bool,
    /// Print the SQL, and try it on the tenant, or the first, in a transaction that is undone
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pace: PaceArgs,
    /// Wait for a migration that is running, instead of failing
    #[arg(long)]
    wait: bool,
    /// Try those again that are in quarantine because they failed
    #[arg(long)]
    retry_failed: bool,
}

#[derive(Args)]
struct PaceArgs {
    /// Tenants at once, as far as `database.control_pool` allows
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    jobs: usize,
    /// This many tenants first; when one of them fails, no other is touched
    #[arg(long, value_name = "N", default_value_t = 0)]
    canary: usize,
    /// Waves that end at these percentages of all tenants; one with failures beyond --max-failures is the last
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=100))]
    waves: Vec<u8>,
    /// Stop when more tenants than this have failed
    #[arg(long, value_name = "N")]
    max_failures: Option<usize>,
    /// How long a statement waits for a lock, with users waiting behind it: 500ms, 2s
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = milliseconds)]
    lock_timeout: u64,
}

#[derive(Subcommand)]
enum MigrateCommand {
    /// Versions, who migrates, what is behind and why
    Status,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "must be a number from 1".to_owned())
}

fn milliseconds(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        _ => 0,
    };
    let total = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    let total = total.filter(|total| (1..=3_600_000).contains(total));
    total.ok_or_else(|| "must be a time such as 500ms, 2s or 1min, of at most an hour".to_owned())
}

impl MigrateArgs {
    fn order(&self) -> Order {
        let PaceArgs { jobs, canary, waves, max_failures, lock_timeout } = &self.pace;
        Order {
            tenant: self.tenant.clone(),
            pack: self.pack.clone(),
            retry_failed: self.retry_failed,
            jobs: *jobs,
            canary: *canary,
            waves: waves.clone(),
            max_failures: *max_failures,
            lock_timeout_ms: *lock_timeout,
            dry_run: self.dry_run,
            resumes: None,
        }
    }
}

pub(super) async fn run(context: &Context, args: MigrateArgs) -> Result<Exit> {
    match args.command {
        Some(MigrateCommand::Status) => show::status(context).await,
        None if args.check => show::check(context, &args.order()).await,
        None if args.dry_run => show::dry_run(context, &args.order()).await,
        None => run::migrate(context, &args).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_an_end() {
        assert_eq!(milliseconds("500ms"), Ok(500));
        assert_eq!(milliseconds("2s"), Ok(2000));
        assert_eq!(milliseconds("60min"), Ok(3_600_000));
        for bad in ["", "2", "s", "0s", "61min", "-1s", "2 s", "99999999999999999999s"] {
            assert!(milliseconds(bad).is_err(), "{bad}");
        }
    }
}
