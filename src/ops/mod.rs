//! Work on whole tenants: provisioning, modules, migration, life cycle. Each is a sequence of journaled steps.

mod checks;
mod demo;
mod directory;
mod fleet;
mod jobs;
mod journal;
mod lifecycle;
mod modules;
mod operators;
mod people;
mod provision;
mod seed;

pub use checks::{
    ServerFacts, applied_public, has_signing_keys, mark_demo, may_hold_demo, pack_versions, server_facts,
    unfinished_operations,
};
pub use demo::{DEMO_OPERATOR, DEMO_PASSWORD, DemoTenant, DemoUser, seed_demo, seed_twin};
pub use directory::{tenant_find, tenant_list, tenant_show};
pub use fleet::{
    Behind, Event, Failed, Fault, Halt, Leader, Pace, Pending, Rehearsal, Selection, Summary, Trouble, migrate_fleet,
    most_jobs, pending_tenants, rehearse, running_migration, troubled_tenants, verify_files,
};
pub use jobs::{Round, job_list, run_due_jobs};
pub use journal::recover;
pub use lifecycle::{tenant_resume, tenant_suspend};
pub use modules::{module_disable, module_enable};
pub use operators::{
    OperatorChange, OperatorState, operator_change, operator_find, operator_list, operator_password_set, operator_show,
};
pub use people::{user_email, user_set_password};
pub use provision::{NewTenant, Owner, Provisioned, Term, tenant_check, tenant_create};
pub use seed::{Seed, seed_fleet};

use std::sync::Arc;

use crate::db::Database;
use crate::pack::Catalog;

/// What work on whole tenants needs.
#[derive(Clone)]
pub struct Platform {
    /// The door to SQL.
    pub database: Database,
    /// What packs offer.
    pub catalog: Arc<Catalog>,
}
