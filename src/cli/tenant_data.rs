//! `insula tenant backup`, `restore`, `clone`, and `insula backup verify`: a tenant's data as a whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::Exit;
use super::bar::rows_bar;
use super::context::Context;
use super::interrupt::{first_signal, unless};
use super::output::{Mark, say};
use crate::app::open_platform;
use crate::error::{Error, Result};
use crate::ident::Subdomain;
use crate::ops::{
    Header, Platform, Tell, Told, backup_header, backup_list, backup_verify, recover, tenant_backup, tenant_export,
    tenant_find, tenant_restore, tenant_restore_as,
};

#[derive(Args)]
#[command(before_help = "Examples:\n  insula tenant backup acme --output acme.backup\n  \
                         insula tenant backup acme --output acme.backup --plain --json")]
pub(super) struct BackupArgs {
    /// Its subdomain
    subdomain: String,
    /// The file to write; one that is there is replaced
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Do not encrypt it: whoever has the file can read it
    #[arg(long)]
    plain: bool,
}

#[derive(Args)]
#[command(before_help = "Examples:\n  insula tenant restore acme.backup --confirm=acme\n  \
                         insula tenant restore acme.backup --as acme-may")]
pub(super) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// Make a new tenant of it, under this name
    #[arg(long = "as", value_name = "SUBDOMAIN")]
    as_new: Option<String>,
    /// Plan or edition of the new tenant, instead of the one that the backup names
    #[arg(long, requires = "as_new")]
    plan: Option<String>,
    /// The tenant's subdomain, instead of being asked
    #[arg(long, value_name = "SUBDOMAIN")]
    confirm: Option<String>,
}

#[derive(Args)]
#[command(before_help = "Examples:\n  insula tenant export acme --output acme-data\n  \
                         insula tenant export acme --output acme-data --json")]
pub(super) struct ExportArgs {
    /// Its subdomain
    subdomain: String,
    /// The folder to make
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

#[derive(Args)]
pub(super) struct FileArgs {
    #[command(subcommand)]
    command: FileCommand,
}

#[derive(Subcommand)]
enum FileCommand {
    /// Read a backup to its end: is it whole and undamaged; no tenant is touched
    #[command(before_help = "Examples:\n  insula backup verify acme.backup\n  insula backup verify acme.backup --json")]
    Verify {
        /// The backup
        file: PathBuf,
    },
    /// Backups in the folder of the service, the newest first
    #[command(before_help = "Examples:\n  insula backup list\n  insula backup list --tenant acme --json")]
    List {
        /// Only those of this tenant
        #[arg(long, value_name = "SUBDOMAIN")]
        tenant: Option<String>,
    },
}

/// What is seen of rows that go by.
struct Rows {
    bar: Option<indicatif::ProgressBar>,
    began: Instant,
}

impl Rows {
    fn new(context: &Context) -> (Self, Tell) {
        let bar = rows_bar(&context.out);
        let seen = bar.clone();
        let tell: Tell = Arc::new(move |told| {
            if let (Some(bar), Told::Rows(progress)) = (&seen, told) {
                bar.set_length(progress.of);
                bar.set_position(progress.rows);
            }
        });
        (Self { bar, began: Instant::now() }, tell)
    }

