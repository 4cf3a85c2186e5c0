//! An object read from its start to its end, part by part, so that one of any size needs the memory of a part.

use super::client::{Client, MAX_PART, Part};
use crate::source::error::{ErrorKind, SourceError};
use crate::source::objects::object::vanished;
use crate::source::objects::store::Progress;
use bytes::{Buf, Bytes};
use std::io::{self, Read};
use std::sync::Arc;

/// The reader. Its errors carry a [`SourceError`].
pub struct Body<'a> {
    client: &'a Client,
    key: String,
    /// Bytes it had when it was listed, if it was.
    size: Option<u64>,
    progress: Arc<Progress>,
    part: Bytes,
    /// Where the next part begins.
    at: u64,
    /// Bytes of the object and its version, once a part came.
    known: Option<(u64, Option<String>)>,
}

impl<'a> Body<'a> {
    /// `size`: bytes of the object as it was listed; one that has another size now has vanished.
    pub fn new(client: &'a Client, key: &str, size: Option<u64>, progress: &Arc<Progress>) -> Self {
        Body {
            client,
            key: key.to_string(),
            size,
            progress: progress.clone(),
            part: Bytes::new(),
            at: 0,
            known: None,
        }
    }

    /// The next part; empty at the end.
    fn next(&mut self) -> Result<Bytes, SourceError> {
        if self.known.as_ref().is_some_and(|(total, _)| self.at >= *total) {
            return Ok(Bytes::new());
        }
        if self.progress.is_cancelled() {
            return Err(SourceError::cancelled());
        }
        let range = self.at..self.at.saturating_add(MAX_PART);
        let Part { bytes, total, etag } = self.client.part(&self.key, range)?;
        if self.size.is_some_and(|size| size != total) {
            // Written anew since it was listed, or an answer cut where its length says otherwise.
            return Err(vanished(&self.key));
        }
        match &self.known {
            Some(known) if *known != (total, etag.clone()) => return Err(vanished(&self.key)),
            Some(_) => {}
            None => self.known = Some((total, etag)),
        }
        if bytes.is_empty() && self.at < total {
            return Err(SourceError::new(
                ErrorKind::BadResponse,
                "the server sent an empty range",
            ));
        }
        self.at += bytes.len() as u64;
        self.progress.add(bytes.len() as u64);
        Ok(bytes)
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.part.is_empty() {
            self.part = self.next().map_err(io::Error::other)?;
        }
        let n = self.part.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..n), self.part.get(..n)) {
            to.copy_from_slice(from);
        }
        self.part.advance(n);
        Ok(n)
    }
}
