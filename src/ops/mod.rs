//! Work on whole tenants: provisioning, modules, migration, life cycle. Each is a sequence of journaled steps.

mod background;
mod backup;
mod checks;
mod demo;
mod directory;
mod drift;
mod fleet;
mod inspect;
mod jobs;
mod journal;
mod life;
mod lifecycle;
mod modules;
mod operators;
mod people;
mod provision;
mod reach;
mod ready;
mod reset;
mod seed;

pub use background::Background;
pub use backup::{
    BackupName, Header, KeptBackup, Progress, Restored, Saved, Tell, Told, Verified, backup_header, backup_list,
    backup_restore, backup_restore_as, backup_save, backup_try, backup_verify, outdated_backups, quiet,
    scheduled_backups, tenant_backup, tenant_restore, tenant_restore_as, tenant_unrestore,
};
pub use checks::{
    ServerFacts, applied_public, has_signing_keys, mark_demo, may_hold_demo, pack_versions, server_facts,
    unfinished_operations,
};
pub use demo::{DEMO_OPERATOR, DEMO_PASSWORD, DemoTenant, DemoUser, seed_demo, seed_twin};
pub use directory::{tenant_find, tenant_list, tenant_show};
pub use drift::{Compared, Difference, How, Likeness, compare_schemas};
pub use fleet::{
    Behind, Event, Failed, Fault, Halt, Latecomers, Leader, Order, Pace, PackVersion, Pending, Rehearsal, Run,
    RunEvent, Selection, Summary, Trouble, fleet_versions, migrate_fleet, most_jobs, pause_migration, pending_tenants,
    rehearse, resumed_order, run_events, run_list, run_show, running_migration, troubled_tenants, verify_files,
};
pub use inspect::{View, look};
pub use jobs::{Round, job_list, run_due_jobs};
pub use journal::{operation_show, recover};
pub use life::{
    Exported, tenant_clone, tenant_delete, tenant_export, tenant_purge, tenant_rename, tenant_subdomain,
    tenant_undelete, tidy,
};
pub use lifecycle::{tenant_resume, tenant_suspend};
pub use modules::{module_disable, module_enable};
pub use operators::{
    OperatorChange, OperatorState, operator_change, operator_find, operator_list, operator_password_set, operator_show,
};
pub use people::{user_email, user_set_password};
pub use provision::{NewTenant, Owner, Provisioned, Term, tenant_check, tenant_create};
pub use reach::{Reach, try_connections, try_isolation};
pub use ready::restock;
pub use reset::{Doomed, destroy, find_doomed};
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
