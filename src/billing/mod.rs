//! What a tenant has bought, as far as it decides what answers.

mod entitlement;

pub use entitlement::{Entitlement, Entitlements, Gate};
