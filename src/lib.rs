//! Insula: a multi-tenant business platform over PostgreSQL.
//!
//! The modules are declared in floor order: a file may name only modules declared above its own
//! (`tests/it/layering.rs` checks it). Each floor below a blank line and a doc comment, so rustfmt keeps the order.

/// One error type, free of HTTP.
pub mod error;

/// Names that become SQL identifiers.
pub mod ident;

/// SQL text and its values.
pub mod sql;

/// Settings and where they come from.
pub mod config;

/// Logs and metrics.
pub mod telemetry;

/// Letters and how they leave.
pub mod mail;

/// The one door to SQL: pools, scopes, transactions, news, migration of `public`, the private server.
pub mod db;

/// Packs: manifests and SQL become the catalogue, shared and never changed.
pub mod pack;

/// Tenants: registry, resolution, caches.
pub mod tenant;

/// What a tenant has bought.
pub mod billing;

/// Who changed what: chains of entries, verified and anchored.
pub mod audit;

/// What a user may do.
pub mod access;

/// Who is calling: passwords, tokens, sign-in.
pub mod auth;

/// The engine behind `/api/v1/<resource>`.
pub mod resource;

/// Whole-tenant work: provisioning, modules, migration, life cycle.
pub mod ops;

/// What the API says about itself: JSON Schema, OpenAPI, error codes, pages.
pub mod docs;

/// Everything wired together.
pub mod app;

/// The HTTP face.
pub mod http;

/// The command line.
pub mod cli;
