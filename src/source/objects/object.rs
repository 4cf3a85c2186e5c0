//! An object that holds records, and its format.

use crate::source::error::{ErrorKind, SourceError};
use engine::record::Dataset;
use engine::window::Window;

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
    /// The time that its folders stand for, where they tell.
    pub time: Option<Window>,
}

impl Object {
    /// Whether records that do not say when they were may be of `range`. Objects are read around a range as well.
    pub fn is_of(&self, range: Window) -> bool {
        self.time
            .is_none_or(|time| time.from < range.to && range.from < time.to)
    }
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
    /// By the extension of the name, in capitals too; `None` for what is no object of records.
    pub fn of(name: &str) -> Option<Format> {
        let name = name.to_ascii_lowercase();
        let (stem, extension) = name.rsplit_once('.')?;
        match extension {
            "parquet" => Some(Format::Parquet),
            "gz" => lines(stem).then_some(Format::Ndjson(Packing::Gzip)),
            "zst" => lines(stem).then_some(Format::Ndjson(Packing::Zstd)),
            _ => lines(&name).then_some(Format::Ndjson(Packing::None)),
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

/// Whether a name says, by the custom of those who write lakes, that it holds no records or none yet: `_temporary`,
/// `_delta_log`, `_SUCCESS`. A key and its value are a partition, however the key begins.
pub fn is_aside(name: &str) -> bool {
    name.starts_with('_') && !name.contains('=')
}

/// An object that is not what its name says.
pub fn broken(object: &Object, what: &str) -> SourceError {
    SourceError::new(ErrorKind::BadResponse, format!("\"{}\" cannot be read", object.key))
        .transient(false)
        .detail(what)
        .hint("Check that the object is whole; move it away to go on without it.")
}

/// An object in a format that is known and cannot be read.
pub fn foreign(key: &str, server: &str) -> SourceError {
    SourceError::new(
        ErrorKind::BadResponse,
        format!("server \"{server}\" has an object in a format that cannot be read"),
    )
    .transient(false)
    .detail(format!("\"{key}\" is one."))
    .hint("Leave its stream out of the source's options, or read its time over OpenObserve's API.")
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
        assert_eq!(Format::of("LOGS.PARQUET"), Some(Format::Parquet));
        assert_eq!(Format::of("Logs.Json.GZ"), Some(Format::Ndjson(Packing::Gzip)));
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
