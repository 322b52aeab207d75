//! Which tenant a request means, tried over every way to name one, against an oracle written from the rules alone.
//!
//! The rules: host, token, `X-Tenant-ID` and `X-Tenant-Subdomain` name a tenant, the first that is there says which.
//! One that does not exist or is not in service yet is not found; every further name must mean the same tenant. On a
//! host that names nobody a header alone is enough only where nobody need be signed in.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::world::World;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Acme,
    Techstart,
    /// Closed for now.
    Suspended,
    /// Being made.
    Unborn,
    Nobody,
}

/// What a host stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Of(Who),
    Neutral,
    Admin,
    Unreadable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    None,
    Of(Who),
    Operator,
    Garbage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    /// For everybody. The body is no credentials: who got as far as reading it gets 422.
    Login,
    /// For whoever is signed in.
    Me,
}

/// Status, code, and the tenant that answered.
type Verdict = (u16, &'static str, Option<&'static str>);

fn oracle(place: Place, id: Option<Who>, subdomain: Option<Who>, token: Token, endpoint: Endpoint) -> Verdict {
    let anonymous = (401, "unauthenticated", None);
    let reached = (422, "validation_failed", None);
    let claim = match token {
        Token::Of(who) => Some(who),
        Token::None | Token::Operator | Token::Garbage => None,
    };
    let host = match (place, endpoint, token) {
        (Place::Unreadable, ..) => return (400, "bad_request", None),
        (Place::Admin, Endpoint::Login, _) => return reached,
        (Place::Admin, Endpoint::Me, Token::Operator) => return (200, "", None),
        (Place::Admin, Endpoint::Me, _) => return anonymous,
        (Place::Neutral, Endpoint::Me, _) if claim.is_none() => return anonymous,
        (Place::Neutral, ..) => None,
        (Place::Of(who), ..) => Some(who),
    };
    let names: Vec<Who> = [host, claim, id, subdomain].into_iter().flatten().collect();
    let meant = names.first().copied().unwrap_or(Who::Nobody);
    let name = match meant {
        Who::Nobody | Who::Unborn => return (404, "tenant_not_found", None),
        _ if names.iter().any(|name| *name != meant) => return (403, "tenant_mismatch", None),
        Who::Suspended => return (403, "tenant_suspended", None),
        Who::Acme => "acme",
        Who::Techstart => "techstart",
    };
    match (endpoint, claim) {
        (Endpoint::Login, _) => reached,
        (Endpoint::Me, None) => anonymous,
        (Endpoint::Me, Some(_)) => (200, "", Some(name)),
    }
}

const PLACES: [(&str, Place); 31] = [
    ("Host: acme.insula.test", Place::Of(Who::Acme)),
    ("Host: ACME.Insula.TEST", Place::Of(Who::Acme)),
    ("Host: acme.insula.test.", Place::Of(Who::Acme)),
    ("Host: acme.insula.test:8080", Place::Of(Who::Acme)),
    ("Host: techstart.insula.test", Place::Of(Who::Techstart)),
    ("Host: testcompany.insula.test", Place::Of(Who::Suspended)),
    ("Host: crm.acme.example", Place::Of(Who::Acme)),
    ("Host: CRM.Acme.Example.:443", Place::Of(Who::Acme)),
    ("Host: insula.test", Place::Neutral),
    ("Host: Insula.Test.:80", Place::Neutral),
    ("Host: 127.0.0.1:8080", Place::Neutral),
    ("Host: [::1]:8080", Place::Neutral),
    ("Host: admin.insula.test", Place::Admin),
    ("Host: ADMIN.insula.test.:8080", Place::Admin),
    // Nobody's: among them names that look like a tenant's to a careless reader, or are a key of another kind.
    ("Host: nobody-here.insula.test", Place::Of(Who::Nobody)),
    ("Host: unborn.insula.test", Place::Of(Who::Unborn)),
    ("Host: unverified.acme.example", Place::Of(Who::Nobody)),
    ("Host: evil.example", Place::Of(Who::Nobody)),
    ("Host: acme.insula.test.evil.example", Place::Of(Who::Nobody)),
    ("Host: acme.insula.test..", Place::Of(Who::Nobody)),
    ("Host: x.acme.insula.test", Place::Of(Who::Nobody)),
    ("Host: admin.acme.insula.test", Place::Of(Who::Nobody)),
    ("Host: acme.notinsula.test", Place::Of(Who::Nobody)),
    ("Host: acme", Place::Of(Who::Nobody)),
    ("Host: crm.acme.example.insula.test", Place::Of(Who::Nobody)),
    ("", Place::Unreadable),
    ("Host: acme.insula.test\r\nHost: acme.insula.test", Place::Unreadable),
    ("Host: acme.insula.test\r\nHost: techstart.insula.test", Place::Unreadable),
    ("Host: acme.insula.test, techstart.insula.test", Place::Unreadable),
    ("Host: acme.insula.test@techstart.insula.test", Place::Unreadable),
    ("Host: \u{e4}cme.insula.test", Place::Unreadable),
];

