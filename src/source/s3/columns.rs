//! A Parquet object read by ranges: its end first, then the columns that are needed, whole chunks at a time.

use super::client::{Client, MAX_PART, Part};
use crate::source::error::{ErrorKind, SourceError};
use crate::source::objects::object::vanished;
use crate::source::objects::store::Progress;
use bytes::buf::Reader;
use bytes::{Buf, Bytes, BytesMut};
use engine::decode::parquet::Source;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes read of an object's end at first: most footers are shorter.
const TAIL: u64 = 64 << 10;
/// Objects up to here are read in one request.
const SMALL: u64 = 256 << 10;
/// Bytes nobody asked for that are read along rather than paid for with a request of their own.
const GAP: u64 = 128 << 10;
/// Bytes read where no plan covers a position.
const UNPLANNED: u64 = 1 << 20;
/// Bytes of an object that are held before any are let go.
const MAX_HELD: usize = 16 << 20;

/// An object for the Parquet reader.
pub struct Ranged {
    client: Arc<Client>,
    key: String,
    tail: Part,
    progress: Arc<Progress>,
    plan: Mutex<Vec<Run>>,
}

/// A stretch of the object that is read at once, when its first byte is asked for.
#[derive(Debug)]
struct Run {
    /// Which of the row groups that are read.
    group: usize,
    range: Range<u64>,
    bytes: Option<Bytes>,
}

/// Reads the end of an object that is `size` bytes long. Errors as for [`Client::part`].
pub fn tail(client: &Client, key: &str, size: u64) -> std::result::Result<Part, SourceError> {
    let start = if size <= SMALL { 0 } else { size - TAIL };
    let part = client.part(key, start..size)?;
    // Else it was written anew since it was listed.
    if part.total == size {
        Ok(part)
    } else {
        Err(vanished(key))
    }
}

impl Ranged {
    pub fn new(client: &Arc<Client>, key: &str, tail: Part, progress: &Arc<Progress>) -> Self {
        Ranged {
            client: client.clone(),
            key: key.to_string(),
            tail,
            progress: progress.clone(),
            plan: Mutex::default(),
        }
    }

    /// Bytes from `start` on, at least `length` of them where the object has them.
    fn from(&self, start: u64, length: u64) -> Result<Bytes> {
        // A hostile footer may claim anything: no more than the object has is allocated.
        let end = start.checked_add(length).filter(|end| *end <= self.tail.total);
        let Some(end) = end else {
            return Err(ParquetError::EOF(
                "a chunk lies behind the end of the object".to_string(),
            ));
        };
        self.read(start, end).map_err(|e| {
            let text = e.message.clone();
            self.progress.failed(e);
            ParquetError::General(text)
        })
    }

    fn read(&self, start: u64, end: u64) -> std::result::Result<Bytes, SourceError> {
        let tail_start = self.tail.total - self.tail.bytes.len() as u64;
        if start >= tail_start {
            return slice(&self.tail.bytes, start - tail_start);
        }
        // A reader works on one thread: nobody waits for the lock.
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let at = plan
            .iter()
            .position(|run| run.range.contains(&start) && end <= run.range.end);
        let Some(run) = at.and_then(|at| plan.get_mut(at)) else {
            let end = end.max(start.saturating_add(UNPLANNED)).min(self.tail.total);
            return self.fetch(start..end);
        };
        let (group, first) = (run.group, run.range.start);
        let bytes = match &run.bytes {
            Some(bytes) => bytes.clone(),
            None => {
                let bytes = self.fetch(run.range.clone())?;
                run.bytes = Some(bytes.clone());
                release(&mut plan, group);
                bytes
            }
        };
        slice(&bytes, start - first)
    }

    /// The bytes of a range, in as many requests as it takes.
    fn fetch(&self, range: Range<u64>) -> std::result::Result<Bytes, SourceError> {
        let mut out = BytesMut::new();
        let mut at = range.start;
        while at < range.end {
            if self.progress.is_cancelled() {
                return Err(SourceError::cancelled());
            }
            let end = range.end.min(at.saturating_add(MAX_PART));
            let part = self.client.part(&self.key, at..end)?;
            if part.total != self.tail.total || part.etag != self.tail.etag {
                return Err(vanished(&self.key));
            }
            self.progress.add(part.bytes.len() as u64);
            if at == range.start && end == range.end {
                return Ok(part.bytes);
            }
            out.extend_from_slice(&part.bytes);
            at = end;
        }
        Ok(out.freeze())
    }
}

/// Lets go of what was read of row groups that are done with, once it has become much. Columns go through the groups
/// one after the other, so the group before the current one is still needed; if rows are taken across more of them,
/// they are small.
fn release(plan: &mut [Run], group: usize) {
    let held: usize = plan.iter().filter_map(|run| run.bytes.as_ref()).map(Bytes::len).sum();
    if held > MAX_HELD {
        for run in plan
            .iter_mut()
            .filter(|run| run.group != group && run.group + 1 != group)
        {
            run.bytes = None;
        }
    }
}

fn slice(bytes: &Bytes, from: u64) -> std::result::Result<Bytes, SourceError> {
    match usize::try_from(from) {
        Ok(from) if from <= bytes.len() => Ok(bytes.slice(from..)),
        _ => Err(SourceError::new(
            ErrorKind::Internal,
            "a range is shorter than what was asked for",
        )),
    }
}

impl Source for Ranged {
    fn will_read(&self, groups: Vec<Vec<Range<u64>>>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan(groups);
    }
}

/// Joins columns that lie close together, as long as a run is no longer than a part.
fn plan(groups: Vec<Vec<Range<u64>>>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (group, mut columns) in groups.into_iter().enumerate() {
        columns.sort_by_key(|range| range.start);
        for range in columns {
            match runs.last_mut() {
                Some(run)
                    if run.group == group
                        && range.start <= run.range.end.saturating_add(GAP)
                        && range.end.saturating_sub(run.range.start) <= MAX_PART =>
                {
                    run.range.end = run.range.end.max(range.end);
                }
                _ => runs.push(Run {
                    group,
                    range,
                    bytes: None,
                }),
            }
        }
    }
    runs
}

impl Length for Ranged {
    fn len(&self) -> u64 {
        self.tail.total
    }
}

impl ChunkReader for Ranged {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(self.from(start, 0)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = self.from(start, length as u64)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(
                "a chunk lies behind the end of the object".to_string(),
            ));
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_columns_are_read_together() {
        let far = MAX_PART * 3;
        let runs = plan(vec![
            vec![GAP + 40..GAP + 50, 4..20, 20..40, far..far + 5],
            vec![GAP + 60..GAP + 70],
            vec![0..MAX_PART - 1, MAX_PART - 1..MAX_PART + 1, MAX_PART * 2..MAX_PART * 5],
            vec![],
        ]);
        let got: Vec<(usize, Range<u64>)> = runs.into_iter().map(|r| (r.group, r.range)).collect();
        assert_eq!(
            got,
            [
                (0, 4..GAP + 50),
                (0, far..far + 5),
                (1, GAP + 60..GAP + 70),
                (2, 0..MAX_PART - 1),
                (2, MAX_PART - 1..MAX_PART + 1),
                (2, MAX_PART * 2..MAX_PART * 5),
            ]
        );
    }
}
