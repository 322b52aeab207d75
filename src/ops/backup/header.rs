//! What stands at the beginning of a backup: of whom it is, and what of him it holds.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The first record of a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The moment whose data it is (RFC 3339).
    pub made_at: String,
    /// The program that made it.
    pub program: String,
    /// The installation that it is from.
    pub instance: String,
    /// Whose data it is.
    pub tenant: Subject,
    /// What he has bought.
    pub terms: Terms,
    /// Packs with the versions of their tables.
    pub packs: Vec<Held>,
    /// Tables in the order in which they follow.
    pub tables: Vec<Table>,
    /// Where sequences stand.
    pub sequences: Vec<Sequence>,
}

impl Header {
    /// The schema in which the audit began whose entries it holds; none when it holds none.
    pub fn audit_origin(&self) -> Option<&str> {
        let has = self.tables.iter().any(|table| table.name == "sys_audit_head");
        has.then_some(self.tenant.audit_origin.as_str())
    }

    /// Whether it holds a column.
    pub fn holds(&self, table: &str, column: &str) -> bool {
        self.tables.iter().any(|t| t.name == table && t.columns.iter().any(|c| c == column))
    }

    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// The tenant of a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its key.
    pub id: Uuid,
    /// Its name in URLs at the time.
    pub subdomain: String,
    /// Its name for people.
    pub name: String,
    /// IANA name of its time zone.
    pub timezone: String,
    /// The schema in which its audit began.
    pub audit_origin: String,
}

/// What a tenant has bought.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Plan or edition.
    pub plan: Option<String>,
    /// Modules beside it.
    pub modules: Vec<String>,
    /// An operator's word on single modules.
    pub overrides: Vec<Override>,
}

/// An operator's word on a module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The module.
    pub module: String,
    /// On or off.
    pub enabled: bool,
    /// Why.
    pub reason: String,
}

/// A pack at a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Its code.
    pub pack: String,
    /// How many of its files are applied.
    pub version: i32,
    /// SHA-256 of each of them in hexadecimal; empty when they are not known.
    pub digests: Vec<String>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Columns in the order of the values.
    pub columns: Vec<String>,
    /// How many rows follow.
    pub rows: u64,
}

/// A sequence.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// The last number that it gave, if any.
    pub last: Option<i64>,
}
