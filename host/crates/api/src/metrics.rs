//! The recorder behind `/metrics`. Counters, gauges and histograms themselves are named where they are counted.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

/// Renders what the recorder has counted.
pub use metrics_exporter_prometheus::PrometheusHandle as Handle;

use crate::Error;

/// Upper bounds of the buckets of every `.._seconds` histogram: from a fast commit to a stalled broker.
const SECONDS: [f64; 14] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// Makes a recorder that the whole process counts into. Call it once, before anything is counted.
pub fn install() -> Result<Handle, Error> {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS);
    builder.and_then(PrometheusBuilder::install_recorder).map_err(Error::Metrics)
}
