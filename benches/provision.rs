//! How long a new tenant waits for its schema: with one made in advance, and without, while others read.
//!
//! `cargo bench --bench provision` makes tenants of the crm edition on a private PostgreSQL, fsync off, both ways by turns.
//! `-- --quick` is a smoke test with a few.

mod parts;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use insula::app::{migrate_everything, open_platform};
use insula::db::seal::SealingKey;
use insula::db::server::{ServerOptions, erase, find_binaries, start};
use insula::db::{Acting, By, Place, Scope, Seat};
use insula::error::{Error, Result};
use insula::ident::Subdomain;
use insula::ops::{NewTenant, Owner, Platform, Provisioned, Term, restock, tenant_create};
use parts::servers::{INSTANCE, config};
use tokio_util::sync::CancellationToken;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PLAN: &str = "crm";
const READERS: usize = 2;
const READY_P50_TARGET: Duration = Duration::from_millis(30);
const READY_P99_TARGET: Duration = Duration::from_millis(300);
const ANEW_TARGET: Duration = Duration::from_millis(200);

fn main() {
    let (rounds, each) = if std::env::args().any(|word| word == "--quick") { (1, 3) } else { (5, 40) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(Error::internal).and_then(|runtime| runtime.block_on(measure(rounds, each)));
    if let Err(error) = outcome {
        eprintln!("{error} {}", error.private_context());
        std::process::exit(1);
    }
}

async fn measure(rounds: usize, each: u32) -> Result<()> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let binaries = find_binaries(None, &folder.join("postgresql"), |step| println!("{step}")).await?;
    let data_dir = folder.join("bench-provision-pg");
    erase(&binaries, &data_dir).await?;
    let options = ServerOptions { data_dir: data_dir.clone(), durable: false, max_connections: 100 };
    let server = start(&binaries, options).await?;
    println!("PostgreSQL {}, private, fsync off; tenants of the crm edition, one after the other", server.version());
    let url = server.ensure_database(INSTANCE, INSTANCE).await?;
    let config = config(&url, &SealingKey::generate()?, 1)?;
    migrate_everything(&config).await?;
    let platform = open_platform(&config).await?;
    compare(&platform, rounds, each).await?;
    platform.database.close().await;
    server.stop().await?;
    erase(&binaries, &data_dir).await
}

/// Every round fills the stock, empties it, and makes a quarter as many without; readers pause while it is filled.
async fn compare(platform: &Platform, rounds: usize, each: u32) -> Result<()> {
    let mut number = 0;
    let (mut ready, mut anew, mut reads) = (Vec::new(), Vec::new(), 0);
    let first = make(platform, &mut number).await?.1;
    for _ in 0..rounds {
        restock(platform, each, PLAN).await?;
        let readers = Readers::start(platform, &first.place);
        for _ in 0..each {
            ready.push(make(platform, &mut number).await?.0);
        }
        for _ in 0..each.div_ceil(4) {
            anew.push(make(platform, &mut number).await?.0);
        }
        reads += readers.stop().await;
    }
    println!("{READERS} readers made {reads} reads meanwhile");
    report("with a schema made in advance", &mut ready, READY_P50_TARGET, Some(READY_P99_TARGET));
    report("without", &mut anew, ANEW_TARGET, None);
    Ok(())
}

fn report(what: &str, times: &mut [Duration], p50_target: Duration, p99_target: Option<Duration>) {
    times.sort_unstable();
    let verdict = |time, target| if time <= target { "reached" } else { "MISSED" };
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let p99_verdict =
        p99_target.map_or(String::new(), |target| format!(", target {target:?} {}", verdict(p99, target)));
    let (number, p50_verdict) = (times.len(), verdict(p50, p50_target));
    println!(
        "{what}: p50 {p50:.1?}, target {p50_target:?} {p50_verdict}; p99 {p99:.1?}{p99_verdict} ({number} tenants)"
    );
}

async fn make(platform: &Platform, number: &mut u32) -> Result<(Duration, Provisioned)> {
    *number += 1;
    let name = format!("bench-{number}");
    let owner = Owner {
        email: format!("owner@{name}.test"),
        first_name: "Owner".to_owned(),
        last_name: String::new(),
        password_hash: None,
    };
    let new = NewTenant {
        subdomain: Subdomain::new(&name)?,
        name,
        plan: PLAN.to_owned(),
        term: Term::Active,
        owner,
        by: By { name: "bench".to_owned(), origin: None },
    };
    let began = Instant::now();
    let made = tenant_create(platform, new).await?;
    Ok((began.elapsed(), made))
}

/// Who works in a tenant meanwhile, without a pause.
struct Readers {
    stop: CancellationToken,
    reads: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Result<()>>>,
}

impl Readers {
    fn start(platform: &Platform, place: &Arc<Place>) -> Self {
        let (stop, reads) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let reader = |_| tokio::spawn(read(platform.clone(), place.clone(), stop.clone(), reads.clone()));
        let tasks = (0..READERS).map(reader).collect();
        Self { stop, reads, tasks }
    }

    async fn stop(self) -> u64 {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await.map_err(Error::internal).and_then(|outcome| outcome) {
                println!("a reader failed: {error} {}", error.private_context());
            }
        }
        self.reads.load(Ordering::Relaxed)
    }
}

async fn read(platform: Platform, place: Arc<Place>, stop: CancellationToken, reads: Arc<AtomicU64>) -> Result<()> {
    let limit = platform.database.statement_timeout();
    while !stop.is_cancelled() {
        let scope = Scope::read(place.clone(), Seat::Tenant, Acting::service(), limit);
        let mut tx = platform.database.begin(&scope).await?;
        tx.query("select count(*) from crm_contact", &[]).await?;
        tx.commit().await?;
        reads.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
