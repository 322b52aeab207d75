//! All data of a tenant as files that people and other programs can read, for whoever asks for his data (GDPR, article 20).
//!
//! A folder with `manifest.json`, and a CSV and a JSON file for each table. Secrets are left out, and cells that a
//! spreadsheet would take for formulas are made harmless in the CSV; the JSON holds every value as it is.

use std::fs::{self, DirBuilder, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::backup::{FORMS, LIMITS, Progress, Tell, Told};
use super::super::{Platform, modules};
use super::fault::reach;
use super::task::{self, Resident};
use crate::db::{By, Control, Transaction};
use crate::error::{Error, Result};
use crate::ident::Ident;
use crate::pack::Kind;
use crate::resource::{CsvHeading, csv_header, csv_row};

/// What was exported.
#[derive(Debug, Clone, Serialize)]
pub struct Exported {
    /// Tables with their files.
    pub tables: Vec<ExportedTable>,
    /// Rows of all tables.
    pub rows: u64,
}

/// A table of an export.
#[derive(Debug, Clone, Serialize)]
pub struct ExportedTable {
    /// Its name.
    pub table: String,
    /// Its name in URLs, where it has one.
    pub resource: Option<String>,
    /// What it holds.
    pub about: Option<String>,
    /// Columns in the order of the CSV file.
    pub columns: Vec<String>,
    /// Columns that hold secrets.
    pub left_out: Vec<String>,
    /// How many rows.
    pub rows: u64,
    /// The files.
    pub files: Vec<ExportedFile>,
}

/// A file of an export.
#[derive(Debug, Clone, Serialize)]
pub struct ExportedFile {
    /// Below the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its digest in hexadecimal.
    pub sha256: String,
}

/// Writes all data of a tenant into a folder that appears when it is whole.
///
/// # Errors
/// `conflict` when there is something at its place.
pub async fn tenant_export(platform: &Platform, tenant: Uuid, folder: &Path, by: &By, tell: Tell) -> Result<Exported> {
    let resident = task::resident(platform, tenant).await?;
    task::in_use(&resident)?;
    let staging = Staging::new(folder)?;
    let subject = (tenant, resident.subdomain.as_str());
    let operation = task::begin(platform, "tenant.export", "export", subject, &json!({}), by).await?;
    reach("tenant.export.export")?;
    match write_all(platform, &resident, &staging.0, &tell).await.and_then(|done| {
        reach("tenant.export.end")?;
        staging.publish(folder)?;
        Ok(done)
    }) {
        Ok(done) => {
            task::succeed(operation).await?;
            Ok(done)
        }
        Err(cause) => {
            task::fail(operation, &cause).await?;
            Err(cause)
        }
    }
}

/// A folder beside the one that is to be, which is removed unless it becomes that.
struct Staging(PathBuf);

impl Staging {
    fn new(folder: &Path) -> Result<Self> {
        let taken = fs::read_dir(folder).map(|mut entries| entries.next().is_some()).unwrap_or(folder.exists());
        if taken {
            return Err(
                Error::conflict(format!("{} is not empty.", folder.display())).hint("Name a folder that is new.")
            );
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let staging = folder.with_file_name(format!(".{name}.{}.partial", Uuid::new_v4().simple()));
        DirBuilder::new().mode(0o700).create(&staging).map_err(|error| unwritten(folder, &error))?;
        let this = Self(staging);
        fs::create_dir(this.0.join("data")).map_err(|error| unwritten(folder, &error))?;
        Ok(this)
    }

    fn publish(&self, folder: &Path) -> Result<()> {
        fs::rename(&self.0, folder).map_err(|error| unwritten(folder, &error))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Error {
    Error::conflict(format!("Cannot write {}: {error}.", path.display()))
}

async fn write_all(platform: &Platform, resident: &Resident, folder: &Path, tell: &Tell) -> Result<Exported> {
    let mut control = platform.database.control().await?;
    let account = account(&mut control, resident).await?;
    let mut tx = control.begin().await?;
    let seat = modules::seat_sql(&resident.place);
    tx.batch(&format!("set transaction isolation level repeatable read, read only; {LIMITS}; {FORMS}; {seat}")).await?;
    let mut exported = Exported { tables: Vec::new(), rows: 0 };
    for shape in shapes(&mut tx, platform).await? {
        let table = shape.write(&mut tx, folder).await?;
        exported.rows += table.rows;
        exported.tables.push(table);
        tell(Told::Rows(Progress { rows: exported.rows, of: exported.rows }));
    }
    let moment = tx.query("select to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", &[]).await?;
    let manifest = json!({
        "format": 1,
        "made_at": moment[0].get::<_, String>(0),
        "account": account,
        "about": "CSV: RFC 4180, UTF-8; an empty cell is no value, a quoted empty cell an empty text; a cell that would be a \
                  formula begins with an apostrophe. JSON: an array of rows.",
        "rows": exported.rows,
        "tables": exported.tables,
    });
    tx.commit().await?;
    let text = serde_json::to_vec_pretty(&manifest).map_err(Error::internal)?;
    let path = folder.join("manifest.json");
    fs::write(&path, text).map_err(|error| unwritten(&path, &error))?;
    Ok(exported)
}

/// What the registry holds of the account.
async fn account(control: &mut Control, resident: &Resident) -> Result<serde_json::Value> {
    let sql = "select json_build_object('id', t.id, 'subdomain', t.subdomain, 'name', t.name, 'state', t.state,
          'timezone', t.timezone, 'created_at', t.created_at,
          'domains', (select coalesce(json_agg(d.domain order by d.domain), '[]') from public.tenant_domains d where d.tenant_id = t.id),
          'subscriptions', (select coalesce(json_agg(json_build_object('plan', s.plan_code, 'module', s.module_code, 'state', s.state,
            'period_start', s.current_period_start, 'period_end', s.current_period_end) order by s.created_at), '[]')
            from public.tenant_subscriptions s where s.tenant_id = t.id),
          'billing_history', (select coalesce(json_agg(json_build_object('at', b.at, 'event', b.event, 'amount_paise', b.amount_paise,
            'currency', b.currency, 'detail', b.detail) order by b.at), '[]')
            from public.billing_history b where b.tenant_id = t.id))::jsonb
        from public.tenants t where t.id = $1";
    let row = control.query_opt(sql, &[&resident.place.tenant]).await?;
    Ok(row.map_or(serde_json::Value::Null, |row| row.get(0)))
}

struct Shape {
    table: Ident,
    resource: Option<String>,
    about: Option<String>,
    columns: Vec<(Ident, Kind)>,
    left_out: Vec<String>,
}

/// All tables, with the computed columns too and without those whose values are secrets.
async fn shapes(tx: &mut Transaction, platform: &Platform) -> Result<Vec<Shape>> {
    let sql = "select c.relname::text, obj_description(c.oid, 'pg_class'),
          array_agg(a.attname::text order by a.attnum) filter (where a.attname <> all (s.names)),
          array_agg(format_type(a.atttypid, null) order by a.attnum) filter (where a.attname <> all (s.names)),
          coalesce(array_agg(a.attname::text order by a.attnum) filter (where a.attname = any (s.names)), '{}')
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        cross join lateral (select insula.audit_secrets(c.oid) as names) s
        where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and c.relname <> all ($1)
        group by c.oid, c.relname order by c.relname";
    let fleeting: Vec<&String> = platform.catalog.packs().iter().flat_map(|pack| &pack.manifest.fleeting).collect();
    let mut shapes = Vec::new();
    for row in tx.query(sql, &[&fleeting]).await? {
        let table = Ident::new(row.get::<_, String>(0))?;
        let (names, types): (Option<Vec<String>>, Option<Vec<String>>) = (row.get(2), row.get(3));
        let columns = names.unwrap_or_default().into_iter().zip(types.unwrap_or_default());
        let columns =
            columns.map(|(name, kind)| Ok((Ident::new(name)?, kind_of(&kind)))).collect::<Result<Vec<_>>>()?;
        let resource = platform.catalog.resource_of(&table).map(|resource| resource.name.clone());
        shapes.push(Shape { resource, about: row.get(1), columns, left_out: row.get(4), table });
    }
    // A table of secrets alone says nothing.
    shapes.retain(|shape| !shape.columns.is_empty());
    Ok(shapes)
}

fn kind_of(sql_type: &str) -> Kind {
    match sql_type {
        "uuid" => Kind::Uuid,
        "smallint" | "integer" | "bigint" => Kind::Integer,
        "numeric" => Kind::Numeric,
        "boolean" => Kind::Boolean,
        "date" => Kind::Date,
        "timestamp with time zone" => Kind::Timestamp,
        "json" | "jsonb" => Kind::Json,
        _ => Kind::Text,
    }
}

impl Shape {
    async fn write(&self, tx: &mut Transaction, folder: &Path) -> Result<ExportedTable> {
        let (csv, rows) = self.csv(tx, folder).await?;
        let json = self.json(tx, folder).await?;
        Ok(ExportedTable {
            table: self.table.as_str().to_owned(),
            resource: self.resource.clone(),
            about: self.about.clone(),
            columns: self.columns.iter().map(|(name, _)| name.as_str().to_owned()).collect(),
            left_out: self.left_out.clone(),
            rows,
            files: vec![csv, json],
        })
    }

    async fn csv(&self, tx: &mut Transaction, folder: &Path) -> Result<(ExportedFile, u64)> {
        let headings: Vec<CsvHeading> = self
            .columns
            .iter()
            .map(|(name, kind)| CsvHeading { name: name.as_str().to_owned(), kind: *kind })
            .collect();
        let columns: Vec<String> = self.columns.iter().map(|(name, _)| format!("{name}::text")).collect();
        let mut out = Out::new(folder, format!("data/{}.csv", self.table.as_str()))?;
        let (mut bytes, mut count) = (Vec::new(), 0);
        csv_header(&mut bytes, &headings);
        let mut rows = tx.text_rows(&format!("select {} from {}", columns.join(", "), self.table)).await?;
        while let Some(row) = rows.next().await? {
            csv_row(&mut bytes, &headings, &row)?;
            out.write(&mut bytes)?;
            count += 1;
        }
        out.write(&mut bytes)?;
        Ok((out.end()?, count))
    }

    async fn json(&self, tx: &mut Transaction, folder: &Path) -> Result<ExportedFile> {
        let columns: Vec<String> = self.columns.iter().map(|(name, _)| name.to_string()).collect();
        let mut out = Out::new(folder, format!("data/{}.json", self.table.as_str()))?;
        let sql = format!("select row_to_json(r)::text from (select {} from {}) r", columns.join(", "), self.table);
        let (mut bytes, mut before) = (b"[".to_vec(), "\n");
        let mut rows = tx.text_rows(&sql).await?;
        while let Some(row) = rows.next().await? {
            bytes.extend_from_slice(std::mem::replace(&mut before, ",\n").as_bytes());
            bytes.extend_from_slice(row.get::<_, &str>(0).as_bytes());
            out.write(&mut bytes)?;
        }
        bytes.extend_from_slice(b"\n]\n");
        out.write(&mut bytes)?;
        out.end()
    }
}

/// A file under way.
struct Out {
    name: String,
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Out {
    fn new(folder: &Path, name: String) -> Result<Self> {
        let path = folder.join(&name);
        let file = BufWriter::new(File::create_new(&path).map_err(|error| unwritten(&path, &error))?);
        Ok(Self { name, path, file, hash: Sha256::new(), bytes: 0 })
    }

    fn write(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| unwritten(&self.path, &error))?;
        self.hash.update(&bytes);
        self.bytes += bytes.len() as u64;
        bytes.clear();
        Ok(())
    }

    fn end(mut self) -> Result<ExportedFile> {
        self.file.flush().map_err(|error| unwritten(&self.path, &error))?;
        let sha256 = data_encoding::HEXLOWER.encode(&self.hash.finalize());
        Ok(ExportedFile { name: self.name, bytes: self.bytes, sha256 })
    }
}
