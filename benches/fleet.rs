//! What the work of operations costs: tenants made, a migration with nothing to do, one that changes all of them, a check.
//!
//! `cargo bench --bench fleet` makes 1,000 tenants of the crm edition on a private PostgreSQL, fsync off. `-- --quick` is a
//! smoke test with a few.

mod parts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use insula::app::{migrate_everything, open_database, open_platform};
use insula::config::Config;
use insula::db::By;
use insula::db::seal::SealingKey;
use insula::db::server::{ServerOptions, erase, find_binaries, start};
use insula::error::{Error, Result};
use insula::ops::{Leader, Order, Platform, Seed, migrate_fleet, seed_fleet};
use insula::pack::{Packs, load_catalog};
use parts::memory::peak;
use parts::servers::{INSTANCE, config};
use tokio_util::sync::CancellationToken;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const JOBS: usize = 4;
const CREATE_TARGET: f64 = 15.0;
const CHANGE_TARGET: f64 = 300.0;
const NOTHING_TARGET: Duration = Duration::from_millis(100);
const MEMORY_TARGET: f64 = 100.0;
/// Runs of which the median counts.
const REPEATS: usize = 9;

const CHANGE: &str = "alter table crm_contact add column bench_note text;
create index crm_contact_bench_idx on crm_contact (bench_note);
";

fn main() {
    let tenants = if std::env::args().any(|word| word == "--quick") { 8 } else { 1000 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(Error::internal).and_then(|runtime| runtime.block_on(measure(tenants)));
    if let Err(error) = outcome {
        println!("{error} {}", error.private_context());
        std::process::exit(1);
    }
}

async fn measure(tenants: usize) -> Result<()> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let binaries = find_binaries(None, &folder.join("postgresql"), |step| println!("{step}")).await?;
    let data_dir = folder.join("bench-fleet-pg");
    erase(&binaries, &data_dir).await?;
    let options = ServerOptions { data_dir: data_dir.clone(), durable: false, max_connections: 100 };
    let server = start(&binaries, options).await?;
    println!("PostgreSQL {}, private, fsync off; {tenants} tenants of the crm edition, {JOBS} jobs", server.version());
    let url = server.ensure_database(INSTANCE, INSTANCE).await?;
    let key = SealingKey::generate()?;
    let config = config(&url, &key, 1)?;
    migrate_everything(&config).await?;
    let platform = open_platform(&config).await?;

    create(&platform, tenants).await?;
    let program = |words: &[&str]| program(&url, &key, words);
    let nothing = [("nothing to do", &["migrate"][..]), ("--check", &["migrate", "--check"])];
    for (what, words) in nothing {
        let (mut times, mut memory) = (Vec::new(), 0.0_f64);
        for _ in 0..REPEATS {
            let (took, peak) = program(words)?;
            times.push(took);
            memory = memory.max(peak);
        }
        times.sort_unstable();
        let half = times[REPEATS / 2];
        println!(
            "the program with {what}: p50 {half:.0?}, target {NOTHING_TARGET:?} {}; memory {memory:.0} MB",
            verdict(half <= NOTHING_TARGET)
        );
    }
    change(&config, tenants).await?;
    platform.database.close().await;
    server.stop().await?;
    erase(&binaries, &data_dir).await
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "MISSED" }
}

async fn create(platform: &Platform, number: usize) -> Result<()> {
    let by = By { name: "bench".to_owned(), origin: None };
    let seed = Seed { number, plan: "crm".to_owned(), prefix: "bench".to_owned(), jobs: JOBS, by };
    let began = Instant::now();
    let made = seed_fleet(platform, &seed, &CancellationToken::new(), || {}).await?;
    let rate = made as f64 / began.elapsed().as_secs_f64();
    println!("made directly: {rate:.1} tenants/s, target {CREATE_TARGET} {}", verdict(rate >= CREATE_TARGET));
    Ok(())
}

/// The real program, from its start to its end: how long it took, and the most memory it held, in MB.
fn program(url: &str, key: &str, words: &[&str]) -> Result<(Duration, f64)> {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_insula"))
        .args(words)
        .env("DATABASE_URL", url)
        .env("INSULA_INSTANCE", INSTANCE)
        .env("INSULA_ENCRYPTION_KEY", key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::internal)?;
    let mut memory = 0.0;
    loop {
        if let Some(status) = child.try_wait().map_err(Error::internal)? {
            let took = began.elapsed();
            let failed = || Error::internal(format!("insula {} ended with {status}", words.join(" ")));
            return if status.success() { Ok((took, memory)) } else { Err(failed()) };
        }
        memory = peak(child.id()).unwrap_or(memory);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A column and an index for every tenant.
async fn change(config: &Config, tenants: usize) -> Result<()> {
    let folder = newer_crm().map_err(Error::internal)?;
    let packs = Packs::load_with(folder.path())?.map_err(|_| Error::internal("the packs are refused"))?;
    let database = open_database(config)?;
    let catalog = Arc::new(load_catalog(&database, packs).await?);
    let newer = Platform { database, catalog };
    let order = Order { jobs: JOBS, ..Order::default() };
    let leader = Leader::claim(&newer, &order, &By { name: "bench".to_owned(), origin: None }).await?;
    let began = Instant::now();
    let summary = migrate_fleet(&newer, leader, &order, &CancellationToken::new(), |_| {}).await?;
    let rate = summary.migrated as f64 / began.elapsed().as_secs_f64();
    if summary.migrated != tenants {
        return Err(Error::internal(format!("{summary:?}")));
    }
    println!(
        "a column and an index for all: {rate:.0} tenants/s, target {CHANGE_TARGET} {}",
        verdict(rate >= CHANGE_TARGET)
    );
    let memory = peak(std::process::id())?;
    println!("memory of this process: {memory:.0} MB, target {MEMORY_TARGET} {}", verdict(memory <= MEMORY_TARGET));
    newer.database.close().await;
    Ok(())
}

/// The built-in pack with one more file.
fn newer_crm() -> std::io::Result<tempfile::TempDir> {
    let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/crm"), tempfile::TempDir::new()?);
    let inside = to.path().join("crm");
    fs::create_dir(&inside)?;
    let mut files = 0;
    for entry in fs::read_dir(from)? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().unwrap_or_default();
        files += usize::from(name.to_string_lossy().starts_with('V'));
        fs::copy(&path, inside.join(name))?;
    }
    fs::write(inside.join(format!("V{}__bench.sql", files + 1)), CHANGE)?;
    Ok(to)
}
