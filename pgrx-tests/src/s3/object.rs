//! How an object, or a range of it, is answered. s3s-fs reads the whole object anew for the ETag of each range, which
//! makes one of many ranges slow; here the tag is made of time and size.

use s3s::dto::{ETag, GetObjectOutput, Range, Timestamp};
use s3s::{Body, S3Error, S3ErrorCode, S3Result, s3_error};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// The answer to `GET`; `NoSuchKey` and `InvalidRange` are the errors of S3.
pub fn answer(path: &Path, range: Option<Range>) -> S3Result<GetObjectOutput> {
    let file = File::open(path).map_err(|e| s3_error!(e, NoSuchKey))?;
    let about = file.metadata().map_err(internal)?;
    let total = about.len();
    let part = range.map_or(Ok(0..total), |range| range.check(total))?;
    let length = usize::try_from(part.end - part.start).map_err(internal)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, part.start).map_err(internal)?;
    let told = || format!("bytes {}-{}/{total}", part.start, part.end.saturating_sub(1));
    Ok(GetObjectOutput {
        body: Some(Body::from(bytes).into()),
        content_length: i64::try_from(length).ok(),
        content_range: range.map(|_| told()),
        e_tag: Some(ETag::Strong(format!(
            "{:x}-{:x}-{total:x}",
            about.mtime(),
            about.mtime_nsec()
        ))),
        last_modified: about.modified().ok().map(Timestamp::from),
        ..GetObjectOutput::default()
    })
}

fn internal(e: impl std::error::Error + Send + Sync + 'static) -> S3Error {
    S3Error::with_source(S3ErrorCode::InternalError, Box::new(io::Error::other(e)))
}
