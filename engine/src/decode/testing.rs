//! A sink that remembers, for tests.

use super::ParentSink;
use crate::record::{Dataset, LogRecord, MetricPoint, RecordSink, RejectReason, SpanLink, SpanRecord};

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
        series: u64,
        le: Option<f64>,
    },
    Span {
        ts: i64,
        ids: [String; 2],
        parent: Option<String>,
        service: Option<String>,
        duration: u64,
        error: bool,
        /// The URN of whom it calls.
        peer: Option<String>,
    },
    Parent(i64, [String; 4]),
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
            series: p.series,
            le: p.le,
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
            peer: s.peer.map(|peer| crate::urn::peer(peer).urn),
        });
    }

    fn reject(&mut self, dataset: Dataset, reason: RejectReason, ts: Option<i64>, sample: &str) {
        self.0.push(Call::Reject(dataset, reason, ts, sample.into()));
    }
}

impl ParentSink for Calls {
    fn parent(&mut self, link: SpanLink<'_>) {
        let SpanLink { trace_id, span_id, .. } = link;
        let texts = [
            trace_id,
            span_id,
            link.parent_span_id.unwrap_or(""),
            link.service.unwrap_or(""),
        ];
        self.0.push(Call::Parent(link.start, texts.map(str::to_owned)));
    }
}
