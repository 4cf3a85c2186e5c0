//! From a file to its records, with an ear for the cancel flag.

use super::object::{Format, Object, failed};
use super::roots::Place;
use crate::source::error::{ErrorKind, SourceError};
use crate::source::options::Selection;
use crate::source::tap::Tap;
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::reader::{ChunkReader, Length};
use bytes::Bytes;
use engine::decode::{DecodeError, Options, ParentSink, json, parquet};
use engine::record::RecordSink;
use engine::window::Window;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes of NDJSON read at once.
const BLOCK: usize = 1 << 20;
/// Longest line of NDJSON that is a record.
const MAX_LINE: usize = 16 << 20;
/// What is shown of a longer one.
const LONG_LINE_SAMPLE: usize = 2 << 10;

/// What reading a file came to.
pub struct Got {
    /// Usable records inside the window.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// Decodes the records of `window` into `sink`.
///
/// # Errors
/// Those of [`Place::open`], `Io`, `BadResponse` for a file that is not of its format, `Cancelled`.
pub fn records<S: RecordSink>(
    place: &Place,
    object: &Object,
    selection: &Selection,
    window: Window,
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
    let mut tap = Tap::new(sink, window, by_name);
    let (file, size) = place.open(&object.path)?;
    let bytes = match object.format {
        Format::Parquet => columns(object, file, size, cancel, |reader| {
            parquet::parquet(&options, reader, window, &mut tap).map(|_| ())
        })?,
        Format::Ndjson => lines(object, file, cancel, |block| {
            json::ndjson(&options, block, &mut tap);
            ControlFlow::Continue(())
        })?,
    };
    Ok(Got {
        records: tap.in_range,
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

/// Reads a Parquet file through a reader that counts bytes and stops when told to.
fn columns(
    object: &Object,
    file: File,
    size: u64,
    cancel: &Arc<AtomicBool>,
    decode: impl FnOnce(Chunks) -> Result<(), DecodeError>,
) -> Result<u64, SourceError> {
    let chunks = Chunks {
        file: Arc::new(file),
        size,
        cancel: cancel.clone(),
        read: Arc::default(),
    };
    let read = chunks.read.clone();
    match decode(chunks) {
        Ok(()) => Ok(read.load(Ordering::Relaxed)),
        Err(_) if cancel.load(Ordering::Relaxed) => Err(SourceError::cancelled()),
        Err(e) => Err(broken(object, &e.to_string())),
    }
}

/// Hands the file over in blocks of whole lines; gives the bytes read. A line that is too long is handed over cut, so
/// that it is rejected like any other that is not JSON.
fn lines(
    object: &Object,
    mut file: impl Read,
    cancel: &AtomicBool,
    mut block: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<u64, SourceError> {
    let (mut buffer, mut total, mut skipping) = (Vec::with_capacity(BLOCK), 0, false);
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Err(SourceError::cancelled());
        }
        let old = buffer.len();
        let n = file
            .by_ref()
            .take(BLOCK as u64)
            .read_to_end(&mut buffer)
            .map_err(|e| failed("read", &object.path, &e))?;
        if total == 0 && buffer.trim_ascii_start().first() == Some(&b'[') {
            return Err(
                broken(object, "it is a JSON array").hint("One object a line is expected: jq -c '.[]' makes that.")
            );
        }
        total += n as u64;
        let end = if n == 0 {
            buffer.len()
        } else {
            newline_from(&buffer, old)
        };
        let (mut whole, rest) = buffer.split_at(end);
        if skipping && (end > 0 || n == 0) {
            // The end of a line whose start was handed over already.
            let after = whole.iter().position(|b| *b == b'\n').map_or(whole.len(), |at| at + 1);
            whole = whole.get(after..).unwrap_or_default();
            skipping = false;
        }
        let too_long = !skipping && rest.len() > MAX_LINE;
        let flow = match block(whole) {
            ControlFlow::Continue(()) if too_long => block(rest.get(..LONG_LINE_SAMPLE).unwrap_or(rest)),
            flow => flow,
        };
        if n == 0 || flow.is_break() {
            return Ok(total);
        }
        skipping |= too_long;
        if skipping {
            buffer.clear();
        } else {
            buffer.drain(..end);
        }
    }
}

/// Where the last whole line ends; only what lies at or behind `from` is new.
fn newline_from(buffer: &[u8], from: usize) -> usize {
    let new = buffer.get(from..).unwrap_or_default();
    new.iter().rposition(|b| *b == b'\n').map_or(0, |at| from + at + 1)
}

fn broken(object: &Object, what: &str) -> SourceError {
    SourceError::new(ErrorKind::BadResponse, format!("\"{}\" cannot be read", object.key))
        .transient(false)
        .detail(what)
        .hint("Check that the file is whole; move it away to go on without it.")
}

/// A file for the Parquet reader: positioned reads, no seeks, shared by all columns.
struct Chunks {
    file: Arc<File>,
    size: u64,
    cancel: Arc<AtomicBool>,
    read: Arc<AtomicU64>,
}

impl Chunks {
    fn check(&self) -> ParquetResult<()> {
        match self.cancel.load(Ordering::Relaxed) {
            true => Err(ParquetError::General("cancelled".to_string())),
            false => Ok(()),
        }
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        self.check()?;
        Ok(BufReader::new(From {
            file: self.file.clone(),
            at: start,
            read: self.read.clone(),
        }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.check()?;
        // A hostile footer may claim anything: no more than the file has is allocated.
        if start.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(ParquetError::EOF("a chunk lies behind the end of the file".to_string()));
        }
        let mut buffer = vec![0; length];
        self.file.read_exact_at(&mut buffer, start)?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(buffer.into())
    }
}

/// The rest of a file from some position on.
struct From {
    file: Arc<File>,
    at: u64,
    read: Arc<AtomicU64>,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.at)?;
        self.at += n as u64;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
