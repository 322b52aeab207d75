//! What safety costs: the checks before a request, the scope of a transaction, the audit of a write, and a flood of sign-ins.
//!
//! `cargo bench --bench access` makes a private PostgreSQL with two tenants. Each pair is measured by turns in one run.
//! `-- --quick` is a smoke test.

mod parts;

use std::hint::black_box;
use std::time::{Duration, Instant};

use insula::access::{Caller, Right};
use insula::app::App;
use insula::auth::token::Audience;
use insula::db::Origin;
use insula::error::{Error, Result};
use insula::sql::Sql;
use parts::estate::{Estate, bearer};
use parts::load::{Round, run};
use parts::{flood, servers};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const POOL: usize = 16;
/// Token, tenant, session, module, permission and scope may add this to a warm request.
const CHECKS_TARGET: Duration = Duration::from_micros(30);
/// What a flood of sign-ins may do to the slowest of a hundred reads.
const FLOOD_TARGET: f64 = 1.2;

struct Size {
    rounds: usize,
    round: Duration,
    repeats: u32,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["service", url, key, pool] => servers::service(url, key, pool),
        _ => measure(words.contains(&"--quick")),
    };
    if let Err(error) = outcome {
        println!("{error} {}", error.private_context());
        std::process::exit(1);
    }
}

fn measure(quick: bool) -> Result<()> {
    let size = match quick {
        true => Size { rounds: 1, round: Duration::from_millis(300), repeats: 200 },
        false => Size { rounds: 7, round: Duration::from_secs(2), repeats: 5_000 },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::internal)?;
    runtime.block_on(async {
        let estate = Estate::build(2).await?;
        let app = estate.app().await?;
        checks(&app, &estate, &size).await?;
        app.shut_down().await;
        writes(&estate, &size).await?;
        sign_ins(&estate, &size).await?;
        estate.tear_down().await
    })
}

/// All that comes before parsing, without the network, and what the scope adds on the server.
async fn checks(app: &App, estate: &Estate, size: &Size) -> Result<()> {
    let token = bearer(&estate.request(0, "/"))?;
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let began = Instant::now();
        for _ in 0..size.repeats {
            let claims = app.authenticator.verify(Audience::Tenant, black_box(&token)).await?;
            let tenant = app.tenants.by_subdomain("bench-0").await?.in_service()?;
            let session = app.sessions.get(&tenant, claims.sid, claims.sub).await?;
            let origin = Origin { request_id: "bench".into(), address: [127, 0, 0, 1].into() };
            let caller = Caller { tenant, session, origin };
            let right = Right::to("contacts.view", "crm", caller, &app.gate).await?;
            black_box(right.read(Duration::from_secs(10)));
        }
        best = best.min(began.elapsed() / size.repeats);
    }
    let verdict = if best <= CHECKS_TARGET { "reached" } else { "MISSED" };
    println!(
        "\ntoken, tenant, session, module, permission, scope: {best:.1?} and no round trip; target {CHECKS_TARGET:?} {verdict}"
    );

    let claims = app.authenticator.verify(Audience::Tenant, &token).await?;
    let tenant = app.tenants.by_subdomain("bench-0").await?.in_service()?;
    let session = app.sessions.get(&tenant, claims.sid, claims.sub).await?;
    let origin = Origin { request_id: "bench".into(), address: [127, 0, 0, 1].into() };
    let right = Right::to("contacts.view", "crm", Caller { tenant, session, origin }, &app.gate).await?;
    let scope = right.read(app.platform.database.statement_timeout());
    let sql = Sql::new("select 1::bigint, null::text");
    let (mut plain, mut scoped) = (Vec::new(), Vec::new());
    for _ in 0..size.repeats {
        let began = Instant::now();
        app.platform.database.look_up("select 1::bigint, null::text", &[]).await?;
        plain.push(began.elapsed());
        let began = Instant::now();
        app.platform.database.run(&scope, &sql).await?;
        scoped.push(began.elapsed());
    }
    let (plain, scoped) = (median(plain), median(scoped));
    println!("an empty statement: {plain:.1?} without, {scoped:.1?} with a transaction of its own and its scope");
    Ok(())
}

/// The same rows written with and without triggers of the audit.
async fn writes(estate: &Estate, size: &Size) -> Result<()> {
    estate.without_audit(1).await?;
    let service = servers::spawn(&estate.service_command(POOL, 1))?;
    let requests = [0, 1].map(|tenant| vec![estate.post(tenant, "/api/v1/lost_reasons", r#"{"name":"?"}"#)]);
    let mut rows = Vec::new();
    for _ in 0..size.rounds {
        let audited = flood::post(service.port, &requests[0], size.round).await?;
        rows.push((flood::post(service.port, &requests[1], size.round).await?, audited));
    }
    rows.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    let (without, with) = rows[rows.len() / 2];
    println!("a row made: {without:.0}/s without, {with:.0}/s with the audit, ratio {:.2}", with / without);
    Ok(())
}

/// Reads alone, and while strangers guess passwords from many addresses.
async fn sign_ins(estate: &Estate, size: &Size) -> Result<()> {
    let service = servers::spawn(&estate.service_command(POOL, 1))?;
    let reads = estate.requests(1).1;
    run(service.port, &reads, size.round).await?;
    let mut rows = Vec::new();
    let mut answers = flood::Answers::default();
    for _ in 0..size.rounds {
        let calm = slowest(flood::paced(service.port, &reads, size.round).await?);
        let attack = flood::sign_ins(service.port, size.round);
        let (under, refused) = tokio::join!(flood::paced(service.port, &reads, size.round), attack);
        answers.add(refused?);
        rows.push((calm, slowest(under?)));
    }
    rows.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    let (calm, under) = rows[rows.len() / 2];
    let ratio = under / calm;
    let verdict = if ratio <= FLOOD_TARGET { "reached" } else { "MISSED" };
    println!(
        "reads at a steady pace, p99: {calm:.0} us alone, {under:.0} us while {answers}; ratio {ratio:.2}, target {FLOOD_TARGET} {verdict}"
    );
    Ok(())
}

fn slowest(round: Round) -> f64 {
    let mut micros = round.micros;
    micros.sort_unstable();
    f64::from(micros[micros.len() * 99 / 100])
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
