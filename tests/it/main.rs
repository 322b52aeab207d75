//! All tests that need more than one module, as stories against a real PostgreSQL.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test says what it expects by failing")]
#![allow(clippy::disallowed_methods, reason = "tests look at the server from outside too")]

mod layering;
mod world;
