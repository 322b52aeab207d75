//! Devices that have signed in before: a token that a client keeps and sends along when it signs in again. It gives
//! nothing but a count of wrong attempts of its own.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::totp::hex_digest;
use crate::error::{Error, Result};

/// Begins every token, so that a scanner for lost secrets knows one.
const PREFIX: &str = "insula_dt_";
/// Characters of a text that may be a token.
const LONGEST: usize = 128;

/// The token of a device.
pub struct Device(String);

impl Device {
    /// 256 random bits.
    pub fn generate() -> Result<Self> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits).map_err(Error::internal)?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits))))
    }

    /// What a client sent, if it may be one.
    pub fn presented(text: String) -> Option<Self> {
        (text.starts_with(PREFIX) && text.len() <= LONGEST).then_some(Self(text))
    }

    /// What the database keeps of it, as it reads a `bytea`.
    pub fn digest(&self) -> String {
        hex_digest(&self.0)
    }

    /// The token, for its owner.
    pub fn into_text(self) -> String {
        self.0
    }
}
