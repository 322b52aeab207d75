//! Places in the work on tenants where a test makes it fail. A program that is built for use has none.

use crate::config::variable;
use crate::error::{Error, Result};

/// `<place>=error`, `<place>=panic` or `<place>=kill`.
const VARIABLE: &str = "TEST_INSULA_FAIL";

/// Passes a place, unless a test wants it to be the last.
pub fn reach(place: &str) -> Result<()> {
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    let wanted = variable(VARIABLE).and_then(|wanted| wanted.strip_prefix(place).map(str::to_owned));
    match wanted.as_deref() {
        Some("=error") => Err(Error::internal(format!("a test lets it fail at {place}"))),
        Some("=panic") => panic!("a test lets it panic at {place}"),
        // No destructor runs, nothing is said to the server.
        Some("=kill") => std::process::abort(),
        _ => Ok(()),
    }
}
