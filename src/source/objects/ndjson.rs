//! NDJSON in blocks of whole lines, so that a file of any size needs the memory of a block or of its longest line.

use super::object::{Object, broken};
use crate::source::error::{ErrorKind, SourceError};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes read at once.
const BLOCK: usize = 1 << 20;
/// Longest line that is a record.
const MAX_LINE: usize = 16 << 20;
/// What is shown of a longer one.
const LONG_LINE_SAMPLE: usize = 2 << 10;

/// Hands the object over in blocks of whole lines. A line that is too long is handed over cut, so that it is rejected
/// like any other that is not JSON.
///
/// # Errors
/// What the reader failed with, `BadResponse` for a JSON array and for bytes that cannot be unpacked, `Cancelled`.
pub fn lines(
    object: &Object,
    mut file: impl Read,
    cancel: &AtomicBool,
    mut block: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), SourceError> {
    let (mut buffer, mut first, mut skipping) = (Vec::with_capacity(BLOCK), true, false);
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Err(SourceError::cancelled());
        }
        let old = buffer.len();
        let n = file
            .by_ref()
            .take(BLOCK as u64)
            .read_to_end(&mut buffer)
            .map_err(|e| failed(object, e))?;
        if first && buffer.trim_ascii_start().first() == Some(&b'[') {
            return Err(
                broken(object, "it is a JSON array").hint("One object a line is expected: jq -c '.[]' makes that.")
            );
        }
        first &= buffer.trim_ascii_start().is_empty();
        let end = if n == 0 {
            buffer.len()
        } else {
            newline_from(&buffer, old)
        };
        let (mut whole, rest) = buffer.split_at(end);
        if skipping && (end > 0 || n == 0) {
            // The end of a line whose start was handed over already.
            let after = whole.iter().position(|b| *b == b'\n').map_or(whole.len(), |at| at + 1);
            whole = whole.get(after..).unwrap_or_default();
            skipping = false;
        }
        let too_long = !skipping && rest.len() > MAX_LINE;
        let flow = match block(whole) {
            ControlFlow::Continue(()) if too_long => block(rest.get(..LONG_LINE_SAMPLE).unwrap_or(rest)),
            flow => flow,
        };
        if n == 0 || flow.is_break() {
            return Ok(());
        }
        skipping |= too_long;
        if skipping {
            buffer.clear();
        } else {
            buffer.drain(..end);
        }
    }
}

/// What a reader's error means. Readers of stores carry a [`SourceError`]; unpackers have their own.
pub fn failed(object: &Object, e: io::Error) -> SourceError {
    match e.downcast::<SourceError>() {
        Ok(e) => e,
        Err(e) if e.raw_os_error().is_none() => broken(object, &e.to_string()),
        Err(e) => SourceError::new(ErrorKind::Io, format!("cannot read \"{}\"", object.key)).detail(e.to_string()),
    }
}

/// Where the last whole line ends; only what lies at or behind `from` is new.
fn newline_from(buffer: &[u8], from: usize) -> usize {
    let new = buffer.get(from..).unwrap_or_default();
    new.iter().rposition(|b| *b == b'\n').map_or(0, |at| from + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::objects::object::{Format, Packing};
    use engine::record::Dataset;
    use proptest::prelude::*;

    fn object() -> Object {
        let key = "logs.ndjson".to_string();
        Object {
            key,
            dataset: Dataset::Logs,
            stream: None,
            format: Format::Ndjson(Packing::None),
            size: None,
            time: None,
        }
    }

    /// Gives at most `step` bytes at once.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(buffer.len());
            self.0.read(&mut buffer[..n])
        }
    }

    /// The lines that come out.
    fn split(text: &[u8]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let read = lines(&object(), Slow(text, 100_000), &AtomicBool::new(false), |block| {
            out.extend(
                block
                    .split(|b| *b == b'\n')
                    .filter(|l| !l.is_empty())
                    .map(<[u8]>::to_vec),
            );
            ControlFlow::Continue(())
        });
        read.unwrap();
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_line_comes_out_once_and_whole(lengths in prop::collection::vec(1usize..200_000, 0..60), end in any::<bool>()) {
            let text: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(i, n)| vec![b'a' + (i % 26) as u8; *n]).collect();
            let mut bytes = text.join(&b'\n');
            if end {
                bytes.push(b'\n');
            }
            prop_assert_eq!(split(&bytes), text);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_one_short_line() {
        let mut text = b"first\n".to_vec();
        text.resize(MAX_LINE + 2 * BLOCK, b'x');
        text.extend(b"\nlast");
        let got = split(&text);
        let got: Vec<(usize, u8)> = got.iter().map(|l| (l.len(), l[0])).collect();
        assert_eq!(got, [(5, b'f'), (LONG_LINE_SAMPLE, b'x'), (4, b'l')]);
    }

    #[test]
    fn arrays_and_cancels_are_errors() {
        let run = |text: &[u8], cancel: bool| {
            lines(&object(), text, &AtomicBool::new(cancel), |_| ControlFlow::Continue(())).unwrap_err()
        };
        let array = run(b" [{\"a\":1}]", false);
        assert!(
            array.hint.as_ref().is_some_and(|h| h.contains("jq")) && !array.is_transient() && !array.is_permanent()
        );
        assert_eq!(run(b"{}", true).kind, ErrorKind::Cancelled);
    }
}
