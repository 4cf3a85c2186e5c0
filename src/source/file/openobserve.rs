//! OpenObserve's own arrangement of objects: `files/{org}/{type}/{stream}/{Y}/{M}/{D}/{H}/[{k}={v}/..]{id}.parquet`,
//! where the hour is that of the rows, UTC (`infra::config::get_file_path`; recordings confirm it). In local mode the
//! same keys lie below `stream/` of the data directory.

use super::object::{Entry, Format, Object, entries, is_dir, key};
use super::roots::Place;
use crate::source::error::SourceError;
use crate::source::pattern::Patterns;
use chrono::DateTime;
use engine::record::Dataset;
use engine::window::Window;
use std::path::{Path, PathBuf};

const HOUR_US: i64 = 3_600_000_000;
/// Deepest nesting of partition folders that is followed.
const MAX_DEPTH: usize = 16;

/// The objects of the wanted streams in every hour that `range` touches.
///
/// # Errors
/// `Config` when the path is none of the folders this layout has, or an object is of a kind that cannot be read.
pub fn list(
    place: &Place,
    org: &str,
    dataset: Dataset,
    wanted: &Patterns,
    range: Window,
) -> Result<Vec<Object>, SourceError> {
    let mut out = Vec::new();
    for stream in entries(&org_dir(place, org)?.join(dataset.as_str()))? {
        if !stream.is_dir || !wanted.matches(&stream.name) {
            continue;
        }
        for hour in range.buckets(HOUR_US) {
            if let Some(at) = DateTime::from_timestamp_micros(hour) {
                let dir = stream.path.join(at.format("%Y/%m/%d/%H").to_string());
                out.extend(hour_objects(place, &dir, dataset, &stream.name)?);
            }
        }
    }
    Ok(out)
}

/// The objects of one stream and hour. This is the unit in which OpenObserve merges objects: for some hours after a
/// merge the folder holds the sources and the product, and every row twice. Which of them count can be told from this
/// list alone (ids carry creation times), so that choice belongs here.
fn hour_objects(place: &Place, dir: &Path, dataset: Dataset, stream: &str) -> Result<Vec<Object>, SourceError> {
    let mut out = Vec::new();
    let mut dirs = vec![(dir.to_path_buf(), 0)];
    while let Some((dir, depth)) = dirs.pop() {
        for Entry { name, path, is_dir } in entries(&dir)? {
            if is_dir && depth < MAX_DEPTH {
                dirs.push((path, depth + 1));
            } else if name.ends_with(".parquet") {
                let stream = Some(stream.to_string());
                out.push(Object {
                    key: key(place, &path),
                    path,
                    dataset,
                    stream,
                    format: Format::Parquet,
                });
            } else if name.ends_with(".vortex") {
                return Err(SourceError::config(
                    format!("\"{}\" is a Vortex file, which cannot be read", key(place, &path)),
                    "Set ZO_FILE_FORMAT=parquet in OpenObserve, or read over its API with a server of kind openobserve.",
                ));
            }
        }
    }
    Ok(out)
}

