//! A bucket as a store of objects.

use super::S3Config;
use super::answer::Next;
use super::body::Body;
use super::client::{Client, Part};
use super::columns::{self, Ranged};
use crate::source::Context;
use crate::source::error::{ErrorKind, SourceError};
use crate::source::objects::object::{Entry, Object, broken, vanished};
use crate::source::objects::store::{Progress, Store};
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// Keys in one page of a listing: what S3 allows at most.
const PAGE_KEYS: u32 = 1000;
/// Pages of one listing that are followed: a million keys, of which their names alone take some hundred megabytes.
const MAX_PAGES: usize = 1_000;
/// Bytes of ends of objects that are kept for their second reading.
const MAX_TAILS: usize = 16 << 20;

/// A bucket, or what of it lies below a prefix.
pub struct Bucket {
    client: Arc<Client>,
    config: S3Config,
    /// Ends of objects by key: the footer is looked at before an object is read.
    tails: Mutex<HashMap<String, Part>>,
}

impl Bucket {
    /// Errors as for [`Client::new`].
    pub fn new(config: &S3Config, server: &str, ctx: &Context) -> Result<Self, SourceError> {
        Ok(Bucket {
            client: Arc::new(Client::new(config, server, ctx.http_timeout, ctx.concurrency)?),
            config: config.clone(),
            tails: Mutex::default(),
        })
    }

    /// All keys below a folder, with folders in it if `by_folder`.
    fn list(&self, folder: &str, by_folder: bool) -> Result<Vec<Entry>, SourceError> {
        let prefix = with_slash(folder);
        let mut out = Vec::new();
        let mut next: Option<Next> = None;
        for _ in 0..MAX_PAGES {
            let page = self.client.list(&prefix, by_folder, PAGE_KEYS, next.as_ref())?;
            out.extend(
                page.objects
                    .into_iter()
                    .filter_map(|(key, size)| entry(&prefix, key, Some(size))),
            );
            out.extend(page.folders.into_iter().filter_map(|key| entry(&prefix, key, None)));
            match page.next {
                None => return Ok(out),
                // It would go on for ever.
                same if same == next => {
                    let what = format!("the list of \"{prefix}\" does not end");
                    return Err(SourceError::new(ErrorKind::BadResponse, what)
                        .transient(false)
                        .hint("The server must give continuation tokens, or know start-after."));
                }
                more => next = more,
            }
        }
        let most = MAX_PAGES * PAGE_KEYS as usize;
        Err(SourceError::new(
            ErrorKind::BadResponse,
            format!("the list of \"{prefix}\" has more than {most} entries"),
        )
        .transient(false)
        .hint(
            "Give a longer prefix, or lay the objects out in folders by time; OpenObserve's own hours are merged into \
             few objects, or are told by its metadata database (metadata_url).",
        ))
    }

    /// Bytes of an object that nobody listed.
    fn size(&self, key: &str) -> Result<u64, SourceError> {
        // The key itself sorts first among those that begin with it.
        let page = self.client.list(key, false, 1, None)?;
        let found = page.objects.into_iter().find(|(found, _)| found == key);
        found.map(|(_, size)| size).ok_or_else(|| vanished(key))
    }

    fn tail(&self, object: &Object) -> Result<Part, SourceError> {
        let lock = || self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&object.key) {
            return Ok(known.clone());
        }
        let size = match object.size {
            Some(size) => size,
            None => self.size(&object.key)?,
        };
        let tail = columns::tail(&self.client, &object.key, size)?;
        let mut tails = lock();
        if tails.values().map(|t| t.bytes.len()).sum::<usize>() < MAX_TAILS {
            tails.insert(object.key.clone(), tail.clone());
        }
        Ok(tail)
    }
}

impl Store for Bucket {
    type Columns = Ranged;

    fn root(&self) -> &str {
        &self.config.prefix
    }

    fn files(&self) -> Option<String> {
        // OpenObserve glues its prefix on as it is.
        Some(format!("{}files", self.config.prefix))
    }

    fn title(&self) -> String {
        format!("s3://{}/{}", self.config.bucket, self.config.prefix)
    }

    fn folder_name(&self) -> String {
        let prefix = self.config.prefix.trim_end_matches('/');
        prefix.rsplit('/').next().unwrap_or_default().to_string()
    }

    fn identity(&self) -> String {
        format!("{}/{}", self.config.endpoint, self.config.bucket)
    }

    fn uri(&self, key: &str) -> Option<String> {
        Some(format!("s3://{}/{key}", self.config.bucket))
    }

    fn entries(&self, folder: &str) -> Result<Vec<Entry>, SourceError> {
        let mut entries = self.list(folder, true)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn is_folder(&self, folder: &str) -> Result<bool, SourceError> {
        let page = self.client.list(&with_slash(folder), false, 1, None)?;
        Ok(!page.objects.is_empty())
    }

    fn tree(&self, folder: &str) -> Result<Vec<Entry>, SourceError> {
        self.list(folder, false)
    }

    fn columns(&self, object: &Object, progress: &Arc<Progress>) -> Result<Ranged, SourceError> {
        if object.size == Some(0) {
            return Err(broken(object, "it is empty"));
        }
        let tail = self.tail(object)?;
        progress.add(tail.bytes.len() as u64);
        Ok(Ranged::new(&self.client, &object.key, tail, progress))
    }

    fn bytes(&self, object: &Object, progress: &Arc<Progress>) -> Result<Box<dyn Read + '_>, SourceError> {
        if object.size == Some(0) {
            // Nothing is no range that can be asked for.
            return Ok(Box::new(io::empty()));
        }
        Ok(Box::new(Body::new(&self.client, &object.key, object.size, progress)))
    }

    fn requests(&self) -> u64 {
        self.client.requests()
    }

    fn interrupt(&self) {
        self.client.interrupt();
    }
}

fn with_slash(folder: &str) -> String {
    match folder {
        "" => String::new(),
        f if f.ends_with('/') => f.to_string(),
        f => format!("{f}/"),
    }
}

/// `None` for what is hidden, for the mark of the folder itself, and for what lies in a folder without a name: `a//b` has
/// one in `a`, whose key would be that of `a` again.
fn entry(prefix: &str, key: String, size: Option<u64>) -> Option<Entry> {
    let below = key.strip_prefix(prefix)?;
    let hidden = below.split('/').any(|part| part.starts_with('.'));
    if below.is_empty() || below.starts_with('/') || hidden || (size.is_some() && below.ends_with('/')) {
        return None;
    }
    let key = key.trim_end_matches('/').to_string();
    Some(Entry {
        name: key.rsplit('/').next().unwrap_or_default().to_string(),
        key,
        is_folder: size.is_none(),
        size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_never_has_itself_in_it() {
        let key = |key: &str, size| entry("lake/mm=05/", key.to_string(), size).map(|e| e.key);
        assert_eq!(
            key("lake/mm=05/a.ndjson", Some(1)).as_deref(),
            Some("lake/mm=05/a.ndjson")
        );
        assert_eq!(key("lake/mm=05/host=a/", None).as_deref(), Some("lake/mm=05/host=a"));
        for no in ["lake/mm=05//", "lake/mm=05/.tmp/"] {
            assert_eq!(key(no, None), None, "{no}");
        }
        for no in ["lake/mm=05/", "lake/mm=05//x.ndjson", "lake/mm=05/host=a/"] {
            assert_eq!(key(no, Some(1)), None, "{no}");
        }
    }
}
