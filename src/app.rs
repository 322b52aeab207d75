//! Everything wired together: what a process of the service holds.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use crate::access::{Guest, Limits, Sessions};
use crate::audit::{Refusals, anchor};
use crate::auth::password::PasswordHasher;
use crate::auth::{Authenticator, Lives, Patience, Post, Signups, load_keyring};
use crate::billing::Gate;
use crate::config::Config;
use crate::db::seal::SealingKey;
use crate::db::{By, Database, listen, migrate_public, pending_public};
use crate::docs::Documents;
use crate::error::{Error, Result};
use crate::mail::Mailer;
use crate::ops::{
    Background, Event, Latecomers, Leader, Order, Platform, Selection, migrate_fleet, outdated_backups,
    pending_tenants, recover, restock, run_due_jobs, scheduled_backups, tidy,
};
use crate::pack::{Packs, load_catalog};
use crate::resource::Engine;
use crate::telemetry::metrics::Metrics;
use crate::tenant::Tenants;

const SWEEP_EVERY: Duration = Duration::from_secs(60);
const CLEAN_EVERY: Duration = Duration::from_secs(3600);
const RESTOCK_EVERY: Duration = Duration::from_secs(5);
const ANCHOR_EVERY: Duration = Duration::from_secs(300);

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

/// What a process of the service holds; shared by all its requests.
pub struct App {
    /// Settings in force.
    pub config: Config,
    /// Database and catalogue.
    pub platform: Platform,
    /// Which tenant a name means.
    pub tenants: Tenants,
    /// Which modules answer.
    pub gate: Gate,
    /// Who is signed in.
    pub sessions: Sessions,
    /// Who has not signed in.
    pub guest: Guest,
    /// How often everybody may ask.
    pub limits: Limits,
    /// Sign-in.
    pub authenticator: Authenticator,
    /// How letters leave.
    pub mailer: Arc<Mailer>,
    /// Letters on their way.
    pub post: Arc<Post>,
    /// Who may sign up now.
    pub signups: Signups,
    /// Password hashing.
    pub hasher: Arc<PasswordHasher>,
    /// What was refused.
    pub refusals: Refusals,
    /// Resources.
    pub engine: Engine,
    /// What the API says about itself.
    pub documents: Documents,
    /// Counters.
    pub metrics: &'static Metrics,
    /// Work on tenants that nobody waits for.
    pub background: Background,
    /// Tenants that are brought up to date because they are asked for.
    pub latecomers: Latecomers,
    /// Says that no new work is taken.
    pub draining: CancellationToken,
    /// Ends background work.
    pub stop: CancellationToken,
}

/// The door to the database, without the rest: for commands.
pub fn open_database(config: &Config) -> Result<Database> {
    if config.database.url.expose().is_empty() {
        return Err(Error::malformed("No database is configured.")
            .hint("Set DATABASE_URL=postgresql://user:password@host:5432/insula, or run `insula dev`."));
    }
    if config.encryption.key.expose().is_empty() {
        return Err(Error::malformed("No encryption key is configured.")
            .hint("Make one with `insula key generate` and set INSULA_ENCRYPTION_KEY or INSULA_ENCRYPTION_KEY_FILE."));
    }
    Database::new(config, SealingKey::from_base64(config.encryption.key.expose())?, &METRICS)
}

/// Database and catalogue, for commands on whole tenants. `public` must be up to date.
pub async fn open_platform(config: &Config) -> Result<Platform> {
    let database = open_database(config)?;
    let pending = pending_public(&database).await?;
    if !pending.is_empty() {
        return Err(behind(&format!("{} migrations of the public schema are pending", pending.len())));
    }
    let catalog = load_catalog(&database, Packs::load(&config.packs.path)?).await?;
    Ok(Platform { database, catalog: Arc::new(catalog) })
}

