//! How much long work runs at once: each holds a connection for as long as it takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::db::BucketId;
use crate::error::{Error, Kind, Result};

/// When a place may have become free.
const SOON: Duration = Duration::from_secs(5);

/// Counts the long work of one kind in this process, bucket by bucket.
#[derive(Clone)]
pub struct Places {
    running: Arc<Mutex<HashMap<(BucketId, Uuid), usize>>>,
    kind: &'static str,
    most: usize,
    per_tenant: usize,
}

/// A place among the running work, given back when it is dropped.
pub struct Place {
    places: Places,
    key: (BucketId, Uuid),
}

impl Places {
    /// Room for `most` of a kind in each bucket, named in the plural, and for so many of one tenant.
    pub fn new(kind: &'static str, most: usize, per_tenant: usize) -> Self {
        Self { running: Arc::default(), kind, most, per_tenant }
    }

    /// A place for a tenant's work; `too_many_requests` when there is none.
    pub fn enter(&self, bucket: BucketId, tenant: Uuid) -> Result<Place> {
        let (mut running, key) = (self.running.lock().unwrap_or_else(PoisonError::into_inner), (bucket, tenant));
        let own = running.get(&key).copied().unwrap_or_default();
        let all: usize = running.iter().filter(|((of, _), _)| *of == bucket).map(|(_, count)| count).sum();
        if own >= self.per_tenant || all >= self.most {
            let message = format!("Too many {} are running at this moment.", self.kind);
            return Err(Error::new(Kind::TooMany, "too_many_requests", message).retry_after(SOON));
        }
        running.insert(key, own + 1);
        Ok(Place { places: self.clone(), key })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.places.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = running.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                running.remove(&self.key);
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
        let enter = |bucket, tenant| exports.enter(BucketId(bucket), tenant);
        let places = [enter(1, one).unwrap(), enter(1, one).unwrap()];
        assert_eq!(enter(1, one).err().unwrap().code(), "too_many_requests");
        let other = enter(1, two).unwrap();
        assert!(enter(1, two).is_err(), "three in all");
        assert!(enter(2, two).is_ok(), "another bucket has connections of its own");
        drop(places);
        assert!(enter(1, two).is_ok());
        drop(other);
        assert!(exports.running.lock().unwrap().is_empty());
    }
}
