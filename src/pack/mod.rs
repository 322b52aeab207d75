//! Packs: a manifest and SQL, from which tables, REST API, permissions and roles are derived.

mod catalog;
mod check;
mod install;
mod job;
mod kept;
mod kind;
mod lagging;
mod manifest;
mod public;
mod report;
mod rights;
mod source;
mod steps;
mod template;

pub use catalog::{
    Action, Catalog, Column, Constraint, Input, Job, Kind, Parameter, Reference, Report, Resource, Verb,
};
pub use check::{Complaint, check};
pub use install::{audit_sql, disable_sql, install_sql, offers_digest, offers_sql, schema_sql};
pub use manifest::{Manifest, Method};
pub use rights::{HELD, Held, Rights};
pub use source::{File, Pack, Packs};
pub use steps::IndexStep;
pub use template::{check_catalog, load_catalog};
