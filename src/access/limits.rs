//! How often a tenant and a credential may ask: the generic cell rate algorithm (ITU-T I.371), one number a key.
//!
//! A key's number is the moment at which all it has asked for is paid off, one request an interval. A request that would
//! put that moment more than a window ahead is refused. So a key may ask for a whole quota at once, and then again as
//! its debt melts. The clock is monotonic.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::config;
use crate::error::{Error, Kind, Result};

/// The window of all quotas, in nanoseconds.
const WINDOW_NS: u64 = 60_000_000_000;
const SHARDS: usize = 64;
/// Keys of a shard; those that owe nothing any more make room first.
const SHARD_KEYS: usize = 16 * 1024;

/// Where a key stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests a minute.
    pub quota: u32,
    /// Requests that are left at once.
    pub remaining: u32,
    /// Seconds until the whole quota is there again.
    pub reset_seconds: u64,
}

/// A request too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// Nothing is left.
    pub standing: Standing,
    /// When there is room for the next.
    pub wait: Duration,
}

impl From<Excess> for Error {
    fn from(excess: Excess) -> Self {
        Self::new(Kind::TooMany, "too_many_requests", "Too many requests.")
            .hint("The headers RateLimit and RateLimit-Policy say how many are left.")
            .retry_after(Duration::from_secs(excess.wait.as_secs() + 1))
    }
}

/// Where a key stands; nothing to say when its quota is switched off.
pub type Taken = Result<Option<Standing>, Excess>;

/// Quotas of tenants, of credentials, of callers who sign in, of those who send API keys that are none, and of those who have
/// not signed in.
pub struct Limits {
    began: Instant,
    tenants: Limiter,
    keys: Limiter,
    callers: Limiter,
    guesses: Limiter,
    guests: Limiter,
    all_guests: Limiter,
}

impl Limits {
    /// Quotas as configured; 0 switches one off.
    pub fn new(settings: &config::Limits) -> Self {
        Self {
            began: Instant::now(),
            tenants: Limiter::new(settings.tenant_per_minute),
            keys: Limiter::new(settings.key_per_minute),
            callers: Limiter::new(settings.sign_in_per_minute),
            guesses: Limiter::new(settings.sign_in_per_minute),
            guests: Limiter::new(settings.guest_per_minute),
            all_guests: Limiter::new(settings.guests_per_minute),
        }
    }

    /// Counts a request of a tenant.
    pub fn tenant(&self, tenant: Uuid) -> Taken {
        self.tenants.take(tenant.as_u128(), self.now())
    }

    /// Counts a request of a credential: a session, a key.
    pub fn key(&self, credential: Uuid) -> Taken {
        self.keys.take(credential.as_u128(), self.now())
    }

    /// Counts a request of an address that has not signed in; all of them together do not take what users have.
    pub fn guest(&self, tenant: Uuid, address: IpAddr) -> Taken {
        let standing = self.guests.take(from(tenant, address), self.now())?;
        self.all_guests.take(tenant.as_u128(), self.now()).map(|_| standing)
    }

    /// Counts an attempt to sign in to a tenant from an address.
    pub fn caller(&self, tenant: Uuid, address: IpAddr) -> Result<()> {
        Ok(self.callers.take(from(tenant, address), self.now()).map(drop)?)
    }

    /// Counts an API key that is none.
    pub fn guessed(&self, tenant: Uuid, address: IpAddr) {
        let _ = self.guesses.take(from(tenant, address), self.now());
    }

    /// Refuses an address from which too many API keys came that are none.
    pub fn may_guess(&self, tenant: Uuid, address: IpAddr) -> Result<()> {
        Ok(self.guesses.look(from(tenant, address), self.now())?)
    }

