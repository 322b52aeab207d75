use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use axum::serve::ListenerExt;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use insula::app::App;
use insula::config::{Config, Layers};
use insula::error::{Error, Result};
use insula::http::{Listeners, serve};
use insula::telemetry::start_logs;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_postgres::NoTls;
use uuid::Uuid;

/// The instance of the benchmark.
pub const INSTANCE: &str = "bench";
/// The apex domain of its tenants.
pub const DOMAIN: &str = "insula.test";

/// A server in a process of its own; it ends when we do.
pub struct Running {
    /// Where it listens.
    pub port: u16,
    child: Child,
    _alive: Option<ChildStdin>,
}

impl Running {
    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts this very program in another role, and waits for its port. Logs are written, to nowhere.
pub fn spawn(words: &[String]) -> Result<Running> {
    let program = std::env::current_exe().map_err(Error::internal)?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(Error::internal)?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line).map_err(Error::internal)?;
    }
    let alive = child.stdin.take();
    let port = line.trim().parse().map_err(|_| Error::internal(format!("{} did not start: {line}", words[0])))?;
    Ok(Running { port, child, _alive: alive })
}

/// Tells the parent where we listen, and ends when it ends.
fn announce(port: u16) {
    println!("{port}");
    let _ = io::stdout().flush();
    std::thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}

/// What a deployment would set, and ports of our own.
pub fn config(url: &str, key: &str, bucket_pool: usize) -> Result<Config> {
    Layers::collect(None)?
        .with("instance", INSTANCE)
        .with("domain", DOMAIN)
        .with("database.url", url)
        .with("database.bucket_pool", bucket_pool)
        .with("encryption.key", key)
        .with("limits.tenant_per_minute", 0)
        .with("limits.key_per_minute", 0)
        .with("limits.sign_in_per_minute", 0)
        .with("tenants.ready_schemas", 0)
        .with("auth.access_token_seconds", 3600)
        .with("http.listen", "127.0.0.1:0")
        .with("http.ops_listen", "127.0.0.1:0")
        .with("log.format", "json")
        .read()
}

/// The whole service, as in production: all cores, JSON logs at `info`.
pub fn service(url: &str, key: &str, bucket_pool: &str) -> Result<()> {
    let config = config(url, key, bucket_pool.parse().map_err(Error::internal)?)?;
    start_logs(&config.log)?;
    Runtime::new().map_err(Error::internal)?.block_on(async {
        let app = App::start(config).await?;
        let listeners = Listeners::bind(&app.config.http).await?;
        announce(listeners.service.local_addr().map_err(Error::internal)?.port());
        serve(app, listeners, std::future::pending()).await
    })
}

/// What a handler without tenants shares.
struct Bare {
    pool: Pool,
    sql: String,
}

/// The handler that most would write: axum, deadpool, one prepared statement, no tenants, no sign-in.
pub fn bare(url: &str, pool: &str, sql: &str) -> Result<()> {
    let mut database: tokio_postgres::Config = url.parse().map_err(Error::internal)?;
    database.application_name("bare");
    serve_bare(database, pool, sql, "/contacts/{id}", get(contact))
}

fn serve_bare(
    database: tokio_postgres::Config,
    pool: &str,
    sql: &str,
    path: &str,
    handler: MethodRouter<Arc<Bare>>,
) -> Result<()> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(database, NoTls, recycling);
    let size = pool.parse().map_err(Error::internal)?;
    let pool = Pool::builder(manager).max_size(size).build().map_err(Error::internal)?;
    let router = Router::new().route(path, handler).with_state(Arc::new(Bare { pool, sql: sql.into() }));
    Runtime::new().map_err(Error::internal)?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::internal)?;
        announce(listener.local_addr().map_err(Error::internal)?.port());
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router).await.map_err(Error::internal)
    })
}

/// The same for one statement without values, in the first tenant's schema.
pub fn bare_list(url: &str, pool: &str, sql: &str) -> Result<()> {
    let mut database: tokio_postgres::Config = url.parse().map_err(Error::internal)?;
    database.application_name("bare").options("-c search_path=tenant_bench_0,insula -c jit=off");
    serve_bare(database, pool, sql, "/list", get(listed))
}

async fn listed(State(bare): State<Arc<Bare>>) -> impl IntoResponse {
    match bare.list().await {
        Ok(Some(rows)) => (StatusCode::OK, [(CONTENT_TYPE, "application/json")], rows),
        Ok(None) => (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "text/plain")], String::new()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, "text/plain")], error.private_context()),
    }
}

async fn contact(State(bare): State<Arc<Bare>>, Path(id): Path<Uuid>) -> impl IntoResponse {
    match bare.find(id).await {
        Ok(Some(row)) => (StatusCode::OK, [(CONTENT_TYPE, "application/json")], row),
        Ok(None) => (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "text/plain")], String::new()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, "text/plain")], error.to_string()),
    }
}

impl Bare {
    #[expect(clippy::disallowed_methods, reason = "the bare handler goes without what guards tenants")]
    async fn list(&self) -> Result<Option<String>> {
        let client = self.pool.get().await.map_err(Error::internal)?;
        let statement = client.prepare_cached(&self.sql).await.map_err(Error::internal)?;
        let row = client.query_one(&statement, &[]).await.map_err(Error::internal)?;
        row.try_get(1).map_err(Error::internal)
    }

    #[expect(clippy::disallowed_methods, reason = "the bare handler goes without what guards tenants")]
    async fn find(&self, id: Uuid) -> Result<Option<String>> {
        let client = self.pool.get().await.map_err(Error::internal)?;
        let statement = client.prepare_cached(&self.sql).await.map_err(Error::internal)?;
        let row = client.query_one(&statement, &[&id]).await.map_err(Error::internal)?;
        row.try_get(1).map_err(Error::internal)
    }
}
