use super::*;
use crate::decode::fields::LabelChoice;
use crate::decode::testing::{Call, Calls, Labels};
use crate::record::RejectReason;
use ::parquet::arrow::ArrowWriter;
use ::parquet::file::properties::WriterProperties;
use arrow_array::*;
use arrow_schema::{DataType, TimeUnit};
use bytes::Bytes;
use proptest::prelude::*;
use std::ops::ControlFlow;
use std::sync::Arc;

const ALL: Window = Window {
    from: i64::MIN,
    to: i64::MAX,
};

/// A file of one batch in row groups of `group` rows.
fn file(columns: Vec<(&str, ArrayRef)>, group: usize) -> Bytes {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    Bytes::from(bytes)
}

fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn read(options: &Options, file: Bytes, range: Window) -> (ParquetStats, Calls) {
    let mut calls = Calls::default();
    (parquet(options, file, range, &mut calls).unwrap(), calls)
}

fn times(calls: &Calls) -> Vec<i64> {
    let ts = |c: &Call| match c {
        Call::Log { ts, .. } | Call::Point { ts, .. } | Call::Span { ts, .. } => Some(*ts),
        _ => None,
    };
    calls.0.iter().filter_map(ts).collect()
}

#[test]
fn only_row_groups_and_rows_in_range() {
    let n = 1000;
    let body: Vec<String> = (0..n).rev().map(|i| format!("line {i}")).collect();
    let body: ArrayRef = Arc::new(StringArray::from(body));
    let bytes = file(vec![("_timestamp", ints((0..n).rev())), ("body", body)], 100);
    let (stats, calls) = read(&Options::new(Dataset::Logs), bytes.clone(), Window::new(150, 320));
    let want = ParquetStats {
        rows_read: 300,
        rows_in_range: 170,
        row_groups_read: 3,
        row_groups_total: 10,
    };
    assert_eq!(stats, want);
    assert_eq!(times(&calls), (150..320).rev().collect::<Vec<_>>());
    let Call::Log { body, .. } = &calls.0[0] else { panic!() };
    assert_eq!(body, "line 319");
    // The end is exclusive, the start inclusive; nothing at all is fine too.
    assert_eq!(
        read(&Options::new(Dataset::Logs), bytes.clone(), Window::new(100, 200))
            .0
            .row_groups_read,
        1
    );
    assert_eq!(
        read(&Options::new(Dataset::Logs), bytes.clone(), Window::new(1000, 2000))
            .0
            .row_groups_read,
        0
    );
    assert_eq!(read(&Options::new(Dataset::Logs), bytes, Window::new(7, 7)).1.0, []);
}

#[test]
fn every_type_that_a_role_may_come_in() {
    let options = Options::stream(Dataset::Metrics, "m", LabelChoice::Some(vec!["l".into()]));
    let us = [1_500_000i64, 2_500_000];
    let timestamps: [ArrayRef; 8] = [
        ints(us),
        Arc::new(UInt64Array::from_iter_values(us.map(|t| t as u64))),
        Arc::new(Float64Array::from_iter_values(us.map(|t| t as f64))),
        texts(&[Some("1500000"), Some("2500000")]),
        Arc::new(Int32Array::from_iter_values(us.map(|t| t as i32))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(us).with_timezone("UTC")),
        Arc::new(TimestampMillisecondArray::from_iter_values(us.map(|t| t / 1000))),
        Arc::new(TimestampNanosecondArray::from_iter_values(us.map(|t| t * 1000 + 999))),
    ];
    let values: [ArrayRef; 6] = [
        Arc::new(Float64Array::from(vec![1.0, 2.0])),
        Arc::new(Float32Array::from(vec![1.0, 2.0])),
        ints([1, 2]),
        Arc::new(UInt8Array::from(vec![1, 2])),
        texts(&[Some("1"), Some("2.0")]),
        Arc::new(
            Decimal128Array::from(vec![100, 200])
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
    ];
    let labels: [ArrayRef; 5] = [
        texts(&[Some("7"), None]),
        Arc::new(LargeStringArray::from(vec![Some("7"), None])),
        Arc::new(StringViewArray::from(vec![Some("7"), None])),
        Arc::new(
            vec![Some("7"), None]
                .into_iter()
                .collect::<DictionaryArray<types::Int32Type>>(),
        ),
        Arc::new(BinaryArray::from(vec![Some(&b"7"[..]), None])),
    ];
    for t in &timestamps {
        for v in &values {
            for l in &labels {
                let case = format!("{} {} {}", t.data_type(), v.data_type(), l.data_type());
                let bytes = file(
                    vec![("_timestamp", t.clone()), ("l", l.clone()), ("value", v.clone())],
                    10,
                );
                let (_, calls) = read(&options, bytes, Window::new(1_500_000, 3_000_000));
                let point = |ts, value, labels: Labels| Call::Point {
                    ts,
                    service: None,
                    host: None,
                    metric: "m".into(),
                    value,
                    series: labels_number(&labels),
                    labels,
                    le: None,
                };
                let label = vec![("l".to_string(), "7".to_string())];
                assert_eq!(calls.0, [point(us[0], 1.0, label), point(us[1], 2.0, vec![])], "{case}");
            }
        }
    }
}

/// The number of a series that has none of its own.
fn labels_number(labels: &[(String, String)]) -> u64 {
    let object: serde_json::Map<String, serde_json::Value> = labels
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    let hit = serde_json::json!({ "_timestamp": 1, "value": 1, "labels": null });
    let mut hit = hit.as_object().unwrap().clone();
    hit.extend(object);
    let mut calls = Calls::default();
    let options = Options::stream(Dataset::Metrics, "m", LabelChoice::None);
    crate::decode::json::ndjson(
        &options,
        serde_json::Value::Object(hit).to_string().as_bytes(),
        &mut calls,
    );
    match &calls.0[0] {
        Call::Point { series, .. } => *series,
        other => panic!("{other:?}"),
    }
}

#[test]
fn texts_of_other_types() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("_timestamp", ints([1])),
        ("body", Arc::new(BooleanArray::from(vec![true]))),
        ("level", ints([17])),
        ("service_name", Arc::new(Float64Array::from(vec![2.0]))),
    ];
    let (_, calls) = read(&Options::new(Dataset::Logs), file(columns, 10), ALL);
    let text = |s: &str| Some(s.to_string());
    let (service, severity) = (text("2.0"), text("17"));
    assert_eq!(
        calls.0,
        [Call::Log {
            ts: 1,
            service,
            host: None,
            body: "true".into(),
            severity
        }]
    );
}

