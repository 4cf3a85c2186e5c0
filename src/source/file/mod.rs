//! Objects in a folder of this machine.

mod columns;
mod folder;
mod roots;

use super::error::SourceError;
use super::fetch::{self, Request};
use super::objects::{self, Arrangement};
use super::{Context, Locator, Sample};
pub use roots::Place;
use std::path::PathBuf;

/// Options of a server of kind `file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// A folder, or one file in the plain layout.
    pub path: PathBuf,
    /// `observe_bridge.file_roots`: files are read below these only; none allows nothing.
    pub roots: Vec<PathBuf>,
    pub arrangement: Arrangement,
}

/// The file or folder of a source of documents, whatever its layout.
///
/// # Errors
/// Those of [`Place::new`].
pub fn place(config: &FileConfig) -> Result<Place, SourceError> {
    let mut config = config.clone();
    config.arrangement.layout = objects::Layout::Plain;
    Place::new(&config)
}

/// Reads files; see [`fetch::Reader`].
///
/// # Errors
/// Those of [`Place::new`] and of [`objects::Reader::new`].
pub fn reader<'a>(config: &'a FileConfig, request: Request<'a>) -> Result<impl fetch::Reader + use<'a>, SourceError> {
    objects::Reader::new(|| Place::new(config), &config.arrangement, request)
}

/// The rows of the locator's object in its window; see [`super::replay`].
pub fn replay(
    config: &FileConfig,
    locator: &Locator,
    sample: &Sample,
    ctx: &Context,
) -> Result<Vec<String>, SourceError> {
    objects::replay(&Place::new(config)?, locator, sample, ctx)
}

/// For tests of what reads objects: the simplest place there is.
#[cfg(test)]
pub mod testing {
    use super::*;
    use crate::source::objects::Layout;

    pub fn config(path: PathBuf, roots: Vec<PathBuf>, layout: Layout) -> FileConfig {
        FileConfig {
            path,
            roots,
            arrangement: Arrangement::plain(layout, "default"),
        }
    }

