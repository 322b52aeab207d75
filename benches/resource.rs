//! The resource engine against its own SQL: what parse, plan and render cost, and what the service adds to a list and to
//! an export.
//!
//! `cargo bench --bench resource` makes a private PostgreSQL with one tenant of 200,000 contacts. Lists are compared, by
//! turns, with a bare axum and deadpool handler that sends the same statement prepared, without tenancy or row security.
//! Exports are compared with `COPY … TO STDOUT`. `-- --quick` is a smoke test over few rows; `-- --million` makes it
//! 1,000,000 contacts and watches the memory of the service meanwhile.

mod parts;

use std::hint::black_box;
use std::time::{Duration, Instant};

use insula::error::{Error, Result};
use insula::pack::{Resource, Verb};
use insula::resource::{ListPlan, ListRequest, Shape, Sight, render_list};
use parts::estate::{Estate, connect};
use parts::load::run;
use parts::{exports, memory, servers};

/// The allocator of the program, on both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const POOL: usize = 16;
/// Parse, plan and render of [`TYPICAL`] may take this long.
const RENDER_TARGET: Duration = Duration::from_micros(20);
const LIST_TARGET: f64 = 0.8;
const EXPORT_TARGET: f64 = 0.5;
/// What exports may add to the memory of the idle service, in MB.
const MEMORY_TARGET: f64 = 80.0;

/// A query as a board of deals asks it.
const TYPICAL: &str = "select=id,title,amount,contact:contacts(id,first_name,last_name),activities(subject,due_at)\
    &amount=gte.1000&closed_at=is.null&or=(owner_id.eq.0190a0b0-0000-7000-8000-000000000001,source.like.web*)\
    &activities.order=due_at&activities.limit=5&order=expected_close.desc.nullslast&limit=50";

/// Lists of 50 rows.
const LISTS: [(&str, &str, &str); 2] = [
    ("50 rows", "contacts", "limit=50"),
    ("50 rows with two embeds", "deals", "select=*,contacts(id,first_name),activities(id,subject)&limit=50"),
];

/// How much of everything.
struct Size {
    contacts: usize,
    rounds: usize,
    round: Duration,
    watch: bool,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["bare-list", url, pool, sql] => servers::bare_list(url, pool, sql),
        ["service", url, key, pool] => servers::service(url, key, pool),
        _ => measure(&words),
    };
    if let Err(error) = outcome {
        println!("{error} {}", error.private_context());
        std::process::exit(1);
    }
}

fn measure(words: &[&str]) -> Result<()> {
    let size = match words {
        words if words.contains(&"--quick") => {
            Size { contacts: 2_000, rounds: 2, round: Duration::from_millis(300), watch: true }
        }
        words if words.contains(&"--million") => {
            Size { contacts: 1_000_000, rounds: 3, round: Duration::from_secs(2), watch: true }
        }
        _ => Size { contacts: 200_000, rounds: 5, round: Duration::from_secs(2), watch: false },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::internal)?;
    runtime.block_on(async {
        let estate = Estate::build(1).await?;
        exports::fill(estate.superuser(), size.contacts).await?;
        let app = estate.app().await?;
        render(app.engine.catalog())?;
        let statements = LISTS.map(|(_, resource, query)| statement(app.engine.catalog(), resource, query));
        app.shut_down().await;
        for ((what, resource, query), statement) in LISTS.into_iter().zip(statements) {
            list(&estate, &size, what, &format!("/api/v1/{resource}?{query}"), &statement?).await?;
        }
        export(&estate, &size).await?;
        estate.tear_down().await
    })
}

fn may(_: &Resource, _: Verb) -> Result<()> {
    Ok(())
}

