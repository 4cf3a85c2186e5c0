//! What an aggregator gives to the writer. All vectors are sorted by their keys and do not depend on the order in
//! which records came.

use serde::Serialize;

use crate::partial::MinutePartial;
use crate::patterns::Severity;
use crate::record::{Dataset, RejectReason};
use crate::urn::Resource;

/// The aggregates of one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Every resource that a metric, a log line, a span of the window or a call names; by URN.
    pub resources: Vec<Resource>,
    /// By (bucket, resource, metric, labels_hash).
    pub metrics: Vec<MetricRow>,
    /// By (bucket, resource, metric, labels_hash).
    pub histograms: Vec<HistogramRow>,
    /// By fingerprint.
    pub patterns: Vec<PatternRow>,
    /// One for every minute of the window, also for those in which nothing happened: a replay overwrites them.
    pub minutes: Vec<MinutePartial>,
    /// By (dataset, reason).
    pub rejects: Vec<RejectRow>,
    pub stats: Stats,
}

/// A row of `metric_1m`.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricRow {
    /// Start of the minute, UTC microseconds.
    pub bucket: i64,
    /// Index into [`Output::resources`].
    pub resource: u32,
    pub metric: String,
    /// 0 when no labels are kept.
    pub labels_hash: i64,
    /// A JSON object with its keys sorted and secrets masked.
    pub labels: Option<String>,
    pub avg: f64,
    pub max: f64,
    pub min: f64,
    /// The newest value; of several at one instant the largest.
    pub last: f64,
    /// `percentile_cont(0.95)`.
    pub p95: f64,
    pub count: i64,
    /// What the counters among its series grew by in this minute; `None` if none of them is one, or has a sample before.
    pub increase: Option<f64>,
}

/// A row of `metric_histogram_1m`: what a histogram observed in a minute.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramRow {
    /// Start of the minute, UTC microseconds.
    pub bucket: i64,
    /// Index into [`Output::resources`].
    pub resource: u32,
    /// The name of the histogram, without `_bucket`.
    pub metric: String,
    /// 0 when no labels are kept; the bound of a bucket is none of them.
    pub labels_hash: i64,
    /// A JSON object with its keys sorted and secrets masked.
    pub labels: Option<String>,
    /// Observations; `None` without a bucket for all of them whose growth is known.
    pub count: Option<f64>,
    /// The sum of the observations; `None` where the histogram has no `_sum`, or none whose growth is known.
    pub sum: Option<f64>,
    /// Quantiles, see [`bucket_quantile`](crate::quantile::bucket_quantile).
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

/// A row of `log_pattern`, as far as this range knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternRow {
    /// The 64 bits of the fingerprint as signed.
    pub fingerprint: i64,
    /// For people, `<*>` for a variable; secrets masked, at most 4 kB.
    pub pattern: String,
    /// The earliest line; secrets masked, at most 1 kB.
    pub sample: String,
    /// The highest of its lines.
    pub severity: Option<Severity>,
    /// UTC microseconds.
    pub first_seen: i64,
    /// UTC microseconds.
    pub last_seen: i64,
}

impl PatternRow {
    /// Adds what another range knows of the same pattern.
    pub fn merge(&mut self, other: &PatternRow) {
        if other.first_seen < self.first_seen {
            self.first_seen = other.first_seen;
            self.sample.clone_from(&other.sample);
        }
        self.last_seen = self.last_seen.max(other.last_seen);
        self.severity = self.severity.max(other.severity);
    }
}

/// A row of `etl_reject`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectRow {
    pub dataset: Dataset,
    pub reason: RejectReason,
    pub count: i64,
    /// At most 3, each at most 500 bytes, secrets masked.
    pub samples: Vec<String>,
}

/// What happened, for `etl_job_run.stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Log lines aggregated.
    pub logs: u64,
    /// Metric points aggregated.
    pub metrics: u64,
    /// Spans of the window.
    pub spans: u64,
    /// Records, good or bad, whose time lies outside the range; with the range's first window.
    pub outside: u64,
    /// Records that could not be used.
    pub rejected: u64,
    /// Spans with a parent that was not seen.
    pub orphan_spans: u64,
    /// Spans whose parent belongs to another service.
    pub calls: u64,
    /// Client and producer spans whose other half is nowhere.
    pub inferred_calls: u64,
    /// Distinct resources.
    pub resources: u64,
    /// Distinct log patterns.
    pub patterns: u64,
    /// Rows of `metric_1m`.
    pub series: u64,
}
