//! One source: how it is read. What is read, its connector has checked.

use std::sync::Arc;
use std::time::Duration;

use weir_connector::{Error, Fixed, Found, PlannedSource};
use weir_core::{Start, Until};

use super::positive;
use crate::plan::SourcePlan;
use crate::spec::SourceSpec;

const DISCOVERY_INTERVAL: Duration = Duration::from_secs(30);

pub(super) fn plan(name: &str, spec: &SourceSpec, reads: Arc<dyn PlannedSource>, found: &mut Found) -> SourcePlan {
    let at = format!("sources.{name}");
    if let Some(fixed) = reads.abilities().fixed {
        check_fixed(&at, spec, (reads.noun(), fixed), found);
    }
    check_offsets(&at, spec, reads.abilities().no_offsets, found);
    let watermark = spec.watermark.as_ref().and_then(|watermark| watermark.plan(&at, &*reads, found));
    let discovery_interval = found.keep(positive(
        &format!("{at}.discovery-interval"),
        spec.discovery_interval.map_or(DISCOVERY_INTERVAL, |s| s.0),
    ));
    SourcePlan {
        name: name.to_owned(),
        reads,
        start: spec.start.clone().unwrap_or_default(),
        until: spec.until.clone(),
        max_rate: spec.max_rate,
        discovery_interval: discovery_interval.unwrap_or(DISCOVERY_INTERVAL),
        watermark,
    }
}

fn check_offsets(at: &str, spec: &SourceSpec, no_offsets: Option<&str>, found: &mut Found) {
    let Some(reason) = no_offsets else { return };
    if matches!(spec.start, Some(Start::Offsets(_))) {
        found.add(Error::invalid(format!("{at}.start"), reason));
    }
    if matches!(spec.until, Some(Until::Offsets(_))) {
        found.add(Error::invalid(format!("{at}.until"), reason));
    }
}

/// Settings of how a source is read, which one has that is read in one way only.
fn check_fixed(at: &str, spec: &SourceSpec, (what, fixed): (&str, Fixed), found: &mut Found) {
    let mut refuse = |key: &str, reason: &str| found.add(Error::conflict(format!("{at}.{key}"), what, reason));
    if spec.start.as_ref().is_some_and(|start| *start != Start::Earliest) {
        refuse("start", "it is always read from its beginning; leave it out");
    }
    if spec.until.as_ref().is_some_and(|until| !(fixed.ends_at_latest && *until == Until::Latest)) {
        refuse("until", fixed.ends);
    }
    if spec.max_rate.is_some() {
        refuse("max-rate", fixed.pace);
    }
    if spec.discovery_interval.is_some() {
        refuse("discovery-interval", "there are no partitions to discover");
    }
}
