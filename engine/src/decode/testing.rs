//! A sink that remembers, for tests.

use super::ParentSink;
use crate::record::{Dataset, LogRecord, MetricPoint, RecordSink, RejectReason, SpanRecord};

/// One call of a sink.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Call {
    Log {
        ts: i64,
        service: Option<String>,
        host: Option<String>,
        body: String,
        severity: Option<String>,
    },
    Point {
        ts: i64,
        service: Option<String>,
        host: Option<String>,
        metric: String,
        value: f64,
        labels: Labels,
    },
    Span {
        ts: i64,
        ids: [String; 2],
        parent: Option<String>,
        service: Option<String>,
        duration: u64,
        error: bool,
    },
    Parent(i64, [String; 3]),
    Reject(Dataset, RejectReason, Option<i64>, String),
}

pub(super) type Labels = Vec<(String, String)>;

/// All calls in their order.
#[derive(Debug, Default)]
pub(super) struct Calls(pub(super) Vec<Call>);

impl Calls {
    /// The reasons of all rejects.
    pub(super) fn rejects(&self) -> Vec<RejectReason> {
        self.0
            .iter()
            .filter_map(|c| {
                if let Call::Reject(_, reason, ..) = c {
                    Some(*reason)
                } else {
                    None
                }
            })
            .collect()
    }
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

impl RecordSink for Calls {
    fn log(&mut self, r: LogRecord<'_>) {
        let (service, host) = (owned(r.identity.service), owned(r.identity.host));
        self.0.push(Call::Log {
            ts: r.ts,
            service,
            host,
            body: r.body.into(),
            severity: owned(r.severity),
        });
    }

    fn metric(&mut self, p: MetricPoint<'_>) {
        let (service, host) = (owned(p.identity.service), owned(p.identity.host));
        let labels = p.labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        self.0.push(Call::Point {
            ts: p.ts,
            service,
            host,
            metric: p.metric.into(),
            value: p.value,
            labels,
        });
    }

    fn span(&mut self, s: SpanRecord<'_>) {
        self.0.push(Call::Span {
            ts: s.ts,
            ids: [s.trace_id, s.span_id].map(str::to_owned),
            parent: owned(s.parent_span_id),
            service: owned(s.service),
            duration: s.duration_us,
            error: s.error,
        });
    }

    fn reject(&mut self, dataset: Dataset, reason: RejectReason, ts: Option<i64>, sample: &str) {
        self.0.push(Call::Reject(dataset, reason, ts, sample.into()));
    }
}

impl ParentSink for Calls {
    fn parent(&mut self, start: i64, trace_id: &str, span_id: &str, service: &str) {
        self.0
            .push(Call::Parent(start, [trace_id, span_id, service].map(str::to_owned)));
    }
}
