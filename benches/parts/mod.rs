//! What the request benchmark is made of.

/// The private PostgreSQL and the tenants in it.
pub mod estate;

/// The load generator.
pub mod load;

/// Memory of processes, as Linux tells it.
pub mod memory;

/// The two servers that are compared, each a process.
pub mod servers;
