//! What the benchmarks are made of.

#![allow(dead_code, reason = "each benchmark uses its own part of it")]

/// The private PostgreSQL and the tenants in it.
pub mod estate;

/// Files of many rows.
pub mod exports;

/// Floods, and what goes on beside them.
pub mod flood;

/// The load generator.
pub mod load;

/// Memory of processes, as Linux tells it.
pub mod memory;

/// The two servers that are compared, each a process.
pub mod servers;
