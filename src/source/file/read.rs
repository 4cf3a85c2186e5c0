//! From a file to its records, with an ear for the cancel flag.

use super::columns::columns;
use super::ndjson::lines;
use super::object::{Format, Object};
use super::roots::Place;
use crate::source::error::SourceError;
use crate::source::options::Selection;
use crate::source::tap::Tap;
use engine::decode::{Options, ParentSink, json, parquet};
use engine::record::RecordSink;
use engine::window::{Window, Windows};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What reading a file came to.
pub struct Got {
    /// Usable records of each window.
    pub records: Vec<u64>,
    /// Bytes read.
    pub bytes: u64,
}

/// Decodes the records of the windows into `sink`.
///
/// # Errors
/// Those of [`Place::open`], `Io`, `BadResponse` for a file that is not of its format, `Cancelled`.
pub fn records<S: RecordSink>(
    place: &Place,
    object: &Object,
    selection: &Selection,
    windows: Windows,
    cancel: &Arc<AtomicBool>,
    sink: &mut S,
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
    let mut tap = Tap::new(sink, windows, by_name);
    let (file, size) = place.open(&object.path)?;
    let bytes = match object.format {
        Format::Parquet => columns(object, file, size, cancel, |reader| {
            parquet::parquet(&options, reader, windows.range(), &mut tap).map(|_| ())
        })?,
        Format::Ndjson => lines(object, file, cancel, |block| {
            json::ndjson(&options, block, &mut tap);
            ControlFlow::Continue(())
        })?,
    };
    Ok(Got {
        records: tap.records,
        bytes,
    })
}

/// Hands the spans of `range` to `sink` as parents; gives the bytes read. Errors as for [`records`].
pub fn parents<S: ParentSink + ?Sized>(
    place: &Place,
    object: &Object,
    range: Window,
    cancel: &Arc<AtomicBool>,
    sink: &mut S,
) -> Result<u64, SourceError> {
    let (file, size) = place.open(&object.path)?;
    match object.format {
        Format::Parquet => columns(object, file, size, cancel, |reader| {
            parquet::parents_from_parquet(reader, range, sink).map(|_| ())
        }),
        Format::Ndjson => lines(object, file, cancel, |block| {
            json::parents_from_ndjson(block, range, sink);
            ControlFlow::Continue(())
        }),
    }
}

/// The first `max` records of `range` as JSON texts. Errors as for [`records`].
pub fn rows(
    place: &Place,
    object: &Object,
    range: Window,
    max: usize,
    cancel: &Arc<AtomicBool>,
) -> Result<Vec<String>, SourceError> {
    let (file, size) = place.open(&object.path)?;
    let mut out = Vec::new();
    match object.format {
        Format::Parquet => columns(object, file, size, cancel, |reader| {
            out = parquet::json_rows(reader, range, max)?;
            Ok(())
        })?,
        Format::Ndjson => lines(object, file, cancel, |block| {
            out.extend(json::ndjson_rows(block, range, max.saturating_sub(out.len())));
            if out.len() < max {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?,
    };
    Ok(out)
}
