//! The run of `insula dev`: server, key, schema, demo, service, and all of it backwards.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value as Json;
use tokio::net::{TcpListener, lookup_host};
use tokio_util::sync::CancellationToken;

use super::show::{Ready, by_plan};
use super::state::{Claim, State, write_private};
use super::{DevArgs, MAIL, binaries};
use crate::app::{App, migrate_everything, open_database};
use crate::cli::Exit;
use crate::cli::context::{Context, DEV_FOLDER, source_of};
use crate::cli::interrupt::{first_signal, unless};
use crate::cli::output::{Mark, say};
use crate::cli::serve::listen;
use crate::config::{Config, Layers};
use crate::db::server::{Server, ServerOptions, start};
use crate::error::{Error, Result};
use crate::http::{Listeners, serve};
use crate::ops::{DemoTenant, applied_public, mark_demo, may_hold_demo, seed_demo, server_facts, tenant_show};

/// Connections of the private server: ours, `psql`, and commands beside us.
const CONNECTIONS: u32 = 100;

/// What has been started so far, to be stopped in any case.
struct Run<'a> {
    context: &'a Context,
    args: &'a DevArgs,
    claim: Claim,
    server: Option<Server>,
}

pub(super) async fn run(context: &Context, args: &DevArgs) -> Result<Exit> {
    let stop = first_signal(|| say("Stopping; Ctrl-C again ends it at once."))?;
    let claim = Claim::take(&args.data_dir)?;
    let (config, listeners) = settle(context, args).await?;
    let mut run = Run { context, args, claim, server: None };
    run.remove_ready_file();
    let outcome = run.serve(config, listeners, &stop).await;
    run.remove_ready_file();
    let kept = match run.server.take() {
        Some(server) => {
            server.stop().await?;
            format!("Stopped; data kept in {}.", args.data_dir.display())
        }
        None => "Stopped.".to_owned(),
    };
    if outcome.is_ok() {
        context.out.note(&kept);
    }
    outcome
}

/// Settings and ports. A port that nobody asked for gives way when it is taken.
async fn settle(context: &Context, args: &DevArgs) -> Result<(Config, Listeners)> {
    let mut layers = args.addresses.over(context.layers()?);
    if let Some(domain) = &args.domain {
        layers = layers.with("domain", domain);
    }
    let mut config = layers.read()?;
    let level =
        if source_of(&layers, "log.level")? == "default" { "warn".to_owned() } else { config.log.level.clone() };
    context.start_logs(&config.log, &level)?;
    refuse_strangers(&config.http.listen).await?;
    config.development = true;
    config.tenants.ready_schemas = 0;
    if config.mail.url.expose().is_empty() {
        config.mail.url = format!("file:{}", args.data_dir.join(MAIL).display()).into();
    }
    config.http.listen = give_way(context, &layers, "http.listen", config.http.listen).await?;
    config.http.ops_listen = give_way(context, &layers, "http.ops_listen", config.http.ops_listen).await?;
    let listeners = listen(&mut config).await?;
    Ok((config, listeners))
}

/// Everybody knows the demo's passwords.
async fn refuse_strangers(address: &str) -> Result<()> {
    let unreadable = |error| Error::malformed(format!("`{address}` is no address to listen on: {error}."));
    let mut addresses = lookup_host(address).await.map_err(unreadable)?;
    if addresses.all(|address| address.ip().is_loopback()) {
        return Ok(());
    }
    Err(Error::malformed(format!("`insula dev` does not listen on {address}: the passwords of its demo are known."))
        .hint("Listen on 127.0.0.1, or run the service: `insula serve`."))
}

async fn give_way(context: &Context, layers: &Layers, key: &str, address: String) -> Result<String> {
    let taken =
        matches!(TcpListener::bind(&address).await, Err(error) if error.kind() == std::io::ErrorKind::AddrInUse);
    if !taken || source_of(layers, key)? != "default" {
        return Ok(address);
    }
    context.out.line(Mark::Warning, &address, "is taken; a free port is used instead");
    Ok("127.0.0.1:0".to_owned())
}

