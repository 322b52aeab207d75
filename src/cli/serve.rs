//! `insula serve`: the service.

use clap::Args;
use serde_json::json;

use super::Exit;
use super::context::Context;
use super::interrupt::{first_signal, unless};
use crate::app::{App, migrate_everything};
use crate::config::{Config, Layers};
use crate::error::{Error, Result};
use crate::http::{Listeners, serve};

#[derive(Args)]
#[command(before_help = "Examples:\n  insula serve\n  insula serve --migrate --listen 0.0.0.0:8080")]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) addresses: Addresses,
    /// Bring the database up to date first
    #[arg(long)]
    migrate: bool,
}

/// Where to listen.
#[derive(Args)]
pub(super) struct Addresses {
    /// Address of the service; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<String>,
    /// Address of /live, /ready, /metrics and /version
    #[arg(long, value_name = "ADDRESS")]
    pub(super) ops_listen: Option<String>,
}

impl Addresses {
    pub(super) fn over(&self, mut layers: Layers) -> Layers {
        let given = [("http.listen", &self.listen), ("http.ops_listen", &self.ops_listen)];
        for (key, address) in given.into_iter().filter_map(|(key, flag)| Some((key, flag.as_ref()?))) {
            layers = layers.with(key, address);
        }
        layers
    }
}

/// Listens; afterwards the settings tell the port that customers reach us on.
pub(super) async fn listen(config: &mut Config) -> Result<Listeners> {
    let listeners = Listeners::bind(&config.http).await?;
    let service = listeners.service.local_addr().map_err(Error::internal)?;
    config.http.listen = service.to_string();
    config.http.ops_listen = listeners.ops.local_addr().map_err(Error::internal)?.to_string();
    if config.http.public_port == 0 {
        config.http.public_port = service.port();
    }
    Ok(listeners)
}

/// From the first log line on, everything is told by the log: in production, machines read stderr.
pub(super) async fn run(context: &Context, args: ServeArgs) -> Result<Exit> {
    let mut config = args.addresses.over(context.layers()?).read()?;
    let level = config.log.level.clone();
    context.start_logs(&config.log, &level)?;
    let stop = first_signal(|| tracing::info!("stopping; a second signal ends it at once"))?;
    let listeners = listen(&mut config).await?;
    let (listening, ops) = (config.http.listen.clone(), config.http.ops_listen.clone());
    let Some(app) = unless(&stop, start(config, args.migrate)).await? else { return Ok(Exit::Interrupted) };
    tracing::info!(listen = listening, ops_listen = ops, version = env!("CARGO_PKG_VERSION"), "serving");
    if context.out.json() {
        context.out.document(&json!({ "listen": listening, "ops_listen": ops }))?;
    }
    serve(app, listeners, stop.cancelled_owned()).await?;
    tracing::info!("stopped");
    Ok(Exit::Done)
}

async fn start(config: Config, migrate: bool) -> Result<std::sync::Arc<App>> {
    if migrate {
        for line in migrate_everything(&config).await? {
            tracing::info!("migrated {line}");
        }
    }
    App::start(config).await
}
