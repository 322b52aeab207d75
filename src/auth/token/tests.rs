//! Forged tokens, by the list of RFC 8725 and of attacks on real verifiers.

use serde_json::{Value, json};

use super::Audience::{Operator, Tenant};
use super::*;

const NOW: i64 = 1_800_000_000;
const HEADER: &str = r#"{"alg":"HS256","kid":"t1","typ":"at+jwt"}"#;

const PARTS: &str = "not three parts";
const UNKNOWN: &str = "no key of this audience has this header";
const WRONG: &str = "the signature does not match";
const MEMBERS: &str = "the payload has other members";

fn key(kid: &str, audience: Audience, byte: u8, retired: bool) -> Key {
    Key { kid: kid.into(), audience, secret: vec![byte; 32], retired }
}

fn ring() -> Keyring {
    let keys = [key("t0", Tenant, 1, true), key("t1", Tenant, 2, false), key("o1", Operator, 3, false)];
    Keyring::new("insula", keys).unwrap()
}

fn claims(aud: Audience) -> Claims {
    let tid = (aud == Tenant).then(|| Uuid::from_u128(7));
    Claims { aud, sub: Uuid::from_u128(8), sid: Uuid::from_u128(9), tid, iat: NOW, nbf: NOW, exp: NOW + 900 }
}

fn payload() -> Value {
    let id = Uuid::from_u128(7);
    json!({"iss": "insula", "aud": "tenant", "sub": id, "sid": id, "tid": id, "iat": NOW, "nbf": NOW, "exp": NOW + 900})
}

/// The right payload with one member changed; `Value::Null` takes it away.
fn with(name: &str, value: Value) -> String {
    let mut payload = payload();
    match value {
        Value::Null => drop(payload.as_object_mut().unwrap().remove(name)),
        value => payload[name] = value,
    }
    payload.to_string()
}

fn hs256(message: &str, secret: &[u8]) -> String {
    crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256).unwrap()
}

/// A token with any header and payload and a true signature by key `t1`.
fn forge(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    format!("{message}.{}", hs256(&message, &[2; 32]))
}

fn assert_refused(name: &str, token: &str, reason: &str) {
    let error = ring().verify(Tenant, token, NOW).expect_err(name);
    assert_eq!(error.kind(), Kind::Unauthenticated, "{name}");
    let public = (error.code(), error.to_string());
    assert_eq!(public, ("unauthenticated", "The access token is missing, invalid or expired.".into()), "{name}");
    assert!(error.private_context().contains(reason), "{name}: {}", error.private_context());
}

#[test]
fn reads_what_it_signed() {
    for audience in [Tenant, Operator] {
        let token = ring().sign(&claims(audience)).unwrap();
        assert_eq!(ring().verify(audience, &token, NOW).unwrap(), claims(audience));
    }
    assert!(ring().verify(Tenant, &forge(HEADER, &payload().to_string()), NOW).is_ok());
    let quoted = Keyring::new("a \"b\" \u{1}", [key("t1", Tenant, 1, false)]).unwrap();
    assert!(quoted.verify(Tenant, &quoted.sign(&claims(Tenant)).unwrap(), NOW).is_ok());
}

#[test]
fn forged_headers_are_refused() {
    for header in [
        r#"{"alg":"none","kid":"t1","typ":"at+jwt"}"#,
        r#"{"alg":"None","kid":"t1","typ":"at+jwt"}"#,
        r#"{"alg":"","kid":"t1","typ":"at+jwt"}"#,
        r#"{"alg":"hs256","kid":"t1","typ":"at+jwt"}"#,
        r#"{"alg":"HS384","kid":"t1","typ":"at+jwt"}"#,
        r#"{"alg":"HS512","kid":"t1","typ":"at+jwt"}"#,
        r#"{"alg":"RS256","kid":"t1","typ":"at+jwt"}"#,
        r#"{"alg":"ES256","kid":"t1","typ":"at+jwt"}"#,
        r#"{"alg":["HS256"],"kid":"t1","typ":"at+jwt"}"#,
        r#"{"kid":"t1","typ":"at+jwt"}"#,
        r#"{"alg":"none","alg":"HS256","kid":"t1","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","\u0061lg":"none","kid":"t1","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","kid":null,"typ":"at+jwt"}"#,
        r#"{"alg":"HS256","kid":"","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","kid":"t2","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","kid":"T1","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","kid":"o1","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","kid":"../../dev/null","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","kid":"t1' or '1'='1","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","kid":"t1\u0000","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","kid":"t0","kid":"t1","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","kid":"t1"}"#,
        r#"{"alg":"HS256","kid":"t1","typ":"JWT"}"#,
        r#"{"alg":"HS256","kid":"t1","typ":"rt+jwt"}"#,
        r#"{"alg":"HS256","kid":"t1","typ":"JWT","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","kid":"t1","typ":"at+jwt","jku":"https://evil.example/jwks"}"#,
        r#"{"alg":"HS256","kid":"t1","typ":"at+jwt","jwk":{"kty":"oct","k":"AA"}}"#,
        r#"{"alg":"HS256","kid":"t1","typ":"at+jwt","x5u":"https://evil.example/c"}"#,
        r#"{"alg":"HS256","kid":"t1","typ":"at+jwt","x5c":["AA"]}"#,
        r#"{"alg":"HS256","kid":"t1","typ":"at+jwt","crit":["exp"]}"#,
        r#"{"alg":"HS256","kid":"t1","typ":"at+jwt","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"HS256","kid":"t1","typ":"at+jwt","zip":"DEF"}"#,
        r#"{"alg":"HS256","kid":"t1","typ":"at+jwt","x":1}"#,
        r#"["HS256","t1","at+jwt"]"#,
        "",
    ] {
        assert_refused(header, &forge(header, &payload().to_string()), UNKNOWN);
    }
}

