//! The life of a tenant after its creation: copied, renamed, deleted, erased.

pub(super) mod arrival;
pub(super) mod fault;
pub(super) mod task;
