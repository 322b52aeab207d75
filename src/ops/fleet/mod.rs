//! The fleet to the newest version of its packs: several tenants at once, in waves, each by itself.
//!
//! A pack of a tenant is one transaction with its version, so a run that dies is resumed by the next: what is done stays
//! done. What others hold is tried again after growing waits; what is refused is written down, put into quarantine, and
//! the others go on.

mod apply;
mod latecomers;
mod leader;
mod log;
mod order;
mod pending;
mod record;
mod runs;
mod trial;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use apply::Fault;
pub use latecomers::Latecomers;
pub use leader::{Leader, running_migration};
pub use order::Order;
pub use pending::{Pending, Selection, Trouble, pending_tenants, troubled_tenants, verify_files};
pub use runs::{
    PackVersion, Run, RunEvent, fleet_versions, pause_migration, resumed_order, run_events, run_list, run_show,
};
pub use trial::{Rehearsal, rehearse};

use self::log::Log;
use super::Platform;
use crate::error::Result;

/// How the fleet is migrated.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Tenants at once; no more than the control pool has connections for.
    pub jobs: usize,
    /// So many tenants first: when one of them fails, no other is touched.
    pub canary: usize,
    /// Ends of waves, in percent of all tenants. A wave with failures beyond `max_failures` is the last.
    pub waves: Vec<u8>,
    /// The run stops when more tenants than this have failed; without a number it goes on, waves apart.
    pub max_failures: Option<usize>,
    /// How long a statement may wait for a lock, with the tenant's users waiting behind it.
    pub lock_timeout: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let lock_timeout = Duration::from_secs(2);
        Self { jobs: 4, canary: 0, waves: Vec::new(), max_failures: None, lock_timeout }
    }
}

/// A tenant with what it lacks, in the order of its packs.
#[derive(Default)]
pub struct Behind {
    packs: Vec<Pending>,
    /// Packs that failed before and are not tried.
    left_out: Vec<String>,
}

impl Behind {
    /// Its name in URLs.
    pub fn subdomain(&self) -> &str {
        self.packs.first().map_or("", |item| &item.subdomain)
    }

    /// Its packs.
    pub fn packs(&self) -> &[Pending] {
        &self.packs
    }

    fn tenant(&self) -> Option<Uuid> {
        self.packs.first().map(|item| item.place.tenant)
    }
}

/// What is told while it goes on.
pub enum Event<'a> {
    /// So many tenants are worked on next.
    Wave(usize),
    /// A tenant is up to date, or failed at a pack.
    Tenant(&'a Behind, Result<(), &'a Failed>),
}

/// The packs of a tenant that failed.
pub struct Failed(pub Vec<(String, Fault)>);

/// What came of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    /// Tenants to be migrated.
    pub total: usize,
    /// Tenants that are up to date now.
    pub migrated: usize,
    /// Tenants that failed.
    pub failed: usize,
    /// Tenants left out, because they failed before.
    pub quarantined: usize,
    /// Why it ended before it had seen all of them.
    pub halt: Option<Halt>,
}

/// Why a run ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// Somebody asked the process that runs it.
    Asked,
    /// Somebody asked for a pause, from wherever.
    Paused,
    /// One of the first tenants failed.
    Canary,
    /// More failed than was allowed.
    Failures,
}

impl Halt {
    /// How it is written down; a pause is an outcome of its own.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Asked => Some("asked"),
            Self::Paused => None,
            Self::Canary => Some("canary"),
            Self::Failures => Some("failures"),
        }
    }
}

impl Summary {
    fn outcome(&self) -> &'static str {
        match (self.halt, self.failed + self.quarantined) {
            (Some(Halt::Paused), _) => "paused",
            (Some(_), _) => "stopped",
            (None, 0) => "done",
            (None, _) => "partly",
        }
    }
}

/// Brings what is pending up to date, tells of each tenant, and gives the lead back.
pub async fn migrate_fleet(
    platform: &Platform,
    mut leader: Leader,
    order: &Order,
    stop: &CancellationToken,
    tell: impl Fn(Event<'_>),
) -> Result<Summary> {
    let outcome = lead(platform, &mut leader, order, stop, tell).await;
    match (leader.end(&outcome).await, outcome) {
        (Err(error), Ok(_)) => Err(error),
        (_, outcome) => outcome,
    }
}

async fn lead(
    platform: &Platform,
    leader: &mut Leader,
    order: &Order,
    stop: &CancellationToken,
    tell: impl Fn(Event<'_>),
) -> Result<Summary> {
    let (selection, pace) = (order.selection(), order.pace());
    verify_files(platform, selection.tenant.as_deref()).await?;
    pending::adopt_files(platform).await?;
    let (tenants, quarantined) = gather(pending_tenants(platform, &selection).await?, &selection);
    leader.begin(tenants.len(), quarantined).await?;
    let (log, pause, over) = (Log::default(), stop.child_token(), CancellationToken::new());
    let mut course = Course {
        platform,
        pace: &pace,
        stop,
        pause: &pause,
        failed: AtomicUsize::new(0),
        migrated: AtomicUsize::new(0),
        summary: Summary { total: tenants.len(), quarantined, ..Summary::default() },
    };
    let told = |event: Event<'_>| {
        log.note(&event);
        tell(event);
    };
    let work = async {
        course.waves(tenants, &told).await;
        over.cancel();
    };
    let (followed, ()) = future::join(leader.follow(&log, &pause, &over), work).await;
    followed?;
    let (failed, migrated) = (course.failed.into_inner(), course.migrated.into_inner());
    Ok(Summary { failed, migrated, ..course.summary })
}

/// Tenants with what they lack, and how many are left out.
fn gather(pending: Vec<Pending>, selection: &Selection) -> (Vec<Behind>, usize) {
    let mut tenants: BTreeMap<String, Behind> = BTreeMap::new();
    for item in pending {
        let behind = tenants.entry(item.subdomain.clone()).or_default();
        if selection.takes(&item) {
            behind.packs.push(item);
        } else {
            behind.left_out.push(item.pack);
        }
    }
    let left_out = tenants.values().filter(|behind| !behind.left_out.is_empty()).count();
    (tenants.into_values().filter(|behind| !behind.packs.is_empty()).collect(), left_out)
}

/// A run under way.
struct Course<'a> {
    platform: &'a Platform,
    pace: &'a Pace,
    stop: &'a CancellationToken,
    /// No further tenant is taken; cancelled with `stop`.
    pause: &'a CancellationToken,
    failed: AtomicUsize,
    migrated: AtomicUsize,
    summary: Summary,
}