#[test]
fn payloads_with_other_members_are_refused() {
    for name in ["iss", "aud", "sub", "sid", "iat", "nbf", "exp"] {
        assert_refused(name, &forge(HEADER, &with(name, Value::Null)), MEMBERS);
    }
    let good = payload().to_string();
    let twice = |member: &str| good.replacen('{', &format!("{{{member},"), 1);
    for payload in [
        with("iss", json!(["insula"])),
        with("aud", json!(["tenant"])),
        with("aud", json!({"tenant": null})),
        with("sub", json!("admin")),
        with("sub", json!(7)),
        with("sub", json!(b"sixteen bytes ok")),
        with("tid", json!("")),
        with("exp", json!("1800000900")),
        with("exp", json!(1_800_000_900.5)),
        with("exp", json!(1e30)),
        with("admin", json!(true)),
        twice(r#""tid":"00000000-0000-0000-0000-000000000001""#),
        twice(r#""sub":"00000000-0000-0000-0000-000000000001""#),
        twice(r#""exp":1800000900"#),
        twice(r#""\u0065xp":1800000900"#),
        format!("{good}{{}}"),
        good.trim_end_matches('}').into(),
    ] {
        assert_refused(&payload, &forge(HEADER, &payload), MEMBERS);
    }
    for payload in ["", "null", r#""admin""#, "[]", &format!(" {good}")] {
        assert_refused(payload, &forge(HEADER, payload), "not an object");
    }
}

#[test]
fn payloads_that_say_something_else_are_refused() {
    let early = with("exp", json!(NOW - 5)).replace(&format!(r#""iat":{NOW}"#), r#""iat":1799999000"#);
    let null = payload().to_string().replace(&format!("\"{}\",\"iat", Uuid::from_u128(7)), "null,\"iat");
    for (payload, reason) in [
        (null, "without tid"),
        (with("iss", json!("insula2")), "another issuer"),
        (with("iss", json!("")), "another issuer"),
        (with("aud", json!("operator")), "another audience"),
        (with("aud", json!("Tenant")), "another audience"),
        (with("tid", Value::Null), "without tid"),
        (early, "expired"),
        (with("exp", json!(NOW - 1)), "not after iat"),
        (with("exp", json!(NOW)), "not after iat"),
        (with("exp", json!(NOW + MAX_LIFE + 1)), "24 hours"),
        (with("exp", json!(i64::MAX)), "24 hours"),
        (with("iat", json!(i64::MIN)), "24 hours"),
        (with("iat", json!(NOW + 6)), "iat is in the future"),
        (with("nbf", json!(NOW + 6)), "nbf is in the future"),
        (with("nbf", json!(NOW + 3600)), "nbf is in the future"),
        (with("nbf", json!(i64::MAX)), "nbf is in the future"),
        (with("iss", json!("x".repeat(4096))), "longer than 4 KiB"),
    ] {
        assert_refused(&payload, &forge(HEADER, &payload), reason);
    }
}

#[test]
fn forged_shapes_and_signatures_are_refused() {
    let ring = ring();
    let good = ring.sign(&claims(Tenant)).unwrap();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, body) = message.split_once('.').unwrap();
    let last = |c: u8| format!("{message}.{}{}", &signature[..42], char::from(c));
    let signed = |message: &str, secret: &[u8]| format!("{message}.{}", hs256(message, secret));
    let padded = format!("{header}.{body}=");
    for (name, token, reason) in [
        ("empty", String::new(), PARTS),
        ("one part", header.into(), PARTS),
        ("two parts", message.into(), PARTS),
        ("four parts", format!("{good}.{signature}"), WRONG),
        ("dots", "..".into(), UNKNOWN),
        ("encryption, five parts", format!("{good}.."), WRONG),
        ("no signature", format!("{message}."), WRONG),
        ("operators' key", signed(message, &[3; 32]), WRONG),
        ("retired key, new id", signed(message, &[1; 32]), WRONG),
        ("empty key", signed(message, b""), WRONG),
        ("short signature", format!("{message}.{}", &signature[..40]), WRONG),
        ("long signature", format!("{good}AAAA"), WRONG),
        ("padded signature", format!("{good}="), WRONG),
        ("padded payload", signed(&padded, &[2; 32]), "not base64url"),
        ("space before", format!(" {good}"), UNKNOWN),
        ("space after", format!("{good} "), WRONG),
        ("line break", good.replacen('.', ".\n", 1), WRONG),
        ("scheme", format!("Bearer {good}"), UNKNOWN),
        ("JSON form", json!({"payload": body, "signature": signature}).to_string(), PARTS),
        ("not ASCII", good.replacen('e', "е", 1), UNKNOWN),
    ] {
        assert_refused(name, &token, reason);
    }
    // 43 characters carry 2 bits more than 32 bytes: four spellings, one of them canonical.
    let spellings: Vec<_> = (0x21..0x7f).filter(|&c| ring.verify(Tenant, &last(c), NOW).is_ok()).collect();
    assert_eq!(spellings, [signature.as_bytes()[42]]);
}

#[test]
fn every_changed_bit_and_every_cut_is_refused() {
    let ring = ring();
    let good = ring.sign(&claims(Tenant)).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let changed = String::from_utf8_lossy(&bytes);
        assert!(ring.verify(Tenant, &changed, NOW).is_err(), "bit {bit}");
    }
    for at in 0..good.len() {
        assert!(ring.verify(Tenant, &good[..at], NOW).is_err(), "cut at {at}");
        assert!(ring.verify(Tenant, &good[at + 1..], NOW).is_err(), "begun at {at}");
    }
}

#[test]
fn time_has_five_seconds_of_leeway_and_no_more() {
    let token = ring().sign(&claims(Tenant)).unwrap();
    let valid = |now: i64| ring().verify(Tenant, &token, now).is_ok();
    assert!(!valid(NOW - 6) && valid(NOW - 5) && valid(NOW + 904) && !valid(NOW + 905));
}

#[test]
fn audiences_do_not_mix_and_retired_keys_only_verify() {
    let operator = ring().sign(&claims(Operator)).unwrap();
    assert_refused("operator's token", &operator, UNKNOWN);
    assert!(ring().verify(Operator, &ring().sign(&claims(Tenant)).unwrap(), NOW).is_err());
    let old = Keyring::new("insula", [key("t0", Tenant, 1, false)]).unwrap().sign(&claims(Tenant)).unwrap();
    assert!(ring().verify(Tenant, &old, NOW).is_ok());
    let retired = Keyring::new("insula", [key("t0", Tenant, 1, true)]).unwrap();
    assert_eq!(retired.sign(&claims(Tenant)).unwrap_err().kind(), Kind::Internal);
}

#[test]
fn contradictory_claims_are_not_signed() {
    for claims in [
        Claims { tid: None, ..claims(Tenant) },
        Claims { tid: Some(Uuid::nil()), ..claims(Operator) },
        Claims { exp: NOW, ..claims(Tenant) },
        Claims { exp: NOW + MAX_LIFE + 1, ..claims(Tenant) },
    ] {
        assert_eq!(ring().sign(&claims).unwrap_err().kind(), Kind::Internal);
    }
}

#[test]
fn weak_repeated_and_oddly_named_keys_are_refused() {
    let short = Key { secret: vec![1; 31], ..key("t1", Tenant, 1, false) };
    assert!(Keyring::new("insula", [short]).is_err());
    for kid in ["", "a b", "a\"b", "ä"] {
        assert!(Keyring::new("insula", [key(kid, Tenant, 1, false)]).is_err(), "{kid}");
    }
    assert!(Keyring::new("insula", [key("a", Tenant, 1, false), key("a", Tenant, 2, false)]).is_err());
    assert!(Keyring::new("insula", [key("a", Tenant, 1, false), key("b", Operator, 1, false)]).is_err());
    assert!(!format!("{:?}", ring()).contains("Key {"));
}
