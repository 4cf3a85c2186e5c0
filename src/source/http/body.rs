//! The body of a good answer while it arrives: unpacked, counted, and never longer than allowed.

use flate2::read::MultiGzDecoder;
use std::io::{self, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use ureq::BodyReader;

/// What packings we ask for.
pub(super) const ACCEPT: &str = "zstd, gzip";
/// Largest window of a zstd frame, as a power of two: what RFC 9659 allows for `Content-Encoding: zstd`.
const ZSTD_WINDOW_LOG: u32 = 23;

/// A body that is being read. Errors of the transport come out as they are, as `io::Error`.
pub struct Incoming<'a> {
    reader: Unpacked<'a>,
    /// Bytes that the server says it sends; 0: not known.
    announced: usize,
    /// Bytes that may still come.
    left: usize,
    /// More came than may.
    over: bool,
    /// Bytes so far.
    got: u64,
    total: &'a AtomicU64,
}

enum Unpacked<'a> {
    Plain(BodyReader<'a>),
    Gzip(Box<MultiGzDecoder<BodyReader<'a>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<BodyReader<'a>>>>),
}

impl<'a> Incoming<'a> {
    /// `packing` is the `Content-Encoding`. At most `max` bytes come out; `total` counts them.
    ///
    /// # Errors
    /// A packing that nobody asked for; no memory.
    pub(super) fn new(
        reader: BodyReader<'a>,
        packing: Option<&str>,
        max: usize,
        total: &'a AtomicU64,
    ) -> io::Result<Self> {
        let reader = match packing {
            None | Some("identity" | "") => Unpacked::Plain(reader),
            Some("gzip" | "x-gzip") => Unpacked::Gzip(Box::new(MultiGzDecoder::new(reader))),
            Some("zstd") => {
                let mut decoder = zstd::stream::read::Decoder::new(reader)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Unpacked::Zstd(Box::new(decoder))
            }
            Some(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "packed in a way not asked for",
                ));
            }
        };
        Ok(Incoming {
            reader,
            announced: 0,
            left: max,
            over: false,
            got: 0,
            total,
        })
    }

    pub(super) fn announced(self, announced: usize) -> Self {
        Incoming { announced, ..self }
    }

    /// How much room the whole body needs, as far as that is known.
    pub(super) fn expected(&self) -> usize {
        self.announced
    }

    /// Whether the body was cut off because more came than may.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Bytes so far, unpacked.
    pub fn got(&self) -> u64 {
        self.got
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // One more than may come, to see whether it does.
        let room = out.len().min(self.left.saturating_add(1));
        let out = out.get_mut(..room).unwrap_or_default();
        let n = match &mut self.reader {
            Unpacked::Plain(r) => r.read(out)?,
            Unpacked::Gzip(r) => r.read(out).map_err(unpacking)?,
            Unpacked::Zstd(r) => r.read(out).map_err(unpacking)?,
        };
        if n > self.left {
            self.over = true;
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the body is longer than allowed",
            ));
        }
        self.left -= n;
        self.got += n as u64;
        self.total.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// An error of the decoder; one of the transport below it stays what it is.
fn unpacking(e: io::Error) -> io::Error {
    let below = e.get_ref().is_some_and(|inner| inner.is::<ureq::Error>());
    match e.kind() {
        io::ErrorKind::Other if !below => {
            io::Error::new(io::ErrorKind::InvalidData, "the answer cannot be decompressed")
        }
        _ => e,
    }
}
