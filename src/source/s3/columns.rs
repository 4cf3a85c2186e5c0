//! A Parquet object read by ranges: its end first, then the columns that are needed, whole chunks at a time, several
//! side by side where nobody else makes requests; or piece by piece where a chunk is large: a row group may be larger than
//! the memory there is.

use super::client::{Client, MAX_PART, Part};
use super::plan::Plan;
use crate::source::error::{ErrorKind, SourceError};
use crate::source::objects::object::vanished;
use crate::source::objects::store::Progress;
use crate::source::pool;
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
/// Bytes read where no plan covers a position. The header of a page is shorter than that.
const UNPLANNED: u64 = 1 << 20;

/// An object for the Parquet reader.
pub struct Ranged {
    client: Arc<Client>,
    key: String,
    tail: Part,
    progress: Arc<Progress>,
    plan: Mutex<Plan>,
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

    /// Bytes from `start` on: at least `length` of them, else an error; and [`UNPLANNED`] where that many follow.
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
        let ahead = end.max(start.saturating_add(UNPLANNED));
        let Some(at) = plan.find(start, end) else {
            return self.fetch_one(start..ahead.min(self.tail.total));
        };
        if let Some(held) = plan.held(at, start, ahead) {
            return Ok(held);
        }
        if let Some(piece) = plan.next_piece(at, start, ahead) {
            let piece = self.fetch_one(piece)?;
            return plan.extend(at, start, piece).ok_or_else(short);
        }
        let (runs, ranges): (Vec<_>, Vec<_>) = plan.batch(at, self.client.idle()).into_iter().unzip();
        for (run, bytes) in runs.into_iter().zip(self.fetch(&ranges)?) {
            plan.keep(run, bytes);
        }
        plan.held(at, start, end).ok_or_else(short)
    }

    fn fetch_one(&self, range: Range<u64>) -> std::result::Result<Bytes, SourceError> {
        let only = self.fetch(std::slice::from_ref(&range))?;
        only.into_iter().next().ok_or_else(short)
    }

    /// The bytes of ranges, in as many requests as it takes, as many at a time as are free.
    fn fetch(&self, ranges: &[Range<u64>]) -> std::result::Result<Vec<Bytes>, SourceError> {
        let parts: Vec<(usize, Range<u64>)> = ranges
            .iter()
            .enumerate()
            .flat_map(|(i, range)| parts(i, range))
            .collect();
        if let [(_, only)] = parts.as_slice() {
            return Ok(vec![self.part(only.clone())?]);
        }
        let mut whole: Vec<Mutex<BytesMut>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            let length = usize::try_from(range.end - range.start).map_err(|_| short())?;
            whole.push(Mutex::new(BytesMut::zeroed(length)));
        }
        let work = |(i, part): (usize, Range<u64>), (): &mut (), queue: &pool::Queue<'_, _>| {
            queue.check()?;
            let bytes = self.part(part.clone())?;
            let (Some(out), Some(range)) = (whole.get(i), ranges.get(i)) else {
                return Err(short());
            };
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            let from = usize::try_from(part.start - range.start).map_err(|_| short())?;
            let room = out.get_mut(from..from.saturating_add(bytes.len())).ok_or_else(short)?;
            room.copy_from_slice(&bytes);
            Ok(())
        };
        let threads = parts.len().min(1 + self.client.idle());
        // Whoever cancels interrupts the client; after an error the others end by themselves.
        pool::run(parts, threads, &self.progress.cancel, || (), work, || ())?;
        let whole = whole
            .into_iter()
            .map(|bytes| bytes.into_inner().unwrap_or_else(PoisonError::into_inner));
        Ok(whole.map(BytesMut::freeze).collect())
    }

    /// One request.
    fn part(&self, range: Range<u64>) -> std::result::Result<Bytes, SourceError> {
        if self.progress.is_cancelled() {
            return Err(SourceError::cancelled());
        }
        let wanted = range.end - range.start;
        let part = self.client.part(&self.key, range)?;
        if part.total != self.tail.total || part.etag != self.tail.etag {
            return Err(vanished(&self.key));
        }
        if part.bytes.len() as u64 != wanted {
            return Err(short());
        }
        self.progress.add(part.bytes.len() as u64);
        Ok(part.bytes)
    }
}

/// Cuts a range into what one request may ask for.
fn parts(of: usize, range: &Range<u64>) -> impl Iterator<Item = (usize, Range<u64>)> + use<> {
    let (start, end) = (range.start, range.end);
    let starts = (0..(end - start).div_ceil(MAX_PART)).map(move |n| start + n * MAX_PART);
    starts.map(move |at| (of, at..end.min(at.saturating_add(MAX_PART))))
}

fn short() -> SourceError {
    SourceError::new(ErrorKind::Internal, "a range is shorter than what was asked for")
}

fn slice(bytes: &Bytes, from: u64) -> std::result::Result<Bytes, SourceError> {
    match usize::try_from(from) {
        Ok(from) if from <= bytes.len() => Ok(bytes.slice(from..)),
        _ => Err(short()),
    }
}

impl Source for Ranged {
    fn will_read(&self, filter: Vec<Range<u64>>, groups: Vec<Vec<Range<u64>>>) {
        let plan = Plan::new(filter, groups, self.tail.total);
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }
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
