//! What safety costs: the checks before a request, the scope of a transaction, the audit of a write, and a flood of sign-ins.
//!
//! `cargo bench --bench access` makes a private PostgreSQL with two tenants. Each pair is measured by turns in one run.
//! `-- --quick` is a smoke test.

mod parts;

use std::hint::black_box;
use std::time::{Duration, Instant};

use insula::access::{Caller, Right};
use insula::app::App;
use insula::auth::password::PasswordHasher;
use insula::auth::token::Audience;
use insula::db::Origin;
use insula::error::{Error, Result};
use insula::sql::Sql;
use parts::estate::{Estate, OWNER, bearer};
use parts::load::{Round, ask, connect, run};
use parts::servers::DOMAIN;
use parts::{flood, servers};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const POOL: usize = 16;
/// Token, tenant, session, module, permission and scope may add this to a warm request.
const CHECKS_TARGET: Duration = Duration::from_micros(30);
/// What a flood of sign-ins may do to the slowest of a hundred reads.
const FLOOD_TARGET: f64 = 1.2;

/// How far the time of an answer may depend on whether there is an account, in microseconds.
const ACCOUNT_TARGET: f64 = 50.0;

struct Size {
    rounds: usize,
    round: Duration,
    repeats: u32,
    /// Wrong passwords for an account that there is, and as many for one that there is not.
    guesses: usize,
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
        true => Size { rounds: 1, round: Duration::from_millis(300), repeats: 200, guesses: 10 },
        false => Size { rounds: 7, round: Duration::from_secs(2), repeats: 5_000, guesses: 3_000 },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::internal)?;
    runtime.block_on(async {
        let estate = Estate::build(2).await?;
        let app = estate.app().await?;
        checks(&app, &estate, &size).await?;
        app.shut_down().await;
        writes(&estate, &size).await?;
        sign_ins(&estate, &size).await?;
        accounts(&estate, &size).await?;
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

/// Whether the time of an answer tells an account that there is from one that there is not.
async fn accounts(estate: &Estate, size: &Size) -> Result<()> {
    let hash = PasswordHasher::new(1).hash("nobody will guess it".to_owned()).await?;
    estate.set_password(&hash).await?;
    let service = servers::spawn(&estate.service_command(POOL, 1))?;
    let (mut stream, mut answer) = (connect(service.port).await?, Vec::new());
    let requests = [OWNER, "nobody@insula.test"].map(guess);
    let mut differences = Vec::new();
    for round in 0..size.guesses {
        estate.forget_attempts().await?;
        let mut took = [0.0; 2];
        // Who comes second meets other caches, so they take turns.
        for at in [round % 2, 1 - round % 2] {
            let asked = Instant::now();
            ask(&mut stream, &requests[at], &mut answer, b"401").await.map_err(Error::internal)?;
            took[at] = asked.elapsed().as_secs_f64() * 1e6;
        }
        differences.push(took[0] - took[1]);
    }
    let [low, half, high] = median_interval(differences);
    let verdict = if low >= -ACCOUNT_TARGET && high <= ACCOUNT_TARGET { "reached" } else { "MISSED" };
    println!(
        "a wrong password of a known account takes {half:.0} us more than one of an unknown, 95 % interval {low:.0} to {high:.0} us; \
         target within {ACCOUNT_TARGET} us {verdict}"
    );
    Ok(())
}

fn guess(email: &str) -> Vec<u8> {
    let body = format!(r#"{{"email":"{email}","password":"guess"}}"#);
    let length = body.len();
    format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: bench-0.{DOMAIN}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A median with its 95 % interval, from the ranks of a binomial distribution. Two turns count as one: in each of them
/// another came second.
fn median_interval(differences: Vec<f64>) -> [f64; 3] {
    let mut pairs: Vec<f64> = differences.chunks_exact(2).map(|both| (both[0] + both[1]) / 2.0).collect();
    pairs.sort_by(f64::total_cmp);
    let (number, half) = (pairs.len(), 0.98 * (pairs.len() as f64).sqrt());
    [-half, 0.0, half].map(|offset| pairs[((number as f64 / 2.0 + offset).max(0.0) as usize).min(number - 1)])
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
