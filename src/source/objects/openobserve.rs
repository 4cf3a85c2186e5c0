//! OpenObserve's own arrangement of objects: `files/{org}/{type}/{stream}/{Y}/{M}/{D}/{H}/[{k}={v}/..]{id}.parquet`,
//! where the hour is that of the rows, UTC (`infra::config::get_file_path`; recordings confirm it). In local mode the
//! same keys lie below `stream/` of the data directory; in a bucket a prefix is glued on as it is.

use super::object::{Format, Object};
use super::store::{Store, join};
use crate::source::error::SourceError;
use crate::source::pattern::Patterns;
use chrono::DateTime;
use engine::record::Dataset;
use engine::window::Window;

const HOUR_US: i64 = 3_600_000_000;

/// The objects of one stream and hour. This is the unit in which OpenObserve merges objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hour {
    /// In the order of their keys.
    pub objects: Vec<Object>,
    /// Keys of objects in a format that cannot be read.
    pub unreadable: Vec<String>,
}

impl Hour {
    /// Takes an object of the stream by its name; what holds no records is left out.
    pub fn add(&mut self, dataset: Dataset, stream: &str, key: String, size: Option<u64>) {
        if key.ends_with(".parquet") {
            self.objects.push(Object {
                key,
                dataset,
                stream: Some(stream.to_string()),
                format: Format::Parquet,
                size,
                time: None,
            });
        } else if key.ends_with(".vortex") {
            self.unreadable.push(key);
        }
    }
}

/// The folders of the wanted streams in every hour that `range` touches: stream, hour and folder.
///
/// # Errors
/// What listing can end in.
pub fn folders<S: Store>(
    store: &S,
    org: &str,
    dataset: Dataset,
    wanted: &Patterns,
    range: Window,
) -> Result<Vec<(String, Window, String)>, SourceError> {
    let mut out = Vec::new();
    for stream in store.entries(&join(org, dataset.as_str()))? {
        if !stream.is_folder || !wanted.matches(&stream.name) {
            continue;
        }
        for hour in range.buckets(HOUR_US) {
            if let Some(at) = DateTime::from_timestamp_micros(hour) {
                let folder = join(&stream.key, &at.format("%Y/%m/%d/%H").to_string());
                out.push((stream.name.clone(), Window::new(hour, hour + HOUR_US), folder));
            }
        }
    }
    Ok(out)
}

/// All objects in a folder that [`folders`] gave.
///
/// # Errors
/// What listing can end in.
pub fn hour<S: Store>(store: &S, dataset: Dataset, stream: &str, folder: &str) -> Result<Hour, SourceError> {
    let mut hour = Hour::default();
    for entry in store.tree(folder)? {
        hour.add(dataset, stream, entry.key, entry.size);
    }
    hour.objects.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(hour)
}

/// The folder of an organization where nothing is looked for: what there is, somebody else tells.
///
/// # Errors
/// As [`org_folder`], which it is where the place does not know its folder `files`.
pub fn told_org_folder<S: Store>(store: &S, org: &str) -> Result<String, SourceError> {
    match store.files() {
        Some(files) => check_org(org).map(|()| join(&files, org)),
        None => org_folder(store, org),
    }
}

fn check_org(org: &str) -> Result<(), SourceError> {
    if org.is_empty() || org.contains('/') || org.starts_with('.') {
        return Err(SourceError::config(
            format!("\"{org}\" is no organization"),
            "Set the option org of the server.",
        ));
    }
    Ok(())
}

/// The folder of an organization: `{org}` below the root, which may be the data directory, its `stream`, `files`, or
/// what they have in a bucket.
///
/// # Errors
/// `Config` when there is none of these, or `org` cannot be a name; what listing can end in.
pub fn org_folder<S: Store>(store: &S, org: &str) -> Result<String, SourceError> {
    check_org(org)?;
    let root = store.root();
    let glued = format!("{root}files");
    let mut candidates = vec![join(root, "stream/files"), join(root, "files")];
    if !candidates.contains(&glued) {
        candidates.push(glued);
    }
    for files in candidates.iter().map(String::as_str).chain([root]) {
        let folder = join(files, org);
        if store.is_folder(&folder)? {
            return Ok(folder);
        }
    }
    // A folder for objects that has none of this organization yet is empty, not wrong. OpenObserve writes a test
    // object when it starts.
    candidates.push(join(root, "o2_test"));
    for folder in &candidates {
        if store.is_folder(folder)? {
            return Ok(join(folder, org));
        }
    }
    if store.folder_name() == "files" {
        return Ok(join(root, org));
    }
    Err(SourceError::config(
        format!("{} does not hold objects of OpenObserve", store.title()),
        "Point the source at OpenObserve's data directory, its folder stream, or the folder files; in a bucket, give \
         ZO_S3_BUCKET_PREFIX as prefix.",
    )
    .detail(format!(
        "There is no stream/files, no files, and no folder \"{org}\" in it."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::testing;
    use crate::source::objects::Layout;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// 2026-11-20 22:00 UTC.
    const H22: i64 = 1_795_212_000_000_000;

    fn touch(dir: &Path, path: &str) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    fn place(path: PathBuf) -> impl Store {
        let roots = vec![path.clone()];
        testing::place(path, roots, Layout::OpenObserve).unwrap()
    }

    fn keys(path: PathBuf, dataset: Dataset, from: i64, to: i64) -> Vec<String> {
        let place = place(path);
        let org = org_folder(&place, "default").unwrap();
        let wanted = Patterns::new(["!x*"]);
        let folders = folders(&place, &org, dataset, &wanted, Window::new(from, to)).unwrap();
        let objects = folders
            .into_iter()
            .flat_map(|(stream, _, folder)| hour(&place, dataset, &stream, &folder).unwrap().objects);
        objects.map(|o| o.key).collect()
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
        let wrong = org_folder(&place(dir.path().to_path_buf()), "default").unwrap_err();
        assert!(wrong.is_permanent() && wrong.hint.unwrap().contains("data directory"));
        touch(dir.path(), "files/default/logs/default/2026/11/20/22/1.vortex");
        let place = place(dir.path().to_path_buf());
        let found = hour(
            &place,
            Dataset::Logs,
            "default",
            "files/default/logs/default/2026/11/20/22",
        )
        .unwrap();
        assert_eq!(found.unreadable, ["files/default/logs/default/2026/11/20/22/1.vortex"]);
        assert!(found.objects.is_empty());
        assert!(org_folder(&place, "../..").unwrap_err().is_permanent());
        let new = org_folder(&place, "new").unwrap();
        let none = folders(&place, &new, Dataset::Logs, &Patterns::all(), Window::new(H22, H22 + 1));
        assert!(none.unwrap().is_empty());
    }
}
