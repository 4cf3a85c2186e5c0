//! Bytes become records: OpenObserve's JSON answers, NDJSON and Parquet objects go straight into a
//! [`RecordSink`](crate::record::RecordSink), without a tree of values in between.
//!
//! What all formats share: a record ends in exactly one call of the sink; one that cannot be used is rejected with its
//! raw text (not masked, cut to 2 kB) and the rest goes on; null, absent and, where a name or an id is meant, empty are
//! the same; numbers may be spelled as text. Only input that is no document of its format at all is an error, and then
//! the caller must throw away what the sink got so far.

pub mod fields;
pub mod json;
pub mod normal;
pub mod parquet;
pub mod reply;

mod answer;
mod attributes;
mod cells;
mod cursor;
mod hit;
mod parquet_file;
mod parquet_json;
mod parquet_rows;
mod plain;
mod row;
mod scalar;
mod series;

pub use answer::ReadError;

use crate::record::{Dataset, SpanLink};
use fields::LabelChoice;
use std::fmt;

/// What is being decoded.
#[derive(Clone, Debug)]
pub struct Options {
    pub dataset: Dataset,
    /// Metrics: the metric's name, which is the stream's. `None`: each record names its metric in `__name__`.
    pub metric: Option<String>,
    /// Metrics: the labels to hand on with each point.
    pub labels: LabelChoice,
    /// Columns that JSON calls by short names: the one at `i` by [`fields::short_name`]`(i)`.
    pub shortened: Vec<String>,
}

impl Options {
    /// Options without labels, where metric points name themselves.
    pub fn new(dataset: Dataset) -> Self {
        Options {
            dataset,
            metric: None,
            labels: LabelChoice::None,
            shortened: Vec::new(),
        }
    }

    /// Options for one stream: a metric's points are named after it.
    pub fn stream(dataset: Dataset, stream: &str, labels: LabelChoice) -> Self {
        let metric = (dataset == Dataset::Metrics).then(|| stream.to_owned());
        Options {
            dataset,
            metric,
            labels,
            shortened: Vec::new(),
        }
    }

    /// What the column is called where it comes from.
    fn column<'a>(&'a self, key: &'a str) -> &'a str {
        let long = fields::short_name_index(key).and_then(|i| self.shortened.get(i));
        long.map_or(key, String::as_str)
    }
}

/// Where spans go that are only looked at as possible parents of others, or as what others called.
pub trait ParentSink {
    fn parent(&mut self, link: SpanLink<'_>);
}

/// The input as a whole cannot be read. The text never quotes the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The byte at which reading stopped, where that is known.
    pub offset: Option<usize>,
    /// What is wrong, as a clause without a full stop.
    pub what: String,
    /// Reading stopped because the input ended: with more of it there may be no error.
    cut: bool,
}

impl DecodeError {
    pub(crate) fn at(offset: usize, what: impl Into<String>) -> Self {
        DecodeError {
            offset: Some(offset),
            ..DecodeError::new(what)
        }
    }

    pub(crate) fn new(what: impl Into<String>) -> Self {
        DecodeError {
            offset: None,
            what: what.into(),
            cut: false,
        }
    }

    /// The same where the input has ended.
    pub(crate) fn cut(self) -> Self {
        DecodeError { cut: true, ..self }
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// The same of a text that `bytes` of input came before.
    pub(crate) fn behind(self, bytes: usize) -> Self {
        DecodeError {
            offset: self.offset.map(|at| at + bytes),
            ..self
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.offset.map_or(Ok(()), |at| write!(f, " (at byte {at})"))
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod recordings;
#[cfg(test)]
mod testing;
