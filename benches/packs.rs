//! What packs cost: switching on those of the starter plan, confirming an order, taking a register, and a trial balance.
//!
//! `cargo bench --bench packs` makes a private PostgreSQL, fsync off. `-- --quick` is a smoke test over few rows.

mod parts;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use insula::app::{App, migrate_everything};
use insula::db::By;
use insula::db::seal::SealingKey;
use insula::db::server::{ServerOptions, erase, find_binaries, start};
use insula::error::{Error, Result};
use insula::ident::Subdomain;
use insula::ops::{NewTenant, Owner, Term, module_enable, tenant_create};
use insula::tenant::Tenant;
use parts::estate::connect;
use parts::load;
use parts::servers::{DOMAIN, INSTANCE, config, service, spawn};
use serde_json::json;
use tokio_postgres::Client;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ENABLE_TARGET: Duration = Duration::from_millis(300);
const CONFIRM_TARGET: Duration = Duration::from_millis(5);
const REGISTER_TARGET: Duration = Duration::from_millis(20);
const TRIAL_TARGET: Duration = Duration::from_millis(300);
/// The owner of every tenant.
const OWNER: &str = "owner@insula.test";
/// Of each kind of work, how often it is done before it counts.
const WARM_UP: usize = 10;

/// How much of everything.
struct Size {
    enables: usize,
    orders: usize,
    registers: usize,
    reports: usize,
    stock: usize,
    lines: usize,
}

const FULL: Size = Size { enables: 15, orders: 200, registers: 100, reports: 15, stock: 10_000, lines: 100_000 };
const QUICK: Size = Size { enables: 2, orders: 3, registers: 3, reports: 2, stock: 1_000, lines: 1_000 };

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["service", url, key, pool] => service(url, key, pool),
        _ => measure(if words.contains(&"--quick") { &QUICK } else { &FULL }),
    };
    if let Err(error) = outcome {
        println!("{error} {}", error.private_context());
        std::process::exit(1);
    }
}

fn measure(size: &Size) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::internal)?;
    runtime.block_on(async {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let binaries = find_binaries(None, &folder.join("postgresql"), |step| println!("{step}")).await?;
        let data_dir = folder.join("bench-packs-pg");
        erase(&binaries, &data_dir).await?;
        let options = ServerOptions { data_dir: data_dir.clone(), durable: false, max_connections: 100 };
        let server = start(&binaries, options).await?;
        println!("PostgreSQL {}, private, fsync off", server.version());
        let url = server.ensure_database(INSTANCE, INSTANCE).await?;
        let key = SealingKey::generate()?;
        let settings = config(&url, &key, 1)?;
        migrate_everything(&settings).await?;
        let superuser = connect(&server.superuser_url(INSTANCE)).await?;
        let app = App::start(settings).await?;
        enable(&app, &superuser, size).await?;
        let trade = Office::open(&app, "professional").await?;
        trade.fill(&superuser, include_str!("parts/trade.sql"), size).await?;
        let school = Office::open(&app, "school_plus").await?;
        school.fill(&superuser, include_str!("parts/school.sql"), size).await?;
        app.shut_down().await;
        confirm(&superuser, &trade, size).await?;
        let running = spawn(&["service".to_owned(), url, key.to_string(), "4".to_owned()])?;
        register(&superuser, &school, running.port, size).await?;
        trial_balance(&trade, running.port, size).await?;
        drop(running);
        server.stop().await?;
        erase(&binaries, &data_dir).await
    })
}

/// What the middle one took, and the slowest.
fn middle(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}

fn report(what: &str, times: Vec<Duration>, target: Duration) {
    let number = times.len();
    let (half, most) = middle(times);
    let verdict = if half <= target { "reached" } else { "MISSED" };
    println!("{what}, {number} times: p50 {half:.2?}, max {most:.2?}; target {target:.0?} {verdict}");
}