/// Brings `public` and all tenants up to date; gives what was done. Tenants that fail stay behind and hold up nobody.
pub async fn migrate_everything(config: &Config) -> Result<Vec<String>> {
    let database = open_database(config)?;
    let mut done = migrate_public(&database).await?;
    let platform = open_platform(config).await?;
    done.extend(recover(&platform).await?);
    let (everybody, by) = (Order::default(), By { name: "serve --migrate".to_owned(), origin: None });
    let leader = Leader::wait(&platform, &everybody, &by).await?;
    let (stop, told) = (CancellationToken::new(), RefCell::new(Vec::new()));
    let tell = |event: Event<'_>| match event {
        Event::Tenant(behind, Ok(())) => told.borrow_mut().extend(behind.packs().iter().map(ToString::to_string)),
        Event::Tenant(..) | Event::Wave(_) => {}
    };
    let summary = migrate_fleet(&platform, leader, &everybody, &stop, tell).await?;
    done.extend(told.into_inner());
    let left = summary.total - summary.migrated + summary.quarantined;
    if left > 0 {
        tracing::warn!("{left} tenants were not migrated and stay behind; see `insula migrate status`");
    }
    Ok(done)
}

fn behind(what: &str) -> Error {
    Error::unavailable(format!("The database is behind this program: {what}."))
        .hint("Run `insula migrate`, or start with `insula serve --migrate`.")
}

impl App {
    /// Opens everything, finishes what a dead process left behind, and starts listening for news.
    pub async fn start(config: Config) -> Result<Arc<Self>> {
        let platform = open_platform(&config).await?;
        for line in recover(&platform).await? {
            tracing::info!("recovered: {line}");
        }
        let pending = pending_tenants(&platform, &Selection::default()).await?;
        if let Some(first) = pending.first() {
            tracing::warn!(
                packs = pending.len(),
                first = format!("{} of {}", first.pack, first.subdomain),
                "tenants are behind this program: they are served as far as `min_version` of their packs allows; \
                 run `insula migrate`"
            );
        }
        let database = platform.database.clone();
        let mailer = Arc::new(Mailer::new(&config)?);
        let keyring = load_keyring(&database, &config.auth.issuer).await?;
        let hasher = Arc::new(PasswordHasher::new(config.auth.hashing_threads));
        let (lives, patience) = (Lives::from(&config.auth), Patience::from(&config.auth));
        let draining = CancellationToken::new();
        let app = Arc::new(Self {
            background: Background::new(platform.clone(), draining.clone()),
            latecomers: Latecomers::new(platform.clone(), config.tenants.migrate_on_request),
            signups: Signups::new(&config.signup),
            tenants: Tenants::new(database.clone(), &config.cache),
            gate: Gate::new(database.clone(), platform.catalog.clone(), &config.cache),
            sessions: Sessions::new(database.clone(), &platform.catalog.permissions(), &config.cache),
            guest: Guest::new(platform.catalog.guest_permissions()),
            limits: Limits::new(&config.limits),
            authenticator: Authenticator::new(database.clone(), keyring, hasher.clone(), lives, patience),
            refusals: Refusals::new(database.clone()),
            engine: Engine::new(database.clone(), platform.catalog.clone()),
            documents: Documents::new(platform.catalog.clone(), &config.domain),
            post: Arc::new(Post::new(database.clone(), mailer.clone(), &config)),
            mailer,
            metrics: &METRICS,
            draining,
            stop: CancellationToken::new(),
            hasher,
            config,
            platform,
        });
        tokio::spawn(sweep(app.clone()));
        tokio::spawn(anchor_audits(app.clone()));
        tokio::spawn(save_tenants(app.clone()));
        tokio::spawn(keep_schemas_ready(app.clone()));
        tokio::spawn(work_off_jobs(app.clone()));
        tokio::spawn(app.post.clone().deliver(app.stop.clone()));
        app.clone().follow_news().await;
        app.authenticator.keys.catch_up().await?;
        tokio::spawn(follow_keys(app.clone()));
        Ok(app)
    }

    /// Returns when news is heard: an answer that is cached from now on is dropped for a reason only. A database that
    /// went away meanwhile is waited for in the background, like one that goes away later.
    async fn follow_news(self: Arc<Self>) {
        let hearing = Arc::new(Notify::new());
        let (heard, stop, database) = (hearing.clone(), self.stop.clone(), self.platform.database.clone());
        let limit = Duration::from_millis(self.config.database.connect_timeout_ms);
        tokio::spawn(listen(database, stop, move |news| {
            self.tenants.hear(&news);
            self.gate.hear(&news);
            self.sessions.hear(&news);
            self.post.hear(&news);
            self.authenticator.keys.hear(&news);
            heard.notify_one();
        }));
        let _ = timeout(limit, hearing.notified()).await;
    }

    /// Where customers reach a tenant; without a path.
    pub fn tenant_url(&self, subdomain: &str) -> String {
        self.config.tenant_url(subdomain)
    }

