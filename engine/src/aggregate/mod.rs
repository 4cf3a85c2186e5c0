//! Records in, rows out: the aggregates of a range, window by window.
//!
//! Every page, file and thread decodes into an [`Aggregator`] of its own; [`Aggregator::merge`] puts them together. What
//! comes out for a window depends on the set of its records, of the spans in the margin around it and of the counters'
//! samples shortly before it only: not on their order, nor on how they were split, nor on which other windows they came
//! with.

mod callees;
mod counters;
mod finish;
mod histograms;
mod intern;
mod labels;
mod logs;
mod metrics;
mod output;
mod parents;
mod points;
mod rejects;
mod spans;
mod sum;
#[cfg(test)]
mod tests;

pub use counters::{COUNTER_LEAD_US, records_range};
pub use output::{HistogramRow, MetricRow, Output, PatternRow, RejectRow, Stats};
pub use parents::Margin;

use crate::decode::ParentSink;
use crate::patterns::Masker;
use crate::record::{Counts, Dataset, LogRecord, MetricPoint, RecordSink, RejectReason, SpanLink, SpanRecord};
use crate::window::{MINUTE_US, Window, Windows, floor};

use callees::Callees;
use counters::Counters;
use intern::Resources;
use logs::{Fingerprints, Logs};
use metrics::{Metrics, Names};
use parents::{Parents, View};
use rejects::Rejects;
use spans::{Others, Spans, is_span_id};
use xxhash_rust::xxh3::xxh3_64;

/// Collects the records of a range that is cut into windows. What costs thought (names, label sets, fingerprints) and
/// what windows look up in each other (parents, callees, counters) is held once for all of them. A record allocates nothing once its names,
/// series and pattern are known.
pub struct Aggregator {
    windows: Windows,
    resources: Resources,
    names: Names,
    fingerprints: Fingerprints,
    parents: Parents,
    callees: Callees,
    counters: Counters,
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
    /// Records outside the range are counted and ignored, but for metrics that are not older than
    /// [`COUNTER_LEAD_US`] before it: they are expected (see [`records_range`]), and what counters grow by is counted from
    /// them. That count, and rejects that have no good timestamp, cannot be
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
            callees: Callees::default(),
            counters: Counters::default(),
            parts: std::iter::repeat_with(Part::default).take(windows.count()).collect(),
        }
    }

    /// A span that is known only as a possible parent of others, or as what another called.
    pub fn link(&mut self, link: SpanLink<'_>) {
        let service = self.resources.service(link.service);
        let key = self.parents.key(link.trace_id, link.span_id);
        self.parents.add(key, link.start, service);
        if let Some(parent) = link.parent_span_id.filter(|id| is_span_id(id)) {
            let parent = self.parents.key(link.trace_id, parent);
            self.callees.add(parent, link.start, service);
        }
    }

    /// Says that everything so far comes from the source of this name. A series is one of its source: the same sample
    /// read twice from one source counts once, read from two it counts twice.
    pub fn of_source(&mut self, name: &str) {
        let salt = xxh3_64(name.as_bytes());
        self.parts.iter_mut().for_each(|part| part.metrics.salt(salt));
        self.counters.salt(salt);
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
        self.callees.absorb(other.callees, &map);
        self.counters.absorb(other.counters, &map, &names);
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
    /// [`link`](Self::link). Ranges are read until none of the margin is wanted any more. In any order, and however
    /// they are cut, that gives the same result; near the windows first is the shortest way. Linear in the spans of the
    /// windows whose margin reaches the range.
    pub fn wants_parents(&mut self, range: Window, margin: Margin) -> bool {
        self.order();
        let mut windows = self.windows.iter().zip(&self.parts);
        windows.any(|(window, part)| part.spans.want(range, self.others(), View::new(window, margin)))
    }

    /// Makes what windows look up in each other ready after spans were added.
    fn order(&mut self) {
        self.parents.order(&self.resources);
        let clients = self.parts.iter().flat_map(|part| part.spans.clients());
        let children = self.parts.iter().flat_map(|part| part.spans.children());
        self.callees.order(clients, children);
    }

    fn others(&self) -> Others<'_> {
        Others {
            parents: &self.parents,
            callees: &self.callees,
        }
    }

    /// Whether metrics of this time are expected, though they belong to no window.
    fn leads(&self, ts: i64) -> bool {
        let range = self.windows.range();
        ts < range.from && records_range(Dataset::Metrics, range).contains(ts)
    }

    /// What merging into another would cost, roughly: the larger one is kept.
    fn size(&self) -> u64 {
        let records = |part: &Part| part.stats.logs + part.stats.metrics + part.stats.spans;
        self.parts.iter().map(records).sum()
    }

    /// Remembers a sample that a counter's next one is compared with.
    fn count(&mut self, p: &MetricPoint<'_>) {
        if p.counts == Counts::Cumulative {
            let (resource, name) = (self.resources.of(p.identity), self.names.of(p.metric, &[]));
            self.counters.add(resource, name.metric, p.series, p.ts, p.value);
        }
    }

    fn outside(&mut self) {
        if let Some(first) = self.parts.first_mut() {
            first.stats.outside += 1;
        }
    }
}

/// Whether a sample is a number that means one: no NaN, no infinity, and not the largest number of either sign, which is
/// what OpenObserve makes of infinities.
fn is_number(value: f64) -> bool {
    value.abs() < f64::MAX
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
        let number = is_number(p.value);
        let Some(part) = part_of(self.windows, &mut self.parts, p.ts) else {
            return match self.leads(p.ts) {
                true if number => self.count(&p),
                true => {}
                false => self.outside(),
            };
        };
        if !number {
            let sample = format!("{} {}", p.metric, p.value);
            return part.rejects.add(Dataset::Metrics, RejectReason::BadValue, &sample);
        }
        let (resource, name) = (self.resources.of(p.identity), self.names.of(p.metric, p.labels));
        part.metrics.add(floor(p.ts, MINUTE_US), resource, name, &p);
        part.stats.metrics += 1;
        self.count(&p);
    }

    fn span(&mut self, s: SpanRecord<'_>) {
        let Some(part) = part_of(self.windows, &mut self.parts, s.ts) else {
            return self.outside();
        };
        let service = self.resources.service(s.service);
        let peer = s.peer.map(|peer| self.resources.peer(peer));
        part.spans.add(&mut self.parents, service, peer, &s);
        self.callees.unsettle();
        part.stats.spans += 1;
    }

    fn link_only(&mut self, link: SpanLink<'_>) {
        // As for good spans, what a file holds of other times does not cost memory: the margin is read if it is wanted.
        if self.windows.index(link.start).is_some() {
            self.link(link);
        }
    }

    fn reject(&mut self, dataset: Dataset, reason: RejectReason, ts: Option<i64>, sample: &str) {
        if dataset == Dataset::Metrics && ts.is_some_and(|ts| self.leads(ts)) {
            return;
        }
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
    fn parent(&mut self, link: SpanLink<'_>) {
        self.link(link);
    }
}
