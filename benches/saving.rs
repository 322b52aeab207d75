//! What it costs to save and restore a tenant, beside `pg_dump -Fc` and `pg_restore` of the same schema.
//!
//! `cargo bench --bench saving` makes a tenant of 100,000 rows on a private PostgreSQL, fsync off. `-- --quick` is a smoke
//! test with a few.

mod parts;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use insula::app::{migrate_everything, open_platform};
use insula::db::By;
use insula::db::seal::SealingKey;
use insula::db::server::{Server, ServerOptions, erase, find_binaries, start};
use insula::error::{Error, Result};
use insula::ops::{Seed, seed_fleet};
use parts::memory::peak;
use parts::servers::{INSTANCE, config};
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Of the speed of PostgreSQL's own tools.
const SPEED_TARGET: f64 = 0.5;
const MEMORY_TARGET: f64 = 100.0;
/// Runs of which the median counts.
const REPEATS: usize = 5;

/// A row in three is a contact, one in six an activity, and each has an entry in the audit.
const FILL: &str = "set app.perms = '*'; set search_path = tenant_bench_1, insula;
    insert into crm_contact (first_name, last_name, email, phone, title, owner_id)
    select 'Asha ' || n, 'Pillai', 'c' || n || '@example.test', '+919876543210', 'Buyer', u.id
    from sys_user u, generate_series(1, {rows} / 3) n;
    insert into crm_activity (kind, subject, body, due_at, contact_id, owner_id)
    select 'task', 'Call ' || c.first_name, md5(c.id::text), now(), c.id, c.owner_id
    from crm_contact c order by c.id limit {rows} / 6;
    analyze";

fn main() {
    let rows = if std::env::args().any(|word| word == "--quick") { 600 } else { 100_000 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(Error::internal).and_then(|runtime| runtime.block_on(measure(rows)));
    if let Err(error) = outcome {
        eprintln!("{error} {}", error.private_context());
        std::process::exit(1);
    }
}

async fn measure(rows: usize) -> Result<()> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let binaries = find_binaries(None, &folder.join("postgresql"), |step| println!("{step}")).await?;
    let data_dir = folder.join("bench-saving-pg");
    erase(&binaries, &data_dir).await?;
    let options = ServerOptions { data_dir: data_dir.clone(), durable: false, max_connections: 100 };
    let server = start(&binaries, options).await?;
    println!("PostgreSQL {}, private, fsync off; a tenant of {rows} rows of the crm edition", server.version());
    let key = SealingKey::generate()?;
    let url = server.ensure_database(INSTANCE, INSTANCE).await?;
    // pg_restore needs the helper schema, and a database that has no such tenant.
    let other = server.ensure_database(INSTANCE, "bench_other").await?;
    for url in [&url, &other] {
        migrate_everything(&config(url, &key, 1)?).await?;
    }
    make(&config(&url, &key, 1)?, &server, rows).await?;
    let work = tempfile::TempDir::new().map_err(Error::internal)?;
    let file = |name: &str| work.path().join(name).display().to_string();
    let (ours, dump) = (file("ours.backup"), file("theirs.dump"));
    let variables = [("DATABASE_URL", &*url), ("INSULA_INSTANCE", INSTANCE), ("INSULA_ENCRYPTION_KEY", &*key)];
    let insula = Path::new(env!("CARGO_BIN_EXE_insula"));
    let superuser = (server.superuser_url(INSTANCE), server.superuser_url("bench_other"));

    let theirs = median(|_| {
        timed(&binaries.dir.join("pg_dump"), &[&superuser.0, "-Fc", "-n", "tenant_bench_1", "-f", &dump], &[])
    })?;
    let backup = median(|_| timed(insula, &["tenant", "backup", "bench-1", "--output", &ours], &variables))?;
    report("backup", "pg_dump -Fc", backup, theirs, &ours, &dump)?;
    let theirs = median(|_| {
        drop_schema(&superuser.1)?;
        timed(&binaries.dir.join("pg_restore"), &["-d", &superuser.1, &dump], &[])
    })?;
    let as_new =
        median(|run| timed(insula, &["tenant", "restore", &ours, "--as", &format!("again-{run}")], &variables))?;
    report("restore as another tenant", "pg_restore", as_new, theirs, &ours, &dump)?;
    let in_place = median(|_| timed(insula, &["tenant", "restore", &ours, "--confirm=bench-1"], &variables))?;
    report("restore in place", "pg_restore", in_place, theirs, &ours, &dump)?;
    let verify = median(|_| timed(insula, &["backup", "verify", &ours], &variables))?;
    println!("verify: p50 {:.2?}", verify.0);
    let clone = median(|run| timed(insula, &["tenant", "clone", "bench-1", &format!("copy-{run}")], &variables))?;
    println!("clone: p50 {:.2?}, memory {:.0} MB", clone.0, clone.1);
    server.stop().await?;
    erase(&binaries, &data_dir).await
}

