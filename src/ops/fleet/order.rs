//! What an order for a migration says: who is meant, and at which pace.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::Platform;
use super::super::directory::tenant_find;
use super::{Pace, Selection};
use crate::error::{Error, Result};
use crate::ident::Subdomain;

/// No statement waits longer for a lock, in milliseconds.
const LONGEST_LOCK_TIMEOUT_MS: u64 = 3_600_000;

/// An order; what it leaves out is as in [`Selection`] and [`Pace`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// Subdomain of the only tenant that is meant.
    pub tenant: Option<String>,
    /// Only this pack, and what it requires.
    pub pack: Option<String>,
    /// Those in quarantine too.
    pub retry_failed: bool,
    /// Tenants at once.
    pub jobs: usize,
    /// So many tenants first.
    pub canary: usize,
    /// Ends of waves, in percent.
    pub waves: Vec<u8>,
    /// The run stops when more tenants than this have failed.
    pub max_failures: Option<usize>,
    /// How long a statement may wait for a lock.
    pub lock_timeout_ms: u64,
    /// Only to show the SQL and try it.
    #[serde(skip_serializing)]
    pub dry_run: bool,
    /// The run that it goes on from.
    #[serde(skip)]
    pub resumes: Option<Uuid>,
}

impl Default for Order {
    fn default() -> Self {
        let Pace { jobs, canary, waves, max_failures, lock_timeout } = Pace::default();
        let lock_timeout_ms = u64::try_from(lock_timeout.as_millis()).unwrap_or(LONGEST_LOCK_TIMEOUT_MS);
        let (tenant, pack, retry_failed, dry_run, resumes) = Default::default();
        Self { tenant, pack, retry_failed, jobs, canary, waves, max_failures, lock_timeout_ms, dry_run, resumes }
    }
}

impl Order {
    /// Which part of the fleet is meant.
    pub fn selection(&self) -> Selection {
        Selection { tenant: self.tenant.clone(), pack: self.pack.clone(), quarantined: self.retry_failed }
    }

    /// How it is migrated.
    pub fn pace(&self) -> Pace {
        Pace {
            jobs: self.jobs,
            canary: self.canary,
            waves: self.waves.clone(),
            max_failures: self.max_failures,
            lock_timeout: Duration::from_millis(self.lock_timeout_ms),
        }
    }

    /// Refuses what makes no sense, and names that nobody has: a slip is not taken for "nothing to do".
    pub async fn check(&self, platform: &Platform) -> Result<()> {
        self.form()?;
        if let Some(name) = &self.tenant {
            tenant_find(platform, name).await?;
        }
        match &self.pack {
            Some(code) => platform.catalog.packs().require(code).map(drop),
            None => Ok(()),
        }
    }

    fn form(&self) -> Result<()> {
        let mut faults = Error::validation();
        if self.jobs == 0 {
            faults = faults.field("#/jobs", "invalid_value", "must be a number from 1");
        }
        if self.tenant.as_deref().is_some_and(|name| Subdomain::new(name).is_err()) {
            faults = faults.field("#/tenant", "invalid_format", "is no subdomain");
        }
        for (at, _) in self.waves.iter().enumerate().filter(|(_, percent)| !(1..=100).contains(*percent)) {
            faults = faults.field(format!("#/waves/{at}"), "invalid_value", "must be a number from 1 to 100");
        }
        if !(1..=LONGEST_LOCK_TIMEOUT_MS).contains(&self.lock_timeout_ms) {
            let why = format!("must be a number from 1 to {LONGEST_LOCK_TIMEOUT_MS}");
            faults = faults.field("#/lock_timeout_ms", "invalid_value", why);
        }
        faults.if_any()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_again_and_what_is_left_out_is_usual() {
        let order = Order { tenant: Some("acme".into()), waves: vec![10, 50], ..Order::default() };
        let kept = serde_json::to_value(&order).unwrap();
        assert_eq!(serde_json::from_value::<Order>(kept).unwrap(), order);
        let empty: Order = serde_json::from_str("{}").unwrap();
        assert_eq!((empty.pace().jobs, empty.pace().lock_timeout), (4, Duration::from_secs(2)));
        assert!(serde_json::from_str::<Order>("{\"job\": 1}").is_err());
    }

    #[test]
    fn everything_that_makes_no_sense_is_named() {
        let bad = Order {
            jobs: 0,
            waves: vec![50, 101, 0],
            lock_timeout_ms: 0,
            tenant: Some("x".into()),
            ..Order::default()
        };
        let said = bad.form().unwrap_err().to_string();
        for field in ["#/tenant", "#/jobs", "#/waves/1", "#/waves/2", "#/lock_timeout_ms"] {
            assert!(said.contains(field), "{said}");
        }
        assert!(Order::default().form().is_ok());
    }
}
