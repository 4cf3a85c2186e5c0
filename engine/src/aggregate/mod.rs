//! Records in, rows out: the aggregates of one range of whole minutes.
//!
//! Every page, file and thread decodes into an [`Aggregator`] of its own; [`Aggregator::merge`] puts them together. What
//! comes out depends on the set of records only: not on their order, nor on how they were split.

mod finish;
mod intern;
mod labels;
mod logs;
mod metrics;
mod output;
mod rejects;
mod spans;
#[cfg(test)]
mod tests;

use hashbrown::HashSet;

pub use output::{MetricRow, Output, PatternRow, RejectRow, Stats};

use crate::decode::ParentSink;
use crate::patterns::Masker;
use crate::record::{Dataset, LogRecord, MetricPoint, RecordSink, RejectReason, SpanRecord};
use crate::window::{MINUTE_US, Window, floor};

use intern::{ResourceId, Resources};
use logs::Logs;
use metrics::Metrics;
use rejects::Rejects;
use spans::Spans;

/// Collects the records of one range. A record allocates nothing once its names, series and pattern are known.
pub struct Aggregator {
    range: Window,
    resources: Resources,
    metrics: Metrics,
    logs: Logs,
    spans: Spans,
    /// Services with spans in the range; those of parents in the margin are not among them.
    span_services: HashSet<ResourceId>,
    rejects: Rejects,
    stats: Stats,
}

impl Aggregator {
    /// An empty aggregator for the records of `range`, which should consist of whole minutes: a partial of every minute
    /// that it touches comes out. Records outside the range are counted and ignored.
    pub fn new(range: Window) -> Self {
        Aggregator::with_masker(range, Masker::new())
    }

    /// As [`Aggregator::new`], for a tenant that has masks of its own. Aggregators that are merged must have equal
    /// masks, else one line counts under two fingerprints.
    pub fn with_masker(range: Window, masker: Masker) -> Self {
        Aggregator {
            range,
            resources: Resources::default(),
            metrics: Metrics::default(),
            logs: Logs::new(masker),
            spans: Spans::default(),
            span_services: HashSet::new(),
            rejects: Rejects::default(),
            stats: Stats::default(),
        }
    }

    /// A span that is known only as a possible parent of the range's spans, so its own time does not matter. An empty
    /// `service` is the unknown one.
    pub fn parent(&mut self, trace_id: &str, span_id: &str, service: &str) {
        let service = self.resources.service(Some(service));
        self.spans.add_parent(&self.resources, trace_id, span_id, service);
    }

    /// Takes over everything `other` has seen. Both must have been made for the same range.
    pub fn merge(&mut self, mut other: Aggregator) {
        debug_assert_eq!(self.range, other.range, "aggregators of different ranges");
        if other.size() > self.size() {
            std::mem::swap(self, &mut other);
        }
        let map = self.resources.absorb(&other.resources);
        self.metrics.absorb(other.metrics, &map);
        self.logs.absorb(other.logs, &map);
        self.spans.absorb(other.spans, &self.resources, &map);
        self.span_services
            .extend(other.span_services.into_iter().map(|id| map.map(id)));
        self.rejects.absorb(other.rejects);
        self.stats.logs += other.stats.logs;
        self.stats.metrics += other.stats.metrics;
        self.stats.spans += other.stats.spans;
        self.stats.outside += other.stats.outside;
    }

    /// Spans of the range whose parent was not seen so far: if there are any, the caller fetches the margin and gives
    /// its spans to [`parent`](Self::parent). Linear in the spans.
    pub fn unresolved_parents(&self) -> usize {
        self.spans.unresolved()
    }

    /// What merging into another would cost, roughly: the larger one is kept.
    fn size(&self) -> u64 {
        self.stats.logs + self.stats.metrics + self.stats.spans
    }

    /// The minute of `ts`, or `None` if it lies outside the range.
    fn minute(&mut self, ts: i64) -> Option<i64> {
        if self.range.contains(ts) {
            return Some(floor(ts, MINUTE_US));
        }
        self.stats.outside += 1;
        None
    }
}

impl RecordSink for Aggregator {
    fn log(&mut self, r: LogRecord<'_>) {
        let Some(minute) = self.minute(r.ts) else { return };
        let resource = self.resources.of(r.identity);
        self.logs.add(minute, resource, r.ts, r.body, r.severity);
        self.stats.logs += 1;
    }

    fn metric(&mut self, p: MetricPoint<'_>) {
        let Some(minute) = self.minute(p.ts) else { return };
        if !p.value.is_finite() {
            return self.reject(
                Dataset::Metrics,
                RejectReason::BadValue,
                &format!("{} {}", p.metric, p.value),
            );
        }
        let resource = self.resources.of(p.identity);
        self.metrics.add(minute, resource, p.metric, p.labels, p.ts, p.value);
        self.stats.metrics += 1;
    }

    fn span(&mut self, s: SpanRecord<'_>) {
        let Some(minute) = self.minute(s.ts) else { return };
        let service = self.resources.service(s.service);
        self.span_services.insert(service);
        self.spans.add(&self.resources, minute, service, &s);
        self.stats.spans += 1;
    }

    fn parent_only(&mut self, trace_id: &str, span_id: &str, service: &str) {
        self.parent(trace_id, span_id, service);
    }

    fn reject(&mut self, dataset: Dataset, reason: RejectReason, sample: &str) {
        self.rejects.add(dataset, reason, sample);
    }
}

impl ParentSink for Aggregator {
    fn parent(&mut self, trace_id: &str, span_id: &str, service: &str) {
        Aggregator::parent(self, trace_id, span_id, service);
    }
}
