//! What one minute of one tenant contributes to the five-minute tables: small, mergeable, stored as one `bytea`.
//!
//! A bucket is always recomputed from its minutes ([`Bucket5::from_partials`]), so a minute that is replayed never
//! counts twice.

mod bucket;
mod codec;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_support;
mod wire;

use std::fmt;
use std::sync::Arc;

pub use bucket::{Bucket5, BucketError, CallRow, LogRow};

use crate::quantile::Durations;

/// The format [`MinutePartial::encode`] writes: the value of `etl_partial_1m.format`. A partial of another format is as
/// good as none: its minute is fetched again. Format 1 knew no inferred calls.
pub const FORMAT: i16 = 2;

/// The calls of one edge in one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallState {
    /// Nobody but the caller told of them.
    pub inferred: bool,
    /// How many of the calls failed.
    pub errors: u64,
    /// One duration a call, so its count is the number of calls.
    pub durations: Durations,
}

/// The lines of one pattern from one resource in one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCount {
    pub total: u64,
    /// How many of them have a severity of ERROR or above.
    pub errors: u64,
}

/// One minute of one tenant. An empty one is meaningful: it overwrites what the minute held before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinutePartial {
    /// Start of the minute, UTC microseconds.
    pub minute: i64,
    /// `oo_locator.id` of the minute's logs, 0 for none. Set by the writer.
    pub log_ref: i64,
    /// `oo_locator.id` of the minute's spans, 0 for none. Set by the writer.
    pub trace_ref: i64,
    /// The URNs that calls and logs point into, ascending, each once.
    urns: Vec<Arc<str>>,
    /// By (source, destination, inferred), ascending, each once; both ends are indexes into `urns`.
    calls: Vec<(u32, u32, CallState)>,
    /// By (index into `urns`, fingerprint), ascending, each once.
    logs: Vec<(u32, i64, LogCount)>,
}

/// Why stored bytes are not a partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialError {
    /// Written by another version: its format.
    UnknownFormat(i16),
    /// The checksum does not match.
    Checksum,
    /// The bytes end too early.
    Truncated,
    /// The payload says it is larger than a partial may be.
    TooLarge,
    /// The checksum matches, but what is named here is not as the format demands.
    Invalid(&'static str),
}

impl fmt::Display for PartialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartialError::UnknownFormat(format) => {
                write!(f, "partial has format {format}, this version reads format {FORMAT}")
            }
            PartialError::Checksum => f.write_str("partial is corrupt: its checksum does not match"),
            PartialError::Truncated => f.write_str("partial is corrupt: it ends too early"),
            PartialError::TooLarge => f.write_str("partial is corrupt: it claims to be too large"),
            PartialError::Invalid(what) => write!(f, "partial is corrupt: {what}"),
        }
    }
}

impl std::error::Error for PartialError {}

impl MinutePartial {
    /// A minute in which nothing happened.
    pub fn empty(minute: i64) -> Self {
        MinutePartial {
            minute,
            log_ref: 0,
            trace_ref: 0,
            urns: Vec::new(),
            calls: Vec::new(),
            logs: Vec::new(),
        }
    }

    /// A minute from its parts, which may come in any order. `calls` and `logs` name resources by their index in
    /// `urns`; URNs that nothing points to are left out. Entries with an index past the end are dropped, and of two
    /// entries with one key the first is kept: the caller has summed them up.
    pub fn new(
        minute: i64,
        urns: &[Arc<str>],
        mut calls: Vec<(u32, u32, CallState)>,
        mut logs: Vec<(u32, i64, LogCount)>,
    ) -> Self {
        let known = |i: &u32| (*i as usize) < urns.len();
        calls.retain(|(src, dst, _)| known(src) && known(dst));
        logs.retain(|(resource, ..)| known(resource));
        let ends = calls.iter().flat_map(|(src, dst, _)| [*src, *dst]);
        let mut used: Vec<(&Arc<str>, u32)> = ends
            .chain(logs.iter().map(|l| l.0))
            .filter_map(|i| Some((urns.get(i as usize)?, i)))
            .collect();
        used.sort_unstable();
        used.dedup();
        let mut new_index = vec![0u32; urns.len()];
        let mut kept: Vec<Arc<str>> = Vec::with_capacity(used.len());
        for (urn, old) in used {
            if kept.last() != Some(urn) {
                kept.push(Arc::clone(urn));
            }
            if let Some(index) = new_index.get_mut(old as usize) {
                *index = kept.len() as u32 - 1;
            }
        }
        let renumber = |i: &mut u32| *i = new_index.get(*i as usize).copied().unwrap_or_default();
        for (src, dst, _) in &mut calls {
            renumber(src);
            renumber(dst);
        }
        for (resource, ..) in &mut logs {
            renumber(resource);
        }
        calls.sort_by_key(|c| (c.0, c.1, c.2.inferred));
        calls.dedup_by_key(|c| (c.0, c.1, c.2.inferred));
        logs.sort_by_key(|l| (l.0, l.1));
        logs.dedup_by_key(|l| (l.0, l.1));
        MinutePartial {
            minute,
            log_ref: 0,
            trace_ref: 0,
            urns: kept,
            calls,
            logs,
        }
    }

    /// The URNs that calls and logs name, ascending.
    pub fn urns(&self) -> impl Iterator<Item = &str> {
        self.urns.iter().map(|urn| urn.as_ref())
    }

    /// The calls by (source URN, destination URN, inferred), ascending.
    pub fn calls(&self) -> impl Iterator<Item = (&str, &str, &CallState)> {
        self.calls
            .iter()
            .map(|(src, dst, state)| (self.urn(*src), self.urn(*dst), state))
    }

    /// The log counts by (URN, fingerprint), ascending.
    pub fn logs(&self) -> impl Iterator<Item = (&str, i64, LogCount)> {
        self.logs
            .iter()
            .map(|(resource, fingerprint, count)| (self.urn(*resource), *fingerprint, *count))
    }

    /// The minute with its lines counted under other patterns: `of` gives the fingerprint for the one in here. Where two
    /// become one, their counts are added up.
    pub fn with_patterns(&self, of: impl Fn(i64) -> i64) -> MinutePartial {
        let mut logs: Vec<(u32, i64, LogCount)> = self.logs.iter().map(|(r, f, count)| (*r, of(*f), *count)).collect();
        logs.sort_unstable_by_key(|l| (l.0, l.1));
        logs.dedup_by(|next, first| {
            let same = (next.0, next.1) == (first.0, first.1);
            if same {
                first.2.total += next.2.total;
                first.2.errors += next.2.errors;
            }
            same
        });
        MinutePartial { logs, ..self.clone() }
    }

    /// Whether nothing happened in this minute.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.logs.is_empty()
    }

    fn urn(&self, index: u32) -> &str {
        self.urns
            .get(index as usize)
            .map(|urn| urn.as_ref())
            .unwrap_or_default()
    }
}
