//! Files without an arrangement: the name of a file, or of the folder it is in, begins with the dataset.

use super::object::{Entry, Format, Object, entries, key};
use super::roots::Place;
use crate::source::error::SourceError;
use crate::source::pattern::Patterns;
use engine::record::Dataset;

/// Deepest nesting that is followed.
const MAX_DEPTH: usize = 16;
/// The name under which logs and traces are selected.
const STREAM: &str = "default";

/// The files of a dataset: the path itself, or the files in it and, where a folder's name begins with the dataset,
/// those in that folder. Files that tell no dataset are left alone.
///
/// # Errors
/// `Config` when the one file, or every file of a folder, tells no dataset; `Io`.
pub fn list(place: &Place, dataset: Dataset, wanted: &Patterns) -> Result<Vec<Object>, SourceError> {
    // Metric points name their metric themselves, and are picked one by one.
    if dataset != Dataset::Metrics && !wanted.matches(STREAM) {
        return Ok(Vec::new());
    }
    let top = place.path();
    let name = top
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let from_folder = |folder: Option<Dataset>, file: &str| told(file).or(folder);
    let (mut out, mut known, mut unknown) = (Vec::new(), 0, None);
    let mut add = |path: std::path::PathBuf, name: &str, folder: Option<Dataset>| {
        let Some(format) = Format::of(name) else { return };
        match from_folder(folder, name) {
            Some(d) => {
                known += 1;
                if d == dataset {
                    out.push(Object {
                        key: key(place, &path),
                        path,
                        dataset,
                        stream: None,
                        format,
                    });
                }
            }
            None => unknown = unknown.take().or(Some(key(place, &path))),
        }
    };
    if top == place.base() {
        // A folder is told by its own name only if nothing else is known: `logs/` as the source's path.
        let mut dirs = vec![(top.to_path_buf(), told(&name), 0)];
        while let Some((dir, folder, depth)) = dirs.pop() {
            for Entry { name, path, is_dir } in entries(&dir)? {
                if !is_dir {
                    add(path, &name, folder);
                } else if depth < MAX_DEPTH
                    && let Some(d) = from_folder(folder, &name)
                {
                    dirs.push((path, Some(d), depth + 1));
                }
            }
        }
    } else {
        let folder = place.base().file_name().and_then(|n| told(&n.to_string_lossy()));
        add(top.to_path_buf(), &name, folder);
    }
    match unknown {
        Some(file) if known == 0 => Err(SourceError::config(
            format!("cannot tell which dataset \"{file}\" holds"),
            "Let the name of the file or of its folder begin with logs, metrics, traces or spans.",
        )),
        _ => {
            out.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(out)
        }
    }
}

/// The dataset a name begins with.
fn told(name: &str) -> Option<Dataset> {
    let name = name.to_ascii_lowercase();
    match () {
        () if name.starts_with("logs") => Some(Dataset::Logs),
        () if name.starts_with("metrics") => Some(Dataset::Metrics),
        () if name.starts_with("traces") || name.starts_with("spans") => Some(Dataset::Traces),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::{FileConfig, Layout};
    use std::fs;
    use std::path::{Path, PathBuf};

    fn keys(root: &Path, path: PathBuf, dataset: Dataset) -> Result<Vec<String>, SourceError> {
        let config = FileConfig {
            path,
            roots: vec![root.to_path_buf()],
            layout: Layout::Plain,
            org: String::new(),
        };
        let place = Place::new(&config)?;
        Ok(list(&place, dataset, &Patterns::all())?
            .into_iter()
            .map(|o| o.key)
            .collect())
    }

    #[test]
    fn names_tell_the_dataset() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for file in [
            "logs.ndjson",
            "Spans-1.parquet",
            "truth.json",
            "logs.txt",
            "files/logs.parquet",
            "metrics/a.jsonl",
            "x/odd.json",
        ] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        assert_eq!(keys(&root, root.clone(), Dataset::Logs).unwrap(), ["logs.ndjson"]);
        assert_eq!(keys(&root, root.clone(), Dataset::Traces).unwrap(), ["Spans-1.parquet"]);
        assert_eq!(
            keys(&root, root.clone(), Dataset::Metrics).unwrap(),
            ["metrics/a.jsonl"]
        );
        assert_eq!(
            keys(&root, root.join("metrics"), Dataset::Metrics).unwrap(),
            ["a.jsonl"]
        );
        assert_eq!(
            keys(&root, root.join("metrics/a.jsonl"), Dataset::Metrics).unwrap(),
            ["a.jsonl"]
        );
        assert!(
            keys(&root, root.join("metrics/a.jsonl"), Dataset::Logs)
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            keys(&root, root.join("logs.ndjson"), Dataset::Logs).unwrap(),
            ["logs.ndjson"]
        );
        for unclear in ["x", "x/odd.json", "truth.json"] {
            let e = keys(&root, root.join(unclear), Dataset::Logs).unwrap_err();
            assert!(
                e.is_permanent() && e.hint.unwrap().contains("begin with logs"),
                "{unclear}"
            );
        }
    }
}
