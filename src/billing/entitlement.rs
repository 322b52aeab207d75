//! Entitlements: may this tenant use this module now?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use uuid::Uuid;

use crate::config;
use crate::db::{Database, News, Topic};
use crate::error::{Error, Kind, Result};
use crate::pack::Catalog;
use crate::tenant::{Cache, Loaded};

/// The module without which no tenant works.
const CORE: &str = "system_admin";

/// One module of a tenant.
#[derive(Debug, Clone, Serialize)]
pub struct Entitlement {
    /// The module's code.
    pub code: String,
    /// Its name for people.
    pub name: String,
    /// Whether it answers now.
    pub enabled: bool,
    /// Why: `plan`, `subscription`, `override`, `dependency`, `kill_switch` or `none`.
    pub source: String,
    /// When this changes by itself (RFC 3339), if it does.
    pub expires_at: Option<String>,
    #[serde(skip)]
    hidden: bool,
    /// Version of its pack in the tenant; 0 = not installed.
    #[serde(skip)]
    version: i32,
    /// Its pack, or one that it requires, is older than this program can serve.
    #[serde(skip)]
    behind: bool,
}

/// All modules of a tenant, and what its plan limits.
#[derive(Debug)]
pub struct Entitlements {
    modules: BTreeMap<String, Entitlement>,
    user_limit: Option<i64>,
}

impl Entitlements {
    /// Whether a module answers now.
    pub fn allows(&self, module: &str) -> bool {
        self.modules.get(module).is_some_and(|entitlement| entitlement.enabled)
    }

    fn is_behind(&self, module: &str) -> bool {
        self.modules.get(module).is_some_and(|entitlement| entitlement.behind)
    }

    /// How many users the plan allows; nothing, when it does not say.
    pub fn user_limit(&self) -> Option<i64> {
        self.user_limit
    }

    /// Refuses a module that does not answer now.
    pub fn require(&self, module: &str) -> Result<()> {
        match self.modules.get(module) {
            Some(entitlement) if entitlement.enabled && entitlement.behind => Err(updating(module)),
            Some(entitlement) if entitlement.enabled => Ok(()),
            _ => Err(not_enabled(module)),
        }
    }

    /// What a customer sees: everything that is sold.
    pub fn visible(&self) -> impl Iterator<Item = &Entitlement> {
        self.modules.values().filter(|entitlement| !entitlement.hidden)
    }

    /// Codes of the modules that answer now.
    pub fn enabled(&self) -> impl Iterator<Item = &str> {
        self.modules.values().filter(|entitlement| entitlement.enabled).map(|entitlement| entitlement.code.as_str())
    }

    /// Marks what waits for a migration: a module is as old as the oldest pack that it needs.
    fn with_versions(mut self, catalog: &Catalog) -> Self {
        let versions: BTreeMap<String, i32> =
            self.modules.iter().map(|(code, entitlement)| (code.clone(), entitlement.version)).collect();
        let version = |code: &str| versions.get(code).copied().unwrap_or_default();
        for (code, entitlement) in &mut self.modules {
            let needed = catalog.packs().with_requirements(code);
            entitlement.behind = needed.iter().any(|pack| version(&pack.manifest.code) < pack.min_version());
        }
        self
    }

    /// Hidden modules come along with those that require them, unless they were switched off for everybody.
    fn with_dependencies(mut self, catalog: &Catalog) -> Self {
        let needed: Vec<String> = self
            .enabled()
            .flat_map(|code| catalog.packs().with_requirements(code))
            .map(|pack| pack.manifest.code.clone())
            .collect();
        for entitlement in
            self.modules.values_mut().filter(|entitlement| entitlement.hidden && entitlement.source == "none")
        {
            if needed.contains(&entitlement.code) {
                entitlement.enabled = true;
                "dependency".clone_into(&mut entitlement.source);
            }
        }
        self
    }
}

/// The gate before modules, cached per tenant. Refusals are not cached: who has just paid gets in at once.
pub struct Gate {
    database: Database,
    catalog: Arc<Catalog>,
    cache: Cache<Uuid, Arc<Entitlements>>,
}

