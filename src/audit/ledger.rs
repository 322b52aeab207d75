//! The chains where they lie: one in `public`, one in the schema of every tenant.

use std::sync::Arc;

use super::anchor::anchors;
use super::chain::{Damage, Fault, Follower, Link};
use crate::db::{Acting, BucketId, Database, Place, Scope, Seat, Transaction};
use crate::error::{Error, Result};
use crate::tenant::place_of;

/// Entries read at once.
const AT_ONCE: i64 = 5_000;

/// Version of the pack `system_admin` that brought the audit.
pub(super) const SINCE: i32 = 14;

/// Where a chain lies.
#[derive(Debug, Clone)]
pub enum Ledger {
    /// In `public`.
    Platform,
    /// In the schema of a tenant.
    Tenant {
        /// Its name in URLs.
        subdomain: String,
        /// Where it lives.
        place: Arc<Place>,
        /// The schema in which the chain began: another one where a copy took it over.
        origin: String,
    },
}

/// What a verification found.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    /// Entries that are sound.
    pub entries: i64,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
}

/// All chains: that of the platform, then those of tenants, or of one tenant only.
pub async fn ledgers(database: &Database, only: Option<&str>) -> Result<Vec<Ledger>> {
    let sql = "select t.id, t.schema_name, t.role_name, t.bucket_id, b.owner_role, t.timezone, t.subdomain,
          coalesce(t.audit_origin, t.schema_name)
        from public.tenants t
        join public.buckets b on b.id = t.bucket_id
        join public.tenant_packs p on p.tenant_id = t.id and p.pack = 'system_admin' and p.version >= $1
        where t.state in ('active', 'suspended') and ($2::text is null or t.subdomain = $2)
        order by t.subdomain";
    let rows = database.look_up(sql, &[&SINCE, &only]).await?;
    let tenants = rows.iter().map(|row| {
        let place = place_of(row.get(0), row.get(1), row.get(2), BucketId(row.get(3)), row.get(4), row.get(5))?;
        Ok(Ledger::Tenant { subdomain: row.get(6), place: Arc::new(place), origin: row.get(7) })
    });
    only.is_none().then_some(Ok(Ledger::Platform)).into_iter().chain(tenants).collect()
}

/// Follows a chain from its beginning to its end, past all its anchors, at one moment of the database.
pub async fn verify(database: &Database, ledger: &Ledger) -> Result<Verdict> {
    // Before the moment of the chain: an anchor that is set meanwhile may lie beyond it.
    let mut follower = Follower::new(ledger.origin(), anchors(database, ledger.schema()).await?);
    let mut tx = ledger.open(database).await?;
    let fault = follow(&mut tx, ledger, &mut follower).await?;
    let entries = follower.seq();
    let fault = match fault {
        None => ended(&mut tx, ledger, follower).await?,
        fault => fault,
    };
    tx.commit().await?;
    Ok(Verdict { entries, fault })
}

async fn follow(tx: &mut Transaction, ledger: &Ledger, follower: &mut Follower) -> Result<Option<Fault>> {
    loop {
        let rows = tx.query(ledger.entries(), &[&follower.seq(), &AT_ONCE]).await?;
        for row in &rows {
            let link = Link { seq: row.get(0), hash: row.get(1), content: row.get(2) };
            if let Err(fault) = follower.follow(&link) {
                return Ok(Some(fault));
            }
        }
        if i64::try_from(rows.len()).map_err(Error::internal)? < AT_ONCE {
            return Ok(None);
        }
    }
}

/// Entries from before the first, unnumbered ones, and what the chain itself remembers of its end.
async fn ended(tx: &mut Transaction, ledger: &Ledger, follower: Follower) -> Result<Option<Fault>> {
    let (events, head) = ledger.tables();
    let strange = format!("select count(*) filter (where seq < 1), count(*) filter (where seq is null) from {events}");
    let row = tx.query(&strange, &[]).await?.remove(0);
    if row.get::<_, i64>(0) > 0 {
        return Ok(Some(Fault { seq: 1, damage: Damage::Changed }));
    }
    if row.get::<_, i64>(1) > 0 {
        return Ok(Some(Fault { seq: follower.seq() + 1, damage: Damage::Unnumbered }));
    }
    let end = tx.query_opt(&format!("select seq, hash from {head}"), &[]).await?;
    Ok(match end {
        Some(row) => follower.end(row.get(0), row.get(1)).err(),
        None => Some(Fault { seq: follower.seq(), damage: Damage::End }),
    })
}

impl Ledger {
    /// The subdomain of the tenant.
    pub fn subdomain(&self) -> Option<&str> {
        match self {
            Self::Platform => None,
            Self::Tenant { subdomain, .. } => Some(subdomain),
        }
    }

    /// The schema that its first hash is made of.
    fn origin(&self) -> &str {
        match self {
            Self::Platform => "public",
            Self::Tenant { origin, .. } => origin,
        }
    }

    /// The schema, which names the chain.
    pub fn schema(&self) -> &str {
        match self {
            Self::Platform => "public",
            Self::Tenant { place, .. } => place.schema.as_str(),
        }
    }

    /// Numbers, hashes, and what they cover, made here of columns and not by a function of the database that is looked at.
    fn entries(&self) -> &'static str {
        match self {
            Self::Platform => include_str!("platform_entries.sql"),
            Self::Tenant { .. } => include_str!("tenant_entries.sql"),
        }
    }

    fn tables(&self) -> (&'static str, &'static str) {
        match self {
            Self::Platform => ("public.audit_events", "public.audit_head"),
            Self::Tenant { .. } => ("sys_audit_event", "sys_audit_head"),
        }
    }

    async fn open(&self, database: &Database) -> Result<Transaction> {
        let mut tx = match self {
            Self::Platform => database.control().await?.begin().await?,
            Self::Tenant { place, .. } => {
                let limit = database.long_work_timeout();
                database.begin(&Scope::write(place.clone(), Seat::Owner, Acting::service(), limit)).await?
            }
        };
        tx.batch("set transaction isolation level repeatable read, read only").await?;
        Ok(tx)
    }
}
