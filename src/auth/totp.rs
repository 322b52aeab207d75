//! Time-based one-time passwords (RFC 6238): SHA-1, six digits, steps of 30 seconds, as all authenticators have them.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{Error, Result};

/// Seconds of a step.
const STEP: u64 = 30;
/// Steps before and after the present one whose codes are taken too: clocks differ, and typing takes time.
const DRIFT: i64 = 1;
const MODULUS: u32 = 1_000_000;
/// RFC 4226, section 4: a secret as long as the hash.
const SECRET_BYTES: usize = 20;
/// Codes in place of the factor.
pub const RECOVERY_CODES: usize = 10;
/// 80 random bits: their digest cannot be searched for.
const RECOVERY_BYTES: usize = 10;

/// What an authenticator and the service share.
pub struct Secret(Vec<u8>);

impl Secret {
    /// 160 random bits.
    pub fn generate() -> Result<Self> {
        Ok(Self(random::<SECRET_BYTES>()?.to_vec()))
    }

    /// The secret that [`Secret::bytes`] gave.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// For sealing.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// For typing into an authenticator.
    pub fn text(&self) -> String {
        BASE32_NOPAD.encode(&self.0)
    }

    /// For a QR code (the key URI format of Google Authenticator).
    pub fn url(&self, issuer: &str, account: &str) -> String {
        let [issuer, account] = [issuer, account].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
        let secret = self.text();
        format!(
            "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits=6&period={STEP}"
        )
    }

    /// The latest step at about `now` (Unix seconds) whose code this is.
    pub fn step_of(&self, code: u32, now: u64) -> Option<i64> {
        let present = i64::try_from(now / STEP).unwrap_or(i64::MAX);
        let mut steps = (-DRIFT..=DRIFT).map(|drift| present.saturating_add(drift));
        steps.rfind(|step| bool::from(self.code(*step).ct_eq(&code)))
    }

    /// RFC 4226, section 5.3.
    fn code(&self, step: i64) -> u32 {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.0).unwrap_or_else(|_| unreachable!("any length is a key"));
        mac.update(&step.to_be_bytes());
        let hash = mac.finalize().into_bytes();
        let at = usize::from(hash[19] & 15);
        let word = u32::from_be_bytes([hash[at], hash[at + 1], hash[at + 2], hash[at + 3]]);
        (word & 0x7fff_ffff) % MODULUS
    }
}

/// What somebody types as his second factor.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// Six digits of an authenticator.
    Code(u32),
    /// Anything else may be a recovery code; its digest.
    Recovery(String),
}

impl Typed {
    /// Spaces and hyphens are for the eye.
    pub fn read(text: &str) -> Self {
        let plain: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').take(64).collect();
        match plain.parse() {
            Ok(code) if plain.len() == 6 && plain.bytes().all(|b| b.is_ascii_digit()) => Self::Code(code),
            _ => Self::Recovery(hex_digest(&plain.to_ascii_lowercase())),
        }
    }
}

/// New recovery codes, and what the database keeps of them.
pub fn recovery_codes() -> Result<(Vec<String>, Vec<String>)> {
    let made = (0..RECOVERY_CODES).map(|_| {
        let plain = BASE32_NOPAD.encode(&random::<RECOVERY_BYTES>()?).to_ascii_lowercase();
        let groups: Vec<&str> = (0..plain.len()).step_by(4).map(|at| &plain[at..at + 4]).collect();
        Ok((groups.join("-"), hex_digest(&plain)))
    });
    made.collect::<Result<Vec<_>>>().map(|made| made.into_iter().unzip())
}

/// SHA-256 as PostgreSQL reads a `bytea`.
pub fn hex_digest(text: &str) -> String {
    bytea(&Sha256::digest(text))
}

/// Bytes as PostgreSQL reads a `bytea`.
pub fn bytea(bytes: &[u8]) -> String {
    format!("\\x{}", HEXLOWER.encode(bytes))
}

/// Seconds since 1970.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B, the last six of its eight digits.
        let secret = Secret::from_bytes(b"12345678901234567890".to_vec());
        for (time, code) in [
            (59, 287_082),
            (1_111_111_109, 81_804),
            (1_111_111_111, 50_471),
            (1_234_567_890, 5_924),
            (2_000_000_000, 279_037),
            (20_000_000_000, 353_130),
        ] {
            assert_eq!(secret.step_of(code, time), Some(i64::try_from(time / 30).unwrap()), "{time}");
        }
    }

    #[test]
    fn a_code_is_good_from_one_step_before_to_one_after() {
        let secret = Secret::generate().unwrap();
        let (step, now) = (1000, 1000 * STEP);
        let code = secret.code(step);
        let found: Vec<Option<i64>> =
            (-2..=2).map(|away| secret.step_of(code, now.strict_add_signed(away * 30))).collect();
        assert_eq!(found, [None, Some(step), Some(step), Some(step), None]);
    }

    #[test]
    fn what_is_typed_is_read_without_its_spaces() {
        assert_eq!(Typed::read(" 012 345"), Typed::Code(12_345));
        let (codes, digests) = recovery_codes().unwrap();
        assert_eq!((codes.len(), codes[0].len()), (RECOVERY_CODES, 19));
        assert_eq!(Typed::read(&codes[0].to_uppercase().replace('-', " ")), Typed::Recovery(digests[0].clone()));
        for other in ["12345", "1234567", "+12345", ""] {
            assert!(matches!(Typed::read(other), Typed::Recovery(_)), "{other}");
        }
    }

    #[test]
    fn an_authenticator_is_told_everything() {
        let secret = Secret::from_bytes(b"12345678901234567890".to_vec());
        assert_eq!(
            secret.url("Acme & Sons", "ann@acme.test"),
            "otpauth://totp/Acme%20%26%20Sons:ann%40acme%2Etest?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Acme%20%26%20Sons&algorithm=SHA1&digits=6&period=30"
        );
    }
}
