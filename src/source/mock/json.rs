//! Records as the JSON objects OpenObserve answers a search with. Its field names: `severity`, `body`, `service_name`
//! and `host_name` in logs, `__name__` and labels in metrics, `reference_parent_span_id` and the rest in traces.

use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::logs::LogView;
use super::metrics::PointView;
use super::trace::{DATABASE_HOST, Kind, QUEUE_SYSTEM, SpanView};

/// Collects rows up to a number.
pub(super) struct Rows {
    rows: Vec<String>,
    max: usize,
}

impl Rows {
    pub(super) fn new(max: usize) -> Rows {
        Rows { rows: Vec::new(), max }
    }

    pub(super) fn into_vec(self) -> Vec<String> {
        self.rows
    }

    pub(super) fn log(&mut self, log: &LogView<'_>) -> ControlFlow<()> {
        let mut row = Map::new();
        put(&mut row, "_timestamp", log.ts);
        put(&mut row, "body", log.body);
        put(&mut row, "host_name", log.host);
        if let Some(severity) = log.severity {
            put(&mut row, "severity", severity);
        }
        if let Some(service) = log.service {
            put(&mut row, "service_name", service.name.as_str());
        }
        self.push(row)
    }

    pub(super) fn point(&mut self, point: &PointView<'_>) -> ControlFlow<()> {
        let mut row = Map::new();
        for (name, value) in point.labels {
            put(&mut row, name, *value);
        }
        put(&mut row, "_timestamp", point.ts);
        put(&mut row, "__name__", point.metric);
        put(&mut row, "__hash__", point.series);
        put(&mut row, "value", point.value);
        put(&mut row, "service_name", point.service.name.as_str());
        put(&mut row, "host_name", point.service.host.as_str());
        self.push(row)
    }

    pub(super) fn span(&mut self, span: &SpanView<'_>) -> ControlFlow<()> {
        let mut row = Map::new();
        let start_ns = span.start.saturating_mul(1000);
        put(&mut row, "_timestamp", span.start);
        put(&mut row, "start_time", start_ns);
        put(
            &mut row,
            "end_time",
            start_ns.saturating_add_unsigned(span.duration_us.saturating_mul(1000)),
        );
        put(&mut row, "duration", span.duration_us);
        put(&mut row, "trace_id", span.trace_id);
        put(&mut row, "span_id", span.span_id);
        if let Some(parent) = span.parent_span_id {
            put(&mut row, "reference_parent_span_id", parent);
            put(&mut row, "reference_parent_trace_id", span.trace_id);
            put(&mut row, "reference_ref_type", "ChildOf");
        }
        put(&mut row, "service_name", span.service.name.as_str());
        put(&mut row, "service_host_name", span.service.host.as_str());
        put(&mut row, "span_kind", span.kind.otlp());
        put(&mut row, "span_status", if span.error { "ERROR" } else { "UNSET" });
        let operation = match (span.kind, span.callee) {
            (Kind::Server, _) => format!("{}/Handle", span.service.name),
            (Kind::Client, Some(callee)) => {
                put(&mut row, "peer_service", callee.name.as_str());
                format!("{}/Handle", callee.name)
            }
            (Kind::Client, None) => {
                put(&mut row, "db_system", "postgresql");
                put(&mut row, "db_name", span.service.name.as_str());
                put(&mut row, "server_address", DATABASE_HOST);
                "SELECT".to_owned()
            }
            (Kind::Producer, _) => {
                put(&mut row, "messaging_system", QUEUE_SYSTEM);
                put(&mut row, "messaging_destination_name", span.service.name.as_str());
                format!("{} publish", span.service.name)
            }
            (Kind::Internal, _) => "render".to_owned(),
        };
        put(&mut row, "operation_name", operation);
        put(&mut row, "flags", 1);
        put(&mut row, "events", "[]");
        put(&mut row, "links", "[]");
        self.push(row)
    }

    /// Keeps the row; breaks when there are enough.
    fn push(&mut self, row: Map<String, Value>) -> ControlFlow<()> {
        self.rows.push(Value::Object(row).to_string());
        if self.rows.len() < self.max {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

fn put(row: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    row.insert(name.to_owned(), value.into());
}
