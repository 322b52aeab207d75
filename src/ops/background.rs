//! Work on tenants that goes on after who asked for it was answered.
//!
//! What is refused at once is told to the caller. From the moment on in which the work is written down it depends on
//! nobody: its outcome stands in the journal, or in the runs of the fleet.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Platform;
use super::backup::{Tell, Told};
use super::fleet::{Leader, Order, migrate_fleet, verify_files};
use crate::db::By;
use crate::error::{Error, Kind, Result};

/// Connections of the control login that the copying of a tenant holds. A quarter of all is for such work.
const CONNECTIONS: usize = 2;

/// So many may follow runs at once; each looks several times a second.
const FOLLOWERS: usize = 16;

/// How long a place is waited for: who has read that work has ended is not told that it goes on.
const PATIENCE: Duration = Duration::from_secs(1);

/// When work that found no place may find one.
const SOON: Duration = Duration::from_secs(5);

/// The work of this process that nobody waits for.
pub struct Background {
    platform: Platform,
    tasks: TaskTracker,
    places: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Background {
    /// Nothing yet. On `stop`, no further tenant is migrated.
    pub fn new(platform: Platform, stop: CancellationToken) -> Self {
        let most = (platform.database.control_connections() / 4 / CONNECTIONS).max(1);
        let room = |most| Arc::new(Semaphore::new(most));
        Self { platform, tasks: TaskTracker::new(), places: room(most), followers: room(FOLLOWERS), stop }
    }

    /// A place for somebody who follows a run.
    ///
    /// # Errors
    /// `too_many_requests` when enough do.
    pub fn follow(&self) -> Result<OwnedSemaphorePermit> {
        self.followers.clone().try_acquire_owned().map_err(|_| crowded("Enough follow migrations at this moment."))
    }

    /// Begins to migrate the fleet; gives the key of the run. Half of the control connections are left to others.
    ///
    /// # Errors
    /// `conflict` while another run goes on.
    pub async fn migrate(&self, mut order: Order, by: &By) -> Result<Uuid> {
        order.check(&self.platform).await?;
        verify_files(&self.platform, order.tenant.as_deref()).await?;
        order.jobs = order.jobs.min((self.platform.database.control_connections() / 2).saturating_sub(1).max(1));
        let leader = Leader::claim(&self.platform, &order, by).await?;
        let (platform, stop, id) = (self.platform.clone(), self.stop.clone(), leader.id());
        self.tasks.spawn(async move {
            if let Err(error) = migrate_fleet(&platform, leader, &order, &stop, |_| {}).await {
                tracing::warn!(run = %id, context = error.private_context(), "a migration failed: {error}");
            }
        });
        Ok(id)
    }

    /// Begins work that writes itself into the journal; gives its key there.
    ///
    /// # Errors
    /// What the work refuses before, and `too_many_requests` when enough goes on already.
    pub async fn begin<T, F>(&self, work: impl FnOnce(Platform, Tell) -> F) -> Result<Uuid>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let enough = "Enough tenants are saved, restored or copied at this moment.";
        let place = timeout(PATIENCE, self.places.clone().acquire_owned()).await.map_err(|_| crowded(enough))?;
        let (begun, mut heard) = oneshot::channel();
        let waits = Arc::new(Mutex::new(Some(begun)));
        let told = waits.clone();
        let tell: Tell = Arc::new(move |news| {
            if let Told::Begun(id) = news
                && let Some(begun) = told.lock().unwrap_or_else(PoisonError::into_inner).take()
            {
                // A caller who has gone does not stop it.
                let _ = begun.send(id);
            }
        });
        let work = work(self.platform.clone(), tell);
        let mut task = self.tasks.spawn(async move {
            let outcome = work.await;
            drop(place);
            let nobody_waits = waits.lock().unwrap_or_else(PoisonError::into_inner).is_none();
            if let Err(error) = outcome.as_ref()
                && nobody_waits
            {
                tracing::info!(context = error.private_context(), "work on a tenant failed: {error}");
            }
            outcome.map(drop)
        });
        tokio::select! {
            biased;
            Ok(id) = &mut heard => Ok(id),
            ended = &mut task => {
                ended.map_err(Error::internal)??;
                Err(Error::internal("the work was not written down"))
            }
        }
    }

    /// Returns when nothing goes on any more.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn crowded(message: &str) -> Error {
    Error::new(Kind::TooMany, "too_many_requests", message).retry_after(SOON)
}
