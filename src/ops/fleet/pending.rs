//! What is behind, and what tenants hold that this program does not have.

use std::fmt;
use std::time::SystemTime;

use serde::Serialize;
use tokio_postgres::Row;

use super::super::Platform;
use crate::db::{BucketId, Place};
use crate::error::{Error, Result};
use crate::tenant::place_of;

/// A pack that a tenant lacks or has in an old version.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Subdomain of the tenant.
    pub subdomain: String,
    /// The pack.
    pub pack: String,
    /// Version in the tenant; 0 = not installed.
    pub from: i32,
    /// Newest version.
    pub to: i32,
    /// It failed at this version before: it is left out unless it is named.
    pub quarantined: bool,
    pub(super) place: Place,
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {} → {}", self.subdomain, self.pack, self.from, self.to)
    }
}

/// Which part of the fleet is meant.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only this tenant.
    pub tenant: Option<String>,
    /// Only this pack, and what it requires.
    pub pack: Option<String>,
    /// Those in quarantine too. A tenant that is named is meant even so.
    pub quarantined: bool,
}

impl Selection {
    /// Whether something that is behind is to be worked on.
    pub fn takes(&self, pending: &Pending) -> bool {
        !pending.quarantined || self.quarantined || self.tenant.is_some()
    }
}

/// Everything that is behind, in one query: old versions, and packs of modules that were sold before this binary
/// carried them.
pub async fn pending_tenants(platform: &Platform, selection: &Selection) -> Result<Vec<Pending>> {
    let all = platform.catalog.packs();
    let packs: Vec<_> = match &selection.pack {
        Some(code) => all.with_requirements(code),
        None => all.iter().collect(),
    };
    let codes: Vec<&str> = packs.iter().map(|pack| pack.manifest.code.as_str()).collect();
    let versions: Vec<i32> = packs.iter().map(|pack| pack.version()).collect();
    let sql = include_str!("pending.sql");
    let (needed, by): (Vec<&str>, Vec<&str>) = packs
        .iter()
        .flat_map(|pack| all.with_requirements(&pack.manifest.code).into_iter().map(|needed| (needed, *pack)))
        .map(|(needed, by)| (needed.manifest.code.as_str(), by.manifest.code.as_str()))
        .unzip();
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&codes, &versions, &selection.tenant, &SystemTime::now(), &needed, &by];
    let rows = platform.database.control().await?.query(sql, &values).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Pending> {
    let place = place_of(row.get(0), row.get(1), row.get(2), BucketId(row.get(3)), row.get(4), row.get(5))?;
    let (from, to) = (row.get(8), row.get(9));
    Ok(Pending { subdomain: row.get(6), pack: row.get(7), from, to, quarantined: row.get(10), place })
}

/// Compares the files that tenants hold with those of this program.
///
/// # Errors
/// `conflict`, naming the first file that was changed after it was applied, or that this program lacks.
pub async fn verify_files(platform: &Platform, only: Option<&str>) -> Result<()> {
    let sql = "select p.pack, p.version, p.digests, count(*), min(t.subdomain)
        from public.tenant_packs p
        join public.tenants t on t.id = p.tenant_id
        where t.state in ('active', 'suspended') and ($1::text is null or t.subdomain = $1)
        group by 1, 2, 3 order by 1, 2";
    for row in platform.database.control().await?.query(sql, &[&only]).await? {
        let Some(pack) = platform.catalog.packs().get(row.get(0)) else { continue };
        let (version, tenants, one): (i32, i64, String) = (row.get(1), row.get(3), row.get(4));
        let who = match tenants {
            1 => format!("`{one}`"),
            more => format!("{more} tenants, among them `{one}`,"),
        };
        if version > pack.version() {
            let missing = pack.version() + 1;
            let message =
                format!("The file V{missing}__….sql of {} is missing: {who} hold version {version}.", pack.folder);
            return Err(Error::conflict(message).hint("Migrate with the program that is as new as the database."));
        }
        let held: Option<Vec<Vec<u8>>> = row.get(2);
        let changed = held.iter().flatten().zip(&pack.files).find(|(digest, file)| digest[..] != file.digest);
        if let Some((_, file)) = changed {
            let message =
                format!("{}/{} was changed after it was applied to {who} as it was before.", pack.folder, file.name);
            return Err(Error::conflict(message).hint("Restore the file, and put what is new into the next version."));
        }
    }
    Ok(())
}

/// Takes versions from before digests were kept for what their files are now.
pub(super) async fn adopt_files(platform: &Platform) -> Result<()> {
    let mut control = platform.database.control().await?;
    let sql = "select distinct pack, version from public.tenant_packs where digests is null";
    for row in control.query(sql, &[]).await? {
        let (code, version): (String, i32) = (row.get(0), row.get(1));
        if let Some(pack) = platform.catalog.packs().get(&code) {
            let sql =
                "update public.tenant_packs set digests = $3 where pack = $1 and version = $2 and digests is null";
            control.execute(sql, &[&code, &version, &pack.digests(version)]).await?;
        }
    }
    Ok(())
}

/// Why a pack of a tenant is behind.
#[derive(Debug, Clone, Serialize)]
pub struct Trouble {
    /// Subdomain of the tenant.
    pub subdomain: String,
    /// The pack.
    pub pack: String,
    /// Version in the tenant.
    pub from: i32,
    /// Version that it was to have.
    pub to: i32,
    /// `deferred` or `quarantined`.
    pub state: String,
    /// How often it failed since it last went well.
    pub attempts: i32,
    /// The file at fault, where it was one.
    pub file: Option<String>,
    /// SQLSTATE; none when the connection was lost.
    pub sqlstate: Option<String>,
    /// What the server said.
    pub message: Option<String>,
    /// Backends that held locks in the schema.
    pub blocked_by: Vec<i32>,
    /// Since when it fails (RFC 3339).
    pub since: String,
}

/// Everything that failed and is still behind.
pub async fn troubled_tenants(platform: &Platform) -> Result<Vec<Trouble>> {
    let sql =
        "select t.subdomain, m.pack, m.from_version, m.to_version, m.state, m.attempts, m.file, m.sqlstate, m.message,
          m.blocked_by, to_char(m.failing_since at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
        from public.tenant_migrations m
        join public.tenants t on t.id = m.tenant_id
        where m.state <> 'done' and t.state in ('active', 'suspended')
        order by t.subdomain, m.pack";
    let rows = platform.database.control().await?.query(sql, &[]).await?;
    let read = |row: &Row| Trouble {
        subdomain: row.get(0),
        pack: row.get(1),
        from: row.get(2),
        to: row.get(3),
        state: row.get(4),
        attempts: row.get(5),
        file: row.get(6),
        sqlstate: row.get(7),
        message: row.get(8),
        blocked_by: row.get(9),
        since: row.get(10),
    };
    Ok(rows.iter().map(read).collect())
}
