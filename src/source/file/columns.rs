//! A Parquet file that counts what is read of it, stops when told to, and believes no footer.

use crate::source::objects::store::Progress;
use bytes::Bytes;
use engine::decode::parquet::Source;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A file for the Parquet reader: positioned reads, no seeks, shared by all columns.
pub struct Chunks {
    file: Arc<File>,
    size: u64,
    progress: Arc<Progress>,
}

impl Chunks {
    /// `size` in bytes: nothing behind it is read.
    pub fn new(file: File, size: u64, progress: &Arc<Progress>) -> Self {
        Chunks {
            file: Arc::new(file),
            size,
            progress: progress.clone(),
        }
    }

    fn check(&self) -> Result<()> {
        match self.progress.is_cancelled() {
            true => Err(ParquetError::General("cancelled".to_string())),
            false => Ok(()),
        }
    }
}

impl Source for Chunks {}

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
            progress: self.progress.clone(),
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
        self.progress.add(length as u64);
        Ok(buffer.into())
    }
}

/// The rest of a file from some position on.
pub struct Rest {
    file: Arc<File>,
    at: u64,
    progress: Arc<Progress>,
}

impl Read for Rest {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.at)?;
        self.at += n as u64;
        self.progress.add(n as u64);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn a_chunk_behind_the_end_is_refused_before_it_is_allocated() {
        let file = tempfile::tempfile().unwrap();
        let progress = Arc::new(Progress::default());
        let chunks = Chunks::new(file, 10, &progress);
        assert!(chunks.get_bytes(0, usize::MAX).is_err());
        assert!(chunks.get_bytes(u64::MAX, 1).is_err());
        progress.cancel.store(true, Ordering::Relaxed);
        assert!(chunks.get_read(0).is_err());
    }
}
