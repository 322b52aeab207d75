//! Tenants as the registry knows them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_postgres::Row;
use uuid::Uuid;

use super::cache::{Cache, Loaded};
use super::resolve::Host;
use crate::config;
use crate::db::{BucketId, Database, News, Place, Topic};
use crate::error::{Error, Kind, Result};
use crate::ident::Ident;

/// Where a tenant is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Being made; not reachable.
    Provisioning,
    /// In service.
    Active,
    /// Closed for now by an operator or for an unpaid bill.
    Suspended,
    /// Being removed, or removed; not reachable.
    Gone,
}

impl State {
    fn read(text: &str) -> Self {
        match text {
            "provisioning" => Self::Provisioning,
            "active" => Self::Active,
            "suspended" => Self::Suspended,
            _ => Self::Gone,
        }
    }
}

/// A customer organisation.
#[derive(Debug)]
pub struct Tenant {
    /// Its key.
    pub id: Uuid,
    /// Its name in URLs.
    pub subdomain: String,
    /// Its name for people.
    pub name: String,
    /// Where it is in its life.
    pub state: State,
    /// Whether it is a copy to try things in: no letter leaves it.
    pub sandbox: bool,
    /// Where it lives in PostgreSQL.
    pub place: Arc<Place>,
}

const COLUMNS: &str =
    "t.id, t.subdomain, t.name, t.state, t.schema_name, t.role_name, t.bucket_id, b.owner_role, t.timezone, t.sandbox";

impl Tenant {
    fn read(row: &Row) -> Result<Self> {
        let place = place_of(row.get(0), row.get(4), row.get(5), BucketId(row.get(6)), row.get(7), row.get(8))?;
        let state = State::read(row.get(3));
        let (subdomain, name, sandbox) = (row.get(1), row.get(2), row.get(9));
        Ok(Self { id: row.get(0), subdomain, name, state, sandbox, place: Arc::new(place) })
    }

    /// Whether callers may learn that it exists.
    pub fn is_known(&self) -> bool {
        matches!(self.state, State::Active | State::Suspended)
    }

    /// Refuses a tenant that is not in service.
    pub fn in_service(self: Arc<Self>) -> Result<Arc<Self>> {
        match self.state {
            State::Active => Ok(self),
            State::Suspended => Err(Error::new(Kind::Forbidden, "tenant_suspended", "This account is suspended.")
                .hint("The owner of the account can find out more from the provider.")),
            State::Provisioning | State::Gone => Err(tenant_not_found()),
        }
    }
}

/// A place from its registered names.
pub fn place_of(
    tenant: Uuid,
    schema: String,
    role: String,
    bucket: BucketId,
    owner: String,
    timezone: &str,
) -> Result<Place> {
    let (schema, role, owner) = (Ident::new(schema)?, Ident::new(role)?, Ident::new(owner)?);
    Ok(Place { tenant, bucket, schema, role, owner, timezone: timezone.into() })
}

/// There is no such tenant, or none that may be reached.
pub fn tenant_not_found() -> Error {
    Error::new(Kind::NotFound, "tenant_not_found", "There is no account under this address.")
}

/// How long it is remembered that there is no tenant of a name or key, unless news say otherwise.
const UNKNOWN: Duration = Duration::from_secs(5);

/// Look-ups of names at once: made-up hosts must not take all connections to the registry.
const NAME_LOOKUPS: usize = 2;

/// The registry, cached: names to keys, keys to tenants; that there is none is an answer too.
pub struct Tenants {
    database: Database,
    names: Cache<String, Option<Uuid>>,
    tenants: Cache<Uuid, Option<Arc<Tenant>>>,
    moves: Cache<String, Option<String>>,
    lookups: Semaphore,
}

impl Tenants {
    /// Empty caches over a database.
    pub fn new(database: Database, settings: &config::Cache) -> Self {
        let lifetime = Duration::from_secs(settings.seconds);
        let (names, tenants) = (Cache::new(lifetime, settings.capacity), Cache::new(lifetime, settings.capacity));
        let moves = Cache::new(lifetime, settings.capacity);
        Self { database, names, tenants, moves, lookups: Semaphore::new(NAME_LOOKUPS) }
    }

    /// The tenant that a host means, if the host is a tenant's at all.
    pub async fn by_host(&self, host: &Host) -> Result<Option<Arc<Tenant>>> {
        match host {
            Host::Neutral | Host::Admin => Ok(None),
            Host::Subdomain(name) => self.by_subdomain(name).await.map(Some),
            // Both kinds of names share a cache, and only the dot tells them apart.
            Host::Custom(name) if name.contains('.') => {
                let sql =
                    "select d.tenant_id from public.tenant_domains d where d.domain = $1 and d.verified_at is not null";
                self.by_name(name, sql).await.map(Some)
            }
            Host::Custom(_) => Err(tenant_not_found()),
        }
    }

