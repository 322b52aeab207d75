//! All tests that need more than one module, as stories against a real PostgreSQL.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test says what it expects by failing")]
#![allow(clippy::disallowed_methods, reason = "tests look at the server from outside too")]

mod approvals;
mod coverage;
mod crash;
mod crm_people;
mod crm_reports;
mod crm_rules;
mod crm_scope;
mod crm_story;
mod isolation;
mod layering;
mod provisioning;
mod provisioning_input;
mod resolution;
mod system_admin;
mod world;
