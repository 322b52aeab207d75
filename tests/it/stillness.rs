//! Peers that open connections and then do nothing: each is shown out, and makes room for others.

use std::time::{Duration, Instant};

use insula::config::{Config, Http};
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::world::World;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A SETTINGS frame without settings.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const PATIENCE_MS: u64 = 300;

async fn impatient(adjust: impl FnOnce(&mut Http)) -> World {
    World::with(|mut config: Config| {
        adjust(&mut config.http);
        config
    })
    .await
}

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

/// Says something and then nothing; gives what it heard until the service hung up.
async fn say(port: u16, bytes: &[u8]) -> Vec<u8> {
    let talk = async {
        let (mut stream, mut heard) = (connect(port).await, Vec::new());
        stream.write_all(bytes).await.unwrap();
        let _ = stream.read_to_end(&mut heard).await;
        heard
    };
    tokio::time::timeout(Duration::from_secs(20), talk).await.expect("an end")
}

#[tokio::test]
async fn who_never_comes_to_a_request_is_shown_out_of_both_ports() {
    let world = impatient(|http| http.header_timeout_ms = PATIENCE_MS).await;
    let openings: [&[u8]; 4] = [b"", &PREFACE[..10], PREFACE, b"GET /live HTTP/1.1\r\nhost: "];
    for opening in openings {
        for port in [world.port, world.ops_port] {
            assert!(!say(port, opening).await.starts_with(b"HTTP/1.1 2"));
        }
    }
    world.user("acme", "owner").await.get("/api/v1/me").await.ok();
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let world = impatient(|http| http.idle_timeout_ms = PATIENCE_MS).await;
    let heard = say(world.port, b"GET /problems HTTP/1.1\r\nhost: insula.test\r\n\r\n").await;
    assert!(heard.starts_with(b"HTTP/1.1 200"), "its request was answered");
    // `GET /problems` of `insula.test` by numbers of HPACK's table and literals without indexing.
    let block = [&[0x82, 0x86, 0x04, 9][..], b"/problems", &[0x01, 11], b"insula.test"].concat();
    let head = [0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1];
    let heard = say(world.port, &[PREFACE, SETTINGS, &head, &block].concat()).await;
    assert!(heard.windows(9).any(|frame| frame[3..] == [0, 1, 0, 0, 0, 1]), "the answer ended: {}", heard.len());
}

#[tokio::test]
async fn an_address_has_its_share_of_connections() {
    let world = impatient(|http| http.max_connections_per_address = 2).await;
    let request = b"GET /problems HTTP/1.1\r\nhost: insula.test\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(world.port).await;
        stream.write_all(request).await.unwrap();
        stream.read_exact(&mut [0; 12]).await.unwrap();
        held.push(stream);
    }
    assert_eq!(connect(world.port).await.read(&mut [0]).await.unwrap_or(0), 0, "one too many");
}

async fn many_contacts(world: &World) {
    let rows = "set session_replication_role = replica; insert into tenant_acme.crm_contact (first_name, last_name, email, owner_id)
        select repeat('Many', 20), md5(n::text) || md5(n || 'x'), 'many' || n || '@rows.test', (select id from tenant_acme.sys_user limit 1)
        from generate_series(1, 40000) n";
    world.superuser().await.batch_execute(rows).await.unwrap();
}

/// Asks for a file of all contacts, and reads no further than that it has begun.
async fn export(world: &World, token: &str, format: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(([127, 0, 0, 1], world.port).into()).await.unwrap();
    let request = format!(
        "GET /api/v1/contacts?format={format} HTTP/1.1\r\nhost: acme.insula.test\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut begin = [0; 15];
    let answered = tokio::time::timeout(Duration::from_secs(20), stream.read_exact(&mut begin));
    answered.await.expect("room").unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    stream
}

#[tokio::test]
async fn a_reader_who_stands_still_makes_room() {
    let world = impatient(|http| (http.write_timeout_ms, http.max_connections) = (PATIENCE_MS, 2)).await;
    many_contacts(&world).await;
    let token = world.token("acme", "owner").await;
    let mut still = Vec::new();
    // The client of the sign-in holds one connection; these want the other, one after the other.
    for _ in 0..2 {
        still.push(export(&world, &token, "csv").await);
    }
    let answer = world.request(Method::GET, "acme", "/api/v1/me").bearer(&token).send().await;
    answer.ok();
}

#[tokio::test]
async fn a_reader_who_trickles_makes_room_for_other_exports_in_the_end() {
    const LIMIT: Duration = Duration::from_secs(3);
    let world = World::with(|mut config: Config| {
        config.database.long_work_timeout_ms = LIMIT.as_millis() as u64;
        config
    })
    .await;
    many_contacts(&world).await;
    let owner = world.user("acme", "owner").await;
    let token = world.token("acme", "owner").await;
    for format in ["csv", "xlsx"] {
        let mut stream = export(&world, &token, format).await;
        // The pool of this world is small: one export at once, also while its file waits to be taken.
        assert_eq!(owner.get("/api/v1/deals?format=csv").await.problem(429)["code"], "too_many_requests");
        let (began, mut piece) = (Instant::now(), [0; 512]);
        while began.elapsed() < LIMIT + Duration::from_millis(500) {
            let _ = stream.read(&mut piece).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(owner.get("/api/v1/deals?format=csv").await.status, 200, "{format}");
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await.expect("an end");
        assert!(!rest.ends_with(b"0\r\n\r\n"), "what is cut off does not look complete");
    }
}
