//! The life of a tenant after its creation: copied, renamed, deleted, erased.

pub(super) mod arrival;
mod copy;
mod export;
pub(super) mod fault;
mod removal;
mod rename;
pub(super) mod task;
mod tidy;

pub use copy::tenant_clone;
pub use export::{Exported, tenant_export};
pub use removal::{tenant_delete, tenant_purge, tenant_undelete};
pub use rename::tenant_rename;
pub use task::tenant_subdomain;
pub use tidy::tidy;
