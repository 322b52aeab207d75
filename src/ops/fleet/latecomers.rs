//! Tenants that are behind and are asked for: brought up to date at once, one flight per tenant. Between processes, the
//! lock of the tenant lets one do the work, and the others find it done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::super::Platform;
use super::{Pace, Selection, bring_up, gather, pending_tenants, verify_files};
use crate::error::{Error, Result};
use crate::tenant::Tenant;

/// How long a request waits for its tenant; the work goes on without it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A flight that did not help is not repeated for so long: as callers are told to wait.
const AGAIN: Duration = Duration::from_secs(5);

type Flight = Shared<BoxFuture<'static, ()>>;

/// Brings tenants up to date when they are asked for, where that is wanted.
pub struct Latecomers {
    platform: Platform,
    wanted: bool,
    /// Each needs a connection of the control login, of which a run may have half, and others need some.
    places: Arc<Semaphore>,
    flights: Mutex<HashMap<Uuid, (Instant, Flight)>>,
}

impl Latecomers {
    /// Nobody yet.
    pub fn new(platform: Platform, wanted: bool) -> Self {
        let places = (platform.database.control_connections() / 4).max(1);
        Self { platform, wanted, places: Arc::new(Semaphore::new(places)), flights: Mutex::default() }
    }

    /// Waits until a tenant is up to date as far as it can be.
    ///
    /// # Errors
    /// `refusal`, when it is not wanted or takes too long.
    pub async fn bring_up(&self, tenant: &Tenant, refusal: Error) -> Result<()> {
        if !self.wanted {
            return Err(refusal);
        }
        timeout(PATIENCE, self.flight(tenant)).await.map_err(|_| refusal)
    }

    fn flight(&self, tenant: &Tenant) -> Flight {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, (begun, flight)| flight.peek().is_none() || begun.elapsed() < AGAIN);
        let begin = || (Instant::now(), self.begin(tenant.subdomain.clone()));
        flights.entry(tenant.id).or_insert_with(begin).1.clone()
    }

    /// In a task of its own: a caller who goes away does not leave it half done.
    fn begin(&self, subdomain: String) -> Flight {
        let (platform, places) = (self.platform.clone(), self.places.clone());
        let work = tokio::spawn(async move {
            let _place = places.acquire_owned().await;
            match catch_up(&platform, &subdomain).await {
                Ok(0) => tracing::debug!(tenant = subdomain, "nothing may be brought up to date on request"),
                Ok(packs) => tracing::info!(tenant = subdomain, packs, "brought up to date on request"),
                Err(why) => tracing::warn!(tenant = subdomain, "cannot be brought up to date on request: {why}"),
            }
        });
        work.map(drop).boxed().shared()
    }
}

/// What failed at this version before is left to operators, and everything while they have the fleet stand still. Gives
/// how many packs are newer now.
async fn catch_up(platform: &Platform, subdomain: &str) -> Result<usize, String> {
    let said = |error: Error| format!("{error} {}", error.private_context());
    if stands_still(platform).await.map_err(said)? {
        return Ok(0);
    }
    verify_files(platform, Some(subdomain)).await.map_err(said)?;
    let selection = Selection { tenant: Some(subdomain.to_owned()), ..Selection::default() };
    let pending = pending_tenants(platform, &selection).await.map_err(said)?;
    let mut packs = 0;
    for behind in &gather(pending, &Selection::default()).0 {
        bring_up(platform, behind, &Pace::default()).await.map_err(|failed| failed.to_string())?;
        packs += behind.packs().len();
    }
    Ok(packs)
}

/// Whether the last run was paused, or stopped because too much failed.
async fn stands_still(platform: &Platform) -> Result<bool> {
    let sql = "select outcome in ('paused', 'stopped') or pause_asked_by is not null
        from public.migration_runs order by started_at desc limit 1";
    let last = platform.database.control().await?.query_opt(sql, &[]).await?;
    Ok(last.is_some_and(|row| row.get(0)))
}
