//! The world of a test: a server shared by all, a database of its own, the service in this process.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use insula::app::{App, migrate_everything};
use insula::config::{Config, Layers};
use insula::db::seal::SealingKey;
use insula::db::server::{Server, ServerOptions, find_binaries, start};
use insula::http::{Listeners, serve};
use insula::ops::{DEMO_PASSWORD, seed_demo};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

/// The instance that the template database and its clones belong to.
const INSTANCE: &str = "it";
const TEMPLATE: &str = "it_template";

/// What all tests share.
struct Shared {
    server: Server,
    key: String,
}

static SHARED: OnceLock<Shared> = OnceLock::new();
static NUMBER: AtomicU32 = AtomicU32::new(1);

/// The server with the template database; made by the first test, stopped when the test binary ends.
fn shared() -> &'static Shared {
    SHARED.get_or_init(|| {
        let make = || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(prepare())
        };
        std::thread::spawn(make).join().unwrap()
    })
}

async fn prepare() -> Shared {
    let target = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let binaries = find_binaries(None, &target.join("postgresql"), |_| {}).await.unwrap();
    let data_dir = target.join(format!("pg-{}", std::process::id()));
    remove_old_folders(&target);
    let server = start(&binaries, ServerOptions { data_dir, durable: false, max_connections: 400 }).await.unwrap();
    let shared = Shared { server, key: SealingKey::generate().unwrap() };
    let url = shared.server.ensure_database(INSTANCE, TEMPLATE).await.unwrap();
    let config = config(&url, &shared.key, INSTANCE);
    migrate_everything(&config).await.unwrap();
    let app = App::start(config).await.unwrap();
    seed_demo(&app.platform, &app.tenants, &app.hasher).await.unwrap();
    app.shut_down().await;
    shared
}