impl Gate {
    /// An empty cache over a database.
    pub fn new(database: Database, catalog: Arc<Catalog>, settings: &config::Cache) -> Self {
        let cache = Cache::new(Duration::from_secs(settings.seconds), settings.capacity);
        Self { database, catalog, cache }
    }

    /// What a tenant may use now.
    pub async fn entitlements(&self, tenant: Uuid) -> Result<Arc<Entitlements>> {
        self.cache.get(&tenant, || self.load(tenant)).await
    }

    /// What a tenant may use, with `module` among it; refuses a module that the tenant has not enabled.
    pub async fn pass(&self, tenant: Uuid, module: &str) -> Result<Arc<Entitlements>> {
        let known = self.entitlements(tenant).await?;
        if known.require(module).is_ok() {
            return Ok(known);
        }
        let fresh = self.cache.fresh(&tenant, || self.load(tenant)).await?;
        fresh.require(module).map(|()| fresh)
    }

    /// Refuses a tenant whose users and sessions are kept in tables that are too old to be read.
    pub async fn works(&self, tenant: Uuid) -> Result<()> {
        if !self.entitlements(tenant).await?.is_behind(CORE) {
            return Ok(());
        }
        let fresh = self.cache.fresh(&tenant, || self.load(tenant)).await?;
        if fresh.is_behind(CORE) { Err(updating(CORE)) } else { Ok(()) }
    }

    async fn load(&self, tenant: Uuid) -> Result<Loaded<Arc<Entitlements>>> {
        let sql = "select module_code, module_name, hidden, enabled, source, expires_at,
                to_char(expires_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), public.tenant_user_limit($1),
                coalesce(p.version, 0)
            from public.tenant_entitlements($1, $2)
            left join public.tenant_packs p on p.tenant_id = $1 and p.pack = module_code";
        let now = SystemTime::now();
        let rows = self.database.look_up(sql, &[&tenant, &now]).await?;
        let next_change = rows.iter().filter_map(|row| row.get::<_, Option<SystemTime>>(5)).min();
        let modules = rows.iter().map(|row| {
            let code: String = row.get(0);
            let (name, hidden, enabled, source) = (row.get(1), row.get(2), row.get(3), row.get(4));
            let (expires_at, version) = (row.get(6), row.get(8));
            (code.clone(), Entitlement { code, name, enabled, source, expires_at, hidden, version, behind: false })
        });
        let user_limit = rows.first().and_then(|row| row.get(7));
        let entitlements = Entitlements { modules: modules.collect(), user_limit };
        let entitlements = entitlements.with_dependencies(&self.catalog).with_versions(&self.catalog);
        let valid_for = next_change.map(|at| at.duration_since(now).unwrap_or_default());
        Ok(Loaded { value: Arc::new(entitlements), valid_for })
    }

    /// Drops the answer for a tenant at once, without waiting for the news of an own change.
    pub fn forget(&self, tenant: Uuid) {
        self.cache.invalidate(&tenant);
    }

    /// Drops what news made old.
    pub fn hear(&self, news: &News) {
        match news {
            News::Changed(Topic::Modules, id) => match id.parse() {
                Ok(id) => self.cache.invalidate(&id),
                Err(_) => self.cache.invalidate_all(),
            },
            News::Changed(..) => {}
            News::Resync => self.cache.invalidate_all(),
        }
    }
}

/// The sentence is part of the contract.
fn not_enabled(module: &str) -> Error {
    let detail = format!("Module '{module}' is not enabled for your account. Please upgrade your subscription.");
    Error::new(Kind::Forbidden, "module_not_enabled", detail)
}

/// How long callers wait before they ask again; news of the migration comes within a second of it.
const UPDATING: Duration = Duration::from_secs(5);

fn updating(module: &str) -> Error {
    let detail =
        format!("Module '{module}' is being brought up to date for your account. Please try again in a moment.");
    Error::new(Kind::Unavailable, "module_updating", detail).retry_after(UPDATING)
}
