//! One minute of telemetry whose records are hard to page through, and the objects it can lie in.

use blackbox::openobserve::{Dataset, Store};
use blackbox::telemetry::{MINUTE, SECOND, T0, log, point, span};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::basic::Compression as Codec;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

pub type Row = Map<String, Value>;

/// Rows of a page.
pub const PAGE_ROWS: i64 = 40;
/// Lines that share one microsecond: at the start, in the middle, at the end. The middle one is more than a page.
const PILES: [(i64, i64); 3] = [(T0, 8), (T0 + 30 * SECOND, 60), (T0 + MINUTE - 1, 8)];
/// Lines, points and spans in the window.
pub const LOGS: i64 = 60 + 8 + 60 + 8;
pub const POINTS: i64 = 60;
pub const SPANS: i64 = 61;

/// The services of all records.
pub const SERVICES: [&str; 3] = ["web", "cart", "mail"];

/// The streams there are, and the folders they have in a lake.
const STREAMS: [(Dataset, &str, &str); 4] = [
    (Dataset::Logs, "default", "logs"),
    (Dataset::Metrics, "cpu", "metrics"),
    (Dataset::Metrics, "mem", "metrics"),
    (Dataset::Traces, "default", "spans"),
];

/// The window's records, and a parent in the minute before it.
pub fn store() -> Store {
    let mut store = Store::default();
    let mut add = |at: i64, n: i64| {
        let severity = if n % 5 == 0 { "ERROR" } else { "INFO" };
        let body = format!("request {n} took {} ms", n * 7);
        let service = SERVICES[n as usize % 3];
        store.add(Dataset::Logs, "default", log(at, service, severity, &body));
    };
    (0..60).for_each(|n| add(T0 + n * SECOND + 500_000, n));
    for (at, lines) in PILES {
        (0..lines).for_each(|n| add(at, n));
    }
    for n in 0..POINTS / 2 {
        let at = T0 + n * 2 * SECOND;
        store.add(Dataset::Metrics, "cpu", point(at, "cpu", "web", 0.5 + n as f64));
        store.add(Dataset::Metrics, "mem", point(at + 1, "mem", "cart", 0.25 * n as f64));
    }
    for n in 0..30 {
        let at = T0 + n * 2 * SECOND;
        let (trace, root, child) = (
            format!("{n:032x}"),
            format!("{:016x}", 2 * n + 1),
            format!("{:016x}", 2 * n + 2),
        );
        store.add(
            Dataset::Traces,
            "default",
            span(at, &trace, &root, "", "web", 20_000, false),
        );
        let span = span(at + 1000, &trace, &child, &root, "cart", 10_000 + n, n % 4 == 0);
        store.add(Dataset::Traces, "default", span);
    }
    let (trace, root, child) = (format!("{:032x}", 99), format!("{:016x}", 98), format!("{:016x}", 99));
    let before = span(T0 - SECOND, &trace, &root, "", "web", 20_000_000, false);
    store.add(Dataset::Traces, "default", before);
    let child = span(T0 + 7, &trace, &child, &root, "mail", 9_000, false);
    store.add(Dataset::Traces, "default", child);
    store
}

/// An object: its dataset's folder, stream, minute counted from [`T0`], number, and rows.
pub struct Piece {
    pub dataset: Dataset,
    pub folder: &'static str,
    pub stream: &'static str,
    pub minute: i64,
    pub number: usize,
    pub rows: Vec<Row>,
}

/// The records in objects: each stream's minute in several.
pub fn pieces() -> Vec<Piece> {
    let store = store();
    let mut out = Vec::new();
    for (dataset, stream, folder) in STREAMS {
        for minute in [-1, 0] {
            let from = T0 + minute * MINUTE;
            let mut rows = store
                .search(dataset, stream, from, from + MINUTE, None)
                .expect("the stream");
            rows.sort_by_key(|row| row["_timestamp"].as_i64());
            let most = if dataset == Dataset::Logs { 60 } else { 20 };
            for (number, rows) in rows.chunks(most).enumerate() {
                out.push(Piece {
                    dataset,
                    folder,
                    stream,
                    minute,
                    number,
                    rows: rows.to_vec(),
                });
            }
        }
    }
    out
}