/// Runs that were killed leave their folder behind; nobody needs it.
fn remove_old_folders(target: &std::path::Path) {
    for entry in std::fs::read_dir(target).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let pid =
            name.strip_prefix("pg-").and_then(|rest| rest.split('.').next()).and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Settings of a test: small pools, short waits, cheap to start.
pub fn config(database_url: &str, key: &str, instance: &str) -> Config {
    Layers::collect(None)
        .unwrap()
        .with("instance", instance)
        .with("domain", "insula.test")
        .with("database.url", database_url)
        .with("database.control_pool", 4)
        .with("database.bucket_pool", 4)
        .with("encryption.key", key)
        .with("http.listen", "127.0.0.1:0")
        .with("http.ops_listen", "127.0.0.1:0")
        .read()
        .unwrap()
}

/// A running service over a database of its own.
pub struct World {
    pub app: Arc<App>,
    pub port: u16,
    pub ops_port: u16,
    pub database_url: String,
    pub database: String,
    http: reqwest::Client,
    stop: CancellationToken,
}

impl World {
    /// The service over a clone of the demo: `acme` and `techstart` (crm), `testcompany` (starter).
    pub async fn new() -> Self {
        Self::with(|config| config).await
    }

    /// The same with other settings.
    pub async fn with(adjust: impl FnOnce(Config) -> Config) -> Self {
        let shared = shared();
        let database = format!("it_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        clone_template(&shared.server, &database).await;
        let database_url = shared.server.ensure_database(INSTANCE, &database).await.unwrap();
        let app = App::start(adjust(config(&database_url, &shared.key, INSTANCE))).await.unwrap();
        let listeners = Listeners::bind(&app.config.http).await.unwrap();
        let port = listeners.service.local_addr().unwrap().port();
        let ops_port = listeners.ops.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        tokio::spawn(serve(app.clone(), listeners, stop.clone().cancelled_owned()));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { app, port, ops_port, database_url, database, http, stop }
    }

    /// A request to a host of ours, `acme.insula.test` for `acme`, the apex for an empty name.
    pub fn request(&self, method: Method, subdomain: &str, path: &str) -> Request {
        let host = if subdomain.is_empty() { "insula.test".to_owned() } else { format!("{subdomain}.insula.test") };
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        Request(self.http.request(method, url).header("host", host))
    }

    /// A token of a demo user, such as `sales1` of `acme`.
    pub async fn token(&self, subdomain: &str, mailbox: &str) -> String {
        let credentials = json!({ "email": format!("{mailbox}@{subdomain}.test"), "password": DEMO_PASSWORD });
        self.sign_in(subdomain, credentials).await
    }

    /// A token of the demo's operator.
    pub async fn operator(&self) -> String {
        self.sign_in("admin", json!({ "email": "operator@insula.test", "password": DEMO_PASSWORD })).await
    }

    async fn sign_in(&self, subdomain: &str, credentials: Value) -> String {
        let answer = self.request(Method::POST, subdomain, "/api/v1/auth/login").json(&credentials).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// A demo user with a token, for several requests.
    pub async fn user(&self, subdomain: &str, mailbox: &str) -> User<'_> {
        User { world: self, subdomain: subdomain.to_owned(), token: self.token(subdomain, mailbox).await }
    }

    /// The demo's operator with a token.
    pub async fn staff(&self) -> User<'_> {
        User { world: self, subdomain: "admin".to_owned(), token: self.operator().await }
    }

    /// The server's superuser in this world's database, for looking from outside.
    pub async fn superuser(&self) -> Client {
        connect(&shared().server.superuser_url(&self.database)).await
    }

    /// The key of a tenant.
    pub async fn tenant_id(&self, subdomain: &str) -> String {
        self.app.tenants.by_subdomain(subdomain).await.unwrap().id.to_string()
    }

    /// The environment of a process of the real binary over this world's database.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DATABASE_URL", self.database_url.clone()),
            ("INSULA_INSTANCE", INSTANCE.to_owned()),
            ("INSULA_DOMAIN", "insula.test".to_owned()),
            ("INSULA_ENCRYPTION_KEY", shared().key.clone()),
            ("INSULA_HTTP_LISTEN", "127.0.0.1:0".to_owned()),
            ("INSULA_HTTP_OPS_LISTEN", "127.0.0.1:0".to_owned()),
        ]
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        self.app.stop.cancel();
    }
}

async fn clone_template(server: &Server, database: &str) {
    let client = connect(&server.superuser_url("postgres")).await;
    let sql = format!("create database {database} template {TEMPLATE} owner {INSTANCE}_control");
    client.batch_execute(&sql).await.unwrap();
    // The rights on a database itself are not cloned.
    let rights =
        format!("revoke all on database {database} from public; grant connect on database {database} to {INSTANCE}_b1");
    client.batch_execute(&rights).await.unwrap();
}

/// A connection of its own.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Somebody who is signed in.
pub struct User<'w> {
    world: &'w World,
    pub subdomain: String,
    pub token: String,
}

impl User<'_> {
    pub fn request(&self, method: Method, path: &str) -> Request {
        self.world.request(method, &self.subdomain, path).bearer(&self.token)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).send().await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.request(Method::POST, path).json(&body).send().await
    }

    pub async fn put(&self, path: &str) -> Answer {
        self.request(Method::PUT, path).send().await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.request(Method::PATCH, path).json(&body).send().await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path).send().await
    }

    /// All rows of a list; the limit is the largest there is.
    pub async fn rows(&self, path: &str) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let answer = self.get(&format!("{path}{separator}limit=500")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["data"].as_array().unwrap().clone()
    }
}

/// A request under construction.
pub struct Request(reqwest::RequestBuilder);

impl Request {
    pub fn bearer(self, token: &str) -> Self {
        Self(self.0.bearer_auth(token))
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    pub fn body(self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.header("content-type", content_type).body(body))
    }

    pub async fn send(self) -> Answer {
        let response = self.0.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The machine code of a problem, checked to be one.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], self.headers["x-request-id"].to_str().unwrap());
        problem
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.json()
    }
}
