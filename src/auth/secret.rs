//! Tokens of our own making: opaque, known to the database as digests only.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Characters of a text that may be a token.
const LONGEST: usize = 128;

/// 256 random bits.
pub struct Secret(String);

impl Secret {
    /// New bits, not yet a token of a kind.
    pub fn generate(prefix: &'static str) -> Result<Self> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits).map_err(Error::internal)?;
        Ok(Self(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bits))))
    }

    /// Whether a text may be a token of a kind; only then it is worth a look.
    pub fn may_be(prefix: &str, text: &str) -> bool {
        text.starts_with(prefix) && text.len() <= LONGEST
    }

    /// What the database keeps of it, in base64.
    pub fn digest(&self) -> String {
        Self::digest_of(&self.0)
    }

    /// What the database would keep of a text, in base64.
    pub fn digest_of(text: &str) -> String {
        STANDARD.encode(Sha256::digest(text))
    }

    /// The token, for its owner.
    pub fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_known_by_their_digest() {
        let (one, two) = (Secret::generate("x_").unwrap(), Secret::generate("x_").unwrap());
        assert_ne!(one.digest(), two.digest());
        let digest_of_one = one.digest();
        let text = one.into_text();
        assert!(Secret::may_be("x_", &text) && !Secret::may_be("y_", &text), "{text}");
        assert_eq!(Secret::digest_of(&text), digest_of_one);
    }
}