#[test]
fn bad_rows_are_rejected_as_json() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "_timestamp",
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)])),
        ),
        ("body", texts(&[Some("a"), Some("b\""), None, Some("d")])),
        (
            "level",
            Arc::new(BinaryArray::from(vec![None, None, None, Some(&b"\xff"[..])])),
        ),
    ];
    let (stats, calls) = read(&Options::new(Dataset::Logs), file(columns, 10), Window::new(1, 9));
    let reject = |reason, ts, raw: &str| Call::Reject(Dataset::Logs, reason, ts, raw.into());
    assert_eq!(stats.rows_in_range, 3);
    // A level that is no text does not cost the line.
    assert_eq!(times(&calls), [1, 4]);
    assert_eq!(
        calls.0[1..3],
        [
            reject(RejectReason::MissingTimestamp, None, r#"{"body":"b\""}"#),
            reject(RejectReason::MissingBody, Some(3), r#"{"_timestamp":3}"#),
        ]
    );
    assert_eq!(calls.rejects().len(), 2);
}

#[test]
fn spans_and_parents() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("_timestamp", ints([1, 2, 3])),
        (
            "duration",
            Arc::new(UInt64Array::from(vec![5, 18_446_744_073_704_551, 7])),
        ),
        ("reference_parent_span_id", texts(&[None, Some("a"), Some("")])),
        ("service_name", texts(&[Some("s"), Some("s"), None])),
        ("span_id", texts(&[Some("a"), Some("b"), Some("c")])),
        ("span_status", texts(&[Some("ERROR"), None, None])),
        ("trace_id", texts(&[Some("t"), Some("t"), Some("t")])),
    ];
    let bytes = file(columns, 10);
    let (_, calls) = read(&Options::new(Dataset::Traces), bytes.clone(), ALL);
    assert_eq!(times(&calls), [1, 3]);
    assert_eq!(calls.rejects(), [RejectReason::BadDuration]);
    let mut parents = Calls::default();
    parents_from_parquet(bytes, Window::new(2, 4), &mut parents).unwrap();
    let want = [(2, ["t", "b", "a", "s"]), (3, ["t", "c", "", ""])];
    assert_eq!(
        parents.0,
        want.map(|(start, p)| Call::Parent(start, p.map(str::to_owned)))
    );
}

#[test]
fn metric_named_by_its_rows() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("__name__", texts(&[Some("up"), None])),
        ("_timestamp", ints([1, 2])),
        ("value", Arc::new(Float64Array::from(vec![1.0, f64::NAN]))),
    ];
    let bytes = file(columns, 10);
    let (_, calls) = read(&Options::new(Dataset::Metrics), bytes, ALL);
    assert!(matches!(&calls.0[0], Call::Point { metric, .. } if metric == "up"));
    assert_eq!(calls.rejects(), [RejectReason::BadValue]);
}

#[test]
fn whole_rows_as_json() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("_timestamp", ints([3, 2, 1])),
        ("hash", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 0]))),
        ("n", texts(&[None, Some("é\n"), Some("x")])),
        ("when", Arc::new(Date32Array::from(vec![Some(0), None, None]))),
    ];
    let bytes = file(columns, 2);
    let rows = |range, max| first_rows(bytes.clone(), range, max);
    assert_eq!(
        rows(Window::new(2, 4), 9),
        [
            r#"{"_timestamp":3,"hash":18446744073709551615,"when":"1970-01-01"}"#,
            r#"{"_timestamp":2,"hash":0,"n":"é\n"}"#,
        ]
    );
    assert_eq!((rows(ALL, 2).len(), rows(Window::new(9, 10), 5).len()), (2, 0));
}

