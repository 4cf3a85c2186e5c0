//! A file that holds records, and walking folders.

use super::roots::Place;
use crate::source::error::{ErrorKind, SourceError};
use engine::record::Dataset;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One file with records of one dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub path: PathBuf,
    /// The path below the source's path, with slashes: `oo_locator.object_key`.
    pub key: String,
    pub dataset: Dataset,
    /// The stream all its records belong to. Without, metric points name their metric themselves.
    pub stream: Option<String>,
    pub format: Format,
}

/// How records are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Parquet,
    /// One JSON object a line.
    Ndjson,
}

impl Format {
    /// By the file's extension; `None` for what is no file of records.
    pub fn of(name: &str) -> Option<Format> {
        match name.rsplit_once('.')?.1 {
            "parquet" => Some(Format::Parquet),
            "ndjson" | "jsonl" | "json" => Some(Format::Ndjson),
            _ => None,
        }
    }
}

/// One entry of a folder.
pub struct Entry {
    pub name: String,
    pub path: PathBuf,
    pub is_dir: bool,
}

/// The entries of a folder by name, hidden ones left out. A folder that does not exist, or vanished, has none.
///
/// # Errors
/// `Io` for a folder that cannot be read.
pub fn entries(dir: &Path) -> Result<Vec<Entry>, SourceError> {
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
        let is_dir = if kind.is_symlink() {
            path.is_dir()
        } else {
            kind.is_dir()
        };
        if !name.starts_with('.') {
            out.push(Entry { name, path, is_dir });
        }
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

/// Whether `path` is a folder, as far as one can see.
pub fn is_dir(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_dir())
}

/// The path of a file below the source's path, with slashes.
pub fn key(place: &Place, path: &Path) -> String {
    let below = path.strip_prefix(place.base()).unwrap_or(path);
    below
        .components()
        .map(|c| c.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

/// An I/O error on a path.
pub fn failed(what: &str, path: &Path, e: &io::Error) -> SourceError {
    SourceError::new(ErrorKind::Io, format!("cannot {what} \"{}\"", path.display()))
        .detail(e.to_string())
        .hint("The operating-system user that runs PostgreSQL must be able to read the files.")
}

/// A file that is not what its name says.
pub fn broken(object: &Object, what: &str) -> SourceError {
    SourceError::new(ErrorKind::BadResponse, format!("\"{}\" cannot be read", object.key))
        .transient(false)
        .detail(what)
        .hint("Check that the file is whole; move it away to go on without it.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_extension() {
        assert_eq!(Format::of("a/b.parquet"), Some(Format::Parquet));
        assert_eq!(Format::of("logs.json"), Some(Format::Ndjson));
        for no in ["b.ttv", "parquet", "x.parquet.tmp", "logs.json.gz", ""] {
            assert_eq!(Format::of(no), None, "{no}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_empty() {
        assert!(entries(Path::new("/nonexistent/folder")).unwrap().is_empty());
    }
}
