use super::*;
use crate::source::error::ErrorKind;
use crate::source::fetch::{Fetched, FetchedWindow};
use crate::source::objects::Layout;
use crate::source::rows::{self, Raw};
use crate::source::{Selection, Source, SourceConfig, count};
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

    let rows = replay(&config, &locators[..1], &Sample::first(10), &context())
        .unwrap()
        .rows;
    assert_eq!(rows, [log(10).trim(), log(19).trim()]);
    assert_eq!(
        replay(&config, &locators[..1], &Sample::first(1), &context())
            .unwrap()
            .rows
            .len(),
        1
    );
    fs::remove_file(dir.path().join("logs.ndjson")).unwrap();
    let gone = replay(&config, &locators[..1], &Sample::first(10), &context()).unwrap_err();
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
        replay(&config, &[locator], &Sample::first(1), &context())
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

#[test]
fn vortex_objects_in_which_parents_may_be_are_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    for hour in [21, 22] {
        let hour = dir.path().join(format!("files/default/traces/app/2026/11/20/{hour}"));
        fs::create_dir_all(&hour).unwrap();
        fs::write(hour.join("1.vortex"), "").unwrap();
    }
    // A span whose parent is nowhere.
    let span = format!(
        "{{\"_timestamp\":{H22},\"trace_id\":\"t\",\"span_id\":\"c\",\"service_name\":\"back\",\
         \"reference_parent_span_id\":\"p\",\"duration\":7}}\n"
    );
    fs::create_dir(dir.path().join("plain")).unwrap();
    fs::write(dir.path().join("plain/traces.ndjson"), span).unwrap();
    let source = |config| Source {
        server: "files".to_string(),
        config: SourceConfig::File(config),
        selection: Selection::default(),
    };
    let sources = [
        source(config(dir.path(), Layout::OpenObserve)),
        source(config(&dir.path().join("plain"), Layout::Plain)),
    ];
    let got = crate::source::fetch(&sources, Window::new(H22, H22 + MINUTE_US).into(), &context()).unwrap();
    assert_eq!(got.stats.unreadable, 2, "{:?}", got.stats);
}

/// Whoever counts, or wants to see all records, must not take those that can be read for all there are.
#[test]
fn vortex_objects_are_not_passed_over_when_others_are_counted_or_shown() {
    let dir = tempfile::tempdir().unwrap();
    let hour = dir.path().join("files/default/logs/app/2026/11/20/22");
    fs::create_dir_all(&hour).unwrap();
    fs::write(hour.join("7529685024161923072c0de.parquet"), testing_rows()).unwrap();
    let source = Source {
        server: "files".to_string(),
        config: SourceConfig::File(config(dir.path(), Layout::OpenObserve)),
        selection: Selection::default(),
    };
    let window = Window::new(H22, H22 + MINUTE_US);
    let count = || count::count(&source, window.into(), &context());
    let rows = || {
        let mut seen = 0;
        let each = &mut |_: &Raw<'_>| {
            seen += 1;
            Ok(())
        };
        rows::rows(&source, window, &context(), each).map(|()| seen)
    };
    let records: u64 = count().unwrap().of(window).into_values().sum();
    assert_eq!((records, rows().unwrap()), (1, 1));
    fs::write(hour.join("1.vortex"), "").unwrap();
    for e in [count().unwrap_err(), rows().unwrap_err()] {
        assert!(
            e.detail.clone().unwrap().contains("22/1.vortex") && e.hint.is_some(),
            "{e:?}"
        );
        assert!(!e.is_transient());
    }
}

#[test]
fn files_of_no_known_format_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let line = "{\"_timestamp\":5,\"body\":\"x\"}\n";
    for name in [
        "logs.ndjson",
        "LOGS.JSONL",
        "logs.log.gz",
        "logs-1",
        "truth.txt",
        ".logs",
        "_logs",
    ] {
        fs::write(dir.path().join(name), line).unwrap();
    }
    let got = fetched(&config(dir.path(), Layout::Plain), Window::new(0, 10));
    assert_eq!((got.stats.logs, got.stats.files, got.stats.skipped), (2, 2, 2));
    let day = dir.path().join("logs/dt=2026-11-20");
    fs::create_dir_all(&day).unwrap();
    for name in ["a.ndjson", "b.log.gz", "_SUCCESS"] {
        fs::write(day.join(name), line).unwrap();
    }
    let got = fetched(&config(dir.path(), Layout::Hive), Window::new(H22, H22 + MINUTE_US));
    assert_eq!((got.stats.files, got.stats.skipped), (1, 1));
}

/// OpenObserve's own folder lacks what its server still holds, as a bucket does.
#[test]
fn a_folder_settles_like_a_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let hour = dir.path().join("files/default/logs/app/2026/11/20/22");
    fs::create_dir_all(&hour).unwrap();
    fs::write(hour.join("7529685024161923072c0de.parquet"), testing_rows()).unwrap();
    let nobody = |_: &str| Err(crate::source::SourceError::cancelled());
    let window = Window::new(H22, H22 + MINUTE_US);
    let at = |layout, options, after| {
        let mut source = Source {
            server: "files".to_string(),
            config: SourceConfig::File(config(dir.path(), layout)),
            selection: Selection::parse(&options).unwrap(),
        };
        let now = window.to + after * MINUTE_US;
        source.config.settle(&source.selection, now, nobody).unwrap();
        let got = crate::source::fetch(&[source], window.into(), &context());
        got.map(|got| got.stats.logs).map_err(|e| e.kind)
    };
    assert_eq!(at(Layout::OpenObserve, json!({}), 44), Err(ErrorKind::Unsettled));
    assert_eq!(at(Layout::OpenObserve, json!({}), 45), Ok(1));
    assert_eq!(at(Layout::OpenObserve, json!({"settle": "1 min"}), 1), Ok(1));
    assert_eq!(at(Layout::Plain, json!({"settle": 0}), -1), Err(ErrorKind::Unsettled));
    assert_eq!(
        at(Layout::Plain, json!({}), -1),
        Ok(0),
        "other files do not settle unless they are told to"
    );
    let mut source = SourceConfig::File(config(dir.path(), Layout::OpenObserve));
    let selection = Selection::parse(&json!({"fallback": "oo"})).unwrap();
    let mock = |_: &str| Ok::<_, crate::source::SourceError>(SourceConfig::Mock(Default::default()));
    source.settle(&selection, window.to, mock).unwrap();
    assert_eq!(source.fallback_mut().map(|s| s.server.as_str()), Some("oo"));
}

/// 2026-11-20 22:00 UTC.
const H22: i64 = 1_795_212_000_000_000;

fn testing_rows() -> Vec<u8> {
    objects::testing::parquet(&[(H22, "line".to_string())], 1)
}
