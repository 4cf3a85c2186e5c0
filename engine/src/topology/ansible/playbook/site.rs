//! Places where endpoints may stand: a rendered file, an argument, a variable.

use std::sync::Arc;

use super::super::jinja::Access;

/// A text that a host gets, with hosts marked as the symbolic reading does.
#[derive(Clone, Debug)]
pub struct Site {
    /// The host that gets it.
    pub host: usize,
    /// The group that the play names, if it names one.
    pub group: Option<Arc<str>>,
    pub kind: SiteKind,
    pub text: String,
    pub accesses: Vec<Access>,
    /// Where the input says it.
    pub place: String,
    /// Whether a condition could not be decided.
    pub conditional: bool,
}

#[derive(Clone, Debug)]
pub enum SiteKind {
    /// A file: the name decides how comments look.
    File { name: String },
    /// A command line.
    Command,
    /// A value under a key. Neighbours are the other plain values beside it: a port may be there.
    Value {
        path: Vec<Arc<str>>,
        neighbours: Arc<Vec<(Arc<str>, String)>>,
    },
}