    pub fn place(path: PathBuf, roots: Vec<PathBuf>, layout: Layout) -> Result<Place, SourceError> {
        Place::new(&config(path, roots, layout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::error::ErrorKind;
    use crate::source::fetch::{Fetched, FetchedWindow};
    use crate::source::objects::Layout;
    use crate::source::{Selection, Source, SourceConfig};
    use engine::record::Dataset;
    use engine::window::{MINUTE_US, Window, Windows};
    use serde_json::json;
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    fn context() -> Context {
        Context {
            cancel: Arc::default(),
            concurrency: 3,
            http_timeout: Duration::from_secs(1),
            masker: Default::default(),
        }
    }

    fn config(path: &Path, layout: Layout) -> FileConfig {
        testing::config(path.to_path_buf(), vec![path.to_path_buf()], layout)
    }

    fn fetched(config: &FileConfig, window: Window) -> Fetched {
        selected(config, Selection::default(), window)
    }

    fn selected(config: &FileConfig, selection: Selection, window: Window) -> Fetched {
        let source = Source {
            server: "files".to_string(),
            config: SourceConfig::File(config.clone()),
            selection,
        };
        crate::source::fetch(&[source], window.into(), &context()).unwrap()
    }

    #[test]
    fn a_window_of_plain_files_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let log = |ts: i64| format!("{{\"_timestamp\":{ts},\"body\":\"line {ts}\",\"service_name\":\"a\"}}\n");
        fs::write(
            dir.path().join("logs.ndjson"),
            log(5) + &log(10) + "no json\n" + &log(19) + &log(20),
        )
        .unwrap();
        let span = |ts: i64, id: &str, parent: &str, service: &str| {
            format!(
                "{{\"_timestamp\":{ts},\"trace_id\":\"t\",\"span_id\":\"{id}\",\"service_name\":\"{service}\",\
                 \"reference_parent_span_id\":\"{parent}\",\"duration\":7}}\n"
            )
        };
        fs::write(
            dir.path().join("traces.ndjson"),
            span(3, "p", "", "front") + &span(12, "c", "p", "back"),
        )
        .unwrap();
        let config = config(dir.path(), Layout::Plain);
        let got = fetched(&config, Window::new(10, 20));
        assert_eq!((got.stats.logs, got.stats.spans, got.stats.metrics), (2, 1, 0));
        let [FetchedWindow { output, locators, .. }] = got.windows.as_slice() else {
            panic!("one window")
        };
        assert_eq!(output.stats.orphan_spans, 0, "the parent lies in the margin");
        assert_eq!(
            locators.iter().map(|l| l.object_key.as_str()).collect::<Vec<_>>(),
            ["logs.ndjson", "traces.ndjson"]
        );

        let rows = replay(&config, &locators[0], &Sample::first(10), &context()).unwrap();
        assert_eq!(rows, [log(10).trim(), log(19).trim()]);
        assert_eq!(
            replay(&config, &locators[0], &Sample::first(1), &context())
                .unwrap()
                .len(),
            1
        );
        fs::remove_file(dir.path().join("logs.ndjson")).unwrap();
        let gone = replay(&config, &locators[0], &Sample::first(10), &context()).unwrap_err();
        assert_eq!((gone.kind, gone.is_permanent()), (ErrorKind::Gone, true));
    }

    #[test]
    fn a_locator_cannot_lead_outside() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        fs::write(dir.path().join("secret.json"), "{\"_timestamp\":1}").unwrap();
        let config = config(&dir.path().join("in"), Layout::Plain);
        let locator = Locator {
            dataset: Dataset::Logs,
            bucket: "files".to_string(),
            object_key: "../secret.json".to_string(),
            t_from: 0,
            t_to: 9,
            query_hint: None,
            attributes: json!({}),
        };
        assert_eq!(
            replay(&config, &locator, &Sample::first(1), &context())
                .unwrap_err()
                .kind,
            ErrorKind::Config
        );
    }

    /// Needs the recordings of a real server below `$OBSERVE_BRIDGE_SHARED/openobserve`; passes without.
    #[test]
    fn objects_of_a_real_server() {
        let Ok(shared) = std::env::var("OBSERVE_BRIDGE_SHARED") else {
            return;
        };
        let config = config(
            &Path::new(&shared).join("openobserve/objects/disk"),
            Layout::OpenObserve,
        );
        let window = Window::new(1_795_216_260_000_000, 1_795_216_440_000_000);
        let got = fetched(&config, window);
        assert_eq!((got.stats.logs, got.stats.spans), (15_600, 3_017));
    }

    /// The hour in which sources and products lie side by side. Needs the recordings, as above.
    #[test]
    fn merged_objects_of_a_real_server_count_once() {
        let Ok(shared) = std::env::var("OBSERVE_BRIDGE_SHARED") else {
            return;
        };
        let config = config(
            &Path::new(&shared).join("openobserve/objects/s3/oo/prod"),
            Layout::OpenObserve,
        );
        let hour = Window::new(1_795_212_000_000_000, 1_795_215_600_000_000);
        let rows = |options| selected(&config, Selection::parse(&options).unwrap(), hour).stats;
        assert_eq!(rows(json!({"logs": ["default"]})).logs, 10_000);
        let traces = rows(json!({"traces": ["default"]}));
        assert_eq!((traces.spans, traces.files), (2_010, 1));
        let buckets = rows(json!({"metrics": ["http_server_duration_bucket"]}));
        assert_eq!(buckets.files, 1, "{buckets:?}");
    }

    /// What a format that cannot be read costs is said in every window that it may hold records of.
    #[test]
    fn vortex_objects_are_rejects() {
        let dir = tempfile::tempdir().unwrap();
        let hour = dir.path().join("files/default/logs/app/2026/11/20/22");
        fs::create_dir_all(&hour).unwrap();
        fs::write(hour.join("1.vortex"), "").unwrap();
        fs::write(hour.join("7529685024161923072c0de.parquet"), testing_rows()).unwrap();
        let source = Source {
            server: "files".to_string(),
            config: SourceConfig::File(config(dir.path(), Layout::OpenObserve)),
            selection: Selection::default(),
        };
        let windows = Windows::new(Window::new(H22 - MINUTE_US, H22 + 2 * MINUTE_US), MINUTE_US);
        let got = crate::source::fetch(&[source], windows, &context()).unwrap();
        assert_eq!((got.stats.unreadable, got.stats.logs), (1, 1));
        let rejects: Vec<i64> = got
            .windows
            .iter()
            .map(|w| w.output.rejects.iter().map(|r| r.count).sum())
            .collect();
        assert_eq!(rejects, [0, 1, 1]);
        let reject = &got.windows[1].output.rejects[0];
        assert!(reject.samples[0].ends_with("22/1.vortex"), "{reject:?}");
    }

    /// 2026-11-20 22:00 UTC.
    const H22: i64 = 1_795_212_000_000_000;

    fn testing_rows() -> Vec<u8> {
        objects::testing::parquet(&[(H22, "line".to_string())], 1)
    }
}
