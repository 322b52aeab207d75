//! Forged tokens, each sent to the real service: all are refused, and all answers are the same to the byte.
//!
//! The list follows RFC 8725 and attacks on real verifiers. Most entries bear a true signature, so that what is refused
//! is the one thing that is wrong with them.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Answer, World};

/// What a thief with our keys, or without, could make.
struct Forger {
    kid: String,
    secret: Vec<u8>,
    /// Of the operators' tokens.
    other_kid: String,
    other_secret: Vec<u8>,
    /// The payload of a token that is accepted.
    claims: Value,
    good: String,
    now: i64,
}

fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn sign(message: &str, secret: &[u8], algorithm: Algorithm) -> String {
    crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), algorithm).unwrap()
}

impl Forger {
    async fn new(world: &World) -> Self {
        let rows = world.superuser().await;
        let sql = "select kid, audience, secret_sealed from public.signing_keys order by audience";
        let keys: Vec<(String, Vec<u8>)> = rows
            .query(sql, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| {
                let kid: String = row.get(0);
                let opened = world.app.platform.database.sealing().open(row.get(2), &format!("signing_key:{kid}"));
                (kid, opened.unwrap())
            })
            .collect();
        let [(other_kid, other_secret), (kid, secret)] = <[_; 2]>::try_from(keys).unwrap();
        let good = world.token("acme", "owner").await;
        let payload = URL_SAFE_NO_PAD.decode(good.split('.').nth(1).unwrap()).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = serde_json::from_slice(&payload).unwrap();
        Self { kid, secret, other_kid, other_secret, claims, good, now: now.try_into().unwrap() }
    }

    fn header(&self) -> String {
        format!(r#"{{"alg":"HS256","kid":"{}","typ":"at+jwt"}}"#, self.kid)
    }

    fn parts(&self) -> (&str, &str, &str) {
        let (message, signature) = self.good.rsplit_once('.').unwrap();
        let (header, payload) = message.split_once('.').unwrap();
        (header, payload, signature)
    }

    /// Any header and payload, truly signed.
    fn forge(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(payload));
        format!("{message}.{}", sign(&message, &self.secret, Algorithm::HS256))
    }

    /// With `KID` for the key's id.
    fn with_header(&self, header: &str) -> String {
        self.forge(&header.replace("KID", &self.kid), &self.claims.to_string())
    }

    /// With one claim changed; `Value::Null` takes it away.
    fn with(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        self.forge(&self.header(), &claims.to_string())
    }

    /// The good payload with a member more, which may be there already.
    fn and(&self, member: &str) -> String {
        self.forge(&self.header(), &self.claims.to_string().replacen('{', &format!("{{{member},"), 1))
    }

