//! A cache of answers about tenants that cannot serve what was already news.
//!
//! Every key falls on one of a fixed number of generation counters. An entry remembers the generation in which its
//! load *began*; an invalidation advances the counter. So a load that began before an invalidation is never served,
//! however long it took, and dropping everything is advancing all counters.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::error::{Error, Kind, Result};

const GENERATIONS: usize = 1024;

/// How often a load that was overtaken by news is repeated before its answer is given without being kept.
const ATTEMPTS: usize = 3;

/// How long the outcome of a load is kept for those who waited for it.
const JOINING: Duration = Duration::from_secs(1);

/// A key of a cache, and what news about it names: often the key itself, or something that stands for many keys.
pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {
    /// What is invalidated together.
    type Group: Hash;

    /// The group of this key.
    fn group(&self) -> &Self::Group;
}

impl Key for String {
    type Group = Self;

    fn group(&self) -> &Self {
        self
    }
}

impl Key for Uuid {
    type Group = Self;

    fn group(&self) -> &Self {
        self
    }
}

/// A loaded answer.
pub struct Loaded<V> {
    /// The answer.
    pub value: V,
    /// When it changes by itself, for example at the end of a trial.
    pub valid_for: Option<Duration>,
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    generation: u64,
    loaded: Instant,
    valid_for: Option<Duration>,
}

impl<V> Entry<V> {
    fn boundary_passed(&self) -> bool {
        self.valid_for.is_some_and(|limit| self.loaded.elapsed() >= limit)
    }
}

/// A bounded cache; answers are at most `lifetime` old even when news is lost.
pub struct Cache<K, V> {
    entries: moka::future::Cache<K, Entry<V>>,
    /// Loads under way, apart from the entries: while one runs, and when it fails, the last answer is still there.
    loading: moka::future::Cache<K, Entry<V>>,
    generations: Box<[AtomicU64]>,
    hasher: RandomState,
    lifetime: Duration,
}

