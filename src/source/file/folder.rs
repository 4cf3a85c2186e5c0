//! A folder as a store of objects: keys are paths below it.

use super::columns::Chunks;
use super::roots::Place;
use crate::source::error::{ErrorKind, SourceError};
use crate::source::objects::object::{Entry, Object};
use crate::source::objects::store::{Progress, Store, join};
use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Store for Place {
    type Columns = Chunks;

    fn root(&self) -> &str {
        ""
    }

    fn title(&self) -> String {
        format!("\"{}\"", self.path().display())
    }

    fn folder_name(&self) -> String {
        let name = self.base().file_name();
        name.map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn identity(&self) -> String {
        self.base().display().to_string()
    }

    fn uri(&self, _key: &str) -> Option<String> {
        None
    }

    fn entries(&self, folder: &str) -> Result<Vec<Entry>, SourceError> {
        let (mut found, links) = entries(self.base(), folder)?;
        self.links.fetch_or(links, Ordering::Relaxed);
        if self.path() != self.base() {
            // The source is one file.
            let only = self.path().file_name().map(|n| n.to_string_lossy());
            found.retain(|entry| only.as_ref().is_some_and(|name| *name == entry.name));
        }
        Ok(found)
    }

    fn is_folder(&self, folder: &str) -> Result<bool, SourceError> {
        Ok(fs::metadata(self.base().join(folder)).is_ok_and(|m| m.is_dir()))
    }

    /// Of a file that several keys lead to, the key without links stays, else the first.
    fn keep_once(&self, objects: &mut Vec<Object>) {
        if !self.links.load(Ordering::Relaxed) {
            return;
        }
        let path = |object: &Object| self.base().join(&object.key);
        // One that is not there any more stays: reading it will say so.
        let real = |object: &Object| fs::canonicalize(path(object)).unwrap_or_else(|_| path(object));
        let reals: Vec<PathBuf> = objects.iter().map(real).collect();
        let mut seen: HashSet<&PathBuf> = HashSet::new();
        let mut keep = vec![false; objects.len()];
        for by_link in [false, true] {
            for ((object, real), keep) in objects.iter().zip(&reals).zip(&mut keep) {
                if (path(object) != *real) == by_link {
                    *keep = seen.insert(real);
                }
            }
        }
        let mut keep = keep.into_iter();
        objects.retain(|_| keep.next().unwrap_or(true));
    }

    fn columns(&self, object: &Object, progress: &Arc<Progress>) -> Result<Chunks, SourceError> {
        let (file, size) = self.open(&self.base().join(&object.key))?;
        Ok(Chunks::new(file, size, progress))
    }

    fn bytes(&self, object: &Object, progress: &Arc<Progress>) -> Result<Box<dyn Read + '_>, SourceError> {
        let (file, _) = self.open(&self.base().join(&object.key))?;
        Ok(Box::new(Counted(file, progress.clone())))
    }
}

/// A file that counts what is read of it.
struct Counted(fs::File, Arc<Progress>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(buffer)?;
        self.1.add(n as u64);
        Ok(n)
    }
}

/// The entries of the folder `key` below `base` by name, and whether there are links among them. Left out are hidden ones
/// and links back to a folder on the way. A folder that does not exist, or vanished, has none.
fn entries(base: &Path, key: &str) -> Result<(Vec<Entry>, bool), SourceError> {
    let (mut out, mut links) = (Vec::new(), false);
    let dir = &base.join(key);
    let listing = match fs::read_dir(dir) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok((out, links));
        }
        other => other.map_err(|e| failed("list", dir, &e))?,
    };
    for entry in listing {
        let entry = entry.map_err(|e| failed("list", dir, &e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        let kind = entry.file_type().map_err(|e| failed("look at", &path, &e))?;
        // Only links cost a second look.
        let is_folder = if kind.is_symlink() {
            path.is_dir()
        } else {
            kind.is_dir()
        };
        if name.starts_with('.') || (is_folder && kind.is_symlink() && leads_back(base, key, &path)) {
            continue;
        }
        links |= kind.is_symlink();
        out.push(Entry {
            key: join(key, &name),
            name,
            is_folder,
            size: None,
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((out, links))
}

/// Whether a link in the folder `key` leads to a folder on the way to it, or to one that holds such a folder.
fn leads_back(base: &Path, key: &str, link: &Path) -> bool {
    let Ok(target) = fs::canonicalize(link) else {
        return false;
    };
    let folder = base.join(key);
    let mut way = folder.ancestors().take_while(|folder| folder.starts_with(base));
    way.any(|folder| fs::canonicalize(folder).is_ok_and(|real| real.starts_with(&target)))
}

/// An I/O error on a path.
pub fn failed(what: &str, path: &Path, e: &io::Error) -> SourceError {
    SourceError::new(ErrorKind::Io, format!("cannot {what} \"{}\"", path.display()))
        .detail(e.to_string())
        .hint("The operating-system user that runs PostgreSQL must be able to read the files.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::testing::{config, place};
    use crate::source::objects::Layout;
    use crate::source::{Context, Selection, Source, SourceConfig, fetch};
    use engine::window::Window;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    #[test]
    fn a_folder_that_is_not_there_is_empty() {
        assert!(entries(Path::new("/nonexistent/folder"), "").unwrap().0.is_empty());
    }

    #[test]
    fn links_that_lead_back_end_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in ["in/logs", "a", "b"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (target, link) in [("in", "in/logs/up"), ("in/logs", "in/logs/self"), ("a", "in/logs/a")] {
            symlink(root.join(target), root.join(link)).unwrap();
        }
        symlink(root.join("b"), root.join("a/b")).unwrap();
        symlink(root.join("a"), root.join("b/a")).unwrap();
        fs::write(root.join("b/logs.ndjson"), "").unwrap();
        let place = place(root.join("in"), vec![root], Layout::Plain).unwrap();
        let keys: Vec<String> = place.tree("").unwrap().into_iter().map(|e| e.key).collect();
        assert_eq!(keys, ["logs/a/b/logs.ndjson"]);
    }

    #[test]
    fn a_file_with_several_keys_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for file in ["in/logs/2026/1.ndjson", "in/data/2.ndjson", "out/3.ndjson"] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{\"_timestamp\":5,\"body\":\"x\"}\n").unwrap();
        }
        for (target, link) in [
            ("in/logs/2026/1.ndjson", "in/logs-latest.ndjson"),
            ("in/logs/2026", "in/logs/current"),
            ("in/data/2.ndjson", "in/logs-2.ndjson"),
            ("in/data", "in/logs-data"),
            ("out", "in/logs-out"),
            ("out/3.ndjson", "in/logs.ndjson"),
        ] {
            symlink(root.join(target), root.join(link)).unwrap();
        }
        let source = Source {
            server: "files".to_string(),
            config: SourceConfig::File(config(root.join("in"), vec![root], Layout::Plain)),
            selection: Selection::default(),
        };
        let ctx = Context {
            cancel: Arc::default(),
            concurrency: 2,
            http_timeout: Duration::from_secs(1),
            masker: Default::default(),
        };
        let got = fetch(&[source], Window::new(0, 10).into(), &ctx).unwrap();
        let keys: Vec<&str> = got.windows[0].locators.iter().map(|l| l.object_key.as_str()).collect();
        assert_eq!(keys, ["logs-2.ndjson", "logs-out/3.ndjson", "logs/2026/1.ndjson"]);
        assert_eq!(got.stats.logs, 3);
    }
}
