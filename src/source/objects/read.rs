//! From an object to its records, with an ear for the cancel flag.

use super::ndjson::{failed, lines};
use super::object::{Format, Object, Packing, broken};
use super::store::{Progress, Store};
use crate::source::error::SourceError;
use crate::source::options::Selection;
use crate::source::sample::{Picked, Sample};
use crate::source::tap::Tap;
use engine::aggregate::records_range;
use engine::decode::parquet::Summary;
use engine::decode::{DecodeError, Options, ParentSink, json, parquet};
use engine::record::{Dataset, LogRecord, MetricPoint, RecordSink, RejectReason, SpanRecord};
use engine::window::{Window, Windows};
use flate2::read::MultiGzDecoder;
use std::io::{Cursor, Read};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Bytes that tell how an object is packed: the start of gzip (RFC 1952, 2.3.1) and of zstd (RFC 8878, 3.1.1).
const MAGIC: usize = 4;

/// What reading an object came to.
pub struct Got {
    /// Usable records of each window.
    pub records: Vec<u64>,
    /// Refused records of each window.
    pub rejected: Vec<u64>,
    /// Bytes read.
    pub bytes: u64,
}

/// Decodes the records of the windows into `sink`.
///
/// # Errors
/// Those of [`Store`], `BadResponse` for an object that is not of its format, `Cancelled`.
pub fn records<S: Store, K: RecordSink>(
    store: &S,
    object: &Object,
    selection: &Selection,
    windows: Windows,
    cancel: &Arc<AtomicBool>,
    sink: &mut K,
) -> Result<Got, SourceError> {
    let labels = selection.metric_labels.clone();
    let options = match &object.stream {
        Some(stream) => Options::stream(object.dataset, stream, labels),
        None => Options {
            labels,
            ..Options::new(object.dataset)
        },
    };
    let by_name = object.stream.is_none().then_some(&selection.metrics);
    let mut tap = Tap::new(sink, windows, by_name, object.is_of(windows.range()));
    let progress = Progress::new(cancel);
    match object.format {
        Format::Parquet => columns(store, object, &progress, |reader| {
            let range = records_range(object.dataset, windows.range());
            parquet::parquet(&options, reader, range, &mut tap).map(|_| ())
        })?,
        Format::Ndjson(packing) => text(store, object, packing, &progress, |block| {
            json::ndjson(&options, block, &mut tap);
            ControlFlow::Continue(())
        })?,
    }
    Ok(Got {
        records: tap.records,
        rejected: tap.rejected,
        bytes: progress.bytes(),
    })
}

/// Hands the spans of `range` to `sink` as parents; gives the bytes read. Errors as for [`records`].
pub fn parents<S: Store, K: ParentSink + ?Sized>(
    store: &S,
    object: &Object,
    range: Window,
    cancel: &Arc<AtomicBool>,
    sink: &mut K,
) -> Result<u64, SourceError> {
    let progress = Progress::new(cancel);
    match object.format {
        Format::Parquet => columns(store, object, &progress, |reader| {
            parquet::parents_from_parquet(reader, range, sink).map(|_| ())
        })?,
        Format::Ndjson(packing) => text(store, object, packing, &progress, |block| {
            json::parents_from_ndjson(block, range, sink);
            ControlFlow::Continue(())
        })?,
    }
    Ok(progress.bytes())
}

/// Hands the records of `range` to `each` as JSON texts until it breaks; gives the bytes read. Errors as for [`records`].
pub fn rows<S: Store>(
    store: &S,
    object: &Object,
    range: Window,
    cancel: &Arc<AtomicBool>,
    mut each: impl FnMut(String) -> ControlFlow<()>,
) -> Result<u64, SourceError> {
    let progress = Progress::new(cancel);
    match object.format {
        Format::Parquet => columns(store, object, &progress, |reader| {
            parquet::json_rows(reader, range, each)
        })?,
        Format::Ndjson(packing) => text(store, object, packing, &progress, |block| {
            json::ndjson_rows(block, range, usize::MAX)
                .into_iter()
                .try_for_each(&mut each)
        })?,
    }
    Ok(progress.bytes())
}

