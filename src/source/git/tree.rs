//! From a commit to the files of its tree.

use super::objects::{Objects, broken};
use crate::source::documents::{Collector, MAX_ENTRIES, unfit};
use crate::source::error::SourceError;
use gix_hash::{Kind as Hash, ObjectId};
use gix_object::tree::EntryKind;
use gix_object::{CommitRefIter, Kind, TagRefIter, TreeRefIter};

/// Most tags that are followed to a commit.
const MAX_TAGS: usize = 8;
/// Deepest nesting of folders that is followed.
const MAX_DEPTH: usize = 64;

/// Hands over the wanted files of a commit, or of the commit that a tag names. Links and submodules are left out.
///
/// # Errors
/// `Document` for a repository that is broken or too large; those of the collector.
pub fn walk<O: Objects>(objects: &mut O, from: ObjectId, collector: &mut Collector<'_>) -> Result<(), SourceError> {
    let mut data = Vec::new();
    let (commit, root) = root(objects, from, &mut data)?;
    collector.gathered.revision = Some(commit.to_string());
    let mut entries = 0usize;
    let mut folders = vec![(root, String::new(), 0usize)];
    let mut content = Vec::new();
    while let Some((id, folder, depth)) = folders.pop() {
        if objects.read(&id, &mut data)? != Kind::Tree {
            return Err(broken(format!("Object {id} is no folder.")));
        }
        for entry in TreeRefIter::from_bytes(&data, Hash::Sha1) {
            collector.check()?;
            let entry = entry.map_err(|e| broken(e.to_string()))?;
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(unfit(format!("the git repository has more than {MAX_ENTRIES} files"))
                    .hint("An archive of the folder that matters will do."));
            }
            let path = format!("{folder}{}", String::from_utf8_lossy(entry.filename));
            match entry.mode.kind() {
                EntryKind::Tree if depth < MAX_DEPTH => {
                    folders.push((entry.oid.to_owned(), format!("{path}/"), depth + 1));
                }
                EntryKind::Blob | EntryKind::BlobExecutable => {
                    if let Some(path) = collector.wants(&path) {
                        objects.read(entry.oid, &mut content)?;
                        collector.read(path, Some(content.len() as u64), &mut content.as_slice())?;
                    }
                }
                EntryKind::Tree | EntryKind::Link | EntryKind::Commit => collector.leave_out(),
            }
        }
    }
    Ok(())
}

/// The commit that an object is or names, and its tree.
fn root<O: Objects>(objects: &mut O, from: ObjectId, data: &mut Vec<u8>) -> Result<(ObjectId, ObjectId), SourceError> {
    let mut id = from;
    for _ in 0..MAX_TAGS {
        match objects.read(&id, data)? {
            Kind::Commit => {
                let tree = CommitRefIter::from_bytes(data, Hash::Sha1).tree_id();
                return Ok((id, tree.map_err(|e| broken(e.to_string()))?));
            }
            Kind::Tag => {
                let target = TagRefIter::from_bytes(data, Hash::Sha1).target_id();
                id = target.map_err(|e| broken(e.to_string()))?;
            }
            Kind::Tree | Kind::Blob => break,
        }
    }
    Err(unfit("the option \"ref\" of the server leads to no commit").hint("Name a branch, a tag or a commit."))
}
