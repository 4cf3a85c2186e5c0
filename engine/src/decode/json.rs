//! OpenObserve's `_search` answers and NDJSON.

use super::answer::{self, Answer, ReadError};
use super::cursor::{Cursor, string, utf8};
use super::hit::Hits;
use super::row::{Parents, Records, RowSink, SAMPLE_BYTES, cut};
use super::scalar::{Field, Scalar};
use super::{DecodeError, Options, ParentSink};
use crate::record::{Dataset, RecordSink, RejectReason};
use crate::window::Window;
use std::io::Read;

/// What a `_search` answer says beside its hits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchPage {
    /// Hits in this answer, good or bad. As many as asked for means that there may be more.
    pub hits: usize,
    /// OpenObserve's `total`: the hits of this page again, not the number of matches.
    pub total: Option<u64>,
    /// The server did not read everything.
    pub is_partial: bool,
    /// What the server warns about; not empty means that the answer may be incomplete.
    pub function_error: Vec<String>,
    /// UTC microseconds: set if the server has moved the start of the window.
    pub new_start_time: Option<i64>,
    /// UTC microseconds: set if the server has moved the end of the window.
    pub new_end_time: Option<i64>,
}

impl SearchPage {
    /// Takes a member of the answer beside its hits, as JSON; the others are left out. A moved end of the window that
    /// cannot be read makes the answer incomplete: nobody knows what it is of.
    ///
    /// # Errors
    /// `raw` is not JSON.
    pub fn tell(&mut self, key: &str, raw: &str) -> Result<(), DecodeError> {
        let time = |raw| match string(raw).map_or(Scalar::Json(raw), Scalar::Text).to_timestamp() {
            _ if raw == "null" => Some(None),
            Field::Good(at) => Some(Some(at)),
            Field::Absent | Field::Bad => None,
        };
        match key {
            "total" => self.total = raw.parse().ok(),
            "is_partial" => self.is_partial |= !matches!(raw, "false" | "null"),
            "new_start_time" => {
                self.is_partial |= time(raw).is_none();
                self.new_start_time = time(raw).flatten();
            }
            "new_end_time" => {
                self.is_partial |= time(raw).is_none();
                self.new_end_time = time(raw).flatten();
            }
            "function_error" => self.function_error = texts(&mut Cursor::new(raw))?,
            _ => {}
        }
        Ok(())
    }
}

/// Decodes the body of a `_search` answer with status 200 into `sink`.
///
/// # Errors
/// The body is not JSON, is cut off, or has no array of hits. The sink has got some of the records by then.
pub fn search_response<S: RecordSink + ?Sized>(
    options: &Options,
    body: &[u8],
    sink: &mut S,
) -> Result<SearchPage, DecodeError> {
    let mut answer = Answer::new(options);
    answer.feed(utf8(body)?, true, &mut Records { options, sink })?;
    Ok(answer.page())
}

/// As [`search_response`] for a body that is decoded while it is read, to its end. Memory: `buffer`, whose content does
/// not matter; it grows to twice the longest hit, or 512 kB.
///
/// # Errors
/// As for [`search_response`], and those of `input`.
pub fn search_stream<S: RecordSink + ?Sized>(
    options: &Options,
    input: &mut dyn Read,
    buffer: &mut Vec<u8>,
    sink: &mut S,
) -> Result<SearchPage, ReadError> {
    answer::read(options, input, buffer, &mut Records { options, sink })
}

/// As [`search_stream`], in pieces of `chunk` bytes.
///
/// # Errors
/// As [`search_stream`].
#[cfg(feature = "fuzzing")]
pub fn search_stream_by<S: RecordSink + ?Sized>(
    chunk: usize,
    options: &Options,
    input: &mut dyn Read,
    sink: &mut S,
) -> Result<SearchPage, ReadError> {
    answer::read_by(chunk, options, input, &mut Vec::new(), &mut Records { options, sink })
}

