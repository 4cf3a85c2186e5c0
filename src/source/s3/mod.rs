//! Objects in a bucket.

mod answer;
mod body;
mod bucket;
mod client;
mod columns;
mod options;
mod plan;
mod slots;

use super::error::SourceError;
use super::fetch::{self, Request};
use super::objects::store::Store;
use super::objects::{self, Arrangement};
use super::{Context, Locator, Replayed, Sample, Settle, http};
use bucket::Bucket;
use std::fmt;

/// Options of a server of kind `s3` and its user mapping.
#[derive(Clone)]
pub struct S3Config {
    pub bucket: String,
    /// `http(s)://host[:port][/base/path]`, without the bucket.
    pub endpoint: String,
    pub region: String,
    /// What every key begins with, as it is: a folder's has a slash at its end.
    pub prefix: String,
    /// Whether the bucket is named in the path of a request, else in the name of the host.
    pub path_style: bool,
    pub arrangement: Arrangement,
    pub route: http::Route,
    /// None for a bucket that anybody may read.
    pub credentials: Option<Credentials>,
    /// Which windows are whole; all of them where nothing is said.
    pub settle: Option<Settle>,
}

/// What requests are signed with. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// The bucket of a source of documents.
///
/// # Errors
/// Those of [`Bucket::new`].
pub fn bucket(config: &S3Config, server: &str, ctx: &Context) -> Result<impl Store + use<>, SourceError> {
    Bucket::new(config, server, ctx)
}

/// Reads a bucket; see [`fetch::Reader`].
///
/// # Errors
/// Those of [`Bucket::new`] and of [`objects::Reader::new`].
pub fn reader<'a>(config: &'a S3Config, request: Request<'a>) -> Result<impl fetch::Reader + use<'a>, SourceError> {
    let open = move || Bucket::new(config, request.server, request.ctx);
    objects::Reader::new(open, &config.arrangement, request)
}

/// The rows of the locators' objects in their window; see [`super::replay()`].
pub fn replay(
    config: &S3Config,
    locators: &[Locator],
    sample: &Sample,
    ctx: &Context,
) -> Result<Replayed, SourceError> {
    let server = locators.first().map_or("", |locator| &locator.bucket);
    let bucket = Bucket::new(config, server, ctx)?;
    objects::replay(&bucket, &config.arrangement, locators, sample, ctx)
}