#[test]
fn hosts_are_read_where_a_row_may_have_no_service() {
    let hosts = |services: &[Option<&str>], group: usize, range: Window| -> Vec<Option<String>> {
        let n = services.len();
        let columns = vec![
            ("_timestamp", ints(0..n as i64)),
            ("body", texts(&vec![Some("a line"); n])),
            ("service_name", texts(services)),
            ("host_name", texts(&vec![Some("node-1"); n])),
        ];
        let (_, calls) = read(&Options::new(Dataset::Logs), file(columns, group), range);
        let host = |call: &Call| match call {
            Call::Log { host, .. } => host.clone(),
            other => panic!("{other:?}"),
        };
        calls.0.iter().map(host).collect()
    };
    let node = Some("node-1".to_string());
    assert_eq!(
        hosts(&[Some("a"), Some("b")], 9, ALL),
        [None, None],
        "nobody needs them"
    );
    assert_eq!(hosts(&[Some("a"), None], 9, ALL), [node.clone(), node.clone()]);
    assert_eq!(hosts(&[Some("a"), Some("")], 9, ALL), [node.clone(), node.clone()]);
    // Only the row groups that are read count.
    let services = [Some("a"), Some("b"), None];
    assert_eq!(hosts(&services, 1, Window::new(0, 2)), [None, None]);
    assert_eq!(hosts(&services, 1, Window::new(1, 3)), [node.clone(), node]);
}

#[test]
fn no_timestamp_column_is_an_error() {
    let mut calls = Calls::default();
    let bytes = file(vec![("body", texts(&[Some("x")]))], 10);
    let error = parquet(&Options::new(Dataset::Logs), bytes, ALL, &mut calls).unwrap_err();
    assert!(error.what.contains("_timestamp"), "{error}");
}

/// A small file with two row groups for damaging.
fn small() -> Vec<u8> {
    let columns = vec![
        ("_timestamp", ints(0..20)),
        (
            "body",
            Arc::new(StringArray::from_iter_values((0..20).map(|i| format!("line {i}")))) as ArrayRef,
        ),
        (
            "value",
            Arc::new(Float64Array::from_iter_values((0..20).map(f64::from))),
        ),
    ];
    file(columns, 10).to_vec()
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = small();
    for end in 0..bytes.len() {
        let cut = Bytes::copy_from_slice(&bytes[..end]);
        let got = parquet(&Options::new(Dataset::Logs), cut, ALL, &mut Calls::default());
        assert!(got.is_err(), "cut at {end}");
    }
}

proptest! {
    #[test]
    fn damaged_files_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), from in 0i64..20) {
        let mut bytes = small();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let bytes = Bytes::from(bytes);
        let range = Window::new(from, 20);
        let _ = parquet(&Options::new(Dataset::Logs), bytes.clone(), range, &mut Calls::default());
        let _ = json_rows(bytes, range, |_| ControlFlow::Continue(()));
    }

    #[test]
    fn any_range_gives_what_a_plain_filter_gives(from in -5i64..60, len in 0i64..60, group in 1usize..40) {
        let n = 50i64;
        let ts: Vec<i64> = (0..n).map(|i| (i * 37) % n).collect();
        let body: ArrayRef = Arc::new(StringArray::from_iter_values(ts.iter().map(|t| t.to_string())));
        let range = Window::new(from, from + len);
        let (stats, calls) = read(&Options::new(Dataset::Logs), file(vec![("_timestamp", ints(ts.clone())), ("body", body)], group), range);
        let want: Vec<i64> = ts.into_iter().filter(|t| range.contains(*t)).collect();
        prop_assert_eq!(stats.rows_in_range, want.len() as u64);
        prop_assert_eq!(times(&calls), want);
    }
}

#[test]
fn milliseconds_and_nanoseconds_prune_too() {
    let ms: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(0..100));
    let body: ArrayRef = Arc::new(StringArray::from_iter_values((0..100).map(|i| i.to_string())));
    assert_eq!(ms.data_type(), &DataType::Timestamp(TimeUnit::Millisecond, None));
    let bytes = file(vec![("_timestamp", ms), ("body", body)], 10);
    let (stats, calls) = read(&Options::new(Dataset::Logs), bytes, Window::new(20_000, 30_000));
    assert_eq!((stats.row_groups_read, times(&calls).len()), (1, 10));
}

fn first_rows(bytes: Bytes, range: Window, max: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let each = |row| {
        rows.push(row);
        if rows.len() < max {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    json_rows(bytes, range, each).unwrap();
    rows
}