fn render(catalog: &insula::pack::Catalog) -> Result<()> {
    let deals = catalog.resource("deals").ok_or_else(Error::not_found)?;
    let once = || -> Result<usize> {
        let request = ListRequest::parse(black_box(TYPICAL))?;
        let plan = ListPlan::new(Sight { catalog, may: &may }, Shape::from(&**deals), &request)?;
        Ok(render_list(&plan, None).text().len())
    };
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let began = Instant::now();
        for _ in 0..2_000 {
            black_box(once()?);
        }
        best = best.min(began.elapsed() / 2_000);
    }
    let verdict = if best <= RENDER_TARGET { "reached" } else { "MISSED" };
    println!("\nparse + plan + render of an embedded query: {best:.1?}; target {RENDER_TARGET:?} {verdict}");
    Ok(())
}

/// The statement of a list with its values in place.
fn statement(catalog: &insula::pack::Catalog, resource: &str, query: &str) -> Result<String> {
    let request = ListRequest::parse(query)?;
    let resource = catalog.resource(resource).ok_or_else(Error::not_found)?;
    let plan = ListPlan::new(Sight { catalog, may: &may }, Shape::from(&**resource), &request)?;
    let sql = render_list(&plan, None);
    let mut text = sql.text().to_owned();
    for (at, value) in sql.values().iter().enumerate().rev() {
        let literal = value.as_text().map_or_else(|| "null".to_owned(), insula::sql::literal);
        text = text.replace(&format!("${}", at + 1), &literal);
    }
    Ok(text)
}

async fn list(estate: &Estate, size: &Size, what: &str, path: &str, statement: &str) -> Result<()> {
    let bare = servers::spawn(&estate.bare_list_command(POOL, statement))?;
    let service = servers::spawn(&estate.service_command(POOL, 1))?;
    let bare_request = vec![format!("GET /list HTTP/1.1\r\nHost: {}\r\n\r\n", servers::DOMAIN).into_bytes()];
    let service_request = vec![estate.request(0, path)];
    run(bare.port, &bare_request, size.round).await?;
    run(service.port, &service_request, size.round).await?;
    let mut rows = Vec::new();
    for _ in 0..size.rounds {
        let plain = run(bare.port, &bare_request, size.round).await?.per_second;
        rows.push((plain, run(service.port, &service_request, size.round).await?.per_second));
    }
    rows.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    let (plain, whole) = rows[rows.len() / 2];
    let ratio = whole / plain;
    let verdict = if ratio >= LIST_TARGET { "reached" } else { "MISSED" };
    println!("{what}: bare {plain:.0}/s, service {whole:.0}/s, ratio {ratio:.2}; target {LIST_TARGET} {verdict}");
    Ok(())
}

async fn export(estate: &Estate, size: &Size) -> Result<()> {
    let service = servers::spawn(&estate.service_command(POOL, 1))?;
    let idle = memory::resident(service.pid())?;
    let outside = connect(&estate.superuser_url()).await?;
    let mut best = (0.0_f64, 0.0_f64);
    for _ in 0..size.rounds.min(3) {
        let copied = exports::copy(&outside).await?;
        let (took, _) = exports::download(service.port, &estate.request(0, exports::CSV), service.pid()).await?;
        best = (best.0.max(copied), best.1.max(size.contacts as f64 / took.as_secs_f64()));
    }
    let ratio = best.1 / best.0;
    let verdict = if ratio >= EXPORT_TARGET { "reached" } else { "MISSED" };
    println!(
        "CSV of {} contacts: COPY {:.0} rows/s, service {:.0} rows/s, ratio {ratio:.2}; target {EXPORT_TARGET} {verdict}",
        size.contacts, best.0, best.1
    );
    if !size.watch {
        return Ok(());
    }
    for path in [exports::CSV, exports::NDJSON, exports::XLSX] {
        let (took, most) = exports::download(service.port, &estate.request(0, path), service.pid()).await?;
        let added = most.saturating_sub(idle) as f64 / 1024.0;
        let verdict = if added <= MEMORY_TARGET { "reached" } else { "MISSED" };
        println!("{path}: {took:.1?}, {added:.0} MB above idle at most; target {MEMORY_TARGET} MB {verdict}");
    }
    Ok(())
}
