//! Prometheus metrics: prefix `insula_`, base units, no tenant label.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::error::{Error, Result};

/// Method, route template and status of an answered request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// HTTP method.
    pub method: &'static str,
    /// Route template, never a concrete path.
    pub route: String,
    /// Status code.
    pub status: u16,
}

/// The counters of one process.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Histogram,
    /// Requests being answered now.
    pub in_flight: Gauge,
    /// Connections thrown away because their state was not known to be clean.
    pub connections_discarded: Counter,
    /// Requests refused because no connection came free in time.
    pub pool_timeouts: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("insula");
        let requests = Family::default();
        let seconds = Histogram::new(exponential_buckets(0.000_5, 2.0, 16));
        let in_flight = Gauge::default();
        let connections_discarded = Counter::default();
        let pool_timeouts = Counter::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_request_duration_seconds", "Time from request to answer", seconds.clone());
        registry.register("http_requests_in_flight", "Requests being answered", in_flight.clone());
        registry.register("db_connections_discarded", "Connections closed as not clean", connections_discarded.clone());
        registry.register("db_pool_timeouts", "Requests without a connection in time", pool_timeouts.clone());
        Self { registry, requests, seconds, in_flight, connections_discarded, pool_timeouts }
    }
}

impl Metrics {
    /// Counts one answered request.
    pub fn answered(&self, labels: &RequestLabels, took: Duration) {
        self.requests.get_or_create(labels).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// All metrics in the OpenMetrics text format.
    pub fn text(&self) -> Result<String> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry).map_err(Error::internal)?;
        Ok(out)
    }
}
