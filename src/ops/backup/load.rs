//! Puts the data of a backup into a schema that our own packs have made, in the transaction of the caller.
//!
//! Everything happens as the owner of the bucket's tables, who is no superuser. Names come from the schema that was just
//! made and are only compared with those of the backup; rows are values. Triggers are off until all rows are there, so
//! nothing is entered in the audit, counted or sent because of them.

use std::collections::BTreeSet;
use std::fmt::Write;

use uuid::Uuid;

use super::super::{Platform, modules};
use super::file::shown;
use super::header::{Header, Table};
use super::inventory::{Inventory, inventory};
use super::piece::{Piece, Pieces, Progress, Tell, Told};
use super::save::{FORMS, LIMITS};
use crate::auth::reseal_factors;
use crate::db::{Failure, Place, Transaction};
use crate::error::{Error, Result};
use crate::ident::Ident;
use crate::pack::{Pack, audit_sql, install_sql, offers_sql};

/// A pack as the backup has it.
type Built<'a> = (&'a Pack, usize);

/// SQL of our own that changes rows once they are there, as the owner.
pub struct Touch(pub &'static str);

/// Makes the tables in the empty schema of a place and fills them. Afterwards its packs are at their newest version, and
/// written down so.
pub async fn load(
    platform: &Platform,
    tx: &mut Transaction,
    place: &Place,
    header: &Header,
    pieces: &mut Pieces,
    touch: Option<&Touch>,
    tell: &Tell,
) -> Result<()> {
    let packs = packs(platform, header)?;
    tx.batch(&format!("{LIMITS}; {FORMS}")).await?;
    let files = packs.iter().flat_map(|(pack, version)| &pack.files[..*version]);
    let files: Vec<_> = files.map(|file| file.in_transaction()).collect();
    tx.batch(&format!("{}\n{}", modules::seat_sql(place), files.join("\n"))).await?;
    let made = inventory(tx, &platform.catalog).await?;
    let tables = matched(&made, header)?;
    let keys = open_up(tx, &made, &tables).await?;
    fill(tx, &tables, pieces, tell).await?;
    set_sequences(tx, header).await?;
    if header.tenant.id != place.tenant && header.holds("sys_credential", "totp_sealed") {
        reseal_factors(tx, platform.database.sealing(), header.tenant.id, place.tenant).await?;
    }
    close(tx, &made, keys).await?;
    bring_up(platform, tx, place, &packs).await?;
    if let Some(touch) = touch {
        tx.batch(&format!("{} {} {}", modules::seat_sql(place), touch.0, modules::LEAVE_SEAT)).await?;
    }
    Ok(())
}

/// The packs of a backup among ours, each behind those it requires.
fn packs<'a>(platform: &'a Platform, header: &Header) -> Result<Vec<Built<'a>>> {
    for held in &header.packs {
        let refuse = |why: String| {
            let message = format!("The backup holds the pack `{}`, {why}.", shown(&held.pack));
            Err(Error::conflict(message).hint("Restore it with the program that made it, or a newer one."))
        };
        let Some(pack) = platform.catalog.packs().get(&held.pack) else {
            return refuse("which this program does not have".to_owned());
        };
        if held.version < 1 || held.version > pack.version() {
            return refuse(format!("version {}; this program has version {}", held.version, pack.version()));
        }
        let ours = pack.files.iter().map(|file| data_encoding::HEXLOWER.encode(&file.digest));
        if let Some((_, ours)) =
            held.digests.iter().zip(ours.zip(&pack.files)).find(|(theirs, (ours, _))| *theirs != ours)
        {
            return refuse(format!("whose file {} is another one in this program", ours.1.name));
        }
    }
    let version = |pack: &Pack| {
        let held = header.packs.iter().find(|held| held.pack == pack.manifest.code)?;
        usize::try_from(held.version).ok()
    };
    let built: Vec<Built<'a>> =
        platform.catalog.packs().iter().filter_map(|pack| Some((pack, version(pack)?))).collect();
    if let Some(missing) = built.iter().find_map(|(pack, _)| {
        pack.manifest.requires.iter().find(|code| !built.iter().any(|(other, _)| other.manifest.code == **code))
    }) {
        return Err(Error::conflict(format!("The backup lacks the pack `{missing}`, which its other packs need.")));
    }
    Ok(built)
}

/// A table of ours and its columns in the order of the backup.
type Matched<'a> = (&'a Ident, Vec<&'a Ident>, &'a Table);

