//! Anchors: the end of every chain, noted from time to time outside it and encrypted, so that who can rewrite a whole
//! chain cannot make it fit what was noted before.

use std::collections::BTreeMap;

use super::ledger::{Ledger, ledgers};
use crate::db::{Database, Failure, Lock, Transaction};
use crate::error::Result;
use crate::ident::Ident;

/// One process at a time notes the ends.
const LOCK: i64 = Lock::AuditAnchors.key();

/// Chains whose ends are read by one statement.
const AT_ONCE: usize = 100;

/// The end of a chain.
struct End {
    schema: String,
    seq: i64,
    hash: Vec<u8>,
    /// The hash at the place of the last anchor.
    anchored: Option<Vec<u8>>,
}

/// The hashes of a chain that are known from its anchors, by number; what cannot be decrypted fits no chain.
pub async fn anchors(database: &Database, schema: &str) -> Result<BTreeMap<i64, Vec<u8>>> {
    let sql = "select seq, sealed from public.audit_anchors where chain = $1 and seq > 0";
    let rows = database.look_up(sql, &[&schema]).await?;
    let open = |row: &tokio_postgres::Row| {
        let seq = row.get(0);
        (seq, database.sealing().open(row.get(1), &associated(schema, seq)).unwrap_or_default())
    };
    Ok(rows.iter().map(open).collect())
}

/// Notes the ends of all chains that went on since the last time. Gives those that do not go on from where they were
/// seen last: somebody tampered with them.
pub async fn anchor(database: &Database) -> Result<Vec<String>> {
    let ledgers = ledgers(database, None).await?;
    let mut tx = database.control().await?.begin().await?;
    tx.take_time().await?;
    if !tx.query("select pg_try_advisory_xact_lock($1)", &[&LOCK]).await?[0].get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let last = "select distinct on (chain) chain, seq, sealed from public.audit_anchors order by chain, day desc";
    let rows = tx.query(last, &[]).await?;
    let known: BTreeMap<String, (i64, &[u8])> = rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
    let mut broken = Vec::new();
    for part in ledgers.chunks(AT_ONCE) {
        for end in ends(&mut tx, part, &known).await? {
            let expected = known.get(&end.schema).map(|(seq, sealed)| {
                (*seq, database.sealing().open(sealed, &associated(&end.schema, *seq)).unwrap_or_default())
            });
            match expected {
                Some((seq, hash)) if end.seq < seq || end.anchored.as_ref() != Some(&hash) => broken.push(end.schema),
                Some((seq, _)) if end.seq == seq => {}
                None if end.seq == 0 => {}
                _ => note(database, &mut tx, &end).await?,
            }
        }
    }
    tx.commit().await?;
    Ok(broken)
}

/// Nobody notes an end until the transaction is over.
pub async fn hold_anchors(tx: &mut Transaction) -> Result<(), Failure> {
    tx.query("select pg_advisory_xact_lock($1)", &[&LOCK]).await.map(drop)
}

/// What was noted of a chain beyond an entry is kept under another name: the chain that is put in its place ends there.
pub async fn move_anchors(tx: &mut Transaction, from: &str, to: &str, beyond: i64) -> Result<(), Failure> {
    let sql = "update public.audit_anchors set chain = $2 where chain = $1 and seq > $3";
    tx.execute(sql, &[&from, &to, &beyond]).await.map(drop)
}

/// The ends of some chains, read as the owners of their schemas.
async fn ends(tx: &mut Transaction, ledgers: &[Ledger], known: &BTreeMap<String, (i64, &[u8])>) -> Result<Vec<End>> {
    let mut by_owner: BTreeMap<Option<&Ident>, Vec<String>> = BTreeMap::new();
    for ledger in ledgers {
        let anchored = known.get(ledger.schema()).map_or(0, |(seq, _)| *seq);
        let (owner, events, head) = match ledger {
            Ledger::Platform => (None, "public.audit_events".to_owned(), "public.audit_head".to_owned()),
            Ledger::Tenant { place, .. } => {
                let in_schema = |table: &str| format!("{}.{table}", place.schema);
                (Some(&place.owner), in_schema("sys_audit_event"), in_schema("sys_audit_head"))
            }
        };
        let schema = crate::sql::literal(ledger.schema());
        by_owner.entry(owner).or_default().push(format!(
            "select {schema}, h.seq, h.hash, (select e.hash from {events} e where e.seq = {anchored}) from {head} h"
        ));
    }
    let mut found = Vec::new();
    for (owner, selects) in by_owner {
        if let Some(owner) = owner {
            tx.batch(&format!("set local role {owner}")).await?;
        }
        let rows = tx.query(&selects.join(" union all "), &[]).await?;
        tx.batch("reset role").await?;
        found.extend(rows.iter().map(|row| End {
            schema: row.get(0),
            seq: row.get(1),
            hash: row.get(2),
            anchored: row.get(3),
        }));
    }
    Ok(found)
}

async fn note(database: &Database, tx: &mut Transaction, end: &End) -> Result<()> {
    let sealed = database.sealing().seal(&end.hash, &associated(&end.schema, end.seq))?;
    let sql = "insert into public.audit_anchors (chain, day, seq, sealed)
        values ($1, (now() at time zone 'UTC')::date, $2, $3)
        on conflict (chain, day) do update set seq = excluded.seq, sealed = excluded.sealed, updated_at = now()";
    tx.execute(sql, &[&end.schema, &end.seq, &sealed]).await.map_err(Failure::into).map(drop)
}

fn associated(schema: &str, seq: i64) -> String {
    format!("audit_anchor:{schema}:{seq}")
}
