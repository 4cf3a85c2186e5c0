//! What the layouts and the readers need of a place where objects lie: a folder of this machine, a bucket.

use super::object::{Entry, Object};
use crate::source::error::SourceError;
use engine::decode::parquet::Source;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Deepest nesting of folders that is followed.
pub const MAX_DEPTH: usize = 16;

/// A place with objects. Keys have slashes between their parts; a folder is what comes before a slash.
///
/// Errors of every method: `Gone` (transient) for an object that does not exist any more, `Cancelled`, and what reading
/// such a place can end in.
pub trait Store: Sync {
    /// An object opened for reading by column.
    type Columns: Source;

    /// What every key begins with: empty, or a prefix that may end in the middle of a name.
    fn root(&self) -> &str;

    /// OpenObserve's folder `files`, where it is known without looking.
    fn files(&self) -> Option<String> {
        None
    }

    /// How messages call the place.
    fn title(&self) -> String;

    /// The name of the folder that [`Store::root`] is.
    fn folder_name(&self) -> String;

    /// A text that no other place has: objects are remembered under it.
    fn identity(&self) -> String;

    /// Where an object lies, for people; `None` if the key says it all.
    fn uri(&self, key: &str) -> Option<String>;

    /// What lies directly in a folder, by name, hidden entries left out. A folder that does not exist has nothing.
    fn entries(&self, folder: &str) -> Result<Vec<Entry>, SourceError>;

    /// Whether there is such a folder, as far as one can see.
    fn is_folder(&self, folder: &str) -> Result<bool, SourceError>;

    /// The objects in a folder and in the folders in it, in no particular order.
    fn tree(&self, folder: &str) -> Result<Vec<Entry>, SourceError> {
        let mut out = Vec::new();
        let mut folders = vec![(folder.to_string(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            for entry in self.entries(&folder)? {
                match entry.is_folder {
                    true if depth < MAX_DEPTH => folders.push((entry.key, depth + 1)),
                    true => {}
                    false => out.push(entry),
                }
            }
        }
        Ok(out)
    }

    /// Leaves out objects that are another of them under another key. They come by key.
    fn keep_once(&self, _objects: &mut Vec<Object>) {}

    /// Opens an object for reading by column.
    fn columns(&self, object: &Object, progress: &Arc<Progress>) -> Result<Self::Columns, SourceError>;

    /// Opens an object for reading from its start to its end. An [`std::io::Error`] of the reader may carry a
    /// [`SourceError`].
    fn bytes(&self, object: &Object, progress: &Arc<Progress>) -> Result<Box<dyn Read + '_>, SourceError>;

    /// HTTP requests sent so far.
    fn requests(&self) -> u64 {
        0
    }

    /// Ends what blocks on any thread; later calls fail.
    fn interrupt(&self) {}
}

/// How far the reading of an object has come, and what stopped it. A Parquet reader knows errors of its own only.
#[derive(Debug, Default)]
pub struct Progress {
    /// The caller's flag: the reader stops soon after it is set.
    pub cancel: Arc<AtomicBool>,
    bytes: AtomicU64,
    failure: Mutex<Option<SourceError>>,
}

impl Progress {
    pub fn new(cancel: &Arc<AtomicBool>) -> Arc<Progress> {
        Arc::new(Progress {
            cancel: cancel.clone(),
            ..Progress::default()
        })
    }

    /// Bytes read so far, as they lie in the store.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts bytes that were read.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the caller wants to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// Remembers what stopped the reading; the first error counts.
    pub fn failed(&self, e: SourceError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(e);
    }

    /// What stopped the reading, if it was not the bytes themselves.
    pub fn failure(&self) -> Option<SourceError> {
        if self.is_cancelled() {
            return Some(SourceError::cancelled());
        }
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A key below a folder, or below a root that may end anywhere.
pub fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_string(),
        f if f.ends_with('/') => format!("{f}{name}"),
        f => format!("{f}/{name}"),
    }
}
