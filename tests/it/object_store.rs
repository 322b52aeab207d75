//! Backups in an S3-compatible store, by the real program: saved, listed, verified, restored.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::program::{Ran, with_variables};
use super::provisioning::fresh;
use super::world::World;

const TENANT: &str = "0190a0b0-0000-7000-8000-000000000001";

/// As much of the protocol as backups need. Whoever does not sign with the right key is refused.
#[derive(Default)]
struct Vault {
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, BTreeMap<u32, Bytes>>,
    begun: usize,
    /// Parts are refused from now on.
    full: bool,
}

type Shared = Arc<Mutex<Vault>>;

fn answer(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let headers = Response::builder().status(status).header("etag", "\"e\"");
    headers.header("last-modified", "Mon, 01 Jun 2026 10:11:12 GMT").body(body.into()).unwrap()
}

fn ranged(bytes: &Bytes, range: &str) -> Response<Body> {
    let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
    let mut found = answer(StatusCode::PARTIAL_CONTENT, bytes.slice(from..=to));
    let told = format!("bytes {from}-{to}/{}", bytes.len());
    found.headers_mut().insert("content-range", told.parse().unwrap());
    found
}

async fn bucket(State(vault): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Response<Body> {
    let prefix = query.get("prefix").map_or("", String::as_str);
    let vault = vault.lock().unwrap();
    let listed = vault.objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, bytes)| {
        format!(
            "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2026-06-01T10:11:12.000Z</LastModified></Contents>",
            bytes.len()
        )
    });
    let listed: String = listed.collect();
    answer(StatusCode::OK, format!("<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"))
}

