//! Small made-up telemetry whose aggregates can be counted by hand.

use crate::openobserve::{Dataset, Record, Store};
use serde_json::json;

/// 2026-01-05 10:00:00 UTC: the start of the windows in the tests, in microseconds.
pub const T0: i64 = 1_767_607_200_000_000;
pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;

/// What one minute of [`minute`] holds.
pub const LOGS: i64 = 12;
pub const ERROR_LOGS: i64 = 3;
pub const POINTS: i64 = 4;
/// Pairs of a span of `web` and its child of `cart`.
pub const CALLS: i64 = 6;
pub const FAILED_CALLS: i64 = 1;

/// UTC microseconds as a literal that PostgreSQL reads.
pub fn literal(at: i64) -> String {
    format!("to_timestamp({})", at / SECOND)
}

pub fn log(at: i64, service: &str, severity: &str, body: &str) -> Record {
    Record::new(
        at,
        json!({ "service_name": service, "severity": severity, "body": body }),
    )
}

pub fn point(at: i64, metric: &str, service: &str, value: f64) -> Record {
    Record::new(
        at,
        json!({ "__name__": metric, "service_name": service, "value": value }),
    )
}

/// `id` names the span within its trace; `parent` is empty for a root. `duration` is in microseconds.
pub fn span(at: i64, trace: &str, id: &str, parent: &str, service: &str, duration: i64, failed: bool) -> Record {
    let record = Record::new(
        at,
        json!({
            "trace_id": trace, "span_id": id, "service_name": service, "operation_name": "GET /", "span_kind": "2",
            "span_status": if failed { "ERROR" } else { "UNSET" }, "duration": duration,
            "start_time": at * 1000, "end_time": (at + duration) * 1000,
        }),
    );
    if parent.is_empty() {
        record
    } else {
        record.with("reference_parent_span_id", Some(json!(parent)))
    }
}

/// Adds the same minute of telemetry at `from`: [`LOGS`] lines of `web` in stream `default` of which [`ERROR_LOGS`] are
/// errors, [`POINTS`] points 1, 2, 3, 4 of `cpu` of `web`, and [`CALLS`] calls `web` -> `cart` of 10 ms each, of which
/// [`FAILED_CALLS`] fail.
pub fn minute(store: &mut Store, from: i64) {
    for n in 0..LOGS {
        let severity = if n < ERROR_LOGS { "ERROR" } else { "INFO" };
        let line = log(
            from + n * SECOND,
            "web",
            severity,
            &format!("request {n} took {} ms", n * 7),
        );
        store.add(Dataset::Logs, "default", line);
    }
    for n in 1..=POINTS {
        store.add(
            Dataset::Metrics,
            "cpu",
            point(from + n * 10 * SECOND, "cpu", "web", n as f64),
        );
    }
    for n in 0..CALLS {
        let (trace, at) = (format!("{:032x}", from + n), from + n * SECOND);
        let (root, child) = (format!("{:016x}", 2 * n + 1), format!("{:016x}", 2 * n + 2));
        store.add(
            Dataset::Traces,
            "default",
            span(at, &trace, &root, "", "web", 20_000, false),
        );
        store.add(
            Dataset::Traces,
            "default",
            span(at + 1000, &trace, &child, &root, "cart", 10_000, n < FAILED_CALLS),
        );
    }
}

/// So many minutes of [`minute`] from [`T0`] on.
pub fn minutes(n: i64) -> Store {
    let mut store = Store::default();
    (0..n).for_each(|i| minute(&mut store, T0 + i * MINUTE));
    store
}