fn by() -> By {
    By { name: "bench".to_owned(), origin: None }
}

async fn make(app: &App, plan: &str, subdomain: &str) -> Result<Arc<Tenant>> {
    let owner = Owner {
        email: OWNER.to_owned(),
        first_name: "Asha".to_owned(),
        last_name: "Pillai".to_owned(),
        // Nobody types a password here.
        password_hash: Some("$none$".to_owned()),
    };
    let (subdomain, name, plan) = (Subdomain::new(subdomain)?, subdomain.to_owned(), plan.to_owned());
    let new = NewTenant { subdomain, name: name.clone(), plan, term: Term::Active, owner, by: by() };
    tenant_create(&app.platform, new).await?;
    app.tenants.by_subdomain(&name).await
}

/// A tenant whose owner is signed in.
struct Office {
    tenant: Arc<Tenant>,
    token: String,
}

impl Office {
    async fn open(app: &App, plan: &str) -> Result<Self> {
        let tenant = make(app, plan, &format!("of-{}", plan.replace('_', "-"))).await?;
        let token = app.authenticator.sign_in_known(tenant.id, &tenant.place, OWNER).await?.access_token;
        Ok(Self { tenant, token })
    }

    #[expect(clippy::disallowed_methods, reason = "the benchmark makes its rows from outside")]
    async fn fill(&self, superuser: &Client, sql: &str, size: &Size) -> Result<()> {
        let days = (WARM_UP + size.registers) * 2;
        let numbers =
            [("{stock}", size.stock), ("{orders}", WARM_UP + size.orders), ("{lines}", size.lines), ("{days}", days)];
        let sql = numbers.iter().fold(sql.to_owned(), |sql, (name, number)| sql.replace(name, &number.to_string()));
        let schema = &self.tenant.place.schema;
        let sql = format!("set search_path = {schema}, insula, pg_temp; {sql}");
        superuser.batch_execute(&sql).await.map_err(Error::internal)
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let Self { tenant, token } = self;
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}.{DOMAIN}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            tenant.subdomain,
            body.len()
        )
        .into_bytes()
    }
}

/// The packs of the starter plan, for tenants of the crm edition, and by turns their bare files: without rights, roles,
/// row security and audit.
#[expect(clippy::disallowed_methods, reason = "the benchmark sends the files from outside")]
async fn enable(app: &App, superuser: &Client, size: &Size) -> Result<()> {
    let there = app.platform.catalog.packs().with_requirements("crm");
    let packs = app.platform.catalog.packs().with_requirements("d2c_storefront");
    let new = packs.iter().filter(|pack| there.iter().all(|other| other.manifest.code != pack.manifest.code));
    let files: String =
        new.flat_map(|pack| &pack.files).map(|file| file.in_transaction().into_owned() + "\n").collect();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for number in 1..=size.enables + 1 {
        let tenant = make(app, "crm", &format!("ours-{number}")).await?;
        let began = Instant::now();
        for module in ["oms_fulfillment", "d2c_storefront"] {
            module_enable(&app.platform, &tenant, module, &by()).await?;
        }
        ours.push(began.elapsed());
        let place = &make(app, "crm", &format!("bare-{number}")).await?.place;
        let (owner, schema) = (&place.owner, &place.schema);
        let seat = format!("begin; set local role {owner}; set local search_path = {schema}, insula, pg_temp;");
        let began = Instant::now();
        superuser.batch_execute(&format!("{seat}\n{files}\ncommit;")).await.map_err(Error::internal)?;
        bare.push(began.elapsed());
    }
    // The first ones fill caches.
    let (ours, bare) = (ours.split_off(1), bare.split_off(1));
    let ((half, _), (bare, _)) = (middle(ours.clone()), middle(bare));
    report("switching on the starter plan's packs", ours, ENABLE_TARGET);
    println!("  their bare files: p50 {bare:.2?}, {:.2} of it", bare.as_secs_f64() / half.as_secs_f64());
    Ok(())
}

