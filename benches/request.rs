//! One row read through the whole service, against the same query in a bare handler.
//!
//! `cargo bench --bench request` makes a private PostgreSQL and 1,000 tenants, then measures rounds by turns: a bare
//! axum and deadpool handler without tenancy, the service, the bare handler, and so on. Service, bare handler and load
//! generator are three processes; all share the machine with PostgreSQL, so trust the ratios. `-- --quick` is a
//! smoke test with few tenants, `-- --provision` ends after the tenants were made.

mod parts;

use std::time::Duration;

use insula::error::{Error, Result};
use parts::estate::Estate;
use parts::load::{CONNECTIONS, Round, idle_connections, run};
use parts::{memory, servers};

/// The allocator of the program, on both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Connections to PostgreSQL of either side, over all its pools.
const POOL: usize = 16;
/// Idle keep-alive connections opened to see what one costs.
const IDLE: usize = 500;
/// The bound for making a tenant.
const PROVISION_TARGET: Duration = Duration::from_millis(200);

/// How long everything takes.
struct Plan {
    cases: Vec<Case>,
    rounds: usize,
    round: Duration,
}

/// Requests for so many tenants at random.
struct Case {
    tenants: usize,
    warm_up: Duration,
    target: f64,
}

impl Plan {
    fn full() -> Self {
        let case = |tenants, warm_up, target| Case { tenants, warm_up: Duration::from_secs(warm_up), target };
        Self {
            cases: vec![case(1, 2, 0.60), case(100, 4, 0.50), case(1000, 15, 0.45)],
            rounds: 5,
            round: Duration::from_secs(3),
        }
    }

    fn quick() -> Self {
        let case = |tenants, target| Case { tenants, warm_up: Duration::from_millis(500), target };
        Self { cases: vec![case(1, 0.60), case(20, 0.50)], rounds: 2, round: Duration::from_millis(500) }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["bare", url, pool, sql] => servers::bare(url, pool, sql),
        ["service", url, key, pool] => servers::service(url, key, pool),
        _ => measure(&words),
    };
    if let Err(error) = outcome {
        println!("{error} {}", error.private_context());
        std::process::exit(1);
    }
}

/// One thread for the load generator: it shall take as little of the machine as possible.
fn measure(words: &[&str]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::internal)?;
    let plan = if words.contains(&"--quick") { Plan::quick() } else { Plan::full() };
    runtime.block_on(async {
        let most = plan.cases.iter().map(|case| case.tenants).max().unwrap_or_default();
        let estate = Estate::build(most).await?;
        estate.made.print(PROVISION_TARGET);
        if !words.contains(&"--provision") {
            compare(&estate, &plan).await?;
        }
        estate.tear_down().await
    })
}

async fn compare(estate: &Estate, plan: &Plan) -> Result<()> {
    println!(
        "\nget one row, {CONNECTIONS} keep-alive connections, {POOL} database connections, {} rounds of {:.1?} by turns",
        plan.rounds, plan.round
    );
    let mut table = vec![format!(
        "{:>8} {:>12} {:>14} {:>7} {:>7} {:>8}   {:>16} {:>19}",
        "tenants", "bare req/s", "service req/s", "ratio", "target", "", "bare p50/p99 ms", "service p50/p99 ms"
    )];
    let mut backends = Vec::new();
    for case in &plan.cases {
        table.push(one_case(estate, plan, case, &mut backends).await?);
    }
    println!("\n{}", table.join("\n"));
    println!("\nmemory of PostgreSQL backends after that, MB per connection (pss shares the buffer cache out)");
    println!("{}", backends.join("\n"));
    Ok(())
}

/// Both sides start afresh for each case, so that what their connections hold is of this case.
async fn one_case(estate: &Estate, plan: &Plan, case: &Case, backends: &mut Vec<String>) -> Result<String> {
    let bare = servers::spawn(&estate.bare_command(POOL))?;
    let service = servers::spawn(&estate.service_command(POOL, case.tenants))?;
    let (bare_requests, service_requests) = estate.requests(case.tenants);
    run(bare.port, &bare_requests, Duration::from_secs(1)).await?;
    run(service.port, &service_requests, case.warm_up).await?;
    let (mut plain, mut whole, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        plain.push(run(bare.port, &bare_requests, plan.round).await?);
        whole.push(run(service.port, &service_requests, plan.round).await?);
        let (bare, service) = (plain[plain.len() - 1].per_second, whole[whole.len() - 1].per_second);
        println!("{:>8} tenants: bare {bare:>6.0}, service {service:>6.0}, ratio {:.2}", case.tenants, service / bare);
        ratios.push(service / bare);
    }
    backends.extend(memory::backends(estate.superuser(), case.tenants).await?);
    if case.tenants == plan.cases[plan.cases.len() - 1].tenants {
        let before = memory::resident(service.pid())?;
        let idle = idle_connections(service.port, &service_requests[0], IDLE).await?;
        let each = memory::resident(service.pid())?.saturating_sub(before) as f64 / IDLE as f64;
        println!("service: {:.1} MB resident, {each:.1} kB per idle keep-alive connection", before as f64 / 1024.0);
        drop(idle);
    }
    let ratio = median(&mut ratios);
    let verdict = if ratio >= case.target { "reached" } else { "MISSED" };
    let (bare_rate, bare_times) = summary(&plain);
    let (rate, times) = summary(&whole);
    let (tenants, target) = (case.tenants, case.target);
    Ok(format!(
        "{tenants:>8} {bare_rate:>12.0} {rate:>14.0} {ratio:>7.2} {target:>7.2} {verdict:>8}   {bare_times:>16} {times:>19}"
    ))
}

/// The median rate, and the latency of all requests of all rounds.
fn summary(rounds: &[Round]) -> (f64, String) {
    let rate = median(&mut rounds.iter().map(|round| round.per_second).collect::<Vec<_>>());
    let mut micros: Vec<u32> = rounds.iter().flat_map(|round| &round.micros).copied().collect();
    micros.sort_unstable();
    let at = |part: usize| micros.get(micros.len() * part / 100).map_or(0.0, |micros| f64::from(*micros) / 1000.0);
    (rate, format!("{:.2} / {:.2}", at(50), at(99)))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
