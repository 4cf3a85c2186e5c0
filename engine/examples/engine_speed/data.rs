//! The workload as the engine gets it: answers to searches, NDJSON, Parquet objects, and the records in them.

use engine::decode::fields::{LabelChoice, TIMESTAMP, needed_columns, short_name, without_hosts};
use engine::decode::{Options, json};
use engine::record::{
    Counts, Dataset, Identity, LogRecord, MetricPoint, RecordSink, RejectReason, SpanKind, SpanRecord,
};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Hit<'a> = BTreeMap<&'a str, &'a RawValue>;

/// One stream of the workload.
pub struct Stream {
    pub options: Options,
    /// All columns, one record a line.
    pub ndjson: Vec<u8>,
    /// The answer to a search for the columns that are needed.
    pub answer: Vec<u8>,
    /// The objects of the stream.
    pub parquet: Vec<bytes::Bytes>,
}

/// Reads what `gen_window.py` of the benchmark has written below `folder`.
pub fn streams(folder: &Path) -> Result<Vec<Stream>> {
    let mut out = Vec::new();
    for dataset in Dataset::ALL {
        let text = fs::read_to_string(folder.join(format!("{}.ndjson", dataset.as_str())))?;
        let mut by_stream: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for line in text.lines() {
            let stream = match dataset {
                Dataset::Metrics => serde_json::from_str(serde_json::from_str::<Hit>(line)?["__name__"].get())?,
                _ => "default".to_owned(),
            };
            by_stream.entry(stream).or_default().push(line);
        }
        for (name, lines) in by_stream {
            let objects = folder.join("files/default").join(dataset.as_str()).join(&name);
            let mut options = Options::stream(dataset, &name, LabelChoice::None);
            let answer = answer(&mut options, &lines)?;
            out.push(Stream {
                options,
                ndjson: (lines.join("\n") + "\n").into_bytes(),
                answer,
                parquet: files(&objects)?,
            });
        }
    }
    Ok(out)
}

/// An answer with the needed columns of `lines` under short names, in the order in which OpenObserve sends columns: by
/// name. Every record of the workload has a service, so hosts are not needed.
fn answer(options: &mut Options, lines: &[&str]) -> Result<Vec<u8>> {
    let hits: Vec<Hit> = lines
        .iter()
        .map(|l| serde_json::from_str(l))
        .collect::<std::result::Result<_, _>>()?;
    let schema: BTreeSet<&str> = hits.iter().flat_map(|hit| hit.keys().copied()).collect();
    let schema: Vec<&str> = schema.into_iter().collect();
    let needed = needed_columns(options.dataset, &schema, &LabelChoice::None);
    let needed = without_hosts(options.dataset, &needed, &LabelChoice::None).unwrap_or(needed);
    options.shortened = needed.into_iter().filter(|c| c != TIMESTAMP).collect();
    let name = |column: &str| match options.shortened.iter().position(|c| c == column) {
        Some(i) => Some(short_name(i)),
        None => (column == TIMESTAMP).then(|| TIMESTAMP.to_owned()),
    };
    let projected: Vec<BTreeMap<String, &RawValue>> = hits
        .into_iter()
        .map(|hit| {
            hit.into_iter()
                .filter_map(|(column, value)| Some((name(column)?, value)))
                .collect()
        })
        .collect();
    let mut body = br#"{"took":12,"hits":"#.to_vec();
    body.extend(serde_json::to_vec(&projected)?);
    body.extend(
        format!(
            r#","total":{},"from":0,"size":1000000,"is_partial":false}}"#,
            lines.len()
        )
        .bytes(),
    );
    Ok(body)
}

/// All lines of the files `*/*.log` below `folder`.
pub fn raw_lines(folder: &Path) -> Result<String> {
    let mut sets: Vec<_> = fs::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    sets.sort_by_key(|set| set.path());
    let mut text = String::new();
    for set in sets.iter().map(|set| set.path()).filter(|path| path.is_dir()) {
        for file in fs::read_dir(set)? {
            let path = file?.path();
            if path.extension().is_some_and(|e| e == "log") {
                text.push_str(&String::from_utf8_lossy(&fs::read(path)?));
            }
        }
    }
    Ok(text)
}

fn files(folder: &Path) -> Result<Vec<bytes::Bytes>> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            out.extend(files(&path)?);
        } else if path.extension().is_some_and(|e| e == "parquet") {
            out.push(fs::read(path)?.into());
        }
    }
    Ok(out)
}

/// The series of a metric's point, how its values add up, and the bound of a bucket.
type Series = (u64, Counts, Option<f64>);

/// A record that owns its texts. Spans are given on without whom they call: few name anybody.
pub enum Record {
    Log(i64, [Option<String>; 3], String),
    Metric(i64, [Option<String>; 2], String, f64, Series),
    Span(i64, [String; 2], [Option<String>; 2], u64, bool, SpanKind),
}

impl Record {
    pub fn give(&self, sink: &mut impl RecordSink) {
        match self {
            Record::Log(ts, [service, host, severity], body) => sink.log(LogRecord {
                ts: *ts,
                identity: identity(service, host),
                body,
                severity: severity.as_deref(),
            }),
            Record::Metric(ts, [service, host], metric, value, (series, counts, le)) => sink.metric(MetricPoint {
                ts: *ts,
                identity: identity(service, host),
                metric,
                value: *value,
                labels: &[],
                series: *series,
                counts: *counts,
                le: *le,
            }),
            Record::Span(ts, [trace_id, span_id], [parent, service], duration_us, error, kind) => {
                sink.span(SpanRecord {
                    ts: *ts,
                    trace_id,
                    span_id,
                    parent_span_id: parent.as_deref(),
                    service: service.as_deref(),
                    duration_us: *duration_us,
                    error: *error,
                    kind: *kind,
                    peer: None,
                })
            }
        }
    }
}

fn identity<'a>(service: &'a Option<String>, host: &'a Option<String>) -> Identity<'a> {
    Identity {
        service: service.as_deref(),
        host: host.as_deref(),
    }
}

/// The records of all streams, decoded.
pub fn records(streams: &[Stream]) -> Result<Vec<Record>> {
    let mut keep = Keep(Vec::new());
    for stream in streams {
        json::search_response(&stream.options, &stream.answer, &mut keep)?;
    }
    Ok(keep.0)
}

struct Keep(Vec<Record>);

impl RecordSink for Keep {
    fn log(&mut self, r: LogRecord<'_>) {
        let texts = [r.identity.service, r.identity.host, r.severity].map(|t| t.map(str::to_owned));
        self.0.push(Record::Log(r.ts, texts, r.body.to_owned()));
    }

    fn metric(&mut self, p: MetricPoint<'_>) {
        let texts = [p.identity.service, p.identity.host].map(|t| t.map(str::to_owned));
        let series = (p.series, p.counts, p.le);
        self.0
            .push(Record::Metric(p.ts, texts, p.metric.to_owned(), p.value, series));
    }

    fn span(&mut self, s: SpanRecord<'_>) {
        let ids = [s.trace_id, s.span_id].map(str::to_owned);
        let texts = [s.parent_span_id, s.service].map(|t| t.map(str::to_owned));
        self.0
            .push(Record::Span(s.ts, ids, texts, s.duration_us, s.error, s.kind));
    }

    fn reject(&mut self, _: Dataset, _: RejectReason, _: Option<i64>, _: &str) {}
}