/// `{org}` below the path, which may be the data directory, its `stream`, or `files`.
fn org_dir(place: &Place, org: &str) -> Result<PathBuf, SourceError> {
    if org.is_empty() || org.contains('/') || org.starts_with('.') {
        return Err(SourceError::config(
            format!("\"{org}\" is no organization"),
            "Set the option org of the server.",
        ));
    }
    let candidates = [
        place.path().join("stream/files"),
        place.path().join("files"),
        place.path().to_path_buf(),
    ];
    let inside = |files: &PathBuf| is_dir(&files.join(org));
    if let Some(files) = candidates.iter().find(|f| inside(f)) {
        return Ok(files.join(org));
    }
    // A folder for objects that has none of this organization yet is empty, not wrong.
    let [in_data, in_stream, itself] = candidates;
    if is_dir(&in_data) || is_dir(&in_stream) || itself.ends_with("files") {
        return Ok(itself.join(org));
    }
    Err(SourceError::config(
        format!("\"{}\" does not hold objects of OpenObserve", place.path().display()),
        "Point path at OpenObserve's data directory, its folder stream, or the folder files.",
    )
    .detail(format!(
        "There is no stream/files, no files, and no folder \"{org}\" in it."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::{FileConfig, Layout};
    use std::fs;

    /// 2026-11-20 22:00 UTC.
    const H22: i64 = 1_795_212_000_000_000;

    fn touch(dir: &Path, path: &str) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    fn place(path: PathBuf) -> Place {
        let roots = vec![path.clone()];
        Place::new(&FileConfig {
            path,
            roots,
            layout: Layout::OpenObserve,
            org: "default".to_string(),
        })
        .unwrap()
    }

    fn keys(path: PathBuf, dataset: Dataset, from: i64, to: i64) -> Vec<String> {
        let found = list(
            &place(path),
            "default",
            dataset,
            &Patterns::new(["!x*"]),
            Window::new(from, to),
        )
        .unwrap();
        found.into_iter().map(|o| o.key).collect()
    }

    #[test]
    fn finds_the_hours_of_the_window_from_any_of_the_three_folders() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "o2_test/check.txt",
            "stream/files/default/index/default_logs/2026/11/20/22/1.ttv",
            "stream/files/default/metadata/t/2026/11/20/22/1.parquet",
            "stream/files/default/logs/default/2026/11/20/21/0.parquet",
            "stream/files/default/logs/default/2026/11/20/22/1.parquet",
            "stream/files/default/logs/default/2026/11/20/22/1.ttv",
            "stream/files/default/logs/default/2026/11/20/22/host=a/2.parquet",
            "stream/files/default/logs/default/2026/11/20/23/3.parquet",
            "stream/files/default/logs/xtra/2026/11/20/22/4.parquet",
            "stream/files/other/logs/default/2026/11/20/22/5.parquet",
        ] {
            touch(dir.path(), file);
        }
        let hour = "logs/default/2026/11/20/22";
        for (at, prefix) in [
            ("", "stream/files/default"),
            ("stream", "files/default"),
            ("stream/files", "default"),
        ] {
            let want = [
                format!("{prefix}/{hour}/1.parquet"),
                format!("{prefix}/{hour}/host=a/2.parquet"),
            ];
            assert_eq!(
                keys(dir.path().join(at), Dataset::Logs, H22, H22 + HOUR_US),
                want,
                "{at}"
            );
        }
        assert_eq!(
            keys(dir.path().to_path_buf(), Dataset::Logs, H22 - 1, H22 + HOUR_US + 1).len(),
            4
        );
        assert!(keys(dir.path().to_path_buf(), Dataset::Traces, H22, H22 + 1).is_empty());
    }

    #[test]
    fn says_what_it_cannot_read() {
        let dir = tempfile::tempdir().unwrap();
        let wrong = list(
            &place(dir.path().to_path_buf()),
            "default",
            Dataset::Logs,
            &Patterns::all(),
            Window::new(0, 1),
        );
        assert!(wrong.unwrap_err().hint.unwrap().contains("data directory"));
        touch(dir.path(), "files/default/logs/default/2026/11/20/22/1.vortex");
        let place = place(dir.path().to_path_buf());
        let vortex = list(
            &place,
            "default",
            Dataset::Logs,
            &Patterns::all(),
            Window::new(H22, H22 + 1),
        )
        .unwrap_err();
        assert!(vortex.message.contains("2026/11/20/22/1.vortex"), "{vortex:?}");
        let climb = list(
            &place,
            "../..",
            Dataset::Logs,
            &Patterns::all(),
            Window::new(H22, H22 + 1),
        );
        assert!(climb.unwrap_err().is_permanent());
        assert!(
            list(
                &place,
                "new",
                Dataset::Logs,
                &Patterns::all(),
                Window::new(H22, H22 + 1)
            )
            .unwrap()
            .is_empty()
        );
    }
}
