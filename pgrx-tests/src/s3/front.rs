//! What stands before s3s-fs: what it lacks, and what can go wrong.

use super::{NAME, Shared, lock, object};
use async_trait::async_trait;
use s3s::access::{S3Access, S3AccessContext};
use s3s::dto::{GetObjectInput, GetObjectOutput, ListObjectsV2Input, ListObjectsV2Output};
use s3s::host::{S3Host, VirtualHost};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// How long a read waits for others.
const LONELY: Duration = Duration::from_secs(10);

/// Keys in one page of a listing at most.
const MAX_KEYS: usize = 1000;

/// What goes wrong with every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 503 SlowDown.
    SlowDown,
    /// 500 InternalError.
    Internal,
    /// Listings are cut without a token to go on with, as older servers do.
    NoTokens,
    /// Listings go on for ever, each page with a token of its own.
    Endless,
}

/// The names of the server at whatever port; what stands before one is a bucket. Everything else names no bucket.
pub struct Names;

impl S3Host for Names {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let bucket = |base: &str| name.strip_suffix(base)?.strip_suffix('.');
        Ok(match ["localhost", NAME].into_iter().find_map(bucket) {
            Some(bucket) => VirtualHost::new(host).with_bucket(bucket),
            None => VirtualHost::new(host),
        })
    }
}

/// Reads wait until so many are under way at once, for the first time.
pub struct Crowd {
    wanted: usize,
    come: watch::Sender<usize>,
}

impl Crowd {
    pub fn new(wanted: usize) -> Crowd {
        Crowd {
            wanted,
            come: watch::Sender::new(0),
        }
    }

    /// Refuses if nobody else comes.
    async fn join(&self) -> S3Result<()> {
        self.come.send_modify(|n| *n += 1);
        let mut come = self.come.subscribe();
        let crowd = come.wait_for(|n| *n >= self.wanted);
        match tokio::time::timeout(LONELY, crowd).await {
            Ok(_) => Ok(()),
            Err(_) => Err(s3_error!(SlowDown, "the reads do not come side by side")),
        }
    }
}

/// Refuses who is not known, or lacks the session token.
pub struct Door(pub Arc<Shared>);

#[async_trait]
impl S3Access for Door {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        if cx.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "who are you"));
        }
        let shown = cx.headers().get("x-amz-security-token").and_then(|v| v.to_str().ok());
        match &self.0.token {
            Some(token) if shown != Some(token) => {
                // A careless server: it repeats what it was given.
                let text = format!("the token {} is not valid", shown.unwrap_or("(none)"));
                Err(S3Error::with_message(S3ErrorCode::InvalidToken, text))
            }
            _ => Ok(()),
        }
    }
}

/// The store behind the door.
pub struct Front {
    files: FileSystem,
    /// Where its buckets lie.
    folder: PathBuf,
    shared: Arc<Shared>,
}

impl Front {
    pub fn new(files: FileSystem, folder: &Path, shared: Arc<Shared>) -> Self {
        Front {
            files,
            folder: folder.to_path_buf(),
            shared,
        }
    }

    fn fault(&self) -> S3Result<()> {
        match *lock(&self.shared.fault) {
            Some(Fault::SlowDown) => Err(s3_error!(SlowDown, "Please reduce your request rate.")),
            Some(Fault::Internal) => Err(s3_error!(InternalError, "We encountered an internal error.")),
            Some(Fault::NoTokens | Fault::Endless) | None => Ok(()),
        }
    }
}

#[async_trait]
impl S3 for Front {
    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.fault()?;
        let key = req.input.key.clone();
        if let Some(hook) = lock(&self.shared.before_get).as_mut() {
            hook(&key);
        }
        let crowd = lock(&self.shared.crowd).clone();
        if let Some(crowd) = crowd {
            crowd.join().await?;
        }
        let mut output = object::answer(&self.folder.join(&req.input.bucket).join(&key), req.input.range)?;
        if lock(&self.shared.packed).contains(&key) {
            output.content_encoding = Some("gzip".to_string());
        }
        let length = output.content_length.unwrap_or_default();
        lock(&self.shared.reads).push((key, u64::try_from(length).unwrap_or_default()));
        Ok(S3Response::new(output))
    }

    /// A page: the keys and folders behind the token or the key to start after.
    async fn list_objects_v2(
        &self,
        mut req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.fault()?;
        self.shared.lists.fetch_add(1, Ordering::SeqCst);
        lock(&self.shared.listed).push(req.input.prefix.clone().unwrap_or_default());
        if *lock(&self.shared.fault) == Some(Fault::Endless) {
            return Ok(S3Response::new(ListObjectsV2Output {
                name: Some(req.input.bucket),
                is_truncated: Some(true),
                next_continuation_token: Some(self.shared.lists.load(Ordering::SeqCst).to_string()),
                ..ListObjectsV2Output::default()
            }));
        }
        let after = req.input.continuation_token.take().or(req.input.start_after.take());
        let max = usize::try_from(req.input.max_keys.unwrap_or(1000))
            .unwrap_or(MAX_KEYS)
            .min(lock(&self.shared.page_keys).unwrap_or(MAX_KEYS));
        req.input.max_keys = Some(i32::MAX);
        let mut answer = self.files.list_objects_v2(req).await?;
        let output = &mut answer.output;
        let mut objects = output.contents.take().unwrap_or_default();
        let mut folders = output.common_prefixes.take().unwrap_or_default();
        let behind = |key: Option<&String>| after.as_ref().is_none_or(|after| key > Some(after));
        objects.retain(|o| behind(o.key.as_ref()));
        folders.retain(|f| behind(f.prefix.as_ref()));
        let names = objects.iter().filter_map(|o| o.key.clone());
        let mut names: Vec<String> = names.chain(folders.iter().filter_map(|f| f.prefix.clone())).collect();
        names.sort();
        let cut = names.len() > max;
        names.truncate(max);
        let last = names.last().cloned().filter(|_| cut);
        if let Some(last) = &last {
            objects.retain(|o| o.key.as_ref() <= Some(last));
            folders.retain(|f| f.prefix.as_ref() <= Some(last));
        }
        output.is_truncated = Some(cut);
        output.key_count = i32::try_from(names.len()).ok();
        output.contents = Some(objects);
        output.common_prefixes = Some(folders);
        if *lock(&self.shared.fault) != Some(Fault::NoTokens) {
            output.next_continuation_token = last;
        }
        Ok(answer)
    }
}
