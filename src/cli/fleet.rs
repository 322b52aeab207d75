//! `insula fleet`: many tenants at once.

use std::time::Instant;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Exit;
use super::bar::bar;
use super::context::Context;
use super::interrupt::first_signal;
use super::output::{Mark, say};
use crate::error::Result;
use crate::ops::{Seed, seed_fleet};

#[derive(Args)]
pub(super) struct FleetArgs {
    #[command(subcommand)]
    command: FleetCommand,
}

#[derive(Subcommand)]
enum FleetCommand {
    /// Make tenants of an edition for benchmarks: <prefix>-1, <prefix>-2, …; those that exist are left as they are
    #[command(
        before_help = "Examples:\n  insula fleet seed 1000\n  insula fleet seed 50 --plan starter --prefix trial"
    )]
    Seed {
        /// How many there shall be
        #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
        number: u32,
        /// Plan or edition
        #[arg(long, default_value = "crm")]
        plan: String,
        /// What their names begin with
        #[arg(long, default_value = "t")]
        prefix: String,
        /// Tenants at once, as far as `database.control_pool` allows
        #[arg(long, value_name = "N", default_value_t = 4)]
        jobs: usize,
    },
}

pub(super) async fn run(context: &Context, args: FleetArgs) -> Result<Exit> {
    let FleetCommand::Seed { number, plan, prefix, jobs } = args.command;
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    let seed = Seed { number, plan, prefix, jobs, by: context.by() };
    let platform = context.platform().await?;
    let stop = first_signal(|| say("Stopping after the tenants at work; Ctrl-C again ends it at once."))?;
    let bar = bar(&context.out, number);
    let began = Instant::now();
    let tell = || bar.iter().for_each(|bar| bar.inc(1));
    let made = seed_fleet(&platform, &seed, &stop, tell).await;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let (made, seconds) = (made?, began.elapsed().as_secs_f64());
    let rate = made as f64 / seconds.max(0.001);
    context.out.line(Mark::Good, "fleet", &format!("{made} tenants in {seconds:.1} s, {rate:.1} per second"));
    if context.out.json() {
        context.out.document(&json!({ "made": made, "seconds": seconds, "tenants_per_second": rate }))?;
    }
    Ok(if stop.is_cancelled() { Exit::Interrupted } else { Exit::Done })
}
