//! Documents in a folder of this machine or in a bucket.

use super::archive::{self, HEAD, Packing};
use super::collect::{Collector, read_error};
use super::{MAX_ARCHIVE, unfit};
use crate::source::error::SourceError;
use crate::source::file::Place;
use crate::source::objects::object::{Format, Object, Packing as Lines};
use crate::source::objects::store::{Progress, Store};
use engine::record::Dataset;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A file, an archive, or the files below a folder.
pub fn files(place: &Place, collector: &mut Collector<'_>) -> Result<(), SourceError> {
    if place.path().is_file() {
        let name = place.path().file_name().map(|n| n.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        return one(place, &name, &name, collector);
    }
    tree(place, "", "", collector)
}

/// The object that the prefix names, or the objects below it.
pub fn objects<S: Store>(store: &S, collector: &mut Collector<'_>) -> Result<(), SourceError> {
    let root = store.root();
    if root.is_empty() || root.ends_with('/') || store.is_folder(root)? {
        tree(store, root, root, collector)?;
    } else {
        // An object, or a prefix that ends in the middle of names.
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        let entries = store.entries(folder)?;
        if let Some(object) = entries.iter().find(|entry| !entry.is_folder && entry.key == root) {
            one(store, &object.key, &object.name, collector)?;
        } else {
            tree(store, folder, root, collector)?;
        }
    }
    collector.gathered.requests += store.requests();
    Ok(())
}

/// The files below a folder whose keys begin with `prefix`, in the order of their keys; paths are relative to the
/// folder.
fn tree<S: Store>(store: &S, folder: &str, prefix: &str, collector: &mut Collector<'_>) -> Result<(), SourceError> {
    let mut entries = store.tree(folder)?;
    let most = collector.limits.entries;
    if entries.len() > most {
        return Err(unfit(format!("{} has more than {most} files", store.title()))
            .hint("Point the option path (kind file) or prefix (kind s3) of the server at the folder that matters."));
    }
    entries.retain(|entry| entry.key.starts_with(prefix));
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    for entry in entries {
        collector.check()?;
        let path = entry.key.strip_prefix(folder).unwrap_or(&entry.key);
        if let Some(path) = collector.wants(path) {
            let progress = Progress::new(&Arc::new(AtomicBool::new(false)));
            let mut content = store.bytes(&object(&entry.key), &progress)?;
            collector.read(path, entry.size, &mut content)?;
        }
    }
    Ok(())
}

/// An object that is the whole source: a document or an archive.
fn one<S: Store>(store: &S, key: &str, name: &str, collector: &mut Collector<'_>) -> Result<(), SourceError> {
    let progress = Progress::new(&Arc::new(AtomicBool::new(false)));
    let mut content = store.bytes(&object(key), &progress)?;
    let mut bytes = Vec::new();
    let mut read = |most: usize, bytes: &mut Vec<u8>| {
        (&mut content)
            .take(most as u64)
            .read_to_end(bytes)
            .map_err(|e| read_error(name, e))
    };
    read(HEAD, &mut bytes)?;
    match Packing::of(&bytes) {
        None => {
            let mut whole = bytes.as_slice().chain(content);
            collector.read_alone(name.to_string(), &mut whole)
        }
        Some(packing) => {
            read(MAX_ARCHIVE, &mut bytes)?;
            if bytes.len() > MAX_ARCHIVE {
                return Err(
                    unfit(format!("\"{name}\" is larger than {} MB", MAX_ARCHIVE >> 20)).hint(
                        "Give it unpacked: the options \"files\" and \"folder\" of the source then say what is read.",
                    ),
                );
            }
            archive::unpack(name, &bytes, packing, collector)
        }
    }
}

/// An object as [`Store::bytes`] wants it: only the key counts there.
fn object(key: &str) -> Object {
    Object {
        key: key.to_string(),
        dataset: Dataset::Logs,
        stream: None,
        format: Format::Ndjson(Lines::None),
        size: None,
        time: None,
    }
}