/// Time in the database, planning included, from the call of the action to the end of what is put off to the end of its
/// transaction, as the tenant's role.
#[expect(clippy::disallowed_methods, reason = "the benchmark measures on one connection of its own")]
async fn confirm(superuser: &Client, trade: &Office, size: &Size) -> Result<()> {
    let place = &trade.tenant.place;
    let (role, schema) = (&place.role, &place.schema);
    let ids =
        format!("select id::text, (select min(id::text) from {schema}.sys_user) from {schema}.oms_order order by id");
    let mut times = Vec::new();
    for row in superuser.query(&ids, &[]).await.map_err(Error::internal)? {
        let (order, user): (&str, &str) = (row.get(0), row.get(1));
        let sql = format!(
            "begin; set local role {role}; set local search_path = {schema}, insula, pg_temp;
             set local app.user_id = '{user}'; set local app.perms = '*'; set local app.action = 'confirm';
             do $$ declare began constant timestamptz := clock_timestamp(); begin
               perform oms_order_confirm('{order}', '{{}}');
               set constraints all immediate;
               perform set_config('bench.seconds', extract(epoch from clock_timestamp() - began)::text, false);
             end $$;
             commit"
        );
        superuser.batch_execute(&sql).await.map_err(Error::internal)?;
        let row = superuser.query_one("select current_setting('bench.seconds')::float8", &[]).await;
        times.push(Duration::from_secs_f64(row.map_err(Error::internal)?.get(0)));
    }
    println!("confirming an order, the first on its connection: {:.2?}", times[0]);
    let what = format!("confirming an order of three products, {} rows of stock", size.stock);
    report(&what, times.split_off(WARM_UP), CONFIRM_TARGET);
    Ok(())
}

/// A class of 40 in one request, on day after day.
async fn register(superuser: &Client, school: &Office, port: u16, size: &Size) -> Result<()> {
    let schema = &school.tenant.place.schema;
    let sql = format!("select class_id::text, student_id::text from {schema}.sch_enrollment");
    let rows = superuser.query(&sql, &[]).await.map_err(Error::internal)?;
    let class: &str = rows[0].get(0);
    let mark = |student: &str| json!({ "student_id": student, "status": "present" });
    let marks: Vec<_> = rows.iter().map(|row| mark(row.get(1))).collect();
    let sql = format!(
        "select d::date::text from generate_series(current_date - {}, current_date - 1, interval '1 day') d",
        WARM_UP + size.registers
    );
    let (mut stream, mut answer, mut times) = (load::connect(port).await?, Vec::new(), Vec::new());
    for row in superuser.query(&sql, &[]).await.map_err(Error::internal)? {
        let body = json!({ "class_id": class, "on_date": row.get::<_, &str>(0), "marks": marks });
        let request = school.request("POST", "/api/v1/registers", &body.to_string());
        let began = Instant::now();
        load::ask(&mut stream, &request, &mut answer, b"201").await.map_err(Error::internal)?;
        times.push(began.elapsed());
    }
    report("taking the register of a class of 40, by HTTP", times.split_off(WARM_UP), REGISTER_TARGET);
    Ok(())
}

async fn trial_balance(trade: &Office, port: u16, size: &Size) -> Result<()> {
    let request = trade.request("GET", "/api/v1/reports/trial_balance?from=2000-01-01&to=2100-01-01", "");
    let (mut stream, mut answer, mut times) = (load::connect(port).await?, Vec::new(), Vec::new());
    for _ in 0..=size.reports {
        let began = Instant::now();
        load::ask(&mut stream, &request, &mut answer, b"200").await.map_err(Error::internal)?;
        times.push(began.elapsed());
    }
    let what = format!("a trial balance of {} lines, by HTTP", size.lines);
    report(&what, times.split_off(1), TRIAL_TARGET);
    Ok(())
}
