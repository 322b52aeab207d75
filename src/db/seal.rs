//! Encryption of credentials that the registry stores: bucket passwords, cluster addresses, token keys.
//!
//! A sealed value is `version (1) | nonce (24) | ciphertext | tag (16)`, by XChaCha20-Poly1305: its nonce is long
//! enough to be random for ever. The associated data names the row a value belongs to, so a value copied into
//! another row does not open.

use std::fmt;

use aead_stream::{DecryptorBE32, EncryptorBE32};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use crate::error::{Error, Result};

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const SECRET_BYTES: usize = 32;

/// Random bytes at the beginning of something long that is encrypted.
pub const STREAM_START_BYTES: usize = 19;

/// See [`SealingKey::encryptor`].
pub type Encryptor = EncryptorBE32<XChaCha20Poly1305>;

/// See [`SealingKey::decryptor`].
pub type Decryptor = DecryptorBE32<XChaCha20Poly1305>;

/// The key that seals and opens stored credentials (`encryption.key`).
#[derive(Clone)]
pub struct SealingKey(XChaCha20Poly1305);

impl SealingKey {
    /// Reads the base64 text that [`SealingKey::generate`] made; white space around it is ignored.
    pub fn from_base64(text: &str) -> Result<Self> {
        let bytes = STANDARD.decode(text.trim()).unwrap_or_default();
        XChaCha20Poly1305::new_from_slice(&bytes).map(Self).map_err(|_| {
            Error::malformed("The setting `encryption.key` is not 32 bytes in base64.")
                .hint("Make one with `insula key generate`.")
        })
    }

    /// A new key as base64 text.
    pub fn generate() -> Result<String> {
        Ok(STANDARD.encode(random::<SECRET_BYTES>()?))
    }

    /// Encrypts `plaintext` for the place that `associated_data` names.
    pub fn seal(&self, plaintext: &[u8], associated_data: &str) -> Result<Vec<u8>> {
        let nonce = random::<NONCE_BYTES>()?;
        let payload = Payload { msg: plaintext, aad: associated_data.as_bytes() };
        let ciphertext = self
            .0
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Error::internal(format!("cannot seal {associated_data}")))?;
        Ok([&[VERSION], nonce.as_slice(), &ciphertext].concat())
    }

    /// Encrypts something long piece by piece, by the STREAM construction (Hoang et al., "Online Authenticated-Encryption
    /// and its Nonce-Reuse Misuse-Resistance", 2015): no piece can be changed, moved, left out or put last unseen. The
    /// start must be random.
    pub fn encryptor(&self, start: &[u8; STREAM_START_BYTES]) -> Encryptor {
        EncryptorBE32::from_aead(self.0.clone(), start.into())
    }

    /// Decrypts what [`SealingKey::encryptor`] encrypted.
    pub fn decryptor(&self, start: &[u8; STREAM_START_BYTES]) -> Decryptor {
        DecryptorBE32::from_aead(self.0.clone(), start.into())
    }

    /// Decrypts what [`SealingKey::seal`] made with the same key for the same place.
    pub fn open(&self, sealed: &[u8], associated_data: &str) -> Result<Vec<u8>> {
        let refused = |reason| Error::internal(format!("cannot open the sealed {associated_data}: {reason}"));
        let body = sealed.strip_prefix(&[VERSION]).ok_or_else(|| refused("unknown version"))?;
        let (nonce, ciphertext) = body.split_first_chunk::<NONCE_BYTES>().ok_or_else(|| refused("too short"))?;
        let payload = Payload { msg: ciphertext, aad: associated_data.as_bytes() };
        self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| refused("another key, another row, or damaged"))
    }
}

/// Shows nothing of the key.
impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}

/// A random password of 256 bits whose characters need no escaping in URLs or SQL.
pub fn random_password() -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>()?))
}

/// Random bytes.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal(format!("no random numbers: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::error::Kind;

    fn key() -> SealingKey {
        SealingKey::from_base64(&SealingKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn opens_what_it_sealed() {
        let key = key();
        for plaintext in [&b""[..], b"x", &[0; 1000]] {
            let sealed = key.seal(plaintext, "bucket 1/7").unwrap();
            assert_eq!(sealed.len(), 1 + 24 + plaintext.len() + 16);
            assert_eq!(key.open(&sealed, "bucket 1/7").unwrap(), plaintext);
        }
    }

    #[test]
    fn swapped_rows_and_other_keys_do_not_open() {
        let (key, other) = (key(), key());
        let one = key.seal(b"password of one", "bucket 1/1").unwrap();
        let two = key.seal(b"password of two", "bucket 1/2").unwrap();
        assert!(key.open(&one, "bucket 1/2").is_err());
        assert!(key.open(&two, "bucket 1/1").is_err());
        assert!(other.open(&one, "bucket 1/1").is_err());
        assert_eq!(key.open(&one, "bucket 1/1").unwrap(), b"password of one");
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_found() {
        let key = key();
        let sealed = key.seal(b"postgresql://u:p@host", "cluster 2").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(&damaged, "cluster 2").is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(key.open(&sealed[..length], "cluster 2").is_err(), "length {length}");
        }
    }

    #[test]
    fn nonces_and_passwords_do_not_repeat() {
        let key = key();
        let sealed: HashSet<_> = (0..200).map(|_| key.seal(b"same", "same").unwrap()).collect();
        let passwords: HashSet<_> = (0..200).map(|_| random_password().unwrap()).collect();
        assert_eq!((sealed.len(), passwords.len()), (200, 200));
        let url_safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(passwords.iter().all(|password| password.len() == 43 && password.chars().all(url_safe)));
    }

    #[test]
    fn a_bad_key_is_refused_without_repeating_it() {
        for text in
            ["", "secret", &STANDARD.encode([7; 31]), &STANDARD.encode([7; 33]), &URL_SAFE_NO_PAD.encode([255; 32])]
        {
            let error = SealingKey::from_base64(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Malformed);
            assert!(text.is_empty() || !format!("{error:?}").contains(text));
        }
        assert!(SealingKey::from_base64(&format!("{}\n", STANDARD.encode([7; 32]))).is_ok());
    }

    #[test]
    fn debug_shows_nothing_and_errors_hide_the_place_from_callers() {
        assert_eq!(format!("{:?}", key()), "SealingKey");
        let error = key().open(&[2, 3], "bucket 1/1").unwrap_err();
        assert!(!error.to_string().contains("bucket"));
        assert!(error.private_context().contains("bucket 1/1: unknown version"));
    }
}
