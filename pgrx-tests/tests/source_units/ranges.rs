//! A window comes out of a fetch the same, whether it is fetched alone or with others: for every kind of source.

use crate::source::fetch::{Fetched, FetchedWindow};
use crate::source::file::FileConfig;
use crate::source::http::Route;
use crate::source::mock::{self, MockConfig, Wanted};
use crate::source::objects::{Arrangement, Layout};
use crate::source::openobserve::OpenObserveConfig;
use crate::source::{Context, Selection, Source, SourceConfig, fetch};
use blackbox::openobserve::{self as server, OpenObserve, Record, Store};
use blackbox::telemetry::{MINUTE, T0};
use engine::record::{Dataset, RejectReason};
use engine::window::{Window, Windows};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

const MINUTES: i64 = 6;

/// Small, but with traces that cross the minutes.
fn mock_config(seed: u64) -> MockConfig {
    MockConfig {
        seed,
        logs_per_minute: 40,
        metrics_per_minute: 20,
        spans_per_minute: 150,
        services: 6,
    }
}

/// The records of the mock source from six minutes before the windows to one behind them, as (time, JSON). Some are left
/// out, so that no minute has as many as the next.
fn rows(dataset: Dataset) -> Vec<(i64, Value)> {
    let range = Window::new(T0 - 6 * MINUTE, T0 + (MINUTES + 1) * MINUTE);
    let rows = mock::json_rows(&mock_config(1), dataset, range, usize::MAX, &Wanted::ALL);
    let row = |text: String| -> (i64, Value) {
        let row: Value = serde_json::from_str(&text).unwrap();
        (row["_timestamp"].as_i64().unwrap(), row)
    };
    let kept = |at: i64| at % MINUTE >= at / MINUTE % 5 * 3_000_000;
    rows.into_iter().map(row).filter(|(at, _)| kept(*at)).collect()
}

/// Bad records that tell their time.
fn bad_rows() -> [(Dataset, i64, Value); 2] {
    let (log, span) = (T0 + 2 * MINUTE + 5, T0 + 4 * MINUTE);
    let span_row = json!({"_timestamp": span, "trace_id": "t", "span_id": "s", "service_name": "x", "duration": -1});
    [
        (Dataset::Logs, log, json!({"_timestamp": log, "service_name": "x"})),
        (Dataset::Traces, span, span_row),
    ]
}

fn store() -> Store {
    let mut store = Store::default();
    let mut add = |dataset: Dataset, at: i64, row: Value| {
        let stream = row["__name__"].as_str().unwrap_or("default").to_string();
        store.add(
            server::Dataset::of(Some(dataset.as_str())),
            &stream,
            Record::new(at, row),
        );
    };
    for dataset in Dataset::ALL {
        rows(dataset).into_iter().for_each(|(at, row)| add(dataset, at, row));
    }
    bad_rows()
        .into_iter()
        .for_each(|(dataset, at, row)| add(dataset, at, row));
    store
}

fn source(config: SourceConfig, options: Value) -> Source {
    Source {
        server: "s".to_string(),
        config,
        selection: Selection::parse(&options).unwrap(),
    }
}

fn api(server: &OpenObserve, options: Value) -> Source {
    let config = OpenObserveConfig {
        endpoint: server.endpoint(),
        org: server::ORG.to_string(),
        username: Some(server::USER.to_string()),
        password: Some(server::PASSWORD.to_string()),
        token: None,
        route: Route::default(),
    };
    source(SourceConfig::OpenObserve(config), options)
}

fn minutes(from: i64, to: i64, sources: &[Source]) -> Fetched {
    let context = Context {
        cancel: Arc::default(),
        concurrency: 2,
        http_timeout: Duration::from_secs(30),
        masker: Default::default(),
    };
    let range = Window::new(T0 + from * MINUTE, T0 + to * MINUTE);
    fetch(sources, Windows::new(range, MINUTE), &context).unwrap_or_else(|e| panic!("{e:?}"))
}

fn alone(sources: &[Source]) -> Vec<Fetched> {
    (0..MINUTES).map(|i| minutes(i, i + 1, sources)).collect()
}

