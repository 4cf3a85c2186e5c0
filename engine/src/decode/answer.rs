//! A walk over a `_search` answer that may come in pieces: every hit is handed on as soon as all of it is there, so an
//! answer of any length needs a buffer of a few hits only.

use super::cursor::{Cursor, utf8};
use super::hit::Hits;
use super::json::SearchPage;
use super::row::RowSink;
use super::{DecodeError, Options};
use std::io::Read;

/// Bytes read at once: little enough to be in the processor's cache still when they are decoded.
const CHUNK: usize = 256 << 10;

/// Why an answer that is decoded while it is read came to no end.
#[derive(Debug)]
pub enum ReadError {
    /// It cannot be read on.
    Io(std::io::Error),
    /// It is no answer.
    Decode(DecodeError),
}

/// Where in the answer the next byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the array of hits.
    Head,
    /// Where the array's first hit may be.
    FirstHit,
    /// Behind a hit.
    NextHit,
    /// Behind the array.
    Tail,
    /// Behind the answer.
    End,
}

/// The state of a walk between two pieces.
pub(super) struct Answer<'o> {
    options: &'o Options,
    at: At,
    page: SearchPage,
}

impl<'o> Answer<'o> {
    pub(super) fn new(options: &'o Options) -> Self {
        Answer {
            options,
            at: At::Head,
            page: SearchPage::default(),
        }
    }

    /// What the answer said beside its hits; whole when all of it was fed.
    pub(super) fn page(self) -> SearchPage {
        self.page
    }

    /// Takes what is complete of `text`, which begins where the last call stopped. It is the rest of the answer if it is
    /// the `last` piece, and ends with a `}` otherwise, so that nothing cut off looks like a whole. Gives how many bytes
    /// were taken: hits among them have been handed to `out`, no other has.
    pub(super) fn feed(&mut self, text: &str, last: bool, out: &mut impl RowSink) -> Result<usize, DecodeError> {
        let mut cursor = Cursor::new(text);
        let mut hits = Hits::new(self.options);
        let mut taken = 0;
        while self.at != At::End {
            match self.step(&mut cursor, &mut hits, out) {
                Ok(()) => taken = cursor.offset(),
                Err(e) if e.is_cut() && !last => return Ok(taken),
                Err(e) => return Err(e),
            }
        }
        cursor.end()?;
        Ok(text.len())
    }

    /// Steps over the head, a hit with the comma before it, the end of the array, or the tail. Nothing is kept of a step
    /// that fails.
    fn step<'a>(&mut self, c: &mut Cursor<'a>, hits: &mut Hits<'a>, out: &mut impl RowSink) -> Result<(), DecodeError> {
        self.at = match self.at {
            At::Head => {
                self.page = head(c)?;
                At::FirstHit
            }
            At::FirstHit | At::NextHit if c.eat(b']') => At::Tail,
            at @ (At::FirstHit | At::NextHit) => {
                if at == At::NextHit {
                    c.expect(b',')?;
                }
                hits.next(c, false, out)?;
                self.page.hits += 1;
                At::NextHit
            }
            At::Tail => {
                let mut page = self.page.clone();
                while !c.eat(b'}') {
                    c.expect(b',')?;
                    let key = c.key()?;
                    field(&mut page, c, &key)?;
                }
                self.page = page;
                At::End
            }
            At::End => At::End,
        };
        Ok(())
    }
}

/// Everything up to the first hit.
fn head(c: &mut Cursor<'_>) -> Result<SearchPage, DecodeError> {
    let mut page = SearchPage::default();
    c.expect(b'{')?;
    let mut first = true;
    while !c.eat(b'}') {
        if !first {
            c.expect(b',')?;
        }
        first = false;
        let key = c.key()?;
        if key == "hits" {
            c.expect(b'[')?;
            return Ok(page);
        }
        field(&mut page, c, &key)?;
    }
    Err(DecodeError::new("the answer has no \"hits\""))
}

/// A member of the answer beside its hits.
fn field(page: &mut SearchPage, c: &mut Cursor<'_>, key: &str) -> Result<(), DecodeError> {
    if key == "hits" {
        return Err(DecodeError::at(c.offset(), "the answer has \"hits\" twice"));
    }
    page.tell(key, c.raw()?)
}

/// Decodes an answer while it is read, to its end. Memory: `buffer`, twice the longest hit or 512 kB.
pub(super) fn read(
    options: &Options,
    input: &mut dyn Read,
    buffer: &mut Vec<u8>,
    out: &mut impl RowSink,
) -> Result<SearchPage, ReadError> {
    read_by(CHUNK, options, input, buffer, out)
}

/// [`read`] in pieces of `chunk` bytes.
pub(super) fn read_by(
    chunk: usize,
    options: &Options,
    input: &mut dyn Read,
    buffer: &mut Vec<u8>,
    out: &mut impl RowSink,
) -> Result<SearchPage, ReadError> {
    let mut answer = Answer::new(options);
    let mut before = 0;
    buffer.clear();
    loop {
        // At least as much as is left over: a hit longer than a chunk is looked at again seldom enough.
        let wanted = chunk.max(buffer.len());
        buffer.reserve(wanted);
        let got = input.take(wanted as u64).read_to_end(buffer).map_err(ReadError::Io)?;
        let last = got < wanted;
        let whole = match last {
            true => buffer.len(),
            false => memchr::memrchr(b'}', buffer).map_or(0, |at| at + 1),
        };
        let text = buffer.get(..whole).unwrap_or_default();
        let fed = utf8(text).and_then(|text| answer.feed(text, last, out));
        let taken = fed.map_err(|e| ReadError::Decode(e.behind(before)))?;
        if last {
            return Ok(answer.page());
        }
        before += taken;
        buffer.drain(..taken);
    }
}

#[cfg(test)]
mod tests;
