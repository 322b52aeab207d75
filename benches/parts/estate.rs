use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use insula::app::{App, migrate_everything};
use insula::db::seal::SealingKey;
use insula::db::server::{Binaries, Server, ServerOptions, erase, find_binaries, start};
use insula::error::{Error, Result};
use insula::ident::Subdomain;
use insula::ops::{NewTenant, Owner, Provisioned, Term, tenant_create};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::servers::{DOMAIN, INSTANCE, config};

/// Tenants made one after the other, on which the time of one is measured.
const ALONE: usize = 20;
/// Tenants made at once after these.
const AT_ONCE: usize = 4;
/// Rows of each tenant.
const ROWS: i32 = 20;
/// Tenants of a bucket.
const BUCKET: usize = 500;
/// The owner of every tenant.
pub const OWNER: &str = "owner@insula.test";

/// How long it took to make the tenants.
pub struct Made {
    alone: Vec<Duration>,
    together: (usize, Duration),
}

/// A tenant with somebody signed in and a row to read.
struct Tenant {
    subdomain: String,
    token: String,
    rows: Vec<Uuid>,
}

/// The server, and what was built on it.
pub struct Estate {
    /// How long that took.
    pub made: Made,
    server: Server,
    binaries: Binaries,
    superuser: Client,
    url: String,
    key: String,
    bare_sql: String,
    tenants: Vec<Tenant>,
}