/// A header written twice or as a list is one value to whoever joins it, and that value is no name.
fn ids(id: &BTreeMap<&str, String>) -> Vec<(String, Option<Who>)> {
    let (acme, techstart) = (&id["acme"], &id["techstart"]);
    let named = |value: &str, who| (format!("X-Tenant-ID: {value}"), Some(who));
    vec![
        (String::new(), None),
        named(acme, Who::Acme),
        named(&techstart.to_uppercase(), Who::Techstart),
        named(&id["unborn"], Who::Unborn),
        named("018f0000-0000-7000-8000-000000000000", Who::Nobody),
        named("acme'; --", Who::Nobody),
        named(&format!("{acme}\r\nX-Tenant-ID: {acme}"), Who::Nobody),
        named(&format!("{acme}\r\nX-Tenant-ID: {techstart}"), Who::Nobody),
        named(&format!("{acme}, {acme}"), Who::Nobody),
    ]
}

fn subdomains() -> Vec<(String, Option<Who>)> {
    let named = |value: &str, who| (format!("X-Tenant-Subdomain: {value}"), Some(who));
    vec![
        (String::new(), None),
        named("acme", Who::Acme),
        named("TechStart", Who::Techstart),
        named("testcompany", Who::Suspended),
        named("nobody-here", Who::Nobody),
        named("crm.acme.example", Who::Nobody),
        named("acme\r\nX-Tenant-Subdomain: acme", Who::Nobody),
        named("acme\r\nX-Tenant-Subdomain: techstart", Who::Nobody),
        named("acme,acme", Who::Nobody),
    ]
}

/// An open connection that writes requests letter by letter: no client library corrects them.
struct Wire(BufReader<TcpStream>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Reply {
    status: u16,
    body: String,
}

impl Wire {
    async fn open(world: &World) -> Self {
        Self(BufReader::new(TcpStream::connect(("127.0.0.1", world.port)).await.unwrap()))
    }

    /// `target` as in a request line; `head` are header lines, joined by CRLF.
    async fn ask(&mut self, endpoint: Endpoint, target: &str, head: &[&str]) -> Reply {
        let (method, body) = match endpoint {
            Endpoint::Login => ("POST", "content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"),
            Endpoint::Me => ("GET", "\r\n"),
        };
        let lines: String = head.iter().filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
        let request = format!("{method} {target} HTTP/1.1\r\nx-request-id: same\r\n{lines}{body}");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let (mut line, mut status, mut length) = (String::new(), 0, 0);
        while line != "\r\n" {
            line.clear();
            assert!(self.0.read_line(&mut line).await.unwrap() > 0, "hung up on {request}");
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().unwrap();
            }
            if let Some(rest) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = rest.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        Reply { status, body: String::from_utf8(body).unwrap() }
    }
}

const fn path(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Login => "/api/v1/auth/login",
        Endpoint::Me => "/api/v1/me",
    }
}

