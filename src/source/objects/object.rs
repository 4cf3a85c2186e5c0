//! An object that holds records, and its format.

use crate::source::error::{ErrorKind, SourceError};
use engine::record::Dataset;

/// One object with records of one dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// `oo_locator.object_key`: the path below the source's path, or the whole key in a bucket.
    pub key: String,
    pub dataset: Dataset,
    /// The stream all its records belong to. Without, metric points name their metric themselves.
    pub stream: Option<String>,
    pub format: Format,
    /// Bytes, where the listing told.
    pub size: Option<u64>,
}

/// How records are written in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Parquet,
    /// One JSON object a line.
    Ndjson(Packing),
}

/// How the lines are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Format {
    /// By the extension of the name; `None` for what is no object of records.
    pub fn of(name: &str) -> Option<Format> {
        let (stem, extension) = name.rsplit_once('.')?;
        match extension {
            "parquet" => Some(Format::Parquet),
            "gz" => lines(stem).then_some(Format::Ndjson(Packing::Gzip)),
            "zst" => lines(stem).then_some(Format::Ndjson(Packing::Zstd)),
            _ => lines(name).then_some(Format::Ndjson(Packing::None)),
        }
    }
}

fn lines(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, extension)| matches!(extension, "ndjson" | "jsonl" | "json"))
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// A folder's key has no slash at its end.
    pub key: String,
    pub is_folder: bool,
    /// Bytes of an object, where the listing tells.
    pub size: Option<u64>,
}

/// An object that is not what its name says.
pub fn broken(object: &Object, what: &str) -> SourceError {
    SourceError::new(ErrorKind::BadResponse, format!("\"{}\" cannot be read", object.key))
        .transient(false)
        .detail(what)
        .hint("Check that the object is whole; move it away to go on without it.")
}

/// An object that was listed and is not there any more.
pub fn vanished(key: &str) -> SourceError {
    SourceError::new(ErrorKind::Gone, format!("\"{key}\" vanished"))
        .transient(true)
        .hint("A compactor may have merged it: the window is listed again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_extension() {
        assert_eq!(Format::of("a/b.parquet"), Some(Format::Parquet));
        assert_eq!(Format::of("logs.json"), Some(Format::Ndjson(Packing::None)));
        assert_eq!(Format::of("logs.ndjson.gz"), Some(Format::Ndjson(Packing::Gzip)));
        assert_eq!(Format::of("logs.1.jsonl.zst"), Some(Format::Ndjson(Packing::Zstd)));
        for no in [
            "b.ttv",
            "parquet",
            "x.parquet.tmp",
            "x.parquet.gz",
            "logs.gz",
            "x.json/logs",
            "",
        ] {
            assert_eq!(Format::of(no), None, "{no}");
        }
    }
}
