//! Whole documents instead of records: what the jobs of topology read. A file, a folder, a bucket, an address or a git
//! repository gives its documents one after the other, unpacked where it is an archive; nothing of them is kept here.

mod archive;
mod collect;
mod store;
mod validator;
mod web;

pub use collect::Collector;
pub use validator::Validator;
pub use web::WebConfig;
pub(super) use web::{authorize, basic, check_url, refused, shown, watched};

use super::error::{ErrorKind, SourceError};
use super::pattern::Patterns;
use super::{Context, SourceConfig, file, git, s3};
use serde::Serialize;

/// Longest archive or download, bytes.
pub const MAX_ARCHIVE: usize = 256 << 20;
/// Most bytes that an archive may unpack to, and that the documents of one source may have together.
pub const MAX_UNPACKED: u64 = 1 << 30;
/// Most entries of an archive, a listing or a git tree that are looked at.
pub const MAX_ENTRIES: usize = 500_000;

/// Which documents of a source are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Of their paths; see [`Patterns::matches_path`].
    pub files: Patterns,
    /// Only what lies below this folder, paths being relative to it; empty: everything.
    pub folder: String,
    /// Longest document, bytes.
    pub longest: usize,
    /// Whether a longer one is left out. Else it is an error.
    pub skip_longer: bool,
}

/// One document.
pub struct Document {
    /// Its path in the source; of one that stands alone, its name.
    pub path: String,
    /// Whether it is the whole of the source, which cannot have a second one.
    pub alone: bool,
    pub content: Vec<u8>,
}

/// What documents are handed to.
pub type Take<'a> = dyn FnMut(Document) -> Result<(), SourceError> + 'a;

/// What reading a source came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gathered {
    pub documents: u64,
    /// Bytes of the documents.
    pub bytes: u64,
    /// HTTP requests.
    pub requests: u64,
    /// Links, submodules and documents that are too long, which are not read.
    pub left_out: u64,
    /// The commit of a git repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The server says that the document is the one that the caller knows; it was not sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub not_modified: bool,
    /// By what the server can be asked next time.
    #[serde(skip)]
    pub validator: Option<Validator>,
}

/// Reads the documents of a source. Hidden files (a part of the path begins with a dot) are not read. Where the document is
/// still the one of which the server gave the `known` validator, nothing is read: see [`Gathered::not_modified`].
///
/// # Errors
/// `Document` for one that is too long and for an archive or repository that is broken or hostile; `Config` for a server
/// that holds no documents; what the place itself can end in; what `take` says; `Cancelled`.
pub fn gather(
    config: &SourceConfig,
    server: &str,
    wanted: &Wanted,
    known: Option<&Validator>,
    ctx: &Context,
    take: &mut Take<'_>,
) -> Result<Gathered, SourceError> {
    let mut collector = Collector::new(wanted, &ctx.cancel, take);
    match config {
        SourceConfig::File(c) => store::files(&file::place(c)?, &mut collector)?,
        SourceConfig::S3(c) => store::objects(&s3::bucket(c, server, ctx)?, &mut collector)?,
        SourceConfig::Web(c) => web::gather(c, known, ctx, &mut collector)?,
        SourceConfig::Git(c) => git::gather(c, ctx, &mut collector)?,
        SourceConfig::OpenObserve(_) | SourceConfig::Mock(_) => check(config)?,
    }
    Ok(collector.gathered)
}

/// Refuses servers that hold records, not documents.
///
/// # Errors
/// `Config`.
pub fn check(config: &SourceConfig) -> Result<(), SourceError> {
    match config {
        SourceConfig::OpenObserve(_) | SourceConfig::Mock(_) => Err(SourceError::config(
            "a server of this kind holds records, not documents",
            "Topology is read from servers of kind file, s3, http or git.",
        )),
        SourceConfig::File(_) | SourceConfig::S3(_) | SourceConfig::Web(_) | SourceConfig::Git(_) => Ok(()),
    }
}

/// A document, an archive or a repository that cannot be taken in, whenever it is tried.
pub fn unfit(message: impl Into<String>) -> SourceError {
    SourceError::new(ErrorKind::Document, message)
}
