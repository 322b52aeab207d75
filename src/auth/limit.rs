//! How many strangers may make us work, at once and in an hour.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Signup;
use crate::error::{Error, Kind, Result};

const HOUR: Duration = Duration::from_secs(3600);

/// How long somebody waits who came while all places were taken.
const SOON: Duration = Duration::from_secs(2);

/// Sign-ups at once and in the last hour. Remembers no more of them than are allowed in an hour in all.
pub struct Signups {
    places: Arc<Semaphore>,
    hourly: usize,
    hourly_per_address: usize,
    recent: Mutex<VecDeque<(Instant, IpAddr)>>,
}

impl Signups {
    /// Nobody has come yet.
    pub fn new(settings: &Signup) -> Self {
        Self {
            places: Arc::new(Semaphore::new(settings.at_once)),
            hourly: settings.hourly,
            hourly_per_address: settings.hourly_per_address,
            recent: Mutex::default(),
        }
    }

    /// A place for a sign-up from an address, held until it is dropped.
    ///
    /// # Errors
    /// `too_many_requests`, with the time until it is worth another try.
    pub fn admit(&self, address: IpAddr) -> Result<OwnedSemaphorePermit> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| too_many(SOON))?;
        self.count(neighbourhood(address), Instant::now()).map_err(too_many)?;
        Ok(place)
    }

    /// Counts one more, or says how long the oldest that stands in its way will still do so.
    fn count(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.front().is_some_and(|(at, _)| now.duration_since(*at) >= HOUR) {
            recent.pop_front();
        }
        let own: Vec<Instant> = recent.iter().filter(|(_, from)| *from == address).map(|(at, _)| *at).collect();
        let oldest = match own.first() {
            _ if recent.len() >= self.hourly => recent.front().map(|(at, _)| *at),
            _ if own.len() < self.hourly_per_address => {
                recent.push_back((now, address));
                return Ok(());
            }
            oldest => oldest.copied(),
        };
        Err(oldest.map_or(HOUR, |at| HOUR.saturating_sub(now.duration_since(at))))
    }
}

/// Whoever has one IPv6 address has the 2^64 of its network.
pub(super) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

fn too_many(wait: Duration) -> Error {
    Error::new(Kind::TooMany, "too_many_requests", "Too many new accounts at once. Please try again later.")
        .retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signups(at_once: usize, hourly: usize, hourly_per_address: usize) -> Signups {
        Signups { places: Arc::new(Semaphore::new(at_once)), hourly, hourly_per_address, recent: Mutex::default() }
    }

    #[test]
    fn an_hour_holds_so_many_of_an_address_and_in_all() {
        let (limit, start) = (signups(9, 3, 2), Instant::now());
        let [a, b, c] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|text| text.parse().unwrap());
        let minute = |n: u64| start + Duration::from_secs(60 * n);
        assert_eq!(limit.count(a, minute(0)), Ok(()));
        assert_eq!(limit.count(a, minute(10)), Ok(()));
        assert_eq!(limit.count(a, minute(20)), Err(Duration::from_secs(60 * 40)), "the first one ends at 60");
        assert_eq!(limit.count(b, minute(30)), Ok(()));
        assert_eq!(limit.count(c, minute(40)), Err(Duration::from_secs(60 * 20)), "three in all");
        assert_eq!(limit.count(c, minute(60)), Ok(()));
        assert_eq!(limit.count(a, minute(61)), Err(Duration::from_secs(60 * 9)));
        assert_eq!(limit.recent.lock().unwrap().len(), 3);
    }

    #[test]
    fn a_place_is_free_again_when_the_work_is_done() {
        let limit = signups(1, 9, 9);
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        let place = limit.admit(address).unwrap();
        assert_eq!(limit.admit(address).unwrap_err().retry_after_hint(), Some(SOON));
        drop(place);
        assert!(limit.admit(address).is_ok());
    }

    #[test]
    fn a_network_counts_as_one() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:0:0:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let [one, other] = [one, other].map(|text| neighbourhood(text.parse().unwrap()));
            assert_eq!(one == other, same, "{one} {other}");
        }
    }
}