async fn make(config: &insula::config::Config, server: &Server, rows: usize) -> Result<()> {
    let platform = open_platform(config).await?;
    let by = By { name: "bench".to_owned(), origin: None };
    let seed = Seed { number: 1, plan: "crm".to_owned(), prefix: "bench".to_owned(), jobs: 1, by };
    seed_fleet(&platform, &seed, &CancellationToken::new(), || {}).await?;
    platform.database.close().await;
    execute(&server.superuser_url(INSTANCE), &FILL.replace("{rows}", &rows.to_string())).await
}

#[expect(clippy::disallowed_methods, reason = "the benchmark makes its rows from outside")]
async fn execute(url: &str, sql: &str) -> Result<()> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(Error::internal)?;
    let driver = tokio::spawn(connection);
    client.batch_execute(sql).await.map_err(Error::internal)?;
    drop(client);
    let _ = driver.await;
    Ok(())
}

fn drop_schema(url: &str) -> Result<()> {
    let psql = ["-q", "-c", "drop schema if exists tenant_bench_1 cascade"];
    timed(Path::new("psql"), &[&[url], &psql[..]].concat(), &[]).map(drop)
}

/// Time and memory, in MB, of the run in the middle.
fn median(mut run: impl FnMut(usize) -> Result<(Duration, f64)>) -> Result<(Duration, f64)> {
    let mut runs = (0..REPEATS).map(&mut run).collect::<Result<Vec<_>>>()?;
    let memory = runs.iter().map(|(_, memory)| *memory).fold(0.0, f64::max);
    runs.sort_unstable_by_key(|(time, _)| *time);
    Ok((runs[REPEATS / 2].0, memory))
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "MISSED" }
}

fn report(
    what: &str,
    other: &str,
    ours: (Duration, f64),
    theirs: (Duration, f64),
    file: &str,
    dump: &str,
) -> Result<()> {
    let speed = theirs.0.as_secs_f64() / ours.0.as_secs_f64();
    let size = |path: &str| Ok::<_, Error>(std::fs::metadata(path).map_err(Error::internal)?.len() as f64 / 1e6);
    println!(
        "{what}: p50 {:.2?}, {other} {:.2?}: {speed:.2} of its speed, target {SPEED_TARGET} {}; memory {:.0} MB, target \
         {MEMORY_TARGET} {}; file {:.1} MB, its {:.1} MB",
        ours.0,
        theirs.0,
        verdict(speed >= SPEED_TARGET),
        ours.1,
        verdict(ours.1 <= MEMORY_TARGET),
        size(file)?,
        size(dump)?,
    );
    Ok(())
}

/// Runs a program to its end: how long it took, and the most memory it held, in MB.
fn timed(program: &Path, words: &[&str], variables: &[(&str, &str)]) -> Result<(Duration, f64)> {
    let began = Instant::now();
    let mut command = Command::new(program);
    command.args(words).envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(Error::internal)?;
    let mut memory = 0.0;
    loop {
        if let Some(status) = child.try_wait().map_err(Error::internal)? {
            let failed = || Error::internal(format!("{} {} ended with {status}", program.display(), words.join(" ")));
            return if status.success() { Ok((began.elapsed(), memory)) } else { Err(failed()) };
        }
        memory = peak(child.id()).unwrap_or(memory);
        std::thread::sleep(Duration::from_millis(1));
    }
}
