//! Everything that writes the fact tables. All of it runs inside the one transaction of its windows.

mod calls;
pub mod classes;
mod coarse;
pub mod forget;
pub mod graph;
pub mod histograms;
pub mod locators;
mod log_counts;
pub mod log_masks;
pub mod logs;
pub mod metrics;
pub mod partials;
pub mod rejects;
pub mod remask;
mod replace;
pub mod resources;
pub mod urn_rules;

use crate::backend::clock::to_timestamptz;
use crate::backend::locks::{self, Kind};
use crate::error::Result;
use crate::source::Locator;
use engine::aggregate::{Output, PatternRow};
use engine::patterns::Masker;
use engine::window::{BUCKET5_US, Window};
use pgrx::datum::TimestampWithTimeZone;
use resources::Ids;
use std::collections::BTreeMap;

/// Rows of one array-valued statement. Bounds memory and the time between two checks for interrupts.
const CHUNK: usize = 10_000;

/// One fetched range, aggregated.
pub struct WindowData {
    pub range: Window,
    pub output: Output,
    pub locators: Vec<Locator>,
}

/// Replaces everything that windows and their 5-minute buckets hold of a tenant, each window under its run_id.
///
/// `restored` are other ranges of the same buckets, which bring back partials that were lost. `masker` is the one that
/// made the fingerprints. Returns, for each window, how many lines count under a coarser pattern than their own, since the
/// tenant has too many.
pub fn write_windows(
    tenant: i64,
    masker: &Masker,
    windows: &[(i64, &WindowData)],
    restored: &[&WindowData],
) -> Result<Vec<i64>> {
    let mut buckets: Vec<i64> = windows
        .iter()
        .flat_map(|(_, data)| data.range.buckets(BUCKET5_US))
        .collect();
    buckets.dedup();
    // Two minutes of one bucket may be written at once by two runners: the second must see the first's partial.
    for bucket in &buckets {
        locks::acquire(Kind::Bucket, bucket_key(tenant, *bucket));
    }
    let every = || windows.iter().map(|(_, data)| *data).chain(restored.iter().copied());
    let mut ids = Ids::of(tenant)?;
    ids.enter(every().flat_map(|data| &data.output.resources).map(|r| r.urn.as_str()))?;
    let coarse = logs::enter_patterns(tenant, masker, patterns(every()))?;
    let mut coarse_lines = Vec::with_capacity(windows.len());
    for (run_id, data) in windows {
        let references = locators::write(tenant, data.range, &data.locators)?;
        let of_window = of_window(data, &ids)?;
        metrics::replace(tenant, data.range, &data.output.metrics, &of_window)?;
        histograms::replace(tenant, data.range, &data.output.histograms, &of_window)?;
        rejects::replace(tenant, *run_id, &data.output.rejects)?;
        partials::replace(tenant, &coarse.minutes(&data.output.minutes), &references)?;
        coarse_lines.push(coarse.lines(&data.output.minutes));
    }
    for data in restored {
        let references = locators::write(tenant, data.range, &data.locators)?;
        // What the locators count is what the tables hold, of metrics too.
        let of_window = of_window(data, &ids)?;
        metrics::replace(tenant, data.range, &data.output.metrics, &of_window)?;
        histograms::replace(tenant, data.range, &data.output.histograms, &of_window)?;
        partials::restore(tenant, &coarse.minutes(&data.output.minutes), &references)?;
    }
    for bucket in buckets {
        partials::recompute(tenant, bucket, &mut ids)?;
    }
    Ok(coarse_lines)
}

/// The ids of a window's resources, in their order.
fn of_window(data: &WindowData, ids: &Ids) -> Result<Vec<i64>> {
    data.output.resources.iter().map(|r| ids.id(&r.urn)).collect()
}

/// The patterns of all windows, each once, sorted as [`Ids::enter`] sorts and for the same reason.
fn patterns<'a>(windows: impl Iterator<Item = &'a WindowData>) -> Vec<PatternRow> {
    let mut all: BTreeMap<i64, PatternRow> = BTreeMap::new();
    for row in windows.flat_map(|data| &data.output.patterns) {
        all.entry(row.fingerprint)
            .and_modify(|known| known.merge(row))
            .or_insert_with(|| row.clone());
    }
    all.into_values().collect()
}

/// Key of a bucket's lock. Two tenants may collide, which only makes one wait for the other.
fn bucket_key(tenant: i64, bucket: i64) -> i64 {
    (tenant << 40) ^ (bucket / BUCKET5_US)
}

/// A column of timestamps.
fn timestamps(us: impl Iterator<Item = i64>) -> Result<Vec<TimestampWithTimeZone>> {
    us.map(to_timestamptz).collect()
}
