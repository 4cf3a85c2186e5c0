//! How fast the engine is on one core, beside what the machine or a well-known library makes of the same bytes:
//! the median of five passes, in CPU time of the thread.
//!
//!     cargo run --release -p observe-bridge-engine --example engine_speed -- FOLDER [--lines LOGHUB] [PART...]
//!
//! FOLDER is what `gen_window.py` of the benchmark wrote (one window, Parquet layout `window`), LOGHUB a folder with raw
//! lines in `*/*.log`. Prints a table. Parts: `json`, `ndjson`, `parquet`, `fingerprints`, `aggregate`, `window`.

mod clock;
mod data;

use clock::median;
use data::{Record, Stream};
use engine::aggregate::{Aggregator, Margin};
use engine::decode::{json, parquet};
use engine::patterns::{Masker, Scratch};
use engine::record::{Dataset, LogRecord, MetricPoint, RecordSink, RejectReason, SpanRecord};
use engine::window::{MINUTE_US, Window, floor};
use serde::de::IgnoredAny;
use std::error::Error;
use std::hint::black_box;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("usage: engine_speed FOLDER [PART...]")?;
    let mut only: Vec<String> = args.collect();
    let loghub = match only.iter().position(|a| a == "--lines") {
        Some(at) => only.drain(at..(at + 2).min(only.len())).nth(1),
        None => None,
    };
    let wanted = |part: &str| only.is_empty() || only.iter().any(|p| p == part);
    let streams = data::streams(Path::new(&folder))?;
    let records = data::records(&streams)?;
    let range = range(&records);
    println!("| what, on one core | measured | beside it |\n|---|---|---|");
    if wanted("json") {
        text(
            "search answers, needed columns",
            &streams,
            |s| &s.answer,
            |s, sink| json::search_response(&s.options, &s.answer, sink).is_ok(),
        );
    }
    if wanted("ndjson") {
        text(
            "NDJSON, all columns",
            &streams,
            |s| &s.ndjson,
            |s, sink| json::ndjson(&s.options, &s.ndjson, sink) > 0,
        );
    }
    if wanted("parquet") {
        objects(&streams, range, records.len());
    }
    if wanted("fingerprints") {
        let bodies = records.iter().filter_map(|r| match r {
            Record::Log(_, _, body) => Some(body.as_str()),
            _ => None,
        });
        fingerprints("bodies", &bodies.collect::<Vec<_>>());
        if let Some(folder) = loghub {
            let text = data::raw_lines(Path::new(&folder))?;
            fingerprints("raw lines of LogHub", &text.lines().collect::<Vec<_>>());
        }
    }
    if wanted("aggregate") {
        aggregate(&records, range);
    }
    if wanted("window") {
        window(&streams, range);
    }
    Ok(())
}

/// Decoding of a format of JSON into nothing.
fn text(what: &str, streams: &[Stream], bytes: fn(&Stream) -> &[u8], decode: impl Fn(&Stream, &mut Nothing) -> bool) {
    let size: usize = streams.iter().map(|s| bytes(s).len()).sum();
    let rate = |time: std::time::Duration| size as f64 / time.as_secs_f64() / 1e9;
    let ours = median(|| {
        for stream in streams {
            assert!(decode(stream, &mut Nothing), "the workload can be decoded");
        }
    });
    let skim = median(|| {
        for stream in streams {
            for value in serde_json::Deserializer::from_slice(bytes(stream)).into_iter::<IgnoredAny>() {
                let _ = black_box(value);
            }
        }
    });
    let checked = median(|| {
        for stream in streams {
            let _ = black_box(std::str::from_utf8(bytes(stream)));
        }
    });
    let mut copy = Vec::with_capacity(size);
    let copied = median(|| {
        copy.clear();
        for stream in streams {
            copy.extend_from_slice(bytes(stream));
        }
        black_box(&copy);
    });
    println!(
        "| {what}, {:.1} MB | {:.2} GB/s ({:.1} ms) | skipped by serde_json {:.2}, UTF-8 checked {:.1}, copied {:.1} GB/s |",
        size as f64 / 1e6,
        rate(ours),
        ours.as_secs_f64() * 1e3,
        rate(skim),
        rate(checked),
        rate(copied)
    );
}

