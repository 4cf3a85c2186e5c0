//! Stack traces: frames are folded so that a trace of any depth has one template. The innermost frame is kept, it is
//! where the error happened; the way there differs from request to request.

use super::scan::Scanner;
use crate::work::looked;

/// What kind of trace the scan is in.
#[derive(Debug, Default)]
pub(super) struct Frames {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    None,
    /// `    at function (file:line)`, innermost first: Java, JavaScript, .NET. The first frame is written;
    /// `folded` = the others are, as one mask.
    At { folded: bool },
    /// `  File "x", line 1, in f` and a line of code, innermost last: Python. The mark is where the frame begins.
    File { mark: usize },
    /// Pairs `function(args)` and `\t/path:line`, innermost first, up to a blank line: Go. `at_place` = the first
    /// pair is complete.
    Goroutine { at_place: bool, folded: bool },
}

impl Scanner<'_> {
    /// At the start of a line: skips what belongs to frames already represented.
    pub(super) fn fold_frames(&mut self, mut blank_line: bool) {
        while self.i < self.s.len() {
            let line_start = self.i;
            let line = self.s.get(line_start..).unwrap_or_default();
            let indent = line.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
            looked(indent);
            let text = line.get(indent..).unwrap_or_default();
            let skip = self.step(indent, text, blank_line);
            if !skip {
                return;
            }
            let end = memchr::memchr(b'\n', line).map_or(line.len(), |p| p + 1);
            looked(end);
            self.i = line_start + end;
            blank_line = false;
            while matches!(self.s.get(self.i), Some(b'\n' | b'\r')) {
                self.i += 1;
                blank_line = true;
            }
        }
    }

    /// Moves the state on by one line; true if the line is to be skipped.
    fn step(&mut self, indent: usize, text: &[u8], blank_line: bool) -> bool {
        let is_at = indent > 0 && (text.starts_with(b"at ") || text.starts_with(b"... "));
        let is_file = indent > 0 && text.starts_with(b"File \"");
        match self.frames.state {
            State::At { folded } if is_at => {
                if !folded {
                    self.out.literal(b"at ");
                    self.out.mask();
                    self.out.newline();
                    self.frames.state = State::At { folded: true };
                }
                true
            }
            State::File { mark } if is_file => {
                self.out.rewind(mark);
                false
            }
            State::File { .. } if indent > 0 => false,
            State::Goroutine { at_place, folded } if !blank_line => {
                if !at_place {
                    let place = indent > 0 && text.starts_with(b"/");
                    self.frames.state = State::Goroutine {
                        at_place: place,
                        folded,
                    };
                    return false;
                }
                if !folded {
                    self.out.mask();
                    self.out.newline();
                    self.frames.state = State::Goroutine { at_place, folded: true };
                }
                true
            }
            _ => {
                self.frames.state = if is_at {
                    State::At { folded: false }
                } else if is_file {
                    State::File { mark: self.out.mark() }
                } else if text.starts_with(b"goroutine ") {
                    State::Goroutine {
                        at_place: false,
                        folded: false,
                    }
                } else {
                    State::None
                };
                false
            }
        }
    }
}