    /// The tenant of a subdomain.
    pub async fn by_subdomain(&self, name: &str) -> Result<Arc<Tenant>> {
        if name.contains('.') {
            return Err(tenant_not_found());
        }
        let sql = "select id from public.tenants where subdomain = $1 and state <> 'deleted'";
        self.by_name(name, sql).await
    }

    /// The tenant of a schema; asked anew each time.
    pub async fn by_schema(&self, schema: &str) -> Result<Arc<Tenant>> {
        let sql = "select id from public.tenants where schema_name = $1 and state <> 'deleted'";
        let row = self.database.look_up(sql, &[&schema]).await?.pop();
        self.by_id(row.ok_or_else(tenant_not_found)?.get(0)).await
    }

    async fn by_name(&self, name: &str, sql: &'static str) -> Result<Arc<Tenant>> {
        let key = name.to_owned();
        let id = self.names.get(&key, || self.find(name, sql)).await?;
        self.by_id(id.ok_or_else(tenant_not_found)?).await
    }

    async fn find(&self, name: &str, sql: &'static str) -> Result<Loaded<Option<Uuid>>> {
        let _turn = self.lookups.acquire().await.map_err(Error::internal)?;
        let row = self.database.look_up(sql, &[&name]).await?.pop();
        Ok(found(row.map(|row| row.get(0))))
    }

    /// The name that a tenant has now which gave up this one, for as long as it leads there.
    pub async fn moved(&self, name: &str) -> Result<Option<String>> {
        let key = name.to_owned();
        self.moves.get(&key, || self.find_moved(name)).await
    }

    async fn find_moved(&self, name: &str) -> Result<Loaded<Option<String>>> {
        let _turn = self.lookups.acquire().await.map_err(Error::internal)?;
        let sql = "select t.subdomain, extract(epoch from r.redirect_until - now())::float8
            from public.reserved_subdomains r join public.tenants t on t.id = r.tenant_id
            where r.subdomain = $1 and r.redirect_until > now() and t.state in ('active', 'suspended')";
        let row = self.database.look_up(sql, &[&name]).await?.pop();
        let valid_for = row.as_ref().map_or(UNKNOWN, |row| Duration::from_secs_f64(row.get::<_, f64>(1).max(0.0)));
        Ok(Loaded { value: row.map(|row| row.get(0)), valid_for: Some(valid_for) })
    }

    /// The tenant of a key.
    pub async fn by_id(&self, id: Uuid) -> Result<Arc<Tenant>> {
        self.tenants.get(&id, || self.load(id)).await?.ok_or_else(tenant_not_found)
    }

    async fn load(&self, id: Uuid) -> Result<Loaded<Option<Arc<Tenant>>>> {
        let sql = format!(
            "select {COLUMNS} from public.tenants t join public.buckets b on b.id = t.bucket_id where t.id = $1"
        );
        let row = self.database.look_up(&sql, &[&id]).await?.pop();
        Ok(found(row.map(|row| Tenant::read(&row).map(Arc::new)).transpose()?))
    }

    /// Drops the answer for a tenant at once, without waiting for the news of an own change.
    pub fn forget(&self, id: Uuid) {
        self.tenants.invalidate(&id);
    }

    /// Drops what is known of a tenant made just now, among it that there was none.
    pub fn forget_new(&self, id: Uuid, subdomain: &str) {
        self.names.invalidate(&subdomain.to_owned());
        self.tenants.invalidate(&id);
    }

    /// Drops what news made old.
    pub fn hear(&self, news: &News) {
        match news {
            News::Changed(Topic::Name, name) => {
                self.names.invalidate(name);
                // Another name of somebody else may lead to this one.
                self.moves.invalidate_all();
            }
            News::Changed(Topic::Tenant, id) => match id.parse() {
                Ok(id) => self.tenants.invalidate(&id),
                Err(_) => self.tenants.invalidate_all(),
            },
            News::Changed(..) => {}
            News::Resync => {
                self.names.invalidate_all();
                self.moves.invalidate_all();
                self.tenants.invalidate_all();
            }
        }
    }
}

fn found<V>(value: Option<V>) -> Loaded<Option<V>> {
    let valid_for = value.is_none().then_some(UNKNOWN);
    Loaded { value, valid_for }
}