impl<K, V> Cache<K, V>
where
    K: Key,
    V: Clone + Send + Sync + 'static,
{
    /// An empty cache. While the database is down, answers up to twice `lifetime` old are served.
    pub fn new(lifetime: Duration, capacity: u64) -> Self {
        let kept = |time| moka::future::Cache::builder().max_capacity(capacity).time_to_live(time).build();
        let (entries, loading) = (kept(lifetime * 2), kept(JOINING));
        let generations = (0..GENERATIONS).map(|_| AtomicU64::new(0)).collect();
        Self { entries, loading, generations, hasher: RandomState::new(), lifetime }
    }

    /// The answer for `key`, loading it once for all who wait. Failures are not kept.
    pub async fn get<L, F>(&self, key: &K, load: L) -> Result<V>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Loaded<V>>>,
    {
        let kept = self.entries.get(key).await;
        match kept {
            Some(entry) if self.is_current(key, &entry) && entry.loaded.elapsed() < self.lifetime => Ok(entry.value),
            stale => self.reload(key, load, stale).await,
        }
    }

    /// The answer for `key` from the database, whatever is cached: before refusing somebody who may just have paid.
    pub async fn fresh<L, F>(&self, key: &K, load: L) -> Result<V>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Loaded<V>>>,
    {
        self.reload(key, load, None).await
    }

    /// Forgets the answers of a group, and any load of them that is under way.
    pub fn invalidate(&self, group: &K::Group) {
        self.generation(group).fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets all answers.
    pub fn invalidate_all(&self) {
        for generation in &self.generations {
            generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    async fn reload<L, F>(&self, key: &K, load: L, stale: Option<Entry<V>>) -> Result<V>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Loaded<V>>>,
    {
        let mut attempt = 1;
        loop {
            self.loading.invalidate(key).await;
            let loading = async {
                let generation = self.generation(key.group()).load(Ordering::Acquire);
                let Loaded { value, valid_for } = load().await?;
                let entry = Entry { value, generation, loaded: Instant::now(), valid_for };
                self.entries.insert(key.clone(), entry.clone()).await;
                Ok(entry)
            };
            match self.loading.try_get_with(key.clone(), loading).await {
                Ok(entry) if self.is_current(key, &entry) || attempt == ATTEMPTS => return Ok(entry.value),
                Ok(_) => attempt += 1,
                Err(error) => return self.last_known(key, stale, Arc::unwrap_or_clone(error)),
            }
        }
    }

    /// With the database down, the last answer stands for a bounded time unless it was revoked meanwhile.
    fn last_known(&self, key: &K, stale: Option<Entry<V>>, error: Error) -> Result<V> {
        match stale {
            Some(entry) if error.kind() == Kind::Unavailable && self.is_current(key, &entry) => Ok(entry.value),
            _ => Err(error),
        }
    }

    fn is_current(&self, key: &K, entry: &Entry<V>) -> bool {
        entry.generation == self.generation(key.group()).load(Ordering::Acquire) && !entry.boundary_passed()
    }

    fn generation(&self, group: &K::Group) -> &AtomicU64 {
        let slot = self.hasher.hash_one(group) as usize % GENERATIONS;
        &self.generations[slot]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    const ONE: Uuid = Uuid::from_u128(1);
    const TWO: Uuid = Uuid::from_u128(2);

    fn cache() -> Cache<Uuid, usize> {
        Cache::new(Duration::from_secs(60), 100)
    }

    fn counted(counter: &AtomicUsize) -> Loaded<usize> {
        Loaded { value: counter.fetch_add(1, Ordering::SeqCst), valid_for: None }
    }

    #[tokio::test]
    async fn a_thousand_callers_load_once() {
        let (cache, loads) = (cache(), AtomicUsize::new(0));
        let load = || async {
            tokio::task::yield_now().await;
            Ok(counted(&loads))
        };
        let all = (0..1000).map(|_| cache.get(&ONE, load));
        assert!(futures_util::future::join_all(all).await.into_iter().all(|value| value.unwrap() == 0));
    }

    #[tokio::test]
    async fn a_load_that_began_before_an_invalidation_is_not_served() {
        let (cache, loads) = (cache(), AtomicUsize::new(0));
        let load = || async {
            let loaded = counted(&loads);
            if loaded.value == 0 {
                cache.invalidate(&ONE);
            }
            Ok(loaded)
        };
        assert_eq!(cache.get(&ONE, load).await.unwrap(), 1);
        assert_eq!(cache.get(&ONE, load).await.unwrap(), 1, "the second load is kept");
    }

    #[tokio::test]
    async fn an_answer_ends_at_its_own_boundary_and_failures_are_not_kept() {
        let (cache, loads) = (cache(), AtomicUsize::new(0));
        let short = || async { Ok(Loaded { valid_for: Some(Duration::ZERO), ..counted(&loads) }) };
        assert_eq!(cache.get(&ONE, short).await.unwrap(), 2, "never current, so given after the last attempt");
        let down = || async { Err::<Loaded<usize>, _>(Error::unavailable("down")) };
        assert!(cache.get(&TWO, down).await.is_err());
        assert_eq!(cache.get(&TWO, || async { Ok(counted(&loads)) }).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn with_the_database_down_the_last_answer_stands_for_everybody_unless_revoked() {
        let (cache, loads) = (Cache::<Uuid, usize>::new(Duration::from_secs(60), 100), AtomicUsize::new(7));
        let up = || async { Ok(counted(&loads)) };
        for key in [ONE, TWO] {
            cache.get(&key, up).await.unwrap();
        }
        // The answers come of age.
        for key in [ONE, TWO] {
            let entry = cache.entries.get(&key).await.unwrap();
            let aged = Entry { loaded: entry.loaded.checked_sub(Duration::from_secs(61)).unwrap(), ..entry };
            cache.entries.insert(key, aged).await;
        }
        let down = || async {
            tokio::task::yield_now().await;
            Err::<Loaded<usize>, _>(Error::unavailable("down"))
        };
        for _ in 0..3 {
            assert_eq!(cache.get(&ONE, down).await.unwrap(), 7, "one after the other");
        }
        let all = futures_util::future::join_all((0..100).map(|_| cache.get(&ONE, down))).await;
        assert!(all.into_iter().all(|value| value.unwrap() == 7), "and all at once");
        cache.invalidate(&ONE);
        assert!(cache.get(&ONE, down).await.is_err(), "what was revoked is not served");
        assert!(cache.get(&ONE, down).await.is_err());
        assert_eq!(cache.get(&TWO, down).await.unwrap(), 8);
        assert_eq!(cache.get(&TWO, up).await.unwrap(), 9, "and back again");
    }
}
