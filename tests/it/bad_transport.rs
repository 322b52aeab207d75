//! Bad requests below JSON: bytes on the socket, sizes, headers. Each gets a refusal or a closed connection, soon.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bad_input::Watch;
use super::crm_story::Office;
use super::world::World;

/// Sends bytes, hangs up if told to, and reads until the service closes the connection; gives status and answer.
async fn speak(world: &World, bytes: &[u8], hang_up: bool) -> (u16, String) {
    let talk = async {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        let (mut heard, mut said) = (Vec::new(), stream.split());
        let write = async {
            // A service that has heard enough may close before everything is said.
            let _ = said.1.write_all(bytes).await;
            if hang_up {
                let _ = said.1.shutdown().await;
            }
        };
        let read = async { said.0.read_to_end(&mut heard).await.unwrap_or_default() };
        tokio::join!(write, read);
        String::from_utf8(heard).unwrap()
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), talk).await.expect("an end");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: acme.insula.test\r\nconnection: close\r\n{headers}\r\n")
}

#[tokio::test]
async fn requests_that_are_no_http_are_refused_and_the_service_goes_on() {
    let office = Office::open().await;
    let token = office.user("owner").await.token;
    let (watch, bearer) = (Watch::begin(&office).await, format!("authorization: Bearer {token}\r\n"));
    let many: String = (0..150).map(|n| format!("x-h{n}: 1\r\n")).collect();
    let huge = format!("x-huge: {}\r\n", "h".repeat(64 * 1024));
    let long = format!("/api/v1/contacts?q={}", "q".repeat(64 * 1024));
    let cases: [(&str, Vec<u8>, &[u16]); 16] = [
        ("as it should be", get("/api/v1/contacts?limit=1", &bearer).into(), &[200]),
        ("too many headers", get("/api/v1/contacts", &many).into(), &[431]),
        ("a huge header", get("/api/v1/contacts", &huge).into(), &[431]),
        ("a huge token", get("/api/v1/contacts", &format!("authorization: Bearer {}\r\n", "t".repeat(20_000))).into(), &[401]),
        ("a long address", get(&long, "").into(), &[414, 431]),
        ("raw bytes in the path", [b"GET /api/v1/\xff\xfe HTTP/1.1\r\nhost: acme.insula.test\r\n".as_slice(), bearer.as_bytes(), b"connection: close\r\n\r\n"].concat(), &[400]),
        ("raw bytes in the query", [b"GET /api/v1/contacts?\xff=eq.1 HTTP/1.1\r\nhost: acme.insula.test\r\n".as_slice(), bearer.as_bytes(), b"connection: close\r\n\r\n"].concat(), &[400]),
        ("NUL in a header", b"GET /api/v1/me HTTP/1.1\r\nhost: acme.insula.test\r\nx: a\0b\r\n\r\n".to_vec(), &[400]),
        ("no host", b"GET /api/v1/me HTTP/1.1\r\nconnection: close\r\n\r\n".to_vec(), &[400]),
        ("two hosts", get("/api/v1/me", "host: techstart.insula.test\r\n").into(), &[400]),
        ("two lengths", b"POST /api/v1/auth/login HTTP/1.1\r\nhost: acme.insula.test\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}".to_vec(), &[400]),
        ("length and chunks", b"POST /api/v1/auth/login HTTP/1.1\r\nhost: acme.insula.test\r\ncontent-length: 2\r\ntransfer-encoding: chunked, x\r\n\r\n{}".to_vec(), &[400]),
        ("a negative length", b"POST /api/v1/auth/login HTTP/1.1\r\nhost: acme.insula.test\r\ncontent-length: -1\r\n\r\n".to_vec(), &[400]),
        ("no such chunk", b"POST /api/v1/auth/login HTTP/1.1\r\nhost: acme.insula.test\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n".to_vec(), &[400]),
        ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n".to_vec(), &[0, 400]),
        ("a later version", b"GET / HTTP/3.7\r\nhost: acme.insula.test\r\n\r\n".to_vec(), &[0, 400, 505]),
    ];
    for (what, bytes, expected) in &cases {
        let (status, answer) = speak(&office.world, bytes, false).await;
        assert!(expected.contains(&status), "{what}: {status} {}", answer.chars().take(400).collect::<String>());
    }
    let (status, _) = speak(&office.world, &cases[0].1, false).await;
    assert_eq!(status, 200, "the service goes on");
    watch.nothing_changed(&office).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_or_breaks_off_changes_nothing() {
    let office = Office::open().await;
    let owner = office.user("owner").await;
    let watch = Watch::begin(&office).await;
    let limit = office.world.app.config.http.body_limit_bytes;
    let body = |length: usize| {
        let frame = r#"{"name":""}"#.len();
        json!({ "name": "x".repeat(length - frame) }).to_string()
    };
    // The last byte decides: what fits is read and judged, one more is not read.
    let fits = owner
        .request(reqwest::Method::POST, "/api/v1/organizations")
        .body("application/json", body(limit))
        .send()
        .await;
    assert_eq!(watch.refused(&fits, "as large as allowed")["errors"][0]["pointer"], "#/name");
    let large = owner
        .request(reqwest::Method::POST, "/api/v1/organizations")
        .body("application/json", body(limit + 1))
        .send()
        .await;
    let problem = watch.refused(&large, "one byte more");
    assert_eq!((&problem["status"], &problem["code"]), (&json!(413), &json!("payload_too_large")));
    assert_eq!(problem["detail"], format!("The body may have at most {limit} bytes."));

    // In chunks, without saying how much will come.
    let head = format!(
        "POST /api/v1/organizations HTTP/1.1\r\nhost: acme.insula.test\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n",
        owner.token
    );
    let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    for _ in 0..=limit / 65536 {
        chunked.push_str(&format!("10000\r\n{}\r\n", "y".repeat(65536)));
    }
    let (status, answer) = speak(&office.world, chunked.as_bytes(), false).await;
    assert!(status == 413 || answer.is_empty(), "{status} {answer}");
    // A valid object, but the connection ends before its announced end.
    let cut = format!(r#"{head}content-length: 100{}{{"name":"Half"}}"#, "\r\n\r\n");
    let (status, answer) = speak(&office.world, cut.as_bytes(), true).await;
    assert!(status == 0 || (400..500).contains(&status), "{status} {answer}");
    watch.nothing_changed(&office).await;
}
