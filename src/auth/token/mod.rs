//! Access tokens: JSON Web Tokens (RFC 7519) with HMAC-SHA-256, written and read by this service only.
//!
//! We write every header ourselves, so a token's header is looked up whole, as text, among those of the keys we
//! hold: another algorithm, type, key id, order of members or any further member (`jku`, `crit`, …) is simply not
//! found, and nothing of a token is parsed before its signature is proven (RFC 8725).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Kind, Result};

/// Longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 4096;
/// Tolerated difference between the clocks of two processes, in seconds.
const LEEWAY: i64 = 5;
/// Longest life of a token, in seconds.
const MAX_LIFE: i64 = 24 * 60 * 60;
/// RFC 7518 section 3.2: a key is at least as long as the hash.
const MIN_SECRET_BYTES: usize = 32;

/// `{"alg":"HS256","kid":`, encoded: how all our headers begin.
const HEADER_START: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6";

/// Whom a token is for. Each audience has keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The users of one tenant.
    Tenant,
    /// The staff of the platform.
    Operator,
}

impl Audience {
    /// Its name in `aud` and in the registry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Operator => "operator",
        }
    }
}

impl FromStr for Audience {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "tenant" => Ok(Self::Tenant),
            "operator" => Ok(Self::Operator),
            _ => Err(Error::internal(format!("unknown audience {text:?}"))),
        }
    }
}

/// What an accepted token says; `iss` is the keyring's. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Whom the token is for.
    pub aud: Audience,
    /// The user or operator.
    pub sub: Uuid,
    /// The session, for revocation.
    pub sid: Uuid,
    /// The tenant: always there for [`Audience::Tenant`], never for [`Audience::Operator`].
    pub tid: Option<Uuid>,
    /// Issued at.
    pub iat: i64,
    /// Not valid before.
    pub nbf: i64,
    /// Not valid from here on.
    pub exp: i64,
}

impl Claims {
    /// The rules that hold at any time; signing obeys them too.
    fn coherent(&self) -> Result<(), &'static str> {
        match (self.aud, self.tid) {
            (Audience::Tenant, None) => return Err("a tenant's token without tid"),
            (Audience::Operator, Some(_)) => return Err("an operator's token with tid"),
            _ => {}
        }
        match self.exp.saturating_sub(self.iat) {
            ..=0 => Err("exp is not after iat"),
            1..=MAX_LIFE => Ok(()),
            _ => Err("lives longer than 24 hours"),
        }
    }

    fn timely(&self, now: i64) -> Result<(), &'static str> {
        if self.iat > now + LEEWAY {
            return Err("iat is in the future");
        }
        if self.nbf > now + LEEWAY {
            return Err("nbf is in the future");
        }
        if self.exp <= now - LEEWAY {
            return Err("expired");
        }
        Ok(())
    }
}

/// The payload as it stands in the token. Serde refuses missing, repeated and unknown members of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    aud: &'a str,
    sub: Uuid,
    sid: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<Uuid>,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// A key as the registry keeps it, opened.
pub struct Key {
    /// Its id: letters, digits, `-` and `_`.
    pub kid: String,
    /// Whom it signs for.
    pub audience: Audience,
    /// At least 32 random bytes.
    pub secret: Vec<u8>,
    /// A retired key still verifies, as long as what it signed lives, and no longer signs.
    pub retired: bool,
}

impl Key {
    /// The one header of all tokens of this key, encoded.
    fn header(&self) -> Result<String> {
        let kid = &self.kid;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if kid.is_empty() || !kid.bytes().all(plain) || self.secret.len() < MIN_SECRET_BYTES {
            return Err(Error::internal(format!("token key {kid:?}: odd id or short secret")));
        }
        Ok(URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"at+jwt"}}"#)))
    }
}

/// All token keys of the service, made ready for use.
pub struct Keyring {
    issuer: String,
    tenant: Keys,
    operator: Keys,
}

/// The keys of one audience, by encoded header.
#[derive(Default)]
struct Keys {
    by_header: HashMap<String, DecodingKey>,
    signing: Option<(String, EncodingKey)>,
}