/// Exactly the tables and columns that the packs have, by name.
fn matched<'a>(made: &'a Inventory, header: &'a Header) -> Result<Vec<Matched<'a>>> {
    let mut found: Vec<Matched<'a>> = Vec::new();
    for table in &header.tables {
        let refuse = |why: &str| {
            Err(Error::conflict(format!(
                "The backup is not one of these packs: the table `{}` {why}.",
                shown(&table.name)
            )))
        };
        let Some((name, columns)) = made.tables.iter().find(|(name, _)| name.as_str() == table.name) else {
            return refuse("is in no pack that it names");
        };
        if found.iter().any(|(other, ..)| *other == name) {
            return refuse("comes twice");
        }
        let ours = |column: &String| columns.iter().find(|ours| ours.as_str() == column);
        let Some(ordered) = table.columns.iter().map(ours).collect::<Option<Vec<_>>>() else {
            return refuse("has a column that its pack does not have");
        };
        if ordered.len() != columns.len() || columns.iter().any(|column| !ordered.contains(&column)) {
            return refuse("has not the columns that its pack has");
        }
        found.push((name, ordered, table));
    }
    match made.tables.iter().find(|(name, _)| !found.iter().any(|(other, ..)| *other == name)) {
        None => Ok(found),
        Some((name, _)) => Err(Error::conflict(format!(
            "The backup is not one of these packs: the table `{}` is missing.",
            name.as_str()
        ))),
    }
}

/// Statements that put back what was taken away for the time of the load.
struct Keys(Vec<String>);

