//! Logs and metrics: what the service says about itself.

pub mod metrics;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::{Log, LogFormat, variable};
use crate::error::{Error, Result};

/// Turns logging to stderr on, once per process.
///
/// `tokio_postgres` logs parameter values at debug level, so it is capped whatever the filter says.
pub fn start_logs(settings: &Log) -> Result<()> {
    let cap = "tokio_postgres=info".parse().map_err(Error::internal)?;
    let filter = EnvFilter::try_new(&settings.level)
        .map_err(|error| Error::malformed(format!("The setting `log.level` is not valid: {error}.")))?
        .add_directive(cap);
    let colours = std::io::stderr().is_terminal() && variable("NO_COLOR").is_none();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_span_events(FmtSpan::NONE);
    match settings.format {
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
        LogFormat::Text => logs.with_target(false).try_init(),
    }
    .map_err(Error::internal)
}