impl Keyring {
    /// Arranges `keys`; of several that are not retired, the last one of an audience signs.
    ///
    /// # Errors
    /// An internal error for a weak, repeated or oddly named key.
    pub fn new(issuer: impl Into<String>, keys: impl IntoIterator<Item = Key>) -> Result<Self> {
        let mut ring = Self { issuer: issuer.into(), tenant: Keys::default(), operator: Keys::default() };
        let mut secrets = HashSet::new();
        for key in keys {
            let header = key.header()?;
            let keys = match key.audience {
                Audience::Tenant => &mut ring.tenant,
                Audience::Operator => &mut ring.operator,
            };
            if !key.retired {
                keys.signing = Some((header.clone(), EncodingKey::from_secret(&key.secret)));
            }
            let verifying = DecodingKey::from_secret(&key.secret);
            if keys.by_header.insert(header, verifying).is_some() || !secrets.insert(key.secret) {
                let kid = key.kid;
                return Err(Error::internal(format!("token key {kid}: its id or secret is another's")));
            }
        }
        Ok(ring)
    }

    /// Signs `claims` for their audience.
    ///
    /// # Errors
    /// An internal error when the claims contradict themselves or the audience has no key that signs.
    pub fn sign(&self, claims: &Claims) -> Result<String> {
        claims.coherent().map_err(|reason| Error::internal(format!("cannot sign: {reason}")))?;
        let Some((header, key)) = &self.keys(claims.aud).signing else {
            return Err(Error::internal(format!("no token key signs for {}", claims.aud.as_str())));
        };
        let payload = Payload {
            iss: self.issuer.as_str().into(),
            aud: claims.aud.as_str(),
            sub: claims.sub,
            sid: claims.sid,
            tid: claims.tid,
            iat: claims.iat,
            nbf: claims.nbf,
            exp: claims.exp,
        };
        let payload = serde_json::to_vec(&payload).map_err(Error::internal)?;
        let mut token = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = crypto::sign(token.as_bytes(), key, Algorithm::HS256).map_err(Error::internal)?;
        token.push('.');
        token.push_str(&signature);
        Ok(token)
    }

    /// What `token` says, if it is one of ours for `audience` and valid at `now` (Unix seconds).
    ///
    /// # Errors
    /// [`unauthenticated`]: the same for all causes, the cause is in the private context.
    pub fn verify(&self, audience: Audience, token: &str, now: i64) -> Result<Claims> {
        self.check(audience, token, now).map_err(unauthenticated)
    }

    /// Whose `iss` the tokens bear.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether `token` looks like one of ours, signed with a key that is not here.
    pub fn lacks_key_of(&self, audience: Audience, token: &str) -> bool {
        let header = token.split('.').next().unwrap_or_default();
        header.starts_with(HEADER_START)
            && token.len() <= MAX_TOKEN_BYTES
            && !self.keys(audience).by_header.contains_key(header)
    }

    fn check(&self, audience: Audience, token: &str, now: i64) -> Result<Claims, &'static str> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err("longer than 4 KiB");
        }
        let (message, signature) = token.rsplit_once('.').ok_or("not three parts")?;
        let (header, payload) = message.split_once('.').ok_or("not three parts")?;
        let key = self.keys(audience).by_header.get(header).ok_or("no key of this audience has this header")?;
        let proven = crypto::verify(signature, message.as_bytes(), key, Algorithm::HS256);
        if !proven.is_ok_and(|proven| proven) {
            return Err("the signature does not match");
        }
        let claims = self.read(audience, payload)?;
        claims.coherent()?;
        claims.timely(now)?;
        Ok(claims)
    }

    fn read(&self, audience: Audience, payload: &str) -> Result<Claims, &'static str> {
        let json = URL_SAFE_NO_PAD.decode(payload).map_err(|_| "the payload is not base64url")?;
        // Serde reads a struct from an array too.
        if !json.starts_with(b"{") {
            return Err("the payload is not an object");
        }
        let payload: Payload<'_> = serde_json::from_slice(&json).map_err(|_| "the payload has other members")?;
        if payload.iss != self.issuer {
            return Err("another issuer");
        }
        if payload.aud != audience.as_str() {
            return Err("another audience");
        }
        Ok(Claims {
            aud: audience,
            sub: payload.sub,
            sid: payload.sid,
            tid: payload.tid,
            iat: payload.iat,
            nbf: payload.nbf,
            exp: payload.exp,
        })
    }

    fn keys(&self, audience: Audience) -> &Keys {
        match audience {
            Audience::Tenant => &self.tenant,
            Audience::Operator => &self.operator,
        }
    }
}

/// Shows nothing of the keys.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// The one answer to a missing, forged, expired or revoked token; only the log learns the reason.
pub fn unauthenticated(reason: impl fmt::Display) -> Error {
    Error::new(Kind::Unauthenticated, "unauthenticated", "The access token is missing, invalid or expired.")
        .context(reason)
}

#[cfg(test)]
mod tests;