/// Reads spans as parents from the body of a `_search?type=traces` answer, as [`search_stream`] does (`options` are those
/// of a trace stream); those outside of
/// `range` are left out, as are those that cannot be used.
///
/// # Errors
/// As for [`search_stream`].
pub fn parents_from_search_stream<S: ParentSink + ?Sized>(
    options: &Options,
    input: &mut dyn Read,
    buffer: &mut Vec<u8>,
    range: Window,
    sink: &mut S,
) -> Result<SearchPage, ReadError> {
    answer::read(options, input, buffer, &mut Parents { range, sink })
}

/// An array of texts, a text, or nothing; what is not a text is given as JSON.
fn texts(c: &mut Cursor<'_>) -> Result<Vec<String>, DecodeError> {
    let text = |raw: &str| string(raw).map_or_else(|| raw.to_owned(), |t| t.into_owned());
    let mut out = Vec::new();
    if c.peek() == Some(b'[') {
        c.array(|c| {
            out.push(text(c.raw()?));
            Ok(())
        })?;
    } else {
        let raw = c.raw()?;
        out.extend((raw != "null").then(|| text(raw)));
    }
    out.retain(|t| !t.is_empty());
    Ok(out)
}

/// Decodes NDJSON: one object a line, blank lines skipped. Gives the number of records, good and bad. A line that is
/// not UTF-8, not JSON or not an object is one reject.
pub fn ndjson<S: RecordSink + ?Sized>(options: &Options, bytes: &[u8], sink: &mut S) -> usize {
    let mut records = 0;
    lines(options, bytes, &mut Records { options, sink }, |_, _| {
        records += 1;
        true
    });
    records
}

/// Reads spans as parents from NDJSON; those outside of `range` and those that cannot be used are left out.
pub fn parents_from_ndjson<S: ParentSink + ?Sized>(bytes: &[u8], range: Window, sink: &mut S) {
    lines(
        &Options::new(Dataset::Traces),
        bytes,
        &mut Parents { range, sink },
        |_, _| true,
    );
}

/// The lines of NDJSON whose `_timestamp` is in `range`, as they are, up to `max` of them.
pub fn ndjson_rows(bytes: &[u8], range: Window, max: usize) -> Vec<String> {
    struct Nowhere;
    impl RowSink for Nowhere {
        fn row(&mut self, _: &super::row::Row<'_>) -> Result<(), RejectReason> {
            Ok(())
        }
        fn reject(&mut self, _: RejectReason, _: Option<i64>, _: &str) {}
    }
    let mut out = Vec::new();
    if max > 0 {
        lines(&Options::new(Dataset::Logs), bytes, &mut Nowhere, |line, ts| {
            if ts.is_some_and(|ts| range.contains(ts)) {
                out.push(line.to_owned());
            }
            out.len() < max
        });
    }
    out
}

/// Reads each line as one record; `each` gets the line (empty if it is no text) and its timestamp, and says whether to
/// go on.
fn lines<'a>(
    options: &'a Options,
    bytes: &'a [u8],
    out: &mut impl RowSink,
    mut each: impl FnMut(&'a str, Option<i64>) -> bool,
) {
    let mut hits = Hits::new(options);
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default().trim_ascii();
        rest = rest.get(end + 1..).unwrap_or_default();
        if line.is_empty() {
            continue;
        }
        let (text, ts) = match std::str::from_utf8(line) {
            Ok(text) => (text, one(&mut hits, text, out)),
            Err(_) => {
                let start = line.get(..SAMPLE_BYTES).unwrap_or(line);
                out.reject(RejectReason::NotUtf8, None, &String::from_utf8_lossy(start));
                ("", None)
            }
        };
        if !each(text, ts) {
            return;
        }
    }
}

/// Reads one line, which must hold one object and nothing else.
fn one<'a>(hits: &mut Hits<'a>, line: &'a str, out: &mut impl RowSink) -> Option<i64> {
    match hits.next(&mut Cursor::new(line), true, out) {
        Ok(ts) => ts,
        Err(_) => {
            out.reject(RejectReason::NotAnObject, None, cut(line, SAMPLE_BYTES));
            None
        }
    }
}

#[cfg(test)]
mod tests;