    /// Counts an attempt to sign in as an operator from an address.
    pub fn operator(&self, address: IpAddr) -> Result<()> {
        self.caller(Uuid::max(), address)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A tenant and an address as one number.
fn from(tenant: Uuid, address: IpAddr) -> u128 {
    let address = match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        // Whoever has one address of a network of 64 bits has all of them (RFC 6177).
        IpAddr::V6(address) => address.to_bits() >> 64,
    };
    tenant.as_u128() ^ address
}

/// The quota of one kind of keys.
struct Limiter {
    quota: u32,
    shards: [Mutex<HashMap<u128, u64, Mixer>>; SHARDS],
    mixer: Mixer,
}

impl Limiter {
    fn new(quota: u32) -> Self {
        let mixer = Mixer(RandomState::new().hash_one(SHARDS));
        Self { quota, shards: std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(mixer))), mixer }
    }

    /// Whether there would be room for one request at `now`, in nanoseconds.
    fn look(&self, key: u128, now: u64) -> Result<(), Excess> {
        if self.quota == 0 {
            return Ok(());
        }
        let interval = (WINDOW_NS / u64::from(self.quota)).max(1);
        let paid_off = self.shards[self.mixer.hash_one(key) as usize % SHARDS].lock();
        let owed = paid_off.unwrap_or_else(PoisonError::into_inner).get(&key).map_or(0, |at| at.saturating_sub(now));
        if owed + interval <= WINDOW_NS {
            return Ok(());
        }
        let standing = Standing { quota: self.quota, remaining: 0, reset_seconds: owed.div_ceil(1_000_000_000) };
        Err(Excess { standing, wait: Duration::from_nanos(owed + interval - WINDOW_NS) })
    }

    /// Takes one request at `now`, in nanoseconds.
    fn take(&self, key: u128, now: u64) -> Taken {
        if self.quota == 0 {
            return Ok(None);
        }
        let interval = (WINDOW_NS / u64::from(self.quota)).max(1);
        let shard = &self.shards[self.mixer.hash_one(key) as usize % SHARDS];
        let mut paid_off = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if paid_off.len() >= SHARD_KEYS && !paid_off.contains_key(&key) {
            make_room(&mut paid_off, now);
        }
        let owed = paid_off.get(&key).map_or(0, |at| at.saturating_sub(now));
        let debt = owed + interval;
        let standing = |debt: u64| Standing {
            quota: self.quota,
            // Who comes with an earlier time than another, who was served first, owes more than there is.
            remaining: u32::try_from(WINDOW_NS.saturating_sub(debt) / interval).unwrap_or(u32::MAX),
            reset_seconds: debt.div_ceil(1_000_000_000),
        };
        if debt > WINDOW_NS {
            return Err(Excess { standing: standing(owed), wait: Duration::from_nanos(debt - WINDOW_NS) });
        }
        paid_off.insert(key, now + debt);
        Ok(Some(standing(debt)))
    }
}

/// Who owes nothing is as good as new. Should all owe something, all are forgiven: memory is bounded first.
fn make_room(paid_off: &mut HashMap<u128, u64, Mixer>, now: u64) {
    paid_off.retain(|_, at| *at > now);
    if paid_off.len() >= SHARD_KEYS {
        paid_off.clear();
    }
}

/// Keys are random or few, so mixing them with a secret is enough.
#[derive(Clone, Copy)]
struct Mixer(u64);

struct Mixed(u64);

impl BuildHasher for Mixer {
    type Hasher = Mixed;

    fn build_hasher(&self) -> Mixed {
        Mixed(self.0)
    }
}

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let mixed = (self.0 ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.0 = mixed ^ (mixed >> 29);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_quota_counts_down_is_refused_beyond_and_comes_back() {
        let limiter = Limiter::new(3);
        let left: Vec<u32> = (0..3).map(|_| limiter.take(1, SECOND).unwrap().unwrap().remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        let refused = limiter.take(1, SECOND).unwrap_err();
        assert_eq!((refused.standing.remaining, refused.wait), (0, Duration::from_secs(20)));
        assert_eq!(limiter.take(2, SECOND).unwrap().unwrap().remaining, 2, "another key is unaffected");
        let standing = limiter.take(1, 22 * SECOND).unwrap().unwrap();
        assert_eq!(standing, Standing { quota: 3, remaining: 0, reset_seconds: 59 });
        assert_eq!(limiter.take(1, 200 * SECOND).unwrap().unwrap().remaining, 2, "all is paid off");
    }

    #[test]
    fn who_read_the_clock_before_another_and_comes_after_him_is_refused_like_all() {
        let limiter = Limiter::new(3);
        (0..3).for_each(|_| assert!(limiter.take(1, 2 * SECOND).is_ok()));
        assert_eq!(limiter.take(1, SECOND).unwrap_err().standing.remaining, 0);
    }

    #[test]
    fn looking_takes_nothing_and_sees_when_nothing_is_left() {
        let limiter = Limiter::new(1);
        assert!((0..9).all(|_| limiter.look(1, SECOND).is_ok()));
        limiter.take(1, SECOND).unwrap().unwrap();
        assert_eq!(limiter.look(1, SECOND), Err(limiter.take(1, SECOND).unwrap_err()));
        assert!(limiter.look(1, 61 * SECOND).is_ok() && limiter.look(2, SECOND).is_ok());
    }

    #[test]
    fn a_quota_of_nothing_is_no_limit() {
        let limiter = Limiter::new(0);
        assert!((0..1000).all(|_| limiter.take(1, 0).unwrap().is_none()));
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let limiter = Limiter::new(10);
        for key in 0..(SHARDS * SHARD_KEYS * 2) as u128 {
            limiter.take(key, 0).unwrap();
        }
        assert!(limiter.shards.iter().all(|shard| shard.lock().unwrap().len() <= SHARD_KEYS));
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let settings = config::Limits {
            tenant_per_minute: 0,
            key_per_minute: 0,
            sign_in_per_minute: 1,
            guest_per_minute: 0,
            guests_per_minute: 0,
        };
        let (limits, tenant) = (Limits::new(&settings), Uuid::from_u128(7));
        let from = |address: &str| limits.caller(tenant, address.parse().unwrap());
        assert!(from("2001:db8::1").is_ok() && from("2001:db8::2").is_err() && from("2001:db8:0:1::1").is_ok());
        assert!(from("192.0.2.1").is_ok() && from("::ffff:192.0.2.1").is_err());
    }
}
