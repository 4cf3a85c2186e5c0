//! A Parquet file that counts what is read of it, stops when told to, and believes no footer.

use super::object::{Object, broken};
use crate::source::error::SourceError;
use bytes::Bytes;
use engine::decode::DecodeError;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Lets `decode` read the file; gives the bytes read.
///
/// # Errors
/// `BadResponse` when it cannot, `Cancelled`.
pub fn columns(
    object: &Object,
    file: File,
    size: u64,
    cancel: &Arc<AtomicBool>,
    decode: impl FnOnce(Chunks) -> std::result::Result<(), DecodeError>,
) -> std::result::Result<u64, SourceError> {
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

/// A file for the Parquet reader: positioned reads, no seeks, shared by all columns.
pub struct Chunks {
    file: Arc<File>,
    size: u64,
    cancel: Arc<AtomicBool>,
    read: Arc<AtomicU64>,
}

impl Chunks {
    fn check(&self) -> Result<()> {
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
    type T = BufReader<Rest>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        self.check()?;
        Ok(BufReader::new(Rest {
            file: self.file.clone(),
            at: start,
            read: self.read.clone(),
        }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
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
pub struct Rest {
    file: Arc<File>,
    at: u64,
    read: Arc<AtomicU64>,
}

impl Read for Rest {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.at)?;
        self.at += n as u64;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_behind_the_end_is_refused_before_it_is_allocated() {
        let file = tempfile::tempfile().unwrap();
        let chunks = Chunks {
            file: Arc::new(file),
            size: 10,
            cancel: Arc::default(),
            read: Arc::default(),
        };
        assert!(chunks.get_bytes(0, usize::MAX).is_err());
        assert!(chunks.get_bytes(u64::MAX, 1).is_err());
        chunks.cancel.store(true, Ordering::Relaxed);
        assert!(chunks.get_read(0).is_err());
    }
}
