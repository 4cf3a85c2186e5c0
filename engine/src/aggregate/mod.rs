//! Records in, rows out: the aggregates of a range, window by window.
//!
//! Every page, file and thread decodes into an [`Aggregator`] of its own; [`Aggregator::merge`] puts them together. What
//! comes out for a window depends on the set of its records and of the spans in the margin around it only: not on their
//! order, nor on how they were split, nor on which other windows they came with.

mod finish;
mod intern;
mod labels;
mod logs;
mod metrics;
mod output;
mod parents;
mod rejects;
mod spans;
#[cfg(test)]
mod tests;

pub use output::{MetricRow, Output, PatternRow, RejectRow, Stats};
pub use parents::Margin;

use crate::decode::ParentSink;
use crate::patterns::Masker;
use crate::record::{Dataset, LogRecord, MetricPoint, RecordSink, RejectReason, SpanRecord};
use crate::window::{MINUTE_US, Window, Windows, floor};

use intern::Resources;
use logs::{Fingerprints, Logs};
use metrics::{Metrics, Names};
use parents::{Parents, View};
use rejects::Rejects;
use spans::Spans;

/// Collects the records of a range that is cut into windows. What costs thought (names, label sets, fingerprints) and
/// what windows look up in each other (parents) is held once for all of them. A record allocates nothing once its names,
/// series and pattern are known.
pub struct Aggregator {
    windows: Windows,
    resources: Resources,
    names: Names,
    fingerprints: Fingerprints,
    parents: Parents,
    /// One for each window, ascending.
    parts: Vec<Part>,
}

/// What one window holds.
#[derive(Default)]
struct Part {
    metrics: Metrics,
    logs: Logs,
    spans: Spans,
    rejects: Rejects,
    stats: Stats,
}

impl Aggregator {
    /// The windows that records are told apart by.
    pub fn windows(&self) -> Windows {
        self.windows
    }

    /// An empty aggregator for the records of `windows`, which should consist of whole minutes: a partial of every
    /// minute that a window touches comes out. Memory: a few hundred bytes a window at first.
    ///
    /// Records outside the range are counted and ignored. That count, and rejects that have no good timestamp, cannot be
    /// told to belong to any window: they are the first one's.
    pub fn new(windows: impl Into<Windows>) -> Self {
        Aggregator::with_masker(windows, Masker::new())
    }

    /// As [`Aggregator::new`], for a tenant that has masks of its own. Aggregators that are merged must have equal
    /// masks, else one line counts under two fingerprints.
    pub fn with_masker(windows: impl Into<Windows>, masker: Masker) -> Self {
        let windows = windows.into();
        Aggregator {
            windows,
            resources: Resources::default(),
            names: Names::default(),
            fingerprints: Fingerprints::new(masker),
            parents: Parents::default(),
            parts: std::iter::repeat_with(Part::default).take(windows.count()).collect(),
        }
    }

    /// A span that starts at `start` and is known only as a possible parent. An empty `service` is the unknown one.
    pub fn parent(&mut self, start: i64, trace_id: &str, span_id: &str, service: &str) {
        let service = self.resources.service(Some(service));
        let key = self.parents.key(trace_id, span_id);
        self.parents.add(key, start, service);
    }

    /// Takes over everything `other` has seen. Both must have been made for the same windows.
    pub fn merge(&mut self, mut other: Aggregator) {
        debug_assert_eq!(self.windows, other.windows, "aggregators of different windows");
        if other.size() > self.size() {
            std::mem::swap(self, &mut other);
        }
        let map = self.resources.absorb(&other.resources);
        let names = self.names.absorb(other.names);
        self.parents.absorb(other.parents, &map);
        for (part, other) in self.parts.iter_mut().zip(other.parts) {
            part.metrics.absorb(other.metrics, &map, &names);
            part.logs.absorb(other.logs, &map);
            part.spans.absorb(other.spans, &map);
            part.rejects.absorb(other.rejects);
            part.stats.logs += other.stats.logs;
            part.stats.metrics += other.stats.metrics;
            part.stats.spans += other.stats.spans;
            part.stats.outside += other.stats.outside;
        }
    }

    /// Whether spans that start in `range` may change what comes out: then the caller reads them and gives them to
    /// [`parent`](Self::parent). Ranges are read until none of the margin is wanted any more. In any order, and however
    /// they are cut, that gives the same result; near the windows first is the shortest way. Linear in the spans of the
    /// windows whose margin reaches the range.
    pub fn wants_parents(&mut self, range: Window, margin: Margin) -> bool {
        self.parents.order(&self.resources);
        let mut windows = self.windows.iter().zip(&self.parts);
        windows.any(|(window, part)| part.spans.want(range, &self.parents, View::new(window, margin)))
    }

    /// What merging into another would cost, roughly: the larger one is kept.
    fn size(&self) -> u64 {
        let records = |part: &Part| part.stats.logs + part.stats.metrics + part.stats.spans;
        self.parts.iter().map(records).sum()
    }

    fn outside(&mut self) {
        if let Some(first) = self.parts.first_mut() {
            first.stats.outside += 1;
        }
    }
}

/// What the window of `ts` holds, or `None` if it lies outside the range.
fn part_of(windows: Windows, parts: &mut [Part], ts: i64) -> Option<&mut Part> {
    windows.index(ts).and_then(|i| parts.get_mut(i))
}

impl RecordSink for Aggregator {
    fn log(&mut self, r: LogRecord<'_>) {
        let Some(part) = part_of(self.windows, &mut self.parts, r.ts) else {
            return self.outside();
        };
        let (resource, minute) = (self.resources.of(r.identity), floor(r.ts, MINUTE_US));
        part.logs
            .add(&mut self.fingerprints, minute, resource, r.ts, r.body, r.severity);
        part.stats.logs += 1;
    }

    fn metric(&mut self, p: MetricPoint<'_>) {
        let Some(part) = part_of(self.windows, &mut self.parts, p.ts) else {
            return self.outside();
        };
        if !p.value.is_finite() {
            let sample = format!("{} {}", p.metric, p.value);
            return part.rejects.add(Dataset::Metrics, RejectReason::BadValue, &sample);
        }
        let (resource, name) = (self.resources.of(p.identity), self.names.of(p.metric, p.labels));
        part.metrics.add(floor(p.ts, MINUTE_US), resource, name, p.ts, p.value);
        part.stats.metrics += 1;
    }

    fn span(&mut self, s: SpanRecord<'_>) {
        let Some(part) = part_of(self.windows, &mut self.parts, s.ts) else {
            return self.outside();
        };
        let service = self.resources.service(s.service);
        part.spans.add(&mut self.parents, floor(s.ts, MINUTE_US), service, &s);
        part.stats.spans += 1;
    }

    fn parent_only(&mut self, start: i64, trace_id: &str, span_id: &str, service: &str) {
        // As for good spans, what a file holds of other times does not cost memory: the margin is read if it is wanted.
        if self.windows.index(start).is_some() {
            self.parent(start, trace_id, span_id, service);
        }
    }

    fn reject(&mut self, dataset: Dataset, reason: RejectReason, ts: Option<i64>, sample: &str) {
        let part = match ts {
            Some(ts) => part_of(self.windows, &mut self.parts, ts),
            None => self.parts.first_mut(),
        };
        match part {
            Some(part) => part.rejects.add(dataset, reason, sample),
            None => self.outside(),
        }
    }
}

impl ParentSink for Aggregator {
    fn parent(&mut self, start: i64, trace_id: &str, span_id: &str, service: &str) {
        Aggregator::parent(self, start, trace_id, span_id, service);
    }
}
