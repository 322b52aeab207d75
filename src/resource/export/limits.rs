//! How many exports run at once: each holds a connection for as long as its reader takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::error::{Error, Kind, Result};

/// Exports of one tenant at once.
const PER_TENANT: usize = 2;

/// Counts the exports of a process.
#[derive(Clone)]
pub struct Exports {
    running: Arc<Mutex<HashMap<Uuid, usize>>>,
    most: usize,
    limit: Duration,
}

/// A place among the running exports, given back when it is dropped.
pub struct Place {
    exports: Exports,
    tenant: Uuid,
}

impl Exports {
    /// Room for `most` exports, none of which takes longer than `limit`.
    pub fn new(most: usize, limit: Duration) -> Self {
        Self { running: Arc::default(), most, limit }
    }

    /// How long one may take, from its first row to the reader's last.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// A place for a tenant's export.
    pub fn enter(&self, tenant: Uuid) -> Result<Place> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let own = running.get(&tenant).copied().unwrap_or_default();
        if own >= PER_TENANT || running.values().sum::<usize>() >= self.most {
            return Err(Error::new(Kind::TooMany, "too_many_requests", "Too many exports are running at this moment.")
                .retry_after(Duration::from_secs(5)));
        }
        running.insert(tenant, own + 1);
        Ok(Place { exports: self.clone(), tenant })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.exports.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = running.get_mut(&self.tenant) {
            *own -= 1;
            if *own == 0 {
                running.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_few_places_and_leaves_some_to_others() {
        let (exports, one, two) = (Exports::new(3, Duration::from_secs(1)), Uuid::from_u128(1), Uuid::from_u128(2));
        let places = [exports.enter(one).unwrap(), exports.enter(one).unwrap()];
        assert_eq!(exports.enter(one).err().unwrap().code(), "too_many_requests");
        let other = exports.enter(two).unwrap();
        assert!(exports.enter(two).is_err(), "three in all");
        drop(places);
        assert!(exports.enter(two).is_ok());
        drop(other);
        assert!(exports.running.lock().unwrap().is_empty());
    }
}
