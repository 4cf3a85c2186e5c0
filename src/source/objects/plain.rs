//! Files without an arrangement: the name of a file, or of the folder it is in, begins with the dataset.

use super::listing::Found;
use super::object::{Entry, Format, Object, is_aside};
use super::store::{MAX_DEPTH, Store};
use crate::source::error::SourceError;
use crate::source::pattern::Patterns;
use engine::record::Dataset;

/// The name under which logs and traces are selected.
const STREAM: &str = "default";

/// The objects of a dataset: those in the source's folder and, where a folder's name begins with the dataset, those in
/// that folder. Objects that tell no dataset are left alone.
///
/// # Errors
/// `Config` when every object tells no dataset; what listing can end in.
pub fn list<S: Store>(store: &S, dataset: Dataset, wanted: &Patterns) -> Result<Found, SourceError> {
    // Metric points name their metric themselves, and are picked one by one.
    if dataset != Dataset::Metrics && !wanted.matches(STREAM) {
        return Ok(Found::default());
    }
    let (mut out, mut known, mut unknown) = (Found::default(), 0, None);
    // The folder's own name tells only if nothing else does: `logs/` as the source's path.
    let mut folders = vec![(store.root().to_string(), told(&store.folder_name()), 0)];
    while let Some((folder, dataset_of_folder, depth)) = folders.pop() {
        for Entry {
            name,
            key,
            is_folder,
            size,
        } in store.entries(&folder)?
        {
            if is_aside(&name) {
                continue;
            }
            let tells = told(&name).or(dataset_of_folder);
            if is_folder {
                if depth < MAX_DEPTH && tells.is_some() {
                    folders.push((key, tells, depth + 1));
                }
                continue;
            }
            let Some(format) = Format::of(&name) else {
                out.skipped += u64::from(tells == Some(dataset));
                continue;
            };
            match tells {
                None => unknown = unknown.take().or(Some(key)),
                Some(d) => {
                    known += 1;
                    if d == dataset {
                        out.objects.push(Object {
                            key,
                            dataset,
                            stream: None,
                            format,
                            size,
                            time: None,
                        });
                    }
                }
            }
        }
    }
    match unknown {
        Some(file) if known == 0 => Err(SourceError::config(
            format!("cannot tell which dataset \"{file}\" holds"),
            "Let the name of the file or of its folder begin with logs, metrics, traces or spans.",
        )),
        _ => {
            out.objects.sort_by(|a, b| a.key.cmp(&b.key));
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
    use crate::source::file::testing::place;
    use crate::source::objects::Layout;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn keys(root: &Path, path: PathBuf, dataset: Dataset) -> Result<Vec<String>, SourceError> {
        let place = place(path, vec![root.to_path_buf()], Layout::Plain)?;
        Ok(list(&place, dataset, &Patterns::all())?
            .objects
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
            "metrics/_temporary/b.jsonl",
            "metrics/_c.jsonl",
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