fn objects(streams: &[Stream], range: Window, records: usize) {
    let size: usize = streams.iter().flat_map(|s| &s.parquet).map(|f| f.len()).sum();
    let time = median(|| {
        for stream in streams {
            for file in &stream.parquet {
                let read = parquet::parquet(&stream.options, file.clone(), range, &mut Nothing);
                assert!(read.is_ok(), "the workload can be decoded");
            }
        }
    });
    println!(
        "| Parquet objects, {:.1} MB | {:.1} ms, {:.1} M records/s | |",
        size as f64 / 1e6,
        time.as_secs_f64() * 1e3,
        records as f64 / time.as_secs_f64() / 1e6
    );
}

fn fingerprints(what: &str, lines: &[&str]) {
    let bytes: usize = lines.iter().map(|l| l.len()).sum();
    let (masker, mut scratch) = (Masker::new(), Scratch::default());
    let time = median(|| {
        for line in lines {
            black_box(masker.fingerprint(line, &mut scratch));
        }
    });
    let hashed = median(|| {
        for line in lines {
            black_box(xxhash_rust::xxh3::xxh3_64(line.as_bytes()));
        }
    });
    let rate = |time: std::time::Duration| lines.len() as f64 / time.as_secs_f64() / 1e6;
    println!(
        "| fingerprints of {what}, {} bytes a line | {:.2} M lines/s, {:.0} MB/s | XXH3 of the lines {:.0} M lines/s |",
        bytes / lines.len().max(1),
        rate(time),
        bytes as f64 / time.as_secs_f64() / 1e6,
        rate(hashed)
    );
}

fn aggregate(records: &[Record], range: Window) {
    let of = |wanted: fn(&Record) -> bool, what: &str| {
        let chosen: Vec<&Record> = records.iter().filter(|r| wanted(r)).collect();
        let time = median(|| {
            let mut aggregator = Aggregator::new(range);
            for record in &chosen {
                record.give(&mut aggregator);
            }
            black_box(aggregator.finish(Margin::default()));
        });
        println!(
            "| decoded {what} to aggregates, {} | {:.2} M records/s ({:.1} ms) | |",
            chosen.len(),
            chosen.len() as f64 / time.as_secs_f64() / 1e6,
            time.as_secs_f64() * 1e3
        );
    };
    of(|r| matches!(r, Record::Log(..)), "log lines");
    of(|r| matches!(r, Record::Metric(..)), "points");
    of(|r| matches!(r, Record::Span(..)), "spans");
    of(|_| true, "records of a window");
}

fn window(streams: &[Stream], range: Window) {
    let from_answers = median(|| {
        let mut aggregator = Aggregator::new(range);
        for stream in streams {
            let _ = black_box(json::search_response(&stream.options, &stream.answer, &mut aggregator));
        }
        black_box(aggregator.finish(Margin::default()));
    });
    let from_objects = median(|| {
        let mut aggregator = Aggregator::new(range);
        for stream in streams {
            for file in &stream.parquet {
                let _ = black_box(parquet::parquet(&stream.options, file.clone(), range, &mut aggregator));
            }
        }
        black_box(aggregator.finish(Margin::default()));
    });
    println!(
        "| a window from answers to aggregates | {:.1} ms | |",
        from_answers.as_secs_f64() * 1e3
    );
    println!(
        "| a window from Parquet to aggregates | {:.1} ms | |",
        from_objects.as_secs_f64() * 1e3
    );
}

/// Whole minutes around the records.
fn range(records: &[Record]) -> Window {
    let times = || {
        records.iter().map(|r| match r {
            Record::Log(ts, ..) | Record::Metric(ts, ..) | Record::Span(ts, ..) => *ts,
        })
    };
    let (from, to) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    Window::new(floor(from, MINUTE_US), floor(to, MINUTE_US) + MINUTE_US)
}

/// Takes records and keeps nothing.
struct Nothing;

impl RecordSink for Nothing {
    fn log(&mut self, r: LogRecord<'_>) {
        black_box(r);
    }
    fn metric(&mut self, p: MetricPoint<'_>) {
        black_box(p);
    }
    fn span(&mut self, s: SpanRecord<'_>) {
        black_box(s);
    }
    fn reject(&mut self, _: Dataset, _: RejectReason, _: Option<i64>, _: &str) {
        black_box(());
    }
}