/// What OpenObserve leaves beside objects: the product of merging the minute's lines, whose sources are not deleted
/// yet, and spans that a crash made it write again. Both are newer, and each record is to count once.
pub fn merged(pieces: &[Piece]) -> Vec<Piece> {
    let of = |dataset| {
        let all = pieces
            .iter()
            .filter(move |piece| piece.dataset == dataset && piece.minute == 0);
        all.map(|piece| &piece.rows)
    };
    let newer = |dataset, folder, rows| Piece {
        dataset,
        folder,
        stream: "default",
        minute: 0,
        number: 1000,
        rows,
    };
    let lines = of(Dataset::Logs).flatten().cloned().collect();
    let spans = of(Dataset::Traces).next().cloned().unwrap_or_default();
    vec![
        newer(Dataset::Logs, "logs", lines),
        newer(Dataset::Traces, "spans", spans),
    ]
}

/// One record a line.
pub fn lines(rows: &[Row]) -> Vec<u8> {
    let lines = rows.iter().map(|row| format!("{}\n", Value::Object(row.clone())));
    lines.collect::<String>().into_bytes()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut packer = zstd::Encoder::new(Vec::new(), 1).expect("memory");
    packer.include_checksum(true).expect("memory");
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

/// A column that nobody needs, and its bytes, so that an object is read in several ranges. By its name it lies behind
/// the times and services.
const PADDING: (&str, usize) = ("service_padding", 300 << 10);

/// A Parquet object of two row groups, which says in its footer how long its records are as lines.
pub fn columnar(rows: &[Row]) -> Vec<u8> {
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in rows.iter().flatten() {
        kinds.insert(
            name,
            match value {
                Value::String(_) => "binary",
                Value::Number(n) if n.is_i64() => "int64",
                _ => "double",
            },
        );
    }
    kinds.insert(PADDING.0, "binary");
    let columns = kinds.iter().map(|(name, kind)| match *kind {
        "binary" => format!("optional binary {name} (UTF8);"),
        kind => format!("optional {kind} {name};"),
    });
    let schema = format!("message s {{ {} }}", columns.collect::<String>());
    let properties = WriterProperties::builder()
        .set_compression(Codec::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(vec![KeyValue::new(
            "original_size".to_string(),
            lines(rows).len().to_string(),
        )]))
        .build();
    let schema = Arc::new(parse_message_type(&schema).expect("a schema"));
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).expect("a file");
    let padding = json!("x".repeat(PADDING.1));
    for rows in rows.chunks(rows.len().div_ceil(2)) {
        let mut group = writer.next_row_group().expect("a group");
        for (name, kind) in &kinds {
            let mut column = group.next_column().expect("a column").expect("a column");
            let pad = |at: usize| (*name == PADDING.0 && at == 0).then_some(&padding);
            let cells: Vec<Option<&Value>> = rows
                .iter()
                .enumerate()
                .map(|(at, r)| r.get(*name).or(pad(at)))
                .collect();
            let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
            let there = cells.into_iter().flatten();
            match *kind {
                "int64" => {
                    let values: Vec<i64> = there.filter_map(Value::as_i64).collect();
                    column.typed::<Int64Type>().write_batch(&values, Some(&levels), None)
                }
                "double" => {
                    let values: Vec<f64> = there.filter_map(Value::as_f64).collect();
                    column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)
                }
                _ => {
                    let values: Vec<ByteArray> = there.filter_map(Value::as_str).map(ByteArray::from).collect();
                    column
                        .typed::<ByteArrayType>()
                        .write_batch(&values, Some(&levels), None)
                }
            }
            .expect("cells");
            column.close().expect("a column");
        }
        group.close().expect("a group");
    }
    writer.into_inner().expect("a file")
}
