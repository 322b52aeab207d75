//! Tenants: the registry, which of them a request means, and the caches of both.

mod cache;
mod registry;
mod resolve;

pub use cache::{Cache, Key, Loaded};
pub use registry::{State, Tenant, Tenants, place_of, tenant_not_found};
pub use resolve::{Host, Named};
