//! The unit tests of the extension's `src/source`: plain Rust, but part of a library that links into a server only. Here
//! they run without one.

#[allow(dead_code)]
#[path = "../../../src/source/mod.rs"]
mod source;

mod ranges;

/// What the tests of buckets share.
mod bucket;

/// OpenObserve's metadata database, a real one.
mod file_list;

/// Kind `s3` against a real server.
mod s3;
mod s3_access;

/// Kind `openobserve`: pages, columns, and what an HTTP answer may be.
mod http;
