//! The audit: who changed what. Triggers write it in the transaction of the change; here its chains are verified and
//! anchored, and what was refused is entered.
//!
//! Every tenant has a chain in its schema, and the platform has one in `public`. Each entry has the next number without a
//! gap, and a hash over its content and the hash before it.

mod anchor;
mod chain;
mod ledger;
mod refusals;
mod request;

pub use anchor::{anchor, hold_anchors, move_anchors};
pub use chain::{Damage, Fault};
pub use ledger::{Ledger, Verdict, ledgers, verify};
pub use refusals::{Refusal, Refusals};
pub use request::request;
