//! All tests that need more than one module, as stories against a real PostgreSQL.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test says what it expects by failing")]
#![allow(clippy::disallowed_methods, reason = "tests look at the server from outside too")]

mod answer_form;
mod approvals;
mod bad_input;
mod bad_transport;
mod bad_values;
mod batches;
mod catalogue_lint;
mod connections;
mod coverage;
mod crash;
mod crm_people;
mod crm_reports;
mod crm_rules;
mod crm_scope;
mod crm_story;
mod doc_pages;
mod entitlements;
mod escapes;
mod exports;
mod facts;
mod faults;
mod golden_reads;
mod isolation;
mod layering;
mod metadata;
mod modules;
mod news;
mod once;
mod openapi;
mod outages;
mod pack_check;
mod patching;
mod preferences;
mod problem_pages;
mod provisioning;
mod provisioning_input;
mod proxy;
mod replacing;
mod resolution;
mod round_trips;
mod system_admin;
mod tls;
mod versions;
mod world;
