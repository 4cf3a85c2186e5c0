//! The `mock` source: an invented system of services with logs, metrics and traces, for demos, tests and first steps
//! without any server.
//!
//! Everything is a pure function of the configuration and the time: a minute holds the same records whatever range it
//! is asked in, in whatever order, however often. Each minute holds exactly the configured number of log lines,
//! metric points and spans. Work and memory: linear in the records of the minutes that overlap the range, one record
//! (or one trace) in memory at a time. A caller that wants to stop half-way asks minute by minute.

mod config;
mod fleet;
mod json;
mod logs;
mod metrics;
mod rng;
mod templates;
#[cfg(test)]
mod tests;
mod trace;
mod traces;
mod vars;

use std::convert::Infallible;
use std::ops::ControlFlow;

use engine::record::{Dataset, Identity, LogRecord, MetricPoint, RecordSink, SpanLink, SpanRecord};
use engine::window::Window;

pub use config::MockConfig;
use fleet::Fleet;
use json::Rows;

/// The name of the one stream of logs and the one of traces. Metrics have a stream for each metric name.
pub const STREAM: &str = "default";

/// What a fetch shall bring.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Whether log lines are wanted.
    pub logs: bool,
    /// Whether spans are wanted.
    pub traces: bool,
    /// Whether the metric of this name is wanted.
    pub metric: &'a dyn Fn(&str) -> bool,
    /// Whether the label of this name is kept with metric points.
    pub label: &'a dyn Fn(&str) -> bool,
}

impl Wanted<'_> {
    /// Every record and every label.
    pub const ALL: Wanted<'static> = Wanted {
        logs: true,
        traces: true,
        metric: &|_| true,
        label: &|_| true,
    };
}

/// Hands every wanted record whose time is in `range` to `sink`: logs in order of time, then metrics series by series,
/// then spans trace by trace, each minute by minute. No record is ever rejected.
pub fn fetch<S: RecordSink>(cfg: &MockConfig, range: Window, wanted: &Wanted<'_>, sink: &mut S) {
    let (fleet, range) = (Fleet::new(cfg), bounded(range));
    let go_on = ControlFlow::<Infallible>::Continue(());
    if wanted.logs {
        let ControlFlow::Continue(()) = logs::visit(cfg, &fleet, range, |log| {
            let identity = Identity {
                service: log.service.map(|s| s.name.as_str()),
                host: Some(log.host),
            };
            sink.log(LogRecord {
                ts: log.ts,
                identity,
                body: log.body,
                severity: log.severity,
            });
            go_on
        });
    }
    let ControlFlow::Continue(()) = metrics::visit(cfg, &fleet, range, wanted, |point| {
        let identity = Identity {
            service: Some(&point.service.name),
            host: Some(&point.service.host),
        };
        let metric = point.metric;
        sink.metric(MetricPoint {
            ts: point.ts,
            identity,
            metric,
            value: point.value,
            labels: point.labels,
            series: point.series,
            counts: point.counts,
            le: point.le,
        });
        go_on
    });
    if wanted.traces {
        let ControlFlow::Continue(()) = traces::visit(cfg, &fleet, range, |span| {
            sink.span(SpanRecord {
                ts: span.start,
                trace_id: span.trace_id,
                span_id: span.span_id,
                parent_span_id: span.parent_span_id,
                service: Some(&span.service.name),
                duration_us: span.duration_us,
                error: span.error,
                kind: span.kind.otel(),
                peer: span.peer(),
            });
            go_on
        });
    }
}

/// Calls `f` with every span that starts in `range`: the margin in which parents and callees of another window's spans
/// are looked up. A parent starts at most a minute before its children.
pub fn parents(cfg: &MockConfig, range: Window, f: &mut dyn FnMut(SpanLink<'_>)) {
    let ControlFlow::Continue(()) = traces::visit(cfg, &Fleet::new(cfg), bounded(range), |span| {
        f(SpanLink {
            start: span.start,
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            service: Some(&span.service.name),
        });
        ControlFlow::<Infallible>::Continue(())
    });
}

/// The first `max` of the records that [`fetch`] brings for `dataset`, in its order, as JSON objects with the fields
/// OpenObserve would answer with. Metric points carry all labels.
pub fn json_rows(cfg: &MockConfig, dataset: Dataset, range: Window, max: usize, wanted: &Wanted<'_>) -> Vec<String> {
    let (fleet, range) = (Fleet::new(cfg), bounded(range));
    let mut rows = Rows::new(max);
    let wanted = Wanted {
        label: Wanted::ALL.label,
        ..*wanted
    };
    // Whether the visit ended early does not matter: the rows are what is asked for.
    let _ = match dataset {
        _ if max == 0 => ControlFlow::Break(()),
        Dataset::Logs if wanted.logs => logs::visit(cfg, &fleet, range, |log| rows.log(&log)),
        Dataset::Traces if wanted.traces => traces::visit(cfg, &fleet, range, |span| rows.span(&span)),
        Dataset::Metrics => metrics::visit(cfg, &fleet, range, &wanted, |point| rows.point(&point)),
        Dataset::Logs | Dataset::Traces => ControlFlow::Continue(()),
    };
    rows.into_vec()
}

/// The part of `range` in which minutes can be counted without overflow: 285,000 years around 1970.
fn bounded(range: Window) -> Window {
    const LIMIT: i64 = 9_000_000_000_000_000_000;
    Window::new(range.from.clamp(-LIMIT, LIMIT), range.to.clamp(-LIMIT, LIMIT))
}