    fn times(&self, iat: i64, nbf: i64, exp: i64) -> String {
        let mut claims = self.claims.clone();
        (claims["iat"], claims["nbf"], claims["exp"]) = (iat.into(), nbf.into(), exp.into());
        self.forge(&self.header(), &claims.to_string())
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        [
            ("alg none", r#"{"alg":"none","kid":"KID","typ":"at+jwt"}"#),
            ("alg None", r#"{"alg":"None","kid":"KID","typ":"at+jwt"}"#),
            ("alg NONE", r#"{"alg":"NONE","kid":"KID","typ":"at+jwt"}"#),
            ("alg empty", r#"{"alg":"","kid":"KID","typ":"at+jwt"}"#),
            ("alg absent", r#"{"kid":"KID","typ":"at+jwt"}"#),
            ("alg in small letters", r#"{"alg":"hs256","kid":"KID","typ":"at+jwt"}"#),
            ("alg a list", r#"{"alg":["HS256"],"kid":"KID","typ":"at+jwt"}"#),
            ("alg RS256, signed by HMAC", r#"{"alg":"RS256","kid":"KID","typ":"at+jwt"}"#),
            ("alg ES256, signed by HMAC", r#"{"alg":"ES256","kid":"KID","typ":"at+jwt"}"#),
            ("alg twice", r#"{"alg":"none","alg":"HS256","kid":"KID","typ":"at+jwt"}"#),
            ("alg twice, once escaped", r#"{"alg":"HS256","\u0061lg":"none","kid":"KID","typ":"at+jwt"}"#),
            ("kid absent", r#"{"alg":"HS256","typ":"at+jwt"}"#),
            ("kid null", r#"{"alg":"HS256","kid":null,"typ":"at+jwt"}"#),
            ("kid a list", r#"{"alg":"HS256","kid":["KID"],"typ":"at+jwt"}"#),
            ("kid unknown", r#"{"alg":"HS256","kid":"KIDx","typ":"at+jwt"}"#),
            ("kid a path", r#"{"alg":"HS256","kid":"../../../../dev/null","typ":"at+jwt"}"#),
            ("kid SQL", r#"{"alg":"HS256","kid":"KID' union select '","typ":"at+jwt"}"#),
            ("kid with NUL", r#"{"alg":"HS256","kid":"KID\u0000","typ":"at+jwt"}"#),
            ("kid twice", r#"{"alg":"HS256","kid":"x","kid":"KID","typ":"at+jwt"}"#),
            ("typ absent", r#"{"alg":"HS256","kid":"KID"}"#),
            ("typ JWT", r#"{"alg":"HS256","kid":"KID","typ":"JWT"}"#),
            ("jku", r#"{"alg":"HS256","kid":"KID","typ":"at+jwt","jku":"https://evil.example/jwks"}"#),
            ("jwk", r#"{"alg":"HS256","kid":"KID","typ":"at+jwt","jwk":{"kty":"oct","k":"AA"}}"#),
            ("x5u", r#"{"alg":"HS256","kid":"KID","typ":"at+jwt","x5u":"https://evil.example/c"}"#),
            ("x5c", r#"{"alg":"HS256","kid":"KID","typ":"at+jwt","x5c":["AA"]}"#),
            ("crit", r#"{"alg":"HS256","kid":"KID","typ":"at+jwt","crit":["exp"]}"#),
            ("crit and b64", r#"{"alg":"HS256","kid":"KID","typ":"at+jwt","b64":false,"crit":["b64"]}"#),
            ("zip", r#"{"alg":"HS256","kid":"KID","typ":"at+jwt","zip":"DEF"}"#),
            ("cty of a nested token", r#"{"alg":"HS256","kid":"KID","typ":"at+jwt","cty":"JWT"}"#),
            ("header with spaces", r#"{ "alg":"HS256","kid":"KID","typ":"at+jwt"}"#),
            ("header in another order", r#"{"typ":"at+jwt","alg":"HS256","kid":"KID"}"#),
            ("header a list", r#"["HS256","KID","at+jwt"]"#),
        ]
        .map(|(name, header)| (name, self.with_header(header)))
        .into()
    }

    fn payloads(&self) -> Vec<(&'static str, String)> {
        let (id, day) = (|| json!(Uuid::now_v7()), 24 * 60 * 60);
        let now = self.now;
        vec![
            ("no iss", self.with("iss", Value::Null)),
            ("no aud", self.with("aud", Value::Null)),
            ("no sub", self.with("sub", Value::Null)),
            ("no sid", self.with("sid", Value::Null)),
            ("no tid", self.with("tid", Value::Null)),
            ("no iat", self.with("iat", Value::Null)),
            ("no nbf", self.with("nbf", Value::Null)),
            ("no exp", self.with("exp", Value::Null)),
            ("another iss", self.with("iss", json!("insula2"))),
            ("iss a list", self.with("iss", json!(["insula"]))),
            ("another aud", self.with("aud", json!("operator"))),
            ("aud a list", self.with("aud", json!(["tenant", "operator"]))),
            ("sub no uuid", self.with("sub", json!("admin"))),
            ("sub of somebody else", self.with("sub", id())),
            ("sid of no session", self.with("sid", id())),
            ("sid a number", self.with("sid", json!(7))),
            ("tid empty", self.with("tid", json!(""))),
            ("exp a text", self.with("exp", json!((now + 900).to_string()))),
            ("exp a fraction", self.with("exp", json!(1e9 + 0.5))),
            ("exp beyond all numbers", self.with("exp", json!(1e300))),
            ("exp the largest number", self.with("exp", json!(i64::MAX))),
            ("exp over", self.times(now - 900, now - 900, now - 6)),
            ("exp before iat", self.times(now, now, now - 1)),
            ("exp a day and more ahead", self.times(now, now, now + day + 1)),
            ("nbf ahead", self.times(now, now + 60, now + 900)),
            ("nbf an hour ahead", self.times(now, now + 3600, now + 7200)),
            ("iat in the future", self.times(now + 60, now, now + 900)),
            ("iat before all time", self.times(i64::MIN, now, now + 900)),
            ("a claim that we do not make", self.with("admin", json!(true))),
            ("tid twice", self.and(r#""tid":"00000000-0000-0000-0000-000000000001""#)),
            ("sub twice", self.and(r#""sub":"00000000-0000-0000-0000-000000000001""#)),
            ("exp twice, once escaped", self.and(r#""\u0065xp":1"#)),
            ("payload a list", self.forge(&self.header(), "[]")),
            ("payload null", self.forge(&self.header(), "null")),
            ("payload empty", self.forge(&self.header(), "")),
            ("payload broken off", self.forge(&self.header(), self.claims.to_string().trim_end_matches('}'))),
            ("payload and more", self.forge(&self.header(), &format!("{}{{}}", self.claims))),
            ("a nested token", self.forge(&self.header(), &json!(self.good).to_string())),
            ("huge", self.with("iss", json!("x".repeat(6000)))),
        ]
    }

    fn shapes(&self) -> Vec<(&'static str, String)> {
        let (header, payload, signature) = self.parts();
        let message = format!("{header}.{payload}");
        let by = |secret: &[u8]| format!("{message}.{}", sign(&message, secret, Algorithm::HS256));
        let longer = |algorithm| format!("{message}.{}", sign(&message, &self.secret, algorithm));
        let last = signature.as_bytes()[42];
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let at = alphabet.iter().position(|letter| *letter == last).unwrap();
        let twin = char::from(alphabet[at ^ 1]);
        let padded = format!("{header}.{payload}=");
        let mut changed = self.claims.clone();
        changed["sub"] = json!(Uuid::now_v7());
        let foreign = format!(r#"{{"alg":"HS256","kid":"{}","typ":"at+jwt"}}"#, self.other_kid);
        let of_another = format!("{}.{payload}", encode(foreign));
        let signed_by_another = sign(&of_another, &self.other_secret, Algorithm::HS256);
        let standard = STANDARD.encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
        vec![
            ("nothing", String::new()),
            ("one part", header.into()),
            ("two parts", message.clone()),
            ("four parts", format!("{}.{signature}", self.good)),
            ("dots", "..".into()),
            ("unsecured, with a dot behind", format!("{}.{payload}.", encode(r#"{"alg":"none"}"#))),
            ("signature taken away", format!("{message}.")),
            ("signature cut", format!("{message}.{}", &signature[..42])),
            ("signature longer", format!("{}AAAA", self.good)),
            ("signature padded", format!("{}=", self.good)),
            ("signature in another spelling", format!("{message}.{}{twin}", &signature[..42])),
            ("signature in the standard alphabet", format!("{message}.{standard}")),
            ("payload padded", format!("{padded}.{}", sign(&padded, &self.secret, Algorithm::HS256))),
            ("payload changed", format!("{header}.{}.{signature}", encode(changed.to_string()))),
            ("signed by an empty key", by(b"")),
            ("signed by the key's id", by(self.kid.as_bytes())),
            ("signed by the operators' key", by(&self.other_secret)),
            ("by the operators' key, under its id", format!("{of_another}.{signed_by_another}")),
            ("signed by HS384", longer(Algorithm::HS384)),
            ("signed by HS512", longer(Algorithm::HS512)),
            ("an encrypted token, five parts", format!("{header}.AAAA.AAAA.AAAA.AAAA")),
            ("in JSON form", json!({ "payload": payload, "protected": header, "signature": signature }).to_string()),
            ("with a space inside", self.good.replacen('.', ". ", 1)),
            ("twice", format!("{0},{0}", self.good)),
            ("with its scheme again", format!("Bearer {}", self.good)),
        ]
    }
}

/// What an answer says, whole, but for the date.
fn told(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "date");
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    headers.sort_unstable();
    (answer.status.as_u16(), headers, answer.text.clone())
}

async fn ask(world: &World, host: &str, authorization: &str) -> Answer {
    let request = world.request(Method::GET, host, "/api/v1/me").header("x-request-id", "same");
    request.header("authorization", authorization).send().await
}

#[tokio::test]
async fn every_forged_token_gets_the_same_401() {
    let world = World::new().await;
    let forger = Forger::new(&world).await;
    let accepted = forger.forge(&forger.header(), &forger.claims.to_string());
    assert_eq!(accepted, forger.good, "the forger forges what the service makes");
    ask(&world, "acme", &format!("Bearer {accepted}")).await.ok();
    ask(&world, "acme", &format!("Bearer {}", forger.times(forger.now, forger.now + 2, forger.now + 900))).await.ok();

    let garbage = told(&ask(&world, "acme", "Bearer garbage").await);
    assert_eq!(garbage.0, 401);
    let tokens = [forger.headers(), forger.payloads(), forger.shapes()].concat();
    assert!(tokens.len() >= 90, "{}", tokens.len());
    for (name, token) in tokens {
        assert_eq!(told(&ask(&world, "acme", &format!("Bearer {token}")).await), garbage, "{name}");
    }
    let good = &forger.good;
    for (name, value) in [
        ("no scheme", good.clone()),
        ("scheme Basic", format!("Basic {good}")),
        ("scheme Token", format!("Token {good}")),
        ("scheme alone", "Bearer".to_owned()),
    ] {
        assert_eq!(told(&ask(&world, "acme", &value).await), garbage, "{name}");
    }
    let two = world.request(Method::GET, "acme", "/api/v1/me").header("x-request-id", "same");
    let two = two.header("authorization", &format!("Bearer {good}")).header("authorization", "Bearer garbage");
    assert_eq!(told(&two.send().await), garbage, "two tokens");
}

#[tokio::test]
async fn tokens_do_not_cross_from_tenants_to_operators_nor_between_tenants() {
    let world = World::new().await;
    let forger = Forger::new(&world).await;
    let operator = world.operator().await;
    let garbage = told(&ask(&world, "admin", "Bearer garbage").await);
    let as_operator = |audience: &str| {
        let mut claims = forger.claims.clone();
        claims.as_object_mut().unwrap().remove("tid");
        claims["aud"] = json!(audience);
        let header = format!(r#"{{"alg":"HS256","kid":"{}","typ":"at+jwt"}}"#, forger.other_kid);
        let message = format!("{}.{}", encode(header), encode(claims.to_string()));
        format!("{message}.{}", sign(&message, &forger.other_secret, Algorithm::HS256))
    };
    for (name, token) in [
        ("a tenant's token", forger.good.clone()),
        ("a tenant's session, by the operators' key", as_operator("operator")),
        ("a tenant's audience, by the operators' key", as_operator("tenant")),
    ] {
        assert_eq!(told(&ask(&world, "admin", &format!("Bearer {token}")).await), garbage, "{name}");
    }
    ask(&world, "admin", &format!("Bearer {operator}")).await.ok();
    let garbage = told(&ask(&world, "techstart", "Bearer garbage").await);
    let techstart = world.tenant_id("techstart").await;
    for (name, token) in [
        ("an operator's token", operator),
        ("a neighbour's session under our name", forger.with("tid", json!(techstart))),
    ] {
        assert_eq!(told(&ask(&world, "techstart", &format!("Bearer {token}")).await), garbage, "{name}");
    }
}

#[tokio::test]
async fn a_retired_key_still_opens_and_never_under_another_id() {
    let world = World::new().await;
    let forger = Forger::new(&world).await;
    world.superuser().await.batch_execute("update public.signing_keys set retired_at = now()").await.unwrap();
    let second = super::second::Second::over(&world).await;
    let there = async |token: &str| {
        let url = format!("http://127.0.0.1:{}/api/v1/me", second.port);
        second.http.get(url).header("host", "acme.insula.test").bearer_auth(token).send().await.unwrap().status()
    };
    assert_eq!(there(&forger.good).await, 200, "its tokens live on");
    let sql = "select kid from public.signing_keys where audience = 'tenant' and retired_at is null";
    let new: String = world.superuser().await.query_one(sql, &[]).await.unwrap().get(0);
    let header = forger.header().replace(&forger.kid, &new);
    assert_eq!(there(&forger.forge(&header, &forger.claims.to_string())).await, 401);
}
