//! Reads a tenant at one moment, as the owner of its tables.

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use super::super::{Platform, modules};
use super::header::{Header, Held, Override, Sequence, Subject, Table, Terms};
use super::inventory::{Inventory, inventory};
use super::piece::{CHUNK_BYTES, Counter, Giver, Piece, Progress, Tell, Told};
use crate::db::{Control, Place, Transaction};
use crate::error::{Error, Result};

/// What the registry knows of the tenant.
struct Registered {
    subject: Subject,
    terms: Terms,
    packs: Vec<Held>,
}

/// Reads the registry.
async fn registered(control: &mut Control, tenant: Uuid) -> Result<Registered> {
    let sql = "select t.subdomain, t.name, t.timezone, coalesce(t.audit_origin, t.schema_name),
          (select s.plan_code from public.tenant_subscriptions s
            where s.tenant_id = t.id and s.plan_code is not null and s.state not in ('canceled', 'incomplete_expired')),
          array(select s.module_code from public.tenant_subscriptions s
            where s.tenant_id = t.id and s.module_code is not null and s.state not in ('canceled', 'incomplete_expired') order by 1)
        from public.tenants t where t.id = $1 and t.state in ('active', 'suspended')";
    let row = control.query_opt(sql, &[&tenant]).await?.ok_or_else(crate::tenant::tenant_not_found)?;
    let subject =
        Subject { id: tenant, subdomain: row.get(0), name: row.get(1), timezone: row.get(2), audit_origin: row.get(3) };
    let mut terms = Terms { plan: row.get(4), modules: row.get(5), overrides: Vec::new() };
    let sql = "select module_code, enabled, reason from public.tenant_module_overrides
        where tenant_id = $1 and (expires_at is null or expires_at > now()) order by 1";
    let overrides = control.query(sql, &[&tenant]).await?;
    terms.overrides =
        overrides.iter().map(|row| Override { module: row.get(0), enabled: row.get(1), reason: row.get(2) }).collect();
    let sql =
        "select pack, version, array(select encode(d, 'hex') from unnest(digests) with ordinality u(d, n) order by n)
        from public.tenant_packs where tenant_id = $1 order by 1";
    let packs = control.query(sql, &[&tenant]).await?;
    let packs = packs.iter().map(|row| Held { pack: row.get(0), version: row.get(1), digests: row.get(2) }).collect();
    Ok(Registered { subject, terms, packs })
}

/// Reads everything, and gives it piece by piece.
pub async fn read(platform: Platform, place: Place, giver: Giver, tell: Tell) {
    let outcome = give_all(&platform, &place, &giver, &tell).await;
    if let Err(error) = outcome {
        let _ = giver.send(Err(error)).await;
    }
}

async fn give_all(platform: &Platform, place: &Place, giver: &Giver, tell: &Tell) -> Result<()> {
    // Before the moment of the transaction, which its first query sets: no migration is under way then.
    let (mut control, key) = (platform.database.control().await?, modules::lock_key(place.tenant));
    control.lock_shared(key).await?;
    let registered = registered(&mut control, place.tenant).await?;
    let mut tx = control.begin().await?;
    let seat = modules::seat_sql(place);
    tx.batch(&format!("set transaction isolation level repeatable read, read only; {LIMITS}; {FORMS}; {seat}")).await?;
    let found = inventory(&mut tx, &platform.catalog).await?;
    let newest = registered
        .packs
        .iter()
        .all(|held| platform.catalog.packs().get(&held.pack).is_some_and(|pack| pack.version() == held.version));
    if newest {
        known(&mut tx).await?;
    }
    let header = header(&mut tx, platform, registered, &found).await?;
    let (all, mut before) = (header.rows(), 0);
    give(giver, Piece::Header(Box::new(header))).await?;
    for (table, columns) in &found.tables {
        give(giver, Piece::Table(table.as_str().to_owned())).await?;
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        let sql = format!("copy {table} ({}) to stdout", columns.join(", "));
        let mut rows = tx.copy_out(&sql).await?;
        let (mut counter, mut chunk) = (Counter::default(), BytesMut::with_capacity(2 * CHUNK_BYTES));
        while let Some(row) = rows.next().await? {
            chunk.extend_from_slice(&row);
            if chunk.len() >= CHUNK_BYTES {
                pass_on(giver, &mut counter, chunk.split().freeze()).await?;
                tell(Told::Rows(Progress { rows: before + counter.rows(), of: all }));
            }
        }
        if !chunk.is_empty() {
            pass_on(giver, &mut counter, chunk.freeze()).await?;
        }
        before += counter.rows();
        tell(Told::Rows(Progress { rows: before, of: all }));
        give(giver, Piece::End(counter.tally())).await?;
    }
    tx.commit_and_keep().await?.unlock_shared(key).await?;
    give(giver, Piece::Finish).await
}

