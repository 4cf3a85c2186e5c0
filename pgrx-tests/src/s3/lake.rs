//! Telemetry as a lake has it.

use super::S3;
use crate::openobserve::{Dataset, Store};
use crate::telemetry::{MINUTE, T0};

/// Writes what a minute of the store has, or the first `most` records of each kind, in Hive folders below `lake/`.
pub fn put_minute(s3: &S3, store: &Store, at: usize, most: usize) {
    let from = T0 + at as i64 * MINUTE;
    for (dataset, folder, stream) in [
        (Dataset::Logs, "logs", "default"),
        (Dataset::Metrics, "metrics", "cpu"),
        (Dataset::Traces, "spans", "default"),
    ] {
        let rows = store
            .search(dataset, stream, from, from + MINUTE, None)
            .expect("the stream");
        let lines = rows
            .into_iter()
            .take(most)
            .map(|row| serde_json::Value::Object(row).to_string() + "\n");
        let key = format!("lake/{folder}/yyyy=2026/mm=01/dd=05/hh=10/mm={at:02}/part.ndjson");
        s3.put(&key, lines.collect::<String>().as_bytes());
    }
}