    /// Ends background work and closes all connections.
    pub async fn shut_down(&self) {
        self.engine.drain().await;
        self.refusals.flush().await;
        self.stop.cancel();
        self.platform.database.close().await;
    }
}

async fn follow_keys(app: Arc<App>) {
    let lifetime = Duration::from_secs(app.config.cache.seconds);
    tokio::select! {
        () = app.stop.cancelled() => {}
        () = app.authenticator.keys.follow(lifetime) => {}
    }
}

/// Settles, once a minute, what other processes left behind when they died, and operators when they left; erases what is
/// due.
async fn sweep(app: Arc<App>) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    tick.tick().await;
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            _ = tick.tick() => {
                match recover(&app.platform).await {
                    Ok(lines) => lines.iter().for_each(|line| tracing::info!("recovered: {line}")),
                    Err(error) => tracing::warn!(context = error.private_context(), "cannot recover abandoned operations: {error}"),
                }
                match tidy(&app.platform).await {
                    Ok(lines) => lines.iter().for_each(|line| tracing::info!("tidied: {line}")),
                    Err(error) => tracing::warn!(context = error.private_context(), "cannot tidy: {error}"),
                }
                if let Err(error) = app.authenticator.settle_impersonations(&app.tenants).await {
                    tracing::warn!(context = error.private_context(), "cannot end sessions whose operator has left: {error}");
                }
            },
        }
    }
}

/// Saves tenants when it is time, where a folder for it is set, and removes there what is too old.
async fn save_tenants(app: Arc<App>) {
    let (platform, settings) = (&app.platform, &app.config.backup);
    if settings.folder.is_empty() {
        return;
    }
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let mut cleaned = None;
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = app.draining.cancelled() => return,
            _ = tick.tick() => {}
        }
        match scheduled_backups(platform, settings, &app.draining).await {
            Ok(lines) => lines.iter().for_each(|line| tracing::info!("backups: {line}")),
            Err(error) => tracing::warn!(context = error.private_context(), "no backups are made: {error}"),
        }
        if cleaned.is_none_or(|last: Instant| last.elapsed() >= CLEAN_EVERY) {
            cleaned = Some(Instant::now());
            match outdated_backups(platform, settings).await {
                Ok(lines) => lines.iter().for_each(|line| tracing::info!("backups: {line}")),
                Err(error) => tracing::warn!(context = error.private_context(), "old backups stay: {error}"),
            }
        }
    }
}

/// Makes schemas in advance, where they are wanted, and drops those that nobody wants.
async fn keep_schemas_ready(app: Arc<App>) {
    let number = app.config.tenants.ready_schemas;
    let mut tick = tokio::time::interval(if number == 0 { CLEAN_EVERY } else { RESTOCK_EVERY });
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if number == 0 {
        tick.tick().await;
    }
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = app.draining.cancelled() => return,
            _ = tick.tick() => {}
        }
        if let Err(error) = restock(&app.platform, number, &app.config.signup.plan).await {
            tracing::warn!(context = error.private_context(), "no schemas are made in advance: {error}");
        }
    }
}

/// Does, of what packs do by themselves, what is due and no other process does.
async fn work_off_jobs(app: Arc<App>) {
    let seconds = app.config.jobs.look_every_seconds;
    if seconds == 0 || app.platform.catalog.jobs().is_empty() {
        return;
    }
    let mut tick = tokio::time::interval(Duration::from_secs(seconds));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = app.draining.cancelled() => return,
            _ = tick.tick() => {}
        }
        let round = run_due_jobs(&app.platform, &app.tenants, &app.gate, &app.draining).await;
        if let Err(error) = round {
            tracing::warn!(context = error.private_context(), "cannot look for jobs that are due: {error}");
        }
    }
}

/// Notes from time to time how far the audits have come, and says so when one was tampered with.
async fn anchor_audits(app: Arc<App>) {
    let mut tick = tokio::time::interval(ANCHOR_EVERY);
    tick.tick().await;
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            _ = tick.tick() => match anchor(&app.platform.database).await {
                Ok(broken) => broken.iter().for_each(|schema| {
                    tracing::error!(schema, "the audit does not go on from where it was; see `insula check audit`");
                }),
                Err(error) => tracing::warn!(context = error.private_context(), "audits are not anchored: {error}"),
            },
        }
    }
}
