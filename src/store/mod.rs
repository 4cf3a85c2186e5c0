//! Everything that writes the fact tables. All of it runs inside the one transaction of a run.

pub mod graph;
pub mod locators;
pub mod logs;
pub mod metrics;
pub mod partials;
pub mod rejects;
pub mod resources;

use crate::backend::clock::to_timestamptz;
use crate::backend::locks::{self, Kind};
use crate::error::Result;
use crate::source::Locator;
use engine::aggregate::Output;
use engine::window::{BUCKET5_US, Window};
use pgrx::datum::TimestampWithTimeZone;

/// Rows of one array-valued statement. Bounds memory and the time between two checks for interrupts.
const CHUNK: usize = 10_000;

/// One fetched range, aggregated.
pub struct WindowData {
    pub range: Window,
    pub output: Output,
    pub locators: Vec<Locator>,
}

/// Replaces everything the window and its 5-minute buckets hold of a tenant.
///
/// The data of other ranges than the window's own only bring back partials that were lost.
pub fn write_window(tenant: i64, run_id: i64, window: Window, data: &[WindowData]) -> Result<()> {
    let buckets: Vec<i64> = window.buckets(BUCKET5_US).collect();
    // Two minutes of one bucket may be written at once by two runners: the second must see the first's partial.
    for bucket in &buckets {
        locks::acquire(Kind::Bucket, bucket_key(tenant, *bucket));
    }
    for part in data {
        let ids = resources::ensure(tenant, &part.output.resources)?;
        let references = locators::write(tenant, &part.locators)?;
        logs::upsert_patterns(tenant, &part.output.patterns)?;
        if part.range == window {
            metrics::replace(tenant, window, &part.output.metrics, &ids)?;
            rejects::replace(tenant, run_id, &part.output.rejects)?;
            partials::replace(tenant, &part.output.minutes, &references)?;
        } else {
            partials::restore(tenant, &part.output.minutes, &references)?;
        }
    }
    for bucket in buckets {
        partials::recompute(tenant, bucket)?;
    }
    Ok(())
}

/// Key of a bucket's lock. Two tenants may collide, which only makes one wait for the other.
fn bucket_key(tenant: i64, bucket: i64) -> i64 {
    (tenant << 40) ^ (bucket / BUCKET5_US)
}

/// A column of timestamps.
fn timestamps(us: impl Iterator<Item = i64>) -> Result<Vec<TimestampWithTimeZone>> {
    us.map(to_timestamptz).collect()
}