impl Course<'_> {
    async fn waves(&mut self, mut tenants: Vec<Behind>, tell: &impl Fn(Event<'_>)) {
        for (number, size) in wave_sizes(tenants.len(), self.pace).into_iter().enumerate() {
            let rest = tenants.split_off(size.min(tenants.len()));
            let canary = number == 0 && self.pace.canary > 0;
            tell(Event::Wave(tenants.len()));
            let whole = self.wave(tenants, canary, tell).await;
            let failed = self.failed.load(Ordering::Relaxed);
            self.summary.halt = match failed {
                _ if self.pause.is_cancelled() && !(whole && rest.is_empty()) => Some(self.asked()),
                1.. if canary => Some(Halt::Canary),
                failed if failed > self.allowed(!self.pace.waves.is_empty()) => Some(Halt::Failures),
                _ => self.summary.halt,
            };
            tenants = rest;
            if self.summary.halt.is_some() {
                return;
            }
        }
    }

    /// Works on so many tenants at once, and takes no further one when it is time to stop. Says whether all were taken.
    async fn wave(&self, tenants: Vec<Behind>, canary: bool, tell: &impl Fn(Event<'_>)) -> bool {
        let number = tenants.len();
        let begun = AtomicUsize::new(0);
        let allowed = if canary { 0 } else { self.allowed(false) };
        let goes_on = |_: &Behind| {
            let go = !self.pause.is_cancelled() && self.failed.load(Ordering::Relaxed) <= allowed;
            begun.fetch_add(usize::from(go), Ordering::Relaxed);
            future::ready(go)
        };
        stream::iter(tenants)
            .take_while(goes_on)
            .map(|behind| async move {
                let outcome = bring_up(self.platform, &behind, self.pace).await;
                (behind, outcome)
            })
            .buffer_unordered(self.pace.jobs.clamp(1, most_jobs(self.platform)))
            .for_each(|(behind, outcome)| {
                let counter = if outcome.is_ok() { &self.migrated } else { &self.failed };
                counter.fetch_add(1, Ordering::Relaxed);
                tell(Event::Tenant(&behind, outcome.as_ref().copied()));
                future::ready(())
            })
            .await;
        begun.into_inner() == number
    }

    fn asked(&self) -> Halt {
        if self.stop.is_cancelled() { Halt::Asked } else { Halt::Paused }
    }

    fn allowed(&self, in_waves: bool) -> usize {
        self.pace.max_failures.unwrap_or(if in_waves { 0 } else { usize::MAX })
    }
}

/// The packs of a tenant, one after the other; what requires a pack that failed is not tried.
async fn bring_up(platform: &Platform, behind: &Behind, pace: &Pace) -> Result<(), Failed> {
    let mut failed: Vec<(String, Fault)> = Vec::new();
    for item in behind.packs() {
        let needs = platform.catalog.packs().with_requirements(&item.pack);
        let lacks = |code: &String| needs.iter().any(|pack| pack.manifest.code == *code);
        if behind.left_out.iter().chain(failed.iter().map(|(code, _)| code)).any(lacks) {
            continue;
        }
        if let Err(fault) = apply::bring_up(platform, item, pace).await {
            failed.push((item.pack.clone(), fault));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failed(failed)) }
}

/// How many tenants can be worked on at once: one connection is the leader's, and one stays free for what is written down.
pub fn most_jobs(platform: &Platform) -> usize {
    platform.database.control_connections().saturating_sub(2).max(1)
}

/// How many tenants each wave has: the canaries, then up to each percentage, then the others.
fn wave_sizes(total: usize, pace: &Pace) -> Vec<usize> {
    let ends = pace.waves.iter().map(|percent| (total * usize::from(*percent)).div_ceil(100));
    let canary = (pace.canary > 0).then_some(pace.canary);
    let mut done = 0;
    let mut sizes = Vec::new();
    for end in canary.into_iter().chain(ends).chain([total]) {
        let end = end.min(total);
        if end > done {
            sizes.push(end - done);
            done = end;
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_follow_the_canaries_and_end_with_everybody() {
        let sizes =
            |total, canary, waves: &[u8]| wave_sizes(total, &Pace { canary, waves: waves.to_vec(), ..Pace::default() });
        assert_eq!(sizes(100, 0, &[]), [100]);
        assert_eq!(sizes(100, 3, &[]), [3, 97]);
        assert_eq!(sizes(100, 3, &[10, 50]), [3, 7, 40, 50]);
        assert_eq!(sizes(5, 10, &[50]), [5]);
        assert_eq!(sizes(0, 1, &[]), [0_usize; 0]);
    }
}
