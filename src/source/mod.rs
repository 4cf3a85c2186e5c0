//! Sources: bytes in, aggregates out. Plain Rust: nothing here knows of PostgreSQL, so all of it may run on helper
//! threads. Whoever calls [`fetch()`] or [`replay()`] does so on a thread with all signals blocked; the threads started
//! below inherit that.

pub mod count;
pub mod documents;
pub mod error;
pub mod fetch;
pub mod file;
pub mod file_list;
pub mod git;
pub mod http;
pub mod mock;
pub mod objects;
pub mod openobserve;
pub mod options;
pub mod pattern;
pub mod replay;
pub mod rows;
pub mod s3;
pub mod sample;
pub mod server;

mod doors;
mod margin;
mod pool;
mod resolve;
mod settle;
mod synthetic;
mod tap;

pub use error::SourceError;
pub use fetch::fetch;
pub use options::Selection;
pub use replay::{Replayed, replay};
pub use sample::Sample;
pub use settle::Settle;

use engine::patterns::Masker;
use engine::record::Dataset;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Where records come from. `Debug` never shows a secret.
#[derive(Clone, Debug)]
pub enum SourceConfig {
    /// OpenObserve's search API.
    OpenObserve(openobserve::OpenObserveConfig),
    /// Files of this machine.
    File(file::FileConfig),
    /// Made up on the spot.
    Mock(mock::MockConfig),
    /// Objects in a bucket.
    S3(s3::S3Config),
    /// A document or an archive at an address.
    Web(documents::WebConfig),
    /// A git repository.
    Git(git::GitConfig),
}

impl SourceConfig {
    /// Whether objects of a window may come long after its end.
    fn lags(&self) -> bool {
        match self {
            SourceConfig::S3(_) => true,
            SourceConfig::File(c) => c.arrangement.layout == objects::Layout::OpenObserve,
            _ => false,
        }
    }

    /// Which windows are whole where there are objects; `None` where nothing is said, or there are none.
    fn settled(&self) -> Option<&Settle> {
        match self {
            SourceConfig::S3(c) => c.settle.as_ref(),
            SourceConfig::File(c) => c.settle.as_ref(),
            _ => None,
        }
    }

    /// What stands in for objects at windows that have not settled.
    pub fn fallback_mut(&mut self) -> Option<&mut Source> {
        match self {
            SourceConfig::S3(c) => c.settle.as_mut()?.fallback.as_deref_mut(),
            SourceConfig::File(c) => c.settle.as_mut()?.fallback.as_deref_mut(),
            _ => None,
        }
    }

    /// Says of a bucket or a folder which windows are whole; see [`Settle`].
    ///
    /// # Errors
    /// `Config` for options that only these have; those of [`Settle::new`].
    pub fn settle<E: From<SourceError>>(
        &mut self,
        selection: &Selection,
        now: i64,
        fallback: impl FnOnce(&str) -> Result<SourceConfig, E>,
    ) -> Result<(), E> {
        let asked = selection.settle_us.is_some() || selection.fallback.is_some();
        match self {
            SourceConfig::S3(c) => {
                c.settle = Some(Settle::new(c.arrangement.layout, selection, now, fallback)?);
                Ok(())
            }
            // A plain file is there or not, and a time that has not come yet may be asked for.
            SourceConfig::File(c) if c.arrangement.layout != objects::Layout::OpenObserve && !asked => Ok(()),
            SourceConfig::File(c) => {
                c.settle = Some(Settle::new(c.arrangement.layout, selection, now, fallback)?);
                Ok(())
            }
            _ if asked => Err(SourceError::config(
                "the source options \"settle\" and \"fallback\" are for servers of kind s3 and file",
                "Leave them away: other servers have their records at once.",
            )
            .into()),
            _ => Ok(()),
        }
    }
}

/// A source, ready to be fetched from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name of the server, for locators and messages.
    pub server: String,
    pub config: SourceConfig,
    pub selection: Selection,
}

/// What a fetch runs under.
#[derive(Clone, Debug)]
pub struct Context {
    /// Set by the caller to stop: looked at between requests, reads and row groups, and every 50 ms while blocked.
    pub cancel: Arc<AtomicBool>,
    /// Threads at most.
    pub concurrency: usize,
    /// Deadline of one HTTP request as a whole.
    pub http_timeout: Duration,
    /// How the tenant's log lines become patterns.
    pub masker: Masker,
}

/// The way back from an aggregate to its raw records: a row of `oo_locator`.
#[derive(Clone, Debug, PartialEq)]
pub struct Locator {
    pub dataset: Dataset,
    /// The name of the server.
    pub bucket: String,
    /// The path below the source's path, or the whole key in a bucket; empty for an API.
    pub object_key: String,
    /// The window, UTC microseconds, half-open.
    pub t_from: i64,
    pub t_to: i64,
    /// What to run at the source to see the records.
    pub query_hint: Option<String>,
    pub attributes: Value,
}

/// What a fetch cost and brought, for `etl_job_run.stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FetchStats {
    /// HTTP requests.
    pub requests: u64,
    /// Bytes received or read, after HTTP decompression.
    pub bytes: u64,
    /// Searches, full ones included.
    pub pages: u64,
    /// Files or objects read.
    pub files: u64,
    /// Objects in a format that cannot be read.
    pub unreadable: u64,
    /// Objects beside them whose names do not tell a format.
    pub skipped: u64,
    /// Usable records inside the windows.
    pub logs: u64,
    pub metrics: u64,
    pub spans: u64,
}

impl FetchStats {
    /// Adds what another fetch cost and brought.
    pub fn add(&mut self, other: &FetchStats) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.pages += other.pages;
        self.files += other.files;
        self.unreadable += other.unreadable;
        self.skipped += other.skipped;
        self.logs += other.logs;
        self.metrics += other.metrics;
        self.spans += other.spans;
    }

    fn add_records(&mut self, dataset: Dataset, records: u64) {
        match dataset {
            Dataset::Logs => self.logs += records,
            Dataset::Metrics => self.metrics += records,
            Dataset::Traces => self.spans += records,
        }
    }
}