/// How many records of each window an object has, good and bad. Errors as for [`records`].
///
/// Of Parquet, the footer tells where all rows are of one window, else their times; records are read where they are
/// lines of text, and where metrics are picked by their names.
pub fn counts<S: Store>(
    store: &S,
    object: &Object,
    selection: &Selection,
    windows: Windows,
    cancel: &Arc<AtomicBool>,
) -> Result<Vec<u64>, SourceError> {
    let by_name = object.dataset == Dataset::Metrics && object.stream.is_none() && !selection.metrics.is_all();
    if object.format != Format::Parquet || by_name {
        let got = records(store, object, selection, windows, cancel, &mut Nowhere)?;
        return Ok(got.records.iter().zip(got.rejected).map(|(n, more)| n + more).collect());
    }
    let mut counts = vec![0; windows.count()];
    let mut add = |window: Option<usize>, rows: u64| {
        if let Some(count) = window.and_then(|i| counts.get_mut(i)) {
            *count += rows;
        }
    };
    columns(store, object, &Progress::new(cancel), |reader| {
        let Summary { rows, times, .. } = parquet::summary(&reader)?;
        let of = |ts| windows.index(ts);
        match times.map(|(first, last)| (of(first), of(last))) {
            Some((first, last)) if first.is_some() && first == last => add(first, rows),
            _ => parquet::timestamps(reader, windows.range(), |ts| add(of(ts), 1))?,
        }
        Ok(())
    })?;
    Ok(counts)
}

/// A sink for records that are only counted on their way.
struct Nowhere;

impl RecordSink for Nowhere {
    fn log(&mut self, _: LogRecord<'_>) {}
    fn metric(&mut self, _: MetricPoint<'_>) {}
    fn span(&mut self, _: SpanRecord<'_>) {}
    fn reject(&mut self, _: Dataset, _: RejectReason, _: Option<i64>, _: &str) {}
}

/// The first records of `range` that are of the sample, as JSON texts. Errors as for [`records`].
pub fn sample<'a, S: Store>(
    store: &S,
    object: &Object,
    range: Window,
    sample: &'a Sample,
    cancel: &Arc<AtomicBool>,
) -> Result<Picked<'a>, SourceError> {
    let mut picked = Picked::new(sample);
    if sample.max > 0 {
        rows(store, object, range, cancel, |row| picked.offer(row))?;
    }
    Ok(picked)
}

/// What a Parquet object says of itself. Errors as for [`records`].
pub fn summary<S: Store>(store: &S, object: &Object, cancel: &Arc<AtomicBool>) -> Result<Summary, SourceError> {
    let mut summary = Summary::default();
    columns(store, object, &Progress::new(cancel), |reader| {
        summary = parquet::summary(&reader)?;
        Ok(())
    })?;
    Ok(summary)
}

/// Lets `decode` read a Parquet object. An error of the store counts more than what the decoder made of it.
pub fn columns<S: Store>(
    store: &S,
    object: &Object,
    progress: &Arc<Progress>,
    decode: impl FnOnce(S::Columns) -> Result<(), DecodeError>,
) -> Result<(), SourceError> {
    decode(store.columns(object, progress)?)
        .map_err(|e| progress.failure().unwrap_or_else(|| broken(object, &e.to_string())))
}

/// Hands an object of lines over in blocks.
fn text<S: Store>(
    store: &S,
    object: &Object,
    packing: Packing,
    progress: &Arc<Progress>,
    block: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), SourceError> {
    let mut bytes = store.bytes(object, progress)?;
    let mut start = Vec::with_capacity(MAGIC);
    let begin = bytes.by_ref().take(MAGIC as u64).read_to_end(&mut start);
    begin.map_err(|e| failed(object, e))?;
    // Stores keep objects packed whose name says nothing of it (Content-Encoding).
    let packing = match (packing, start.as_slice()) {
        (Packing::None, [0x1f, 0x8b, ..]) => Packing::Gzip,
        (Packing::None, [0x28, 0xb5, 0x2f, 0xfd]) => Packing::Zstd,
        (told, _) => told,
    };
    let bytes = Cursor::new(start).chain(bytes);
    let unpacked: Box<dyn Read + '_> = match packing {
        Packing::None => Box::new(bytes),
        Packing::Gzip => Box::new(MultiGzDecoder::new(bytes)),
        Packing::Zstd => Box::new(zstd::Decoder::new(bytes).map_err(|e| broken(object, &e.to_string()))?),
    };
    lines(object, unpacked, &progress.cancel, block)
}