/// Holds ranges of the windows to what the windows are alone; gives what they are.
#[track_caller]
fn same(sources: &[Source]) -> Vec<FetchedWindow> {
    let mut alone: Vec<FetchedWindow> = alone(sources).into_iter().flat_map(|f| f.windows).collect();
    let seen = |w: &FetchedWindow| {
        let mut output = w.output.clone();
        // How much of other times a file holds is no matter of the window.
        output.stats.outside = 0;
        let bytes: Vec<Vec<u8>> = output.minutes.iter().map(|m| m.encode()).collect();
        (w.window, output, bytes, w.locators.clone())
    };
    for ranges in [&[0, MINUTES][..], &[0, 1, 4, MINUTES]] {
        for range in ranges.windows(2) {
            let got = minutes(range[0], range[1], sources).windows;
            assert_eq!(got.len() as i64, range[1] - range[0]);
            for (got, alone) in got.iter().zip(&alone[range[0] as usize..]) {
                assert_eq!(seen(got), seen(alone));
            }
        }
    }
    let calls: u64 = alone.iter().map(|w| w.output.stats.calls).sum();
    assert!(calls > 100, "{calls} calls");
    alone.retain(|w| !w.output.rejects.is_empty());
    alone
}

#[test]
fn of_the_mock_source() {
    assert!(same(&[source(SourceConfig::Mock(mock_config(1)), json!({}))]).is_empty());
}

#[test]
fn of_openobserve_also_where_pages_are_cut() {
    let server = OpenObserve::serve(store());
    for page_rows in [50_000, 99] {
        let rejected = same(&[api(&server, json!({"page_rows": page_rows, "metric_labels": "*"}))]);
        let of = |w: &FetchedWindow| (w.window.from, w.output.rejects[0].reason);
        assert_eq!(
            rejected.iter().map(of).collect::<Vec<_>>(),
            [
                (T0 + 2 * MINUTE, RejectReason::MissingBody),
                (T0 + 4 * MINUTE, RejectReason::BadDuration)
            ]
        );
    }
}

#[test]
fn of_files() {
    let dir = tempfile::tempdir().unwrap();
    for dataset in Dataset::ALL {
        let mut lines = String::new();
        let bad = bad_rows().into_iter().filter(|(d, ..)| *d == dataset);
        let all = rows(dataset).into_iter().chain(bad.map(|(_, at, row)| (at, row)));
        all.for_each(|(_, row)| writeln!(lines, "{row}").unwrap());
        std::fs::write(dir.path().join(format!("{}.ndjson", dataset.as_str())), lines).unwrap();
    }
    let path = dir.path().to_path_buf();
    let config = FileConfig {
        roots: vec![path.clone()],
        path,
        arrangement: Arrangement::plain(Layout::Plain, ""),
        settle: None,
    };
    assert_eq!(same(&[source(SourceConfig::File(config), json!({}))]).len(), 2);
}

#[test]
fn of_several_sources_with_margins_of_their_own() {
    let server = OpenObserve::serve(store());
    same(&[
        source(SourceConfig::Mock(mock_config(2)), json!({"parent_margin_before": 0})),
        api(
            &server,
            json!({"parent_margin_before": "90 s", "parent_margin_after": "70 s"}),
        ),
        source(SourceConfig::Mock(mock_config(1)), json!({"logs": "*"})),
    ]);
}

#[test]
fn a_record_without_a_time_is_the_first_windows() {
    let mut store = store();
    let at = T0 + 5 * MINUTE;
    let timeless = Record::new(at, json!({"body": "when?"})).with("_timestamp", None);
    store.add(server::Dataset::Logs, "default", timeless);
    let server = OpenObserve::serve(store);
    let got = minutes(3, MINUTES, &[api(&server, json!({"logs": "*"}))]);
    let rejected: Vec<u64> = got.windows.iter().map(|w| w.output.stats.rejected).collect();
    assert_eq!(rejected, [1, 0, 0]);
}

#[test]
fn a_range_takes_the_requests_of_a_window() {
    let server = OpenObserve::serve(store());
    let sources = [api(&server, json!({}))];
    let one_by_one: u64 = alone(&sources).iter().map(|f| f.stats.requests).sum();
    let together = minutes(0, MINUTES, &sources).stats.requests;
    assert!(together * 4 < one_by_one, "{together} requests against {one_by_one}");
}
