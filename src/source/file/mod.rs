//! Objects in a folder of this machine.

mod columns;
mod folder;
mod roots;

use super::error::SourceError;
use super::objects::{self, Arrangement};
use super::options::Selection;
use super::{Context, Fetched, Locator};
use engine::window::Window;
use roots::Place;
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

/// Fetches `window`; see [`super::fetch`].
pub fn fetch(
    config: &FileConfig,
    selection: &Selection,
    server: &str,
    window: Window,
    ctx: &Context,
) -> Result<Fetched, SourceError> {
    let open = || Place::new(config);
    objects::fetch(open, &config.arrangement, selection, server, window, ctx)
}

/// The rows of the locator's object in its window; see [`super::replay`].
pub fn replay(
    config: &FileConfig,
    locator: &Locator,
    max_records: usize,
    ctx: &Context,
) -> Result<Vec<String>, SourceError> {
    objects::replay(&Place::new(config)?, locator, max_records, ctx)
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
            arrangement: Arrangement {
                layout,
                org: "default".to_string(),
            },
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
    use crate::source::objects::Layout;
    use engine::record::Dataset;
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
        }
    }

    fn config(path: &Path, layout: Layout) -> FileConfig {
        testing::config(path.to_path_buf(), vec![path.to_path_buf()], layout)
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
        let window = Window::new(10, 20);
        let got = fetch(&config, &Selection::default(), "files", window, &context()).unwrap();
        assert_eq!((got.stats.logs, got.stats.spans, got.stats.metrics), (2, 1, 0));
        assert_eq!(got.aggregator.unresolved_parents(), 0, "the parent lies in the margin");
        assert_eq!(
            got.locators.iter().map(|l| l.object_key.as_str()).collect::<Vec<_>>(),
            ["logs.ndjson", "traces.ndjson"]
        );

        let rows = replay(&config, &got.locators[0], 10, &context()).unwrap();
        assert_eq!(rows, [log(10).trim(), log(19).trim()]);
        assert_eq!(replay(&config, &got.locators[0], 1, &context()).unwrap().len(), 1);
        fs::remove_file(dir.path().join("logs.ndjson")).unwrap();
        let gone = replay(&config, &got.locators[0], 10, &context()).unwrap_err();
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
            replay(&config, &locator, 1, &context()).unwrap_err().kind,
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
        let got = fetch(&config, &Selection::default(), "disk", window, &context()).unwrap();
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
        let selection = |options| Selection::parse(&options).unwrap();
        let rows = |s: &Selection| fetch(&config, s, "s3", hour, &context()).unwrap().stats;
        assert_eq!(rows(&selection(json!({"logs": ["default"]}))).logs, 10_000);
        let traces = rows(&selection(json!({"traces": ["default"]})));
        assert_eq!((traces.spans, traces.files), (2_010, 1));
        let buckets = rows(&selection(json!({"metrics": ["http_server_duration_bucket"]})));
        assert_eq!(buckets.files, 1, "{buckets:?}");
    }
}