    fn end(self) -> f64 {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.began.elapsed().as_secs_f64()
    }
}

fn stop() -> Result<tokio_util::sync::CancellationToken> {
    first_signal(|| say("Stopping; nothing of it stays. Ctrl-C again ends it at once."))
}

pub(super) async fn backup(context: &Context, args: BackupArgs) -> Result<Exit> {
    let config = context.installation()?;
    let platform = open_platform(&config).await?;
    let id = tenant_find(&platform, &args.subdomain).await?;
    let encrypted = config.backup.encrypt && !args.plain;
    let (stop, (rows, tell)) = (stop()?, Rows::new(context));
    context.out.doing(&format!("saving {}", args.subdomain));
    let by = context.by();
    let saved = tenant_backup(&platform, id, args.output.clone(), encrypted, &by, &stop, tell).await;
    let seconds = rows.end();
    if stop.is_cancelled() && saved.is_err() {
        return Ok(Exit::Interrupted);
    }
    let saved = saved?;
    let said = format!(
        "{} rows of {} tables, {} in {seconds:.1} s, {}",
        saved.header.rows(),
        saved.header.tables.len(),
        size(saved.bytes),
        if encrypted { "encrypted" } else { "not encrypted" },
    );
    context.out.line(Mark::Good, &args.subdomain, &said);
    if context.out.json() {
        let mut told = of(&saved.header);
        told["file"] = args.output.display().to_string().into();
        told["bytes"] = saved.bytes.into();
        told["encrypted"] = encrypted.into();
        told["seconds"] = seconds.into();
        context.out.document(&told)?;
    }
    Ok(Exit::Done)
}

/// What a header says, as data.
fn of(header: &Header) -> Json {
    let tables: serde_json::Map<String, Json> =
        header.tables.iter().map(|table| (table.name.clone(), table.rows.into())).collect();
    let packs: serde_json::Map<String, Json> =
        header.packs.iter().map(|held| (held.pack.clone(), held.version.into())).collect();
    json!({
        "subdomain": header.tenant.subdomain,
        "tenant_id": header.tenant.id,
        "name": header.tenant.name,
        "made_at": header.made_at,
        "program": header.program,
        "plan": header.terms.plan,
        "packs": packs,
        "rows": header.rows(),
        "tables": tables,
    })
}

fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

pub(super) async fn restore(context: &Context, args: RestoreArgs) -> Result<Exit> {
    let config = context.installation()?;
    let platform = open_platform(&config).await?;
    recover(&platform).await?;
    let header = backup_header(&platform, &args.file).await?;
    let new = args.as_new.as_deref().map(Subdomain::new).transpose()?;
    if new.is_none() {
        confirm(context, &platform, &header, &args, config.tenants.shelf_days).await?;
    }
    let (rows, tell) = Rows::new(context);
    context.out.doing(&format!("restoring {}", args.file.display()));
    let by = context.by();
    let restored = match new {
        Some(new) => tenant_restore_as(&platform, &args.file, new, args.plan, &by, tell).await,
        None => tenant_restore(&platform, &args.file, config.tenants.shelf_days, &by, tell).await,
    };
    let seconds = rows.end();
    let restored = restored?;
    let name = &restored.subdomain;
    let said = format!("{} rows of {} in {seconds:.1} s", restored.header.rows(), restored.header.made_at);
    context.out.line(Mark::Good, name, &said);
    if let Some((schema, days)) = &restored.shelved {
        context.out.line(Mark::Good, name, &format!("what was there before is kept for {days} days as {schema}"));
    }
    if context.out.json() {
        let mut told = of(&restored.header);
        told["subdomain"] = name.as_str().into();
        told["tenant_id"] = restored.tenant.to_string().into();
        told["kept_as"] = restored.shelved.map(|(schema, _)| schema).into();
        told["seconds"] = seconds.into();
        context.out.document(&told)?;
    }
    Ok(Exit::Done)
}

async fn confirm(
    context: &Context,
    platform: &Platform,
    header: &Header,
    args: &RestoreArgs,
    keep_days: u32,
) -> Result<()> {
    let shown = crate::ops::tenant_show(platform, header.tenant.id).await.map_err(|_| {
        Error::conflict("The tenant of the backup is not there.").hint("Add --as NEWNAME to make it anew.")
    })?;
    let shown: Json = serde_json::from_str(shown.get()).map_err(Error::internal)?;
    let name = shown["subdomain"].as_str().unwrap_or_default();
    let what = format!(
        "Everything that happened in `{name}` since {} is put aside for {keep_days} days, then gone.",
        header.made_at
    );
    context.out.confirm_name(&what, name, args.confirm.as_deref())
}

pub(super) async fn export(context: &Context, args: ExportArgs) -> Result<Exit> {
    let platform = context.platform().await?;
    let id = tenant_find(&platform, &args.subdomain).await?;
    let (stop, (rows, tell)) = (stop()?, Rows::new(context));
    context.out.doing(&format!("exporting {}", args.subdomain));
    let by = context.by();
    let exported = unless(&stop, tenant_export(&platform, id, &args.output, &by, tell)).await;
    let seconds = rows.end();
    let Some(exported) = exported? else { return Ok(Exit::Interrupted) };
    let (count, folder) = (exported.tables.len(), args.output.display());
    let said = format!("{} rows of {count} tables as CSV and JSON in {folder}, {seconds:.1} s", exported.rows);
    context.out.line(Mark::Good, &args.subdomain, &said);
    if context.out.json() {
        let told = json!({ "folder": folder.to_string(), "rows": exported.rows, "tables": exported.tables });
        context.out.document(&told)?;
    }
    Ok(Exit::Done)
}

pub(super) async fn file(context: &Context, args: FileArgs) -> Result<Exit> {
    match args.command {
        FileCommand::Verify { file } => verify(context, &file).await,
        FileCommand::List { tenant } => list(context, tenant.as_deref()).await,
    }
}

const KEPT: [&str; 8] = ["name", "subdomain", "taken_at", "bytes", "rows", "packs", "program", "fault"];

async fn list(context: &Context, tenant: Option<&str>) -> Result<Exit> {
    let config = context.installation()?;
    if config.backup.folder.is_empty() {
        return Err(Error::malformed("There is no folder for backups.").hint("Set `backup.folder`."));
    }
    let platform = open_platform(&config).await?;
    let tenant = match tenant {
        Some(name) => Some(tenant_find(&platform, name).await?),
        None => None,
    };
    let kept = backup_list(&platform, &config.backup, tenant, None, usize::MAX).await?;
    let rows = kept.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>().map_err(Error::internal)?;
    context.out.rows(&KEPT, &rows)?;
    Ok(Exit::Done)
}

async fn verify(context: &Context, file: &Path) -> Result<Exit> {
    let platform = context.platform().await?;
    let (rows, tell) = Rows::new(context);
    let verified = backup_verify(&platform, file, tell).await;
    let seconds = rows.end();
    let verified = verified?;
    let Header { tenant, made_at, .. } = &verified.header;
    let said =
        format!("sound: {} rows of {}, made at {made_at}, read in {seconds:.1} s", verified.rows, tenant.subdomain);
    context.out.line(Mark::Good, &file.display().to_string(), &said);
    if context.out.json() {
        let mut told = of(&verified.header);
        told["sound"] = true.into();
        context.out.document(&told)?;
    }
    Ok(Exit::Done)
}