fn authorization(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// Domains for `acme`, `testcompany` suspended, and `unborn`, which is being made; gives the keys.
async fn prepare(world: &World) -> BTreeMap<&'static str, String> {
    let client = world.superuser().await;
    client
        .batch_execute(
            "insert into public.tenant_domains (domain, tenant_id, verified_at)
             select d.domain, t.id, d.verified_at from public.tenants t
             cross join (values ('crm.acme.example', now()), ('unverified.acme.example', null)) d (domain, verified_at)
             where t.subdomain = 'acme';
             update public.tenants set state = 'suspended' where subdomain = 'testcompany';
             insert into public.tenants (subdomain, name, schema_name, role_name, bucket_id)
             select 'unborn', 'Unborn', 'tenant_unborn', 'it_t_unborn', min(id) from public.buckets",
        )
        .await
        .unwrap();
    let mut keys = BTreeMap::new();
    for name in ["acme", "techstart", "unborn"] {
        let row = client.query_one("select id::text from public.tenants where subdomain = $1", &[&name]).await.unwrap();
        keys.insert(name, row.get(0));
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_name_a_tenant_gets_the_answer_of_the_rules() {
    let world = World::new().await;
    let keys = prepare(&world).await;
    let tokens = [
        (Token::None, String::new()),
        (Token::Of(Who::Acme), authorization(&world.token("acme", "sales1").await)),
        (Token::Of(Who::Techstart), authorization(&world.token("techstart", "sales1").await)),
        (Token::Operator, authorization(&world.operator().await)),
        (Token::Garbage, authorization("not.a.token")),
    ];
    let (ids, subdomains) = (ids(&keys), subdomains());
    let one_host = |(host, place): &(&'static str, Place)| {
        let (host, place, world) = (*host, *place, &world);
        let (ids, subdomains, tokens) = (&ids, &subdomains, &tokens);
        async move {
            let mut wire = Wire::open(world).await;
            let mut refusals: BTreeSet<(String, Reply)> = BTreeSet::new();
            for endpoint in [Endpoint::Login, Endpoint::Me] {
                for (id_lines, id) in ids {
                    for (subdomain_lines, subdomain) in subdomains {
                        for (token, token_line) in tokens {
                            let head = [host, id_lines, subdomain_lines, token_line];
                            let reply = wire.ask(endpoint, path(endpoint), &head).await;
                            let (status, code, tenant) = oracle(place, *id, *subdomain, *token, endpoint);
                            let body: Value = serde_json::from_str(&reply.body).unwrap();
                            let case = || format!("{endpoint:?} {token:?} {head:?}: {}", reply.body);
                            assert_eq!(
                                (reply.status, body["code"].as_str().unwrap_or("")),
                                (status, code),
                                "{}",
                                case()
                            );
                            assert_eq!(body["tenant"]["subdomain"].as_str(), tenant, "{}", case());
                            if code == "tenant_mismatch" {
                                refusals.insert((format!("{endpoint:?}"), reply));
                            }
                        }
                    }
                }
            }
            refusals
        }
    };
    let refusals: BTreeSet<(String, Reply)> =
        join_all(PLACES.iter().map(one_host)).await.into_iter().flatten().collect();
    assert_eq!(refusals.len(), 2, "one mismatch reads like another, whatever else exists: {refusals:#?}");
}

#[tokio::test]
async fn a_tenant_that_is_being_made_reads_like_one_that_does_not_exist() {
    let world = World::new().await;
    let keys = prepare(&world).await;
    let token = authorization(&world.token("acme", "sales1").await);
    let unknown = "018f0000-0000-7000-8000-000000000000";
    let mut wire = Wire::open(&world).await;
    for endpoint in [Endpoint::Login, Endpoint::Me] {
        for other in ["", "X-Tenant-Subdomain: acme", &token] {
            let made = wire.ask(endpoint, path(endpoint), &["Host: unborn.insula.test", other]).await;
            let absent = wire.ask(endpoint, path(endpoint), &["Host: nobody-here.insula.test", other]).await;
            assert_eq!(made, absent, "{endpoint:?} {other}");
            let made =
                wire.ask(endpoint, path(endpoint), &["Host: insula.test", other, &header_id(&keys["unborn"])]).await;
            let absent = wire.ask(endpoint, path(endpoint), &["Host: insula.test", other, &header_id(unknown)]).await;
            assert_eq!(made, absent, "{endpoint:?} {other}");
        }
    }
}

fn header_id(id: &str) -> String {
    format!("X-Tenant-ID: {id}")
}

#[tokio::test]
async fn the_target_and_the_host_header_must_not_contradict() {
    let world = World::new().await;
    let token = authorization(&world.token("acme", "sales1").await);
    let mut wire = Wire::open(&world).await;
    let acme = "http://acme.insula.test/api/v1/me";
    for (target, host, status) in [
        (acme, "Host: acme.insula.test", 200),
        (acme, "Host: ACME.insula.test", 200),
        ("http://ACME.insula.test/api/v1/me", "Host: acme.insula.test", 200),
        (acme, "Host: techstart.insula.test", 400),
        (acme, "Host: acme.insula.test\r\nHost: acme.insula.test", 400),
        ("http://techstart.insula.test/api/v1/me", "Host: acme.insula.test", 400),
        ("http://techstart.insula.test/api/v1/me", "Host: techstart.insula.test", 403),
        ("http://techstart.insula.test@acme.insula.test/api/v1/me", "Host: acme.insula.test", 400),
        (
            "http://techstart.insula.test@acme.insula.test/api/v1/me",
            "Host: techstart.insula.test@acme.insula.test",
            400,
        ),
    ] {
        let reply = wire.ask(Endpoint::Me, target, &[host, &token]).await;
        assert_eq!(reply.status, status, "{target} {host}: {}", reply.body);
    }
}

#[tokio::test]
async fn forwarded_hosts_and_second_tokens_choose_nothing() {
    let world = World::new().await;
    let acme = authorization(&world.token("acme", "sales1").await);
    let techstart = authorization(&world.token("techstart", "sales1").await);
    let mut wire = Wire::open(&world).await;
    let host = "Host: acme.insula.test";
    for forwarded in [
        "X-Forwarded-Host: techstart.insula.test",
        "Forwarded: host=techstart.insula.test",
        "X-Original-Host: techstart.insula.test",
    ] {
        let reply = wire.ask(Endpoint::Me, "/api/v1/me", &[host, forwarded, &acme]).await;
        assert_eq!(reply.status, 200, "{forwarded}: {}", reply.body);
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body["tenant"]["subdomain"], "acme", "{forwarded}");
        assert_eq!(
            wire.ask(Endpoint::Me, "/api/v1/me", &[host, forwarded, &techstart]).await.status,
            403,
            "{forwarded}"
        );
    }
    for second in [&acme, &techstart] {
        assert_eq!(wire.ask(Endpoint::Me, "/api/v1/me", &[host, &acme, second]).await.status, 401, "{second}");
    }
}
