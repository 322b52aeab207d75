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
    /// Each needs a connection of the control login, of which half are left to others.
    places: Arc<Semaphore>,
    flights: Mutex<HashMap<Uuid, (Instant, Flight)>>,
}

impl Latecomers {
    /// Nobody yet.
    pub fn new(platform: Platform, wanted: bool) -> Self {
        let places = (platform.database.control_connections() / 2).max(1);
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
                Ok(()) => tracing::info!(tenant = subdomain, "brought up to date on request"),
                Err(why) => tracing::warn!(tenant = subdomain, "cannot be brought up to date on request: {why}"),
            }
        });
        work.map(drop).boxed().shared()
    }
}

/// What failed at this version before is left to operators.
async fn catch_up(platform: &Platform, subdomain: &str) -> Result<(), String> {
    let said = |error: Error| format!("{error} {}", error.private_context());
    verify_files(platform, Some(subdomain)).await.map_err(said)?;
    let selection = Selection { tenant: Some(subdomain.to_owned()), ..Selection::default() };
    let mut pending = pending_tenants(platform, &selection).await.map_err(said)?;
    pending.retain(|item| !item.quarantined);
    for behind in &gather(pending, &selection).0 {
        bring_up(platform, behind, &Pace::default()).await.map_err(|failed| failed.to_string())?;
    }
    Ok(())
}