/// Empties the tables of what packs bring along, switches their triggers off, and takes foreign keys away where there are
/// rows to check: all at once is faster, and needs no order.
async fn open_up(tx: &mut Transaction, made: &Inventory, tables: &[Matched<'_>]) -> Result<Keys> {
    let filled: Vec<&str> =
        tables.iter().filter(|(.., table)| table.rows > 0).map(|(name, ..)| name.as_str()).collect();
    let sql = "select format('alter table %I drop constraint %I', c.relname, k.conname),
          format('alter table %I add constraint %I %s', c.relname, k.conname, pg_get_constraintdef(k.oid))
          || coalesce(format('; comment on constraint %I on %I is %L', k.conname, c.relname, obj_description(k.oid, 'pg_constraint')), '')
        from pg_constraint k
        join pg_class c on c.oid = k.conrelid
        where k.connamespace = current_schema()::regnamespace and k.contype = 'f' and c.relname = any ($1)
        order by c.relname, k.conname";
    let keys = tx.query(sql, &[&filled]).await?;
    let mut sql = String::new();
    let mut all = Vec::new();
    for table in made.tables.iter().map(|(table, _)| table).chain(&made.fleeting) {
        let _ = writeln!(sql, "alter table {table} disable trigger user;");
        all.push(table.to_string());
    }
    for key in &keys {
        let _ = writeln!(sql, "{};", key.get::<_, String>(0));
    }
    let _ = writeln!(sql, "truncate {};", all.join(", "));
    tx.batch(&sql).await?;
    Ok(Keys(keys.iter().map(|key| key.get(1)).collect()))
}

async fn fill(tx: &mut Transaction, tables: &[Matched<'_>], pieces: &mut Pieces, tell: &Tell) -> Result<()> {
    let (of, mut rows) = (tables.iter().map(|(.., table)| table.rows).sum(), 0);
    for (name, columns, table) in tables {
        let out_of_order = || Error::internal(format!("the rows of {} do not come where they should", name.as_str()));
        match pieces.next().await? {
            Piece::Table(next) if next == table.name => {}
            _ => return Err(out_of_order()),
        }
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        let sql = format!("copy {name} ({}) from stdin with (format text, freeze)", columns.join(", "));
        let unfit = |failure| unfit(name, failure);
        let mut copy = tx.copy_in(&sql).await.map_err(unfit)?;
        let tally = loop {
            match pieces.next().await? {
                Piece::Rows(chunk) => copy.send(chunk).await.map_err(unfit)?,
                Piece::End(tally) => break tally,
                _ => return Err(out_of_order()),
            }
        };
        let taken = copy.finish().await.map_err(unfit)?;
        if taken != tally.rows || taken != table.rows {
            let message =
                format!("Of the table `{}` {taken} rows arrived, and there are {}.", name.as_str(), table.rows);
            return Err(Error::conflict(message));
        }
        rows += taken;
        tell(Told::Rows(Progress { rows, of }));
    }
    match pieces.next().await? {
        Piece::Finish => Ok(()),
        _ => Err(Error::internal("a backup goes on behind its end")),
    }
}

/// What PostgreSQL refuses of a backup is the backup's fault, unless the connection is lost.
fn unfit(table: &Ident, failure: Failure) -> Error {
    if !matches!(failure.code().get(..2), Some("22" | "23")) {
        return failure.into();
    }
    let message = format!("The backup cannot be loaded: the table `{}` refuses a row of it.", table.as_str());
    Error::conflict(message).context(format!("{} {}", failure.code(), failure.message))
}

/// Numbers go on where they were.
async fn set_sequences(tx: &mut Transaction, header: &Header) -> Result<()> {
    let sql = "select c.relname::text from pg_class c
        where c.relnamespace = current_schema()::regnamespace and c.relkind = 'S'";
    let ours: Vec<String> = tx.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
    for sequence in &header.sequences {
        if !ours.contains(&sequence.name) {
            let name = shown(&sequence.name);
            return Err(Error::conflict(format!(
                "The backup is not one of these packs: the sequence `{name}` is in none."
            )));
        }
        if let Some(last) = sequence.last {
            let name = Ident::new(&*sequence.name)?;
            tx.query("select setval($1::text::regclass, $2)", &[&name.to_string(), &last]).await?;
        }
    }
    Ok(())
}

/// Everything is as packs make it again; what does not hold together is refused here.
async fn close(tx: &mut Transaction, made: &Inventory, keys: Keys) -> Result<()> {
    for key in keys.0 {
        tx.batch(&key).await.map_err(|failure| {
            let table = failure.constraint.clone().unwrap_or_default();
            match failure.code() {
                "23503" => Error::conflict(format!("The backup does not hold together: `{table}` does not hold."))
                    .context(failure.message),
                _ => failure.into(),
            }
        })?;
    }
    let tables = made.tables.iter().map(|(table, _)| table).chain(&made.fleeting);
    let triggers: String = tables.map(|table| format!("alter table {table} enable trigger user;\n")).collect();
    Ok(tx.batch(&triggers).await?)
}

/// The files that came since, packs that the tenant has bought since, the audit, rights and versions.
async fn bring_up(platform: &Platform, tx: &mut Transaction, place: &Place, packs: &[Built<'_>]) -> Result<()> {
    let mut sql = format!("grant usage on schema {} to {};\n", place.schema, place.role);
    for (pack, version) in packs.iter().filter(|(pack, version)| *version < pack.files.len()) {
        let files = pack.files[*version..].iter().map(|file| format!("{}\n", file.in_transaction()));
        sql.extend(files);
        sql.push_str(&offers_sql(pack, false));
    }
    tx.batch(&sql)
        .await
        .map_err(|failure| Error::from(failure).context("a newer version of a pack refuses the data"))?;
    tx.batch(modules::LEAVE_SEAT).await?;
    let missing = missing(platform, tx, place.tenant, packs).await?;
    let mut sql = modules::seat_sql(place);
    for pack in &missing {
        sql.push_str(&install_sql(&platform.catalog, pack, place)?);
    }
    sql.push_str(&audit_sql(&platform.catalog, place));
    sql.push_str(modules::LEAVE_SEAT);
    tx.batch(&sql).await?;
    let all: Vec<&Pack> = packs.iter().map(|(pack, _)| *pack).chain(missing).collect();
    modules::record_versions(tx, place.tenant, &all).await?;
    modules::give_rights(platform, tx, place).await
}

async fn missing<'a>(
    platform: &'a Platform,
    tx: &mut Transaction,
    tenant: Uuid,
    packs: &[Built<'_>],
) -> Result<Vec<&'a Pack>> {
    let sql = "select module_code from public.tenant_entitlements($1, now()) where enabled";
    let enabled: Vec<String> = tx.query(sql, &[&tenant]).await?.iter().map(|row| row.get(0)).collect();
    let ours = platform.catalog.packs();
    let codes = enabled.iter().flat_map(|code| ours.with_requirements(code)).map(|pack| pack.manifest.code.as_str());
    let wanted: BTreeSet<&str> = codes.collect();
    let there = |pack: &Pack| packs.iter().any(|(other, _)| other.manifest.code == pack.manifest.code);
    Ok(ours.iter().filter(|pack| wanted.contains(pack.manifest.code.as_str()) && !there(pack)).collect())
}

/// Enters in the audit of a tenant what was done with it as a whole.
pub async fn enter(tx: &mut Transaction, place: &Place, action: &str, what: &serde_json::Value) -> Result<()> {
    tx.batch(&modules::seat_sql(place)).await?;
    let sql = "insert into sys_audit_event (line, action, object_type, after) values (1, $1, 'tenant', $2)";
    tx.execute(sql, &[&action, what]).await?;
    Ok(tx.batch(modules::LEAVE_SEAT).await?)
}
