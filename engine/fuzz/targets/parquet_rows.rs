//! Parquet files that are well formed, of any rows: two halves of time make the whole, and the rows as JSON are records
//! and rejects where the columns are.
#![no_main]

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use engine::decode::json::ndjson;
use engine::decode::parquet::{json_rows, parquet};
use engine::window::Window;
use fuzzing::{ALL, Calls, options};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use parquet::arrow::ArrowWriter;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Columns with a role, and one without.
const COLUMNS: [&str; 16] = [
    "body",
    "message",
    "severity",
    "level",
    "service_name",
    "host_name",
    "value",
    "__name__",
    "le",
    "code",
    "trace_id",
    "span_id",
    "reference_parent_span_id",
    "duration",
    "span_kind",
    "span_status",
];

fuzz_target!(|data: &[u8]| {
    // Too few bytes for the choices: nothing to do.
    let _ = run(data);
});

fn run(data: &[u8]) -> Result<()> {
    let mut u = Unstructured::new(data);
    let options = options(&mut u)?;
    let middle = i64::from(u.arbitrary::<u8>()?);
    let Some(file) = file(&mut u)? else {
        return Ok(());
    };
    let read = |range| {
        let mut calls = Calls::default();
        let stats = parquet(&options, file.clone(), range, &mut calls).expect("a good file");
        (stats.rows_in_range, calls)
    };
    let (rows, calls) = read(ALL);
    assert_eq!(rows as usize, calls.records.len(), "a row is one record");
    let (before, mut first) = read(Window::new(i64::MIN, middle));
    let (after, second) = read(Window::new(middle, i64::MAX));
    assert_eq!(before + after, rows);
    first.records.extend(second.records);
    let sorted = |mut records: Vec<String>| {
        records.sort_unstable();
        records
    };
    let mut json = String::new();
    json_rows(file.clone(), ALL, |row| {
        json.push_str(&row);
        json.push('\n');
        ControlFlow::Continue(())
    })
    .expect("a good file");
    let mut by_json = Calls::default();
    assert_eq!(ndjson(&options, json.as_bytes(), &mut by_json), rows as usize);
    assert_eq!(by_json.records.len(), calls.records.len());
    for (json, column) in by_json.records.iter().zip(&calls.records) {
        assert_eq!(kind(json), kind(column));
    }
    assert_eq!(sorted(first.records), sorted(calls.records));
    Ok(())
}

/// What a call of a sink was, with the reason and time of a reject; not its sample, which only has the columns read.
fn kind(call: &str) -> Option<&str> {
    call.split(['"', '{']).next()
}

/// A file of up to 15 rows, all with a timestamp, with some of the columns, each of any type.
fn file(u: &mut Unstructured<'_>) -> Result<Option<Bytes>> {
    let rows = u.int_in_range(1..=15)?;
    let times: Vec<i64> = (0..rows)
        .map(|_| u.arbitrary::<u8>().map(i64::from))
        .collect::<Result<_>>()?;
    let mut columns: Vec<(&str, ArrayRef)> = vec![("_timestamp", Arc::new(Int64Array::from(times)))];
    for name in COLUMNS {
        if u.ratio(1, 2)? {
            columns.push((name, column(u, rows)?));
        }
    }
    let fields = columns.into_iter().map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(fields).ok();
    Ok(batch.and_then(|batch| {
        let mut out = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), None).ok()?;
        writer.write(&batch).ok()?;
        writer.close().ok()?;
        Some(out.into())
    }))
}

fn column(u: &mut Unstructured<'_>, rows: usize) -> Result<ArrayRef> {
    Ok(match u.int_in_range(0..=3)? {
        0 => Arc::new(cells(u, rows)?.into_iter().collect::<Int64Array>()),
        1 => Arc::new(cells(u, rows)?.into_iter().collect::<Float64Array>()),
        2 => Arc::new(cells(u, rows)?.into_iter().collect::<BooleanArray>()),
        _ => Arc::new(cells::<&str>(u, rows)?.into_iter().collect::<StringArray>()),
    })
}

fn cells<'a, T: libfuzzer_sys::arbitrary::Arbitrary<'a>>(
    u: &mut Unstructured<'a>,
    rows: usize,
) -> Result<Vec<Option<T>>> {
    (0..rows).map(|_| u.arbitrary()).collect()
}