async fn object(
    State(vault): State<Shared>,
    method: Method,
    Path(key): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let signed = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !signed.starts_with("AWS4-HMAC-SHA256 Credential=known/") {
        return answer(StatusCode::FORBIDDEN, "<Error><Code>InvalidAccessKeyId</Code></Error>");
    }
    let mut vault = vault.lock().unwrap();
    let upload = query.get("uploadId").cloned();
    match (method, upload) {
        (Method::POST, None) => {
            vault.begun += 1;
            let id = format!("u{}", vault.begun);
            vault.uploads.insert(id.clone(), BTreeMap::new());
            let result = "InitiateMultipartUploadResult";
            answer(StatusCode::OK, format!("<{result}><UploadId>{id}</UploadId></{result}>"))
        }
        (Method::PUT, Some(_)) if vault.full => answer(StatusCode::BAD_REQUEST, "<Error><Code>Full</Code></Error>"),
        (Method::PUT, Some(id)) => {
            vault.uploads.get_mut(&id).unwrap().insert(query["partNumber"].parse().unwrap(), body);
            answer(StatusCode::OK, "")
        }
        (Method::POST, Some(id)) => {
            let parts = vault.uploads.remove(&id).unwrap();
            vault.objects.insert(key, parts.into_values().collect::<Vec<_>>().concat().into());
            let result = "CompleteMultipartUploadResult";
            answer(StatusCode::OK, format!("<{result}><ETag>e</ETag></{result}>"))
        }
        (Method::DELETE, Some(id)) => {
            vault.uploads.remove(&id);
            answer(StatusCode::NO_CONTENT, "")
        }
        (method @ (Method::GET | Method::HEAD), None) => match vault.objects.get(&key) {
            Some(bytes) if method == Method::HEAD => {
                let mut found = answer(StatusCode::OK, "");
                found.headers_mut().insert("content-length", bytes.len().into());
                found
            }
            Some(bytes) => ranged(bytes, headers["range"].to_str().unwrap()),
            None => answer(StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>"),
        },
        (method, _) => panic!("{method} {key} {query:?}"),
    }
}

struct Store {
    vault: Shared,
    url: String,
}

impl Store {
    async fn open() -> Self {
        let vault = Shared::default();
        let routes = Router::new()
            .route("/vault", axum::routing::get(bucket))
            .route("/vault/{*key}", axum::routing::any(object))
            .layer(DefaultBodyLimit::disable())
            .with_state(vault.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, routes).into_future());
        Self { vault, url }
    }

    async fn run(&self, world: &World, words: &[&str], key: &str) -> Ran {
        let variables = [
            ("AWS_ENDPOINT_URL", self.url.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "ap-south-1"),
            ("INSULA_BACKUP_FOLDER", "s3://vault/nightly"),
        ];
        with_variables(world, words, &variables).await
    }

    fn left_behind(&self) -> usize {
        self.vault.lock().unwrap().uploads.len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_saved_into_a_bucket_and_comes_back_from_it() {
    let (world, store) = (World::new().await, Store::open().await);
    let run = |words: &'static [&'static str]| store.run(&world, words, "known");
    let saved =
        run(&["tenant", "backup", "acme", "--output", "s3://vault/acme.backup", "--json"]).await.expect(0).json();
    let held = store.vault.lock().unwrap().objects["acme.backup"].len();
    assert_eq!((saved["bytes"].clone(), store.left_behind()), (json!(held), 0));
    let verified = run(&["backup", "verify", "s3://vault/acme.backup", "--json"]).await.expect(0).json();
    assert_eq!(verified["rows"], saved["rows"]);

    let name = fresh(&world, "from-s3");
    let words = ["tenant", "restore", "s3://vault/acme.backup", "--as", &name, "--json"];
    let restored = store.run(&world, &words, "known").await.expect(0).json();
    assert_eq!(restored["rows"], saved["rows"]);

    let missing = run(&["backup", "verify", "s3://vault/other.backup"]).await.expect(2);
    assert!(missing.said.contains("Cannot read s3://vault/other.backup"), "{}", missing.said);
    let mut cut = store.vault.lock().unwrap().objects["acme.backup"].clone();
    store.vault.lock().unwrap().objects.insert("cut.backup".to_owned(), cut.split_to(held / 2));
    let cut = run(&["backup", "verify", "s3://vault/cut.backup"]).await.expect(1);
    assert!(cut.said.contains("no sound backup: it is cut off"), "{}", cut.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bucket_holds_is_listed_by_name() {
    let (world, store) = (World::new().await, Store::open().await);
    let run = |words: &'static [&'static str]| store.run(&world, words, "known");
    const NIGHTLY: &str = "s3://vault/nightly/0190a0b0-0000-7000-8000-000000000001/20260601T101112Z.backup";
    run(&["tenant", "backup", "acme", "--output", NIGHTLY]).await.expect(0);
    run(&["tenant", "backup", "acme", "--output", "s3://vault/elsewhere.backup"]).await.expect(0);
    let listed = run(&["backup", "list", "--json"]).await.expect(0).json();
    let kept: Vec<&Value> = listed["backups"].as_array().or(listed.as_array()).unwrap().iter().collect();
    assert_eq!(kept.len(), 1, "{listed}");
    assert_eq!(
        (&kept[0]["name"], &kept[0]["subdomain"]),
        (&json!(format!("{TENANT}_20260601T101112Z")), &json!("acme"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_the_store_refuses_leaves_nothing_and_says_why() {
    let (world, store) = (World::new().await, Store::open().await);
    let words = ["tenant", "backup", "acme", "--output", "s3://vault/acme.backup"];
    let stranger = store.run(&world, &words, "stranger").await.expect(1);
    assert!(stranger.said.contains("Cannot write s3://vault/acme.backup"), "{}", stranger.said);
    assert!(stranger.said.contains("InvalidAccessKeyId"), "{}", stranger.said);
    store.vault.lock().unwrap().full = true;
    let full = store.run(&world, &words, "known").await.expect(1);
    assert!(full.said.contains("Cannot write s3://vault/acme.backup"), "{}", full.said);
    assert_eq!((store.left_behind(), store.vault.lock().unwrap().objects.len()), (0, 0));
}
