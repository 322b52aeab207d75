//! How much long work runs at once: each holds a connection for as long as it takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::error::{Error, Kind, Result};

/// When a place may have become free.
const SOON: Duration = Duration::from_secs(5);

/// Counts the long work of one kind in this process.
#[derive(Clone)]
pub struct Places {
    running: Arc<Mutex<HashMap<Uuid, usize>>>,
    kind: &'static str,
    most: usize,
    per_tenant: usize,
}

/// A place among the running work, given back when it is dropped.
pub struct Place {
    places: Places,
    tenant: Uuid,
}

impl Places {
    /// Room for `most` of a kind, named in the plural, and for so many of one tenant.
    pub fn new(kind: &'static str, most: usize, per_tenant: usize) -> Self {
        Self { running: Arc::default(), kind, most, per_tenant }
    }

    /// A place for a tenant's work; `too_many_requests` when there is none.
    pub fn enter(&self, tenant: Uuid) -> Result<Place> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let own = running.get(&tenant).copied().unwrap_or_default();
        if own >= self.per_tenant || running.values().sum::<usize>() >= self.most {
            let message = format!("Too many {} are running at this moment.", self.kind);
            return Err(Error::new(Kind::TooMany, "too_many_requests", message).retry_after(SOON));
        }
        running.insert(tenant, own + 1);
        Ok(Place { places: self.clone(), tenant })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.places.running.lock().unwrap_or_else(PoisonError::into_inner);
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
        let (exports, one, two) = (Places::new("exports", 3, 2), Uuid::from_u128(1), Uuid::from_u128(2));
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
