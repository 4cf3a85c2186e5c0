//! A sink in front of the aggregator that counts what belongs to each window and drops metrics nobody asked for.

use super::pattern::Patterns;
use engine::record::{Dataset, LogRecord, MetricPoint, RecordSink, RejectReason, SpanLink, SpanRecord};
use engine::window::Windows;

/// Forwards to `inner`. Where streams hold metrics of many names (NDJSON files, other writers' Parquet), `metrics`
/// picks by the name in the record.
pub struct Tap<'a, S> {
    inner: &'a mut S,
    windows: Windows,
    metrics: Option<&'a Patterns>,
    timeless: bool,
    /// Records of each window, as forwarded.
    pub records: Vec<u64>,
    /// Refused records of each window, as far as they say when they were.
    pub rejected: Vec<u64>,
    /// Records without a service.
    pub nameless: u64,
}

impl<'a, S: RecordSink> Tap<'a, S> {
    /// `metrics`: `None` forwards every metric. `timeless`: whether refused records that do not say when they were are
    /// forwarded; those of what is read around the windows belong to others.
    pub fn new(inner: &'a mut S, windows: Windows, metrics: Option<&'a Patterns>, timeless: bool) -> Self {
        Tap {
            inner,
            windows,
            timeless,
            metrics: metrics.filter(|p| !p.is_all()),
            records: vec![0; windows.count()],
            rejected: vec![0; windows.count()],
            nameless: 0,
        }
    }

    fn count(&mut self, ts: i64, service: Option<&str>) {
        self.nameless += u64::from(service.is_none());
        if let Some(records) = self.windows.index(ts).and_then(|i| self.records.get_mut(i)) {
            *records += 1;
        }
    }
}

impl<S: RecordSink> RecordSink for Tap<'_, S> {
    fn log(&mut self, r: LogRecord<'_>) {
        self.count(r.ts, r.identity.service);
        self.inner.log(r);
    }

    fn metric(&mut self, p: MetricPoint<'_>) {
        if self.metrics.is_none_or(|m| m.matches(p.metric)) {
            self.count(p.ts, p.identity.service);
            self.inner.metric(p);
        }
    }

    fn span(&mut self, s: SpanRecord<'_>) {
        self.count(s.ts, s.service);
        self.inner.span(s);
    }

    fn link_only(&mut self, link: SpanLink<'_>) {
        self.inner.link_only(link);
    }

    fn reject(&mut self, dataset: Dataset, reason: RejectReason, ts: Option<i64>, sample: &str) {
        let window = ts.and_then(|ts| self.windows.index(ts));
        if let Some(rejected) = window.and_then(|i| self.rejected.get_mut(i)) {
            *rejected += 1;
        }
        if ts.is_none() && !self.timeless {
            return;
        }
        self.inner.reject(dataset, reason, ts, sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::record::{Counts, Identity};
    use engine::window::Window;

    #[derive(Default)]
    struct Seen(Vec<String>);

    impl RecordSink for Seen {
        fn log(&mut self, r: LogRecord<'_>) {
            self.0.push(r.body.to_string());
        }
        fn metric(&mut self, p: MetricPoint<'_>) {
            self.0.push(p.metric.to_string());
        }
        fn span(&mut self, s: SpanRecord<'_>) {
            self.0.push(s.span_id.to_string());
        }
        fn reject(&mut self, _: Dataset, reason: RejectReason, _: Option<i64>, _: &str) {
            self.0.push(reason.as_str().to_string());
        }
    }

    #[test]
    fn counts_the_windows_and_picks_metrics_by_name() {
        let only_up = Patterns::new(["up"]);
        let mut seen = Seen::default();
        let mut tap = Tap::new(&mut seen, Windows::new(Window::new(10, 20), 5), Some(&only_up), true);
        for (ts, metric) in [(9, "up"), (10, "up"), (19, "up"), (15, "down"), (20, "up")] {
            tap.metric(MetricPoint {
                ts,
                identity: Identity::default(),
                metric,
                value: 1.0,
                labels: &[],
                series: 0,
                counts: Counts::No,
                le: None,
            });
        }
        tap.log(LogRecord {
            ts: 10,
            identity: Identity::default(),
            body: "line",
            severity: None,
        });
        for ts in [None, Some(17), Some(20)] {
            tap.reject(Dataset::Logs, RejectReason::MissingBody, ts, "");
        }
        assert_eq!(tap.records, [2, 1]);
        assert_eq!(tap.rejected, [0, 1], "those of a window");
        assert_eq!(seen.0[..5], ["up", "up", "up", "up", "line"]);
        assert_eq!(seen.0[5..], ["missing_body"; 3]);
        let mut around = Seen::default();
        let mut tap = Tap::new(&mut around, Windows::new(Window::new(10, 20), 5), None, false);
        for ts in [None, Some(17)] {
            tap.reject(Dataset::Logs, RejectReason::BadTimestamp, ts, "");
        }
        assert_eq!(around.0.len(), 1);
    }
}
