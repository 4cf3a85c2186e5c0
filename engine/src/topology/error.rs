//! Why an input cannot be read. Messages name places and limits, never content: the content may hold secrets.

use std::fmt;

/// An input that yields nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopologyError {
    /// No known format. The reason says what was looked at.
    UnknownFormat(&'static str),
    /// Not the format it was said to be, or a version of it that is not read.
    Unsupported {
        format: &'static str,
        what: &'static str,
        hint: &'static str,
    },
    /// Broken syntax at a place (line and column count from 1; 0 = unknown).
    Syntax {
        format: &'static str,
        line: usize,
        column: usize,
        what: &'static str,
    },
    /// Not UTF-8 from this byte on.
    NotUtf8 { offset: usize },
    /// Larger, deeper or more repetitive than is read.
    Limit { what: &'static str, limit: usize },
}

impl TopologyError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            TopologyError::UnknownFormat(_) => "Name the format, or check that the file is complete.",
            TopologyError::Unsupported { hint, .. } => hint,
            TopologyError::Syntax { .. } => "Check that the file is complete and was not cut off on its way.",
            TopologyError::NotUtf8 { .. } => "Convert the file to UTF-8.",
            TopologyError::Limit { .. } => "Split the input, or leave out what carries no topology.",
        }
    }
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopologyError::UnknownFormat(why) => write!(f, "topology input of unknown format: {why}"),
            TopologyError::Unsupported { format, what, .. } => write!(f, "{format}: {what}"),
            TopologyError::Syntax {
                format, line: 0, what, ..
            } => write!(f, "{format}: {what}"),
            TopologyError::Syntax {
                format,
                line,
                column,
                what,
            } => {
                write!(f, "{format}: {what} at line {line}, column {column}")
            }
            TopologyError::NotUtf8 { offset } => write!(f, "topology input is not UTF-8 from byte {offset} on"),
            TopologyError::Limit { what, limit } => write!(f, "topology input has more than {limit} {what}"),
        }
    }
}

impl std::error::Error for TopologyError {}