impl Run<'_> {
    async fn serve(&mut self, config: Config, listeners: Listeners, stop: &CancellationToken) -> Result<Exit> {
        let Some((app, demo)) = unless(stop, self.prepare(config)).await? else { return Ok(Exit::Interrupted) };
        let ready = Ready::new(&app.config, demo);
        self.claim.announce(&State::of(&app.config, &ready.url))?;
        self.context.out.note(&ready.block(&self.myself()));
        let document = serde_json::to_value(&ready).map_err(Error::internal)?;
        if self.context.out.json() {
            self.context.out.document(&document)?;
        }
        // Connections wait in the listener's queue already, so who reads the file is served.
        if let Some(file) = &self.args.ready_file {
            write_private(file, &format!("{document:#}"))?;
        }
        serve(app, listeners, stop.clone().cancelled_owned()).await.map(|()| Exit::Done)
    }

    async fn prepare(&mut self, mut config: Config) -> Result<(Arc<App>, Vec<DemoTenant>)> {
        let out = &self.context.out;
        if config.database.url.expose().is_empty() {
            self.own_database(&mut config).await?;
        } else {
            self.given_database(&mut config).await?;
        }
        out.doing("public schema, packs");
        migrate_everything(&config).await?;
        let app = App::start(config).await?;
        let applied = applied_public(&app.platform.database).await?;
        out.line(Mark::Good, "public schema", &format!("{applied} migrations"));
        let packs = app.platform.catalog.packs().iter();
        let packs: Vec<String> = packs.map(|pack| format!("{} {}", pack.manifest.code, pack.version())).collect();
        out.line(Mark::Good, "packs", &packs.join(" · "));
        out.doing("demo tenants");
        mark_demo(&app.platform.database).await?;
        let demo = seed_demo(&app.platform, &app.tenants, &app.hasher).await?;
        out.line(Mark::Good, "demo", &by_plan(&plans(&app, &demo).await?));
        Ok((app, demo))
    }

    /// A private server in our folder.
    async fn own_database(&mut self, config: &mut Config) -> Result<()> {
        let out = &self.context.out;
        out.doing("PostgreSQL");
        let binaries = binaries(self.context, self.args).await?;
        let wanted = self.args.data_dir.join("pg");
        let began = Instant::now();
        let options = ServerOptions { data_dir: wanted.clone(), durable: true, max_connections: CONNECTIONS };
        let server = self.server.insert(start(&binaries, options).await?);
        let took = began.elapsed().as_secs_f64();
        let data = shown(server.data_dir(), &wanted);
        let text = format!("{}   started in {took:.1} s   (data: {})", binaries.dir.display(), data.display());
        out.line(Mark::Good, &format!("PostgreSQL {}", server.version()), &text);
        for note in server.notes() {
            out.line(Mark::Warning, "", note);
        }
        config.database.url = server.ensure_database(&config.instance, "insula").await?.into();
        config.encryption.key = self.claim.key()?.into();
        Ok(())
    }

    /// The configured server, which we neither start nor stop nor empty.
    async fn given_database(&self, config: &mut Config) -> Result<()> {
        if config.encryption.key.expose().is_empty() {
            config.encryption.key = self.claim.key()?.into();
        }
        let database = open_database(config)?;
        let facts = server_facts(&database).await?;
        if !may_hold_demo(&database).await? {
            return Err(Error::conflict(format!(
                "The database `{}` holds tenants or operators already.",
                facts.database
            ))
            .hint(
                "The demo's passwords are known, so it goes only into a database of its own: \
                       unset DATABASE_URL, or name an empty one.",
            ));
        }
        let text = format!("database {} as given", facts.database);
        self.context.out.line(Mark::Good, &format!("PostgreSQL {}", facts.version), &text);
        Ok(())
    }

    /// How to call `insula dev` again: by the path that we were called by, with the same folder.
    fn myself(&self) -> String {
        let called = std::env::args().next().filter(|called| called.contains('/'));
        let program = called.unwrap_or_else(|| "insula".to_owned());
        match self.args.data_dir.to_string_lossy() {
            folder if folder == DEV_FOLDER => format!("{program} dev"),
            folder => format!("{program} dev --data-dir '{folder}'"),
        }
    }

    /// Nobody shall read the addresses of a run that has ended.
    fn remove_ready_file(&self) {
        if let Some(file) = &self.args.ready_file {
            let _ = fs::remove_file(file);
        }
    }
}

/// A path as it was asked for, when it is that one.
fn shown<'a>(real: &'a Path, wanted: &'a Path) -> &'a Path {
    match fs::canonicalize(wanted) {
        Ok(path) if path == real => wanted,
        _ => real,
    }
}

async fn plans(app: &App, demo: &[DemoTenant]) -> Result<Vec<(String, String)>> {
    let mut plans = Vec::new();
    for tenant in demo {
        let row: Json =
            serde_json::from_str(tenant_show(&app.platform, tenant.id).await?.get()).map_err(Error::internal)?;
        plans.push((tenant.subdomain.clone(), row["plan"].as_str().unwrap_or("no plan").to_owned()));
    }
    Ok(plans)
}