/// Of a backup, and a restore: as long as it takes, but nobody is waited for without an end.
pub const LIMITS: &str = "set local statement_timeout = '12h'; set local lock_timeout = '2min';
    set local idle_in_transaction_session_timeout = '15min'";

/// The one text form of values, whatever the settings of the server are.
pub const FORMS: &str = "set local datestyle = 'ISO, YMD'; set local intervalstyle = 'postgres';
    set local extra_float_digits = 1; set local bytea_output = 'hex'; set local timezone = 'UTC'";

async fn pass_on(giver: &Giver, counter: &mut Counter, rows: Bytes) -> Result<()> {
    counter.see(&rows);
    give(giver, Piece::Rows(rows)).await
}

async fn give(giver: &Giver, piece: Piece) -> Result<()> {
    giver.send(Ok(piece)).await.map_err(|_| Error::internal("nobody takes the backup any more"))
}

/// What no pack has could not be restored, and is not left out unseen.
async fn known(tx: &mut Transaction) -> Result<()> {
    let sql = "select c.relname || coalesce('.' || a.attname, '')
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not exists (
          select from pg_class tc
          join pg_attribute ta on ta.attrelid = tc.oid and ta.attname = a.attname and not ta.attisdropped
          where tc.relnamespace = to_regnamespace('insula_template') and tc.relname = c.relname)
        order by 1 limit 1";
    match tx.query_opt(sql, &[]).await? {
        None => Ok(()),
        Some(row) => {
            let name: String = row.get(0);
            let message =
                format!("`{name}` is in the schema of the tenant and in no pack: a backup could not be restored.");
            Err(Error::conflict(message).hint("Remove it, or make it part of a pack."))
        }
    }
}

async fn header(tx: &mut Transaction, platform: &Platform, known: Registered, found: &Inventory) -> Result<Header> {
    let counts: Vec<String> =
        found.tables.iter().enumerate().map(|(at, (table, _))| format!("select {at}, count(*) from {table}")).collect();
    let rows = tx.query(&format!("{} order by 1", counts.join(" union all ")), &[]).await?;
    let tables = found.tables.iter().zip(&rows).map(|((name, columns), row)| Table {
        name: name.as_str().to_owned(),
        columns: columns.iter().map(|column| column.as_str().to_owned()).collect(),
        rows: row.get::<_, i64>(1).unsigned_abs(),
    });
    let sql = "select c.relname::text, pg_sequence_last_value(c.oid) from pg_class c
        where c.relnamespace = current_schema()::regnamespace and c.relkind = 'S' order by 1";
    let sequences = tx.query(sql, &[]).await?;
    let moment = tx.query("select to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", &[]).await?;
    Ok(Header {
        made_at: moment[0].get(0),
        program: concat!("insula ", env!("CARGO_PKG_VERSION")).to_owned(),
        instance: platform.database.instance().as_str().to_owned(),
        tenant: known.subject,
        terms: known.terms,
        packs: known.packs,
        tables: tables.collect(),
        sequences: sequences.iter().map(|row| Sequence { name: row.get(0), last: row.get(1) }).collect(),
    })
}
