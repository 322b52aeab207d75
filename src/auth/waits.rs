//! Waits that grow with wrong attempts from one address and in one tenant. Each process counts for itself; what counts
//! for an account stands in the database.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::limit::neighbourhood;
use crate::config;
use crate::error::{Error, Kind, Result};

const HOUR: f64 = 3600.0;
/// Counts that are kept; those that are paid off make room first.
const MOST_COUNTS: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Whose {
    Address(IpAddr),
    Tenant(Uuid),
}

/// Wrong attempts, melting at so many an hour as are free.
#[derive(Clone, Copy)]
struct Count {
    wrong: f64,
    since: Instant,
    free_at: Instant,
}

/// An attempt that was let through and counts as wrong until it is forgiven.
#[derive(Debug)]
#[must_use]
pub struct Guess {
    whose: [Whose; 2],
    at: Instant,
}

/// Who must wait before the next attempt is looked at.
pub struct Waits {
    per_address: u32,
    per_tenant: u32,
    longest: Duration,
    counts: Mutex<HashMap<Whose, Count>>,
}

impl Waits {
    /// Nobody has been wrong yet.
    pub fn new(settings: &config::Auth) -> Self {
        Self {
            per_address: settings.wrong_per_address,
            per_tenant: settings.wrong_per_tenant,
            longest: Duration::from_secs(settings.longest_wait_seconds.into()),
            counts: Mutex::default(),
        }
    }

    /// Counts an attempt before anything is known about it.
    ///
    /// # Errors
    /// [`too_many_wrong`] while the address or the tenant must wait; then it does not count.
    pub fn admit(&self, address: IpAddr, tenant: Uuid) -> Result<Guess> {
        self.admit_at(address, tenant, Instant::now()).map_err(too_many_wrong)
    }

    fn admit_at(&self, address: IpAddr, tenant: Uuid, now: Instant) -> Result<Guess, Duration> {
        let whose = [Whose::Address(neighbourhood(address)), Whose::Tenant(tenant)];
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let left = left(&counts, &whose, now);
        if !left.is_zero() {
            return Err(left);
        }
        if counts.len() + 2 > MOST_COUNTS {
            self.make_room(&mut counts, now);
        }
        for whose in whose {
            let free = self.free(whose);
            if free == 0 {
                continue;
            }
            let count = counts.entry(whose).or_insert(Count { wrong: 0.0, since: now, free_at: now });
            count.wrong = melted(count, free, now) + 1.0;
            (count.since, count.free_at) = (now, now + self.wait(count.wrong, free));
        }
        Ok(Guess { whose, at: now })
    }

    /// Seconds for which [`Waits::admit`] lets nobody through; the answer may be another one then.
    pub fn hold(&self, address: IpAddr, tenant: Uuid) -> i32 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let left = left(&counts, &[Whose::Address(neighbourhood(address)), Whose::Tenant(tenant)], Instant::now());
        i32::try_from(whole_seconds(left)).unwrap_or(i32::MAX)
    }

    /// The attempt was right, or was not looked at. Nobody waits for it, unless another was counted since.
    pub fn forgive(&self, guess: &Guess) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for whose in guess.whose {
            if let Some(count) = counts.get_mut(&whose) {
                count.wrong = (count.wrong - 1.0).max(0.0);
                if count.since == guess.at {
                    count.free_at = guess.at;
                }
            }
        }
    }

    fn free(&self, whose: Whose) -> u32 {
        match whose {
            Whose::Address(_) => self.per_address,
            Whose::Tenant(_) => self.per_tenant,
        }
    }

    fn wait(&self, wrong: f64, free: u32) -> Duration {
        match wrong.ceil() - f64::from(free) {
            beyond if beyond < 0.0 => Duration::ZERO,
            beyond => Duration::from_secs_f64(beyond.min(20.0).exp2()).min(self.longest),
        }
    }

    /// Should nearly all still count, all are forgiven: memory is bounded first.
    fn make_room(&self, counts: &mut HashMap<Whose, Count>, now: Instant) {
        counts.retain(|whose, count| melted(count, self.free(*whose), now) > 0.0);
        if counts.len() > MOST_COUNTS / 2 {
            counts.clear();
        }
    }
}

fn left(counts: &HashMap<Whose, Count>, whose: &[Whose; 2], now: Instant) -> Duration {
    let waits = whose.iter().filter_map(|whose| counts.get(whose));
    waits.map(|count| count.free_at.saturating_duration_since(now)).max().unwrap_or_default()
}

/// Part of a second is a second.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

fn melted(count: &Count, free: u32, now: Instant) -> f64 {
    let hours = now.saturating_duration_since(count.since).as_secs_f64() / HOUR;
    (count.wrong - hours * f64::from(free)).max(0.0)
}

/// The one answer to who tries too soon, whether there is such an account or not.
pub fn too_many_wrong(wait: Duration) -> Error {
    Error::new(Kind::TooMany, "too_many_requests", "Too many wrong attempts. Please try again later.")
        .hint("A device that has signed in before is not held up by others: it sends its `device_token` as `device`.")
        .retry_after(Duration::from_secs(whole_seconds(wait)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(per_address: u32, per_tenant: u32) -> Waits {
        Waits { per_address, per_tenant, longest: Duration::from_secs(900), counts: Mutex::default() }
    }

    const TENANT: Uuid = Uuid::from_u128(7);

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn waits_of_an_address_double_up_to_the_longest() {
        let (waits, mut now) = (waits(3, 0), Instant::now());
        for _ in 0..3 {
            assert!(waits.admit_at(address(1), TENANT, now).is_ok());
        }
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900] {
            let left = waits.admit_at(address(1), TENANT, now).unwrap_err();
            assert_eq!(left, Duration::from_secs(wait));
            assert!(waits.admit_at(address(2), TENANT, now).is_ok(), "another address is unaffected");
            waits.counts.lock().unwrap().remove(&Whose::Address(address(2)));
            now += left;
            waits.counts.lock().unwrap().get_mut(&Whose::Address(address(1))).unwrap().since = now;
            assert!(waits.admit_at(address(1), TENANT, now).is_ok());
        }
        assert!(waits.admit_at(address(1), TENANT, now + Duration::from_secs(10 * 3600)).is_ok(), "all is melted");
        assert!(waits.admit_at(address(1), TENANT, now + Duration::from_secs(10 * 3600)).is_ok());
    }

    #[test]
    fn addresses_of_a_tenant_count_together_and_right_ones_not_at_all() {
        let (waits, now) = (waits(0, 2), Instant::now());
        for n in 0..10 {
            waits.forgive(&waits.admit_at(address(n), TENANT, now).unwrap());
        }
        assert!(waits.admit_at(address(1), TENANT, now).is_ok() && waits.admit_at(address(2), TENANT, now).is_ok());
        assert!(waits.admit_at(address(3), TENANT, now).is_err());
        let later = now + Duration::from_secs(1);
        for _ in 0..3 {
            waits.forgive(&waits.admit_at(address(3), TENANT, later).unwrap());
        }
        assert!(waits.admit_at(address(3), Uuid::nil(), now).is_ok(), "another tenant");
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let (waits, now) = (waits(1, 0), Instant::now());
        for n in 0..2 * MOST_COUNTS as u32 {
            let _ = waits.admit_at(IpAddr::V4(n.into()), TENANT, now);
        }
        assert!(waits.counts.lock().unwrap().len() <= MOST_COUNTS);
    }
}
