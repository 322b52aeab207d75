//! Advisory locks of a whole installation. Those of tenants and operations are made of their keys.

/// What is done by one process at a time. Two of the same number would not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i64)]
pub enum Lock {
    /// Migrating `public`.
    PublicSchema = 0x1_6e5_0a1,
    /// Making the template schema.
    Template = 0x1_6e5_0a2,
    /// Migrating the fleet.
    Fleet = 0x1_6e5_0a3,
    /// Making a bucket.
    Buckets = 0x1_6e5_0a4,
    /// Saving tenants by schedule.
    Backups = 0x1_6e5_0a5,
    /// Making and dropping schemas in advance.
    ReadySchemas = 0x1_6e5_0a7,
    /// Rotating the keys of access tokens.
    SigningKeys = 0x1_6e5_0a8,
    /// Anchoring the audits.
    AuditAnchors = 0x1_6e5_0a9,
}

impl Lock {
    /// Its key in PostgreSQL.
    pub const fn key(self) -> i64 {
        self as i64
    }
}
