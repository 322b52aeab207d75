//! How many connections may be open: together, and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::peer::Proxies;

/// Room for connections.
pub struct Room {
    all: Arc<Semaphore>,
    each: usize,
    proxies: Proxies,
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection's place; free again when dropped.
pub struct Seat {
    address: IpAddr,
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _place: OwnedSemaphorePermit,
}

impl Room {
    /// Room for so many at all, and so many from each address; 0 = as many as there are places.
    pub fn new(all: usize, each: usize, proxies: Proxies) -> Self {
        let each = if each == 0 { all } else { each };
        Self { all: Arc::new(Semaphore::new(all)), each, proxies, addresses: Arc::default() }
    }

    /// Waits for a place; `None` when there will be none any more.
    pub async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.all.clone().acquire_owned().await.ok()
    }

    /// Gives the place to an address, unless it has its share; trusted proxies stand for many.
    pub fn seat(&self, place: OwnedSemaphorePermit, address: IpAddr) -> Option<Seat> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let held = addresses.entry(address).or_default();
        if *held >= self.each && !self.proxies.trust(address.to_canonical()) {
            return None;
        }
        *held += 1;
        Some(Seat { address, addresses: self.addresses.clone(), _place: place })
    }
}

impl Seat {
    /// Who sits here.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = addresses.get_mut(&self.address) {
            *held -= 1;
            if *held == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}
