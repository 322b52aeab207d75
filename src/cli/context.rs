//! What every command starts from: the flags that all share, the settings, the way to the terminal.

use std::path::Path;

use super::Global;
use super::dev::state;
use super::output::Output;
use crate::app::open_platform;
use crate::config::{Config, Layers, Log, variable};
use crate::db::By;
use crate::error::{Error, Result};
use crate::ops::Platform;
use crate::telemetry::start_logs;

/// The folder of `insula dev` unless `--data-dir` names another.
pub(super) const DEV_FOLDER: &str = ".insula";

/// The flags that all commands share, and what follows from them.
pub(super) struct Context {
    global: Global,
    /// The way to the terminal.
    pub(super) out: Output,
}

impl Context {
    pub(super) fn new(global: Global) -> Self {
        let out = Output::new(&global);
        Self { global, out }
    }

    /// The settings before flags of the command are put on top.
    pub(super) fn layers(&self) -> Result<Layers> {
        Layers::collect(self.global.config.as_deref())
    }

    /// The settings of a command on an installation.
    pub(super) fn installation(&self) -> Result<Config> {
        let config = self.config()?;
        if config.database.url.expose().is_empty() {
            let message = "No database is configured, and `insula dev` does not run in this folder.";
            return Err(Error::malformed(message)
                .hint("Set DATABASE_URL=postgresql://user:password@host:5432/insula, or run `insula dev`."));
        }
        Ok(config)
    }

    /// The settings of a command that can do without a database; logs are on. Where none is configured and
    /// `insula dev` runs in this folder, its database is meant.
    pub(super) fn config(&self) -> Result<Config> {
        let layers = self.layers()?;
        let mut config = layers.read()?;
        self.start_logs(&config.log, "warn")?;
        if config.database.url.expose().is_empty()
            && let Some(state) = state::running(Path::new(DEV_FOLDER))?
        {
            self.out.note(&format!("Using the database of `insula dev` in {DEV_FOLDER}."));
            state.apply(&mut config);
        }
        Ok(config)
    }

    /// Database and catalogue.
    pub(super) async fn platform(&self) -> Result<Platform> {
        open_platform(&self.installation()?).await
    }

    /// Turns logs on; `-q` and `-v` beat the level, which is the setting's or what suits the command.
    pub(super) fn start_logs(&self, settings: &Log, level: &str) -> Result<()> {
        let level = match (self.global.quiet, self.global.verbose) {
            (true, _) => "error",
            (false, 0) => level,
            (false, 1) => "info,insula=debug",
            (false, _) => "debug,insula=trace",
        };
        start_logs(&Log { format: settings.format, level: level.to_owned() })
    }

    /// Who acts, for journals and the audit.
    pub(super) fn by(&self) -> By {
        let user = variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(|| "unknown".to_owned());
        By { name: format!("cli:{user}"), origin: None }
    }
}

/// Where a setting came from; `default` when nobody set it.
pub(super) fn source_of(layers: &Layers, key: &str) -> Result<String> {
    let settings = layers.settings()?;
    Ok(settings.into_iter().find(|setting| setting.key == key).map_or_else(String::new, |setting| setting.source))
}