impl Estate {
    /// A fresh server with so many tenants of the crm edition. It does not wait for the disk (fsync off): the disk
    /// is not what is measured, and making the tenants would take most of the time.
    pub async fn build(number: usize) -> Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let binaries = find_binaries(None, &folder.join("postgresql"), |step| println!("{step}")).await?;
        let data_dir = folder.join("bench-pg");
        erase(&binaries, &data_dir).await?;
        let server = start(&binaries, ServerOptions { data_dir, durable: false, max_connections: 100 }).await?;
        println!("PostgreSQL {}, private, fsync off; {number} tenants of the crm edition", server.version());
        let url = server.ensure_database(INSTANCE, INSTANCE).await?;
        let superuser = connect(&server.superuser_url(INSTANCE)).await?;
        let key = SealingKey::generate()?;
        let config = config(&url, &key, 1)?;
        migrate_everything(&config).await?;
        let app = App::start(config).await?;
        let (provisioned, made) = provision(&app, number).await?;
        let contacts = app.engine.catalog().resource("contacts").ok_or_else(Error::not_found)?;
        let columns: Vec<String> = contacts.columns.iter().map(|column| column.name.to_string()).collect();
        let bare_sql = format!(
            "select count(*), string_agg(row_to_json(r)::text, '') from (select {} from bare.contact where id = $1) r",
            columns.join(", ")
        );
        let tenants = furnish(&app, &superuser, &provisioned).await?;
        app.shut_down().await;
        Ok(Self { made, server, binaries, superuser, url, key, bare_sql, tenants })
    }

    /// The connection for looking from outside.
    pub fn superuser(&self) -> &Client {
        &self.superuser
    }

    /// How to start the bare handler.
    pub fn bare_command(&self, pool: usize) -> Vec<String> {
        vec!["bare".into(), self.server.superuser_url(INSTANCE), pool.to_string(), self.bare_sql.clone()]
    }

    /// How to start the service: the pools of all buckets of so many tenants have `pool` connections together.
    pub fn service_command(&self, pool: usize, tenants: usize) -> Vec<String> {
        let each = pool / tenants.div_ceil(BUCKET);
        vec!["service".into(), self.url.clone(), self.key.clone(), each.to_string()]
    }

    /// Requests for all rows of the first tenants: to the bare handler, and the same ones to the service.
    pub fn requests(&self, tenants: usize) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let rows = || self.tenants[..tenants].iter().flat_map(|tenant| tenant.rows.iter().map(move |id| (tenant, id)));
        let bare = rows().map(|(_, id)| format!("GET /contacts/{id} HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n").into_bytes());
        let service = rows().map(|(Tenant { subdomain, token, .. }, id)| {
            format!(
                "GET /api/v1/contacts/{id} HTTP/1.1\r\nHost: {subdomain}.{DOMAIN}\r\nAuthorization: Bearer {token}\r\n\r\n"
            )
            .into_bytes()
        });
        (bare.collect(), service.collect())
    }

    /// How to start the handler that sends one statement.
    pub fn bare_list_command(&self, pool: usize, statement: &str) -> Vec<String> {
        vec!["bare-list".into(), self.superuser_url(), pool.to_string(), statement.to_owned()]
    }

    /// A request of a tenant's owner.
    pub fn request(&self, tenant: usize, path: &str) -> Vec<u8> {
        let Tenant { subdomain, token, .. } = &self.tenants[tenant];
        format!("GET {path} HTTP/1.1\r\nHost: {subdomain}.{DOMAIN}\r\nAuthorization: Bearer {token}\r\n\r\n")
            .into_bytes()
    }

    /// The same with a JSON body.
    pub fn post(&self, tenant: usize, path: &str, body: &str) -> Vec<u8> {
        let Tenant { subdomain, token, .. } = &self.tenants[tenant];
        // Room for the number that stands in place of the `?`.
        let length = body.len() + 31;
        format!(
            "POST {path} HTTP/1.1\r\nHost: {subdomain}.{DOMAIN}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// Switches the triggers of the audit of a tenant off.
    #[expect(clippy::disallowed_methods, reason = "the benchmark looks from outside")]
    pub async fn without_audit(&self, tenant: usize) -> Result<()> {
        let sql = format!(
            "do $$ declare t record; begin
               for t in select tgrelid::regclass as r, tgname as n from pg_trigger
                 where tgname like 'zz\\_audit\\_%' and tgrelid::regclass::text like 'tenant\\_bench\\_{tenant}.%'
               loop execute format('alter table %s disable trigger %I', t.r, t.n); end loop; end $$"
        );
        self.superuser.batch_execute(&sql).await.map_err(Error::internal)
    }

    /// Gives the owner of the first tenant a password.
    pub async fn set_password(&self, hash: &str) -> Result<()> {
        let sql = "update tenant_bench_0.sys_user set password_hash = $1 where email = $2";
        self.superuser.execute(sql, &[&hash, &OWNER]).await.map(drop).map_err(Error::internal)
    }

    /// Forgets wrong passwords, so that nobody has to wait for the next try.
    #[expect(clippy::disallowed_methods, reason = "the benchmark looks from outside")]
    pub async fn forget_attempts(&self) -> Result<()> {
        self.superuser.batch_execute("delete from tenant_bench_0.sys_attempt").await.map_err(Error::internal)
    }

    /// The whole service in this process.
    pub async fn app(&self) -> Result<Arc<App>> {
        App::start(config(&self.url, &self.key, 1)?).await
    }

    /// The server's superuser in the database of the tenants.
    pub fn superuser_url(&self) -> String {
        self.server.superuser_url(INSTANCE)
    }

    /// Stops the server and removes its data.
    pub async fn tear_down(self) -> Result<()> {
        let data_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-pg");
        self.server.stop().await?;
        erase(&self.binaries, &data_dir).await
    }
}

impl Made {
    /// Says how long it took, and whether that was too long.
    pub fn print(&self, target: Duration) {
        let mut alone = self.alone.clone();
        alone.sort_unstable();
        let (half, most) = (alone[alone.len() / 2], alone[alone.len() - 1]);
        let verdict = if half <= target { "reached" } else { "MISSED" };
        println!(
            "making a tenant, {} in a row: p50 {half:.0?}, max {most:.0?}; target {target:?} {verdict}",
            alone.len()
        );
        let (number, took) = self.together;
        if number > 0 {
            let rate = number as f64 / took.as_secs_f64();
            println!("making {number} more, {AT_ONCE} at once: {rate:.1} tenants per second");
        }
    }
}

async fn provision(app: &App, number: usize) -> Result<(Vec<Provisioned>, Made)> {
    let (mut tenants, mut alone) = (Vec::new(), Vec::new());
    for at in 0..number.min(ALONE) {
        let began = Instant::now();
        tenants.push(tenant_create(&app.platform, new_tenant(at)?).await?);
        alone.push(began.elapsed());
    }
    let began = Instant::now();
    let others: Vec<Provisioned> = stream::iter(ALONE..number)
        .map(|at| async move { tenant_create(&app.platform, new_tenant(at)?).await })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let together = (others.len(), began.elapsed());
    tenants.extend(others);
    Ok((tenants, Made { alone, together }))
}

fn new_tenant(at: usize) -> Result<NewTenant> {
    let owner = Owner {
        email: OWNER.to_owned(),
        first_name: "Asha".to_owned(),
        last_name: "Pillai".to_owned(),
        // Nobody types a password here.
        password_hash: Some("$none$".to_owned()),
    };
    Ok(NewTenant {
        subdomain: Subdomain::new(&format!("bench-{at}"))?,
        name: format!("Bench {at}"),
        plan: "crm".to_owned(),
        term: Term::Active,
        owner,
        by: insula::db::By { name: "bench".to_owned(), origin: None },
    })
}

/// Rows for every tenant, the same rows in one table without tenants, and a token of every owner.
#[expect(clippy::disallowed_methods, reason = "the benchmark looks from outside")]
async fn furnish(app: &App, superuser: &Client, provisioned: &[Provisioned]) -> Result<Vec<Tenant>> {
    let first = &provisioned.first().ok_or_else(Error::not_found)?.place.schema;
    let make = format!(
        "set session_replication_role = replica;
         create schema bare;
         create table bare.contact (like {first}.crm_contact including all)"
    );
    superuser.batch_execute(&make).await.map_err(Error::internal)?;
    let mut tenants = Vec::with_capacity(provisioned.len());
    for Provisioned { id, subdomain, place } in provisioned {
        let schema = &place.schema;
        let sql = format!(
            "with made as (insert into {schema}.crm_contact (first_name, last_name, email, phone, title, owner_id)
               select 'Asha', 'Pillai', 'c' || n || '@{subdomain}.test', '+919876543210', 'Buyer', u.id
               from {schema}.sys_user u, generate_series(1, $1) n
               returning *),
             copied as (insert into bare.contact select * from made)
             select id from made"
        );
        let rows = superuser.query(&sql, &[&ROWS]).await.map_err(Error::internal)?;
        let token = app.authenticator.sign_in_known(*id, place, OWNER).await?.access_token;
        let rows = rows.iter().map(|row| row.get(0)).collect();
        tenants.push(Tenant { subdomain: subdomain.clone(), token, rows });
    }
    superuser.batch_execute("analyze bare.contact").await.map_err(Error::internal)?;
    Ok(tenants)
}

/// A connection of its own.
#[expect(clippy::disallowed_methods, reason = "the benchmark looks from outside")]
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(Error::internal)?;
    tokio::spawn(connection);
    Ok(client)
}

/// The token of a request.
pub fn bearer(request: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(request).into_owned();
    let token = text.split("Bearer ").nth(1).and_then(|rest| rest.split('\r').next());
    token.map(str::to_owned).ok_or_else(Error::not_found)
}
