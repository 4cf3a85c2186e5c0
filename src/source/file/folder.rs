//! A folder as a store of objects: keys are paths below it.

use super::columns::Chunks;
use super::roots::Place;
use crate::source::error::{ErrorKind, SourceError};
use crate::source::objects::object::{Entry, Object};
use crate::source::objects::store::{Progress, Store, join};
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

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
        let mut found = entries(&self.base().join(folder), folder)?;
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

/// The entries of a folder by name, hidden ones left out. A folder that does not exist, or vanished, has none.
fn entries(dir: &Path, key: &str) -> Result<Vec<Entry>, SourceError> {
    let mut out = Vec::new();
    let listing = match fs::read_dir(dir) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(out),
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
        if !name.starts_with('.') {
            out.push(Entry {
                key: join(key, &name),
                name,
                is_folder,
                size: None,
            });
        }
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
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

    #[test]
    fn a_folder_that_is_not_there_is_empty() {
        assert!(entries(Path::new("/nonexistent/folder"), "").unwrap().is_empty());
    }
}
