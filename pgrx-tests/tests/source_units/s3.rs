//! Windows from a bucket, over real sockets, with signatures checked: what is read of which objects.

use super::bucket::{H22, HOUR, bucket, context, failure, fetch, keys, lines, name, options, replay, rows, source};
use super::source::error::ErrorKind;
use super::source::fetch::Fetched;
use super::source::objects::testing::{Row, parquet};
use super::source::server::{self, Options};
use super::source::{self, Locator, Sample, Selection, Source, SourceConfig, SourceError};
use blackbox::openobserve::{self as api, OpenObserve, Record, Store};
use blackbox::s3::{BUCKET, S3};
use blackbox::shared::shared;
use engine::window::{MINUTE_US, Window, Windows};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn hive_folders_with_lines_packed_or_not() {
    let s3 = S3::serve();
    let folder = "lake/logs/yyyy=2026/mm=11/dd=20/hh=22/mm=05";
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(&lines(&rows(310, 20))).unwrap();
    s3.put(&format!("{folder}/a.ndjson"), &lines(&rows(300, 10)));
    s3.put(&format!("{folder}/b.ndjson.gz"), &gz.finish().unwrap());
    s3.put(
        &format!("{folder}/c.json.zst"),
        &zstd::encode_all(&*lines(&rows(330, 9)), 1).unwrap(),
    );
    s3.put(&format!("{folder}/d.parquet"), &parquet(&rows(340, 3), 2));
    s3.put(&format!("{folder}/e.ndjson"), b"");
    s3.put(&format!("{folder}/_SUCCESS"), b"");
    s3.put(
        "lake/logs/yyyy=2026/mm=11/dd=20/hh=22/mm=06/f.ndjson",
        &lines(&rows(360, 100)),
    );
    let endpoint = s3.endpoint();
    let server = [("endpoint", &*endpoint), ("layout", "hive"), ("prefix", "lake")];
    let source = source(&server, &keys(), json!({}));
    let minute = Window::new(H22 + 5 * MINUTE_US, H22 + 6 * MINUTE_US);
    let got = fetch(&source, minute).unwrap();
    assert_eq!(got.stats.logs, 42);
    assert!(
        !s3.reads().iter().any(|(key, _)| key.contains("mm=06")),
        "not of the window"
    );

    let [window] = got.windows.as_slice() else {
        panic!("one window")
    };
    let locators: Vec<_> = window
        .locators
        .iter()
        .map(|l| (l.object_key.as_str(), &l.attributes["records"]))
        .collect();
    assert_eq!(locators.len(), 4);
    assert_eq!(
        locators[1],
        ("lake/logs/yyyy=2026/mm=11/dd=20/hh=22/mm=05/b.ndjson.gz", &json!(20))
    );
    assert_eq!(
        window.locators[0].attributes["uri"],
        json!(format!("s3://{BUCKET}/{folder}/a.ndjson"))
    );
    let replay = |i: usize| source::replay(&source.config, &window.locators[i..=i], &Sample::first(5), &context());
    for i in 0..4 {
        assert_eq!(replay(i).unwrap().rows.len(), if i == 3 { 3 } else { 5 });
    }
    std::fs::remove_file(s3.path(&window.locators[0].object_key)).unwrap();
    let gone = replay(0).unwrap_err();
    assert!(gone.kind == ErrorKind::Gone && gone.is_permanent(), "{gone:?}");
    // Of all of them only that one's are gone.
    let all = source::replay(&source.config, &window.locators, &Sample::first(1_000), &context()).unwrap();
    let records = |l: &Locator| l.attributes["records"].as_u64().unwrap();
    assert_eq!(all.gone, records(&window.locators[0]));
    assert_eq!(
        all.rows.len() as u64,
        window.locators[1..].iter().map(records).sum::<u64>()
    );
    s3.put(&format!("{folder}/b.ndjson.gz"), b"no gzip at all");
    let broken = fetch(&source, minute).map(|_| ()).unwrap_err();
    assert!(
        broken.kind == ErrorKind::BadResponse && !broken.is_transient(),
        "{broken:?}"
    );
}

/// What counters grow by is told from the minutes before a window; what is refused there is theirs.
#[test]
fn a_metric_without_a_time_is_refused_by_the_window_of_its_folder_only() {
    let s3 = S3::serve();
    for minute in 0..6 {
        let at = H22 + minute * MINUTE_US;
        let good = json!({"_timestamp": at, "__name__": "requests_total", "value": minute, "service_name": "shop"});
        let bad = json!({"__name__": "requests_total", "value": 1, "service_name": "shop"});
        let folder = format!("metrics/yyyy=2026/mm=11/dd=20/hh=22/mm={minute:02}");
        s3.put(&format!("{folder}/a.ndjson"), format!("{good}\n{bad}\n").as_bytes());
    }
    let of = |server: &[(&str, &str)]| {
        let endpoint = s3.endpoint();
        let mut all = vec![("endpoint", &*endpoint)];
        all.extend(server);
        let source = source(&all, &keys(), json!({}));
        let refused = |minute: i64| {
            let at = H22 + minute * MINUTE_US;
            let got = fetch(&source, Window::new(at, at + MINUTE_US)).unwrap();
            let stats = &got.windows[0].output.stats;
            (stats.metrics, stats.rejected)
        };
        (0..6).map(refused).collect::<Vec<_>>()
    };
    assert_eq!(of(&[("layout", "hive")]), [(1, 1); 6]);
    let slack = [
        ("path_template", "dataset/yyyy=/mm=/dd=/hh=/mm="),
        ("path_slack", "2 min"),
    ];
    assert_eq!(of(&slack), [(1, 1); 6]);
}

/// Some writers upload compressed lines under a plain name, and leave it to Content-Encoding to say so.
#[test]
fn objects_that_are_stored_packed_are_read() {
    let s3 = S3::serve();
    let folder = "logs/yyyy=2026/mm=11/dd=20/hh=22/mm=05";
    let gz = |rows: &[Row]| {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(&lines(rows)).unwrap();
        gz.finish().unwrap()
    };
    s3.put_packed(&format!("{folder}/a.ndjson"), &gz(&rows(300, 10)));
    s3.put_packed(&format!("{folder}/b.ndjson.gz"), &gz(&rows(310, 10)));
    s3.put(&format!("{folder}/c.ndjson"), &gz(&rows(320, 10)));
    s3.put(
        &format!("{folder}/d.ndjson"),
        &zstd::encode_all(&*lines(&rows(330, 10)), 1).unwrap(),
    );
    let minute = Window::new(H22 + 5 * MINUTE_US, H22 + 6 * MINUTE_US);
    assert_eq!(fetch(&bucket(&s3.endpoint(), "hive"), minute).unwrap().stats.logs, 40);
}

#[test]
fn folders_by_a_template() {
    let s3 = S3::serve();
    let endpoint = s3.endpoint();
    let with = |template: &str, more: &[(&str, &str)]| {
        let mut server = vec![
            ("endpoint", &*endpoint),
            ("prefix", "lake/"),
            ("path_template", template),
        ];
        server.extend(more);
        source(&server, &keys(), json!({}))
    };
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(&lines(&rows(310, 10))).unwrap();
    let objects = [
        ("a.ndjson", lines(&rows(300, 10))),
        ("b.ndjson.gz", gz.finish().unwrap()),
        ("c.ndjson.zst", zstd::encode_all(&*lines(&rows(320, 10)), 1).unwrap()),
        ("d.parquet", parquet(&rows(330, 10), 3)),
    ];
    let minute = Window::new(H22 + 5 * MINUTE_US, H22 + 6 * MINUTE_US);
    for (template, folder) in [
        (
            "dataset/yyyy=/mm=/dd=/hh=/mm=",
            "lake/logs/yyyy=2026/mm=11/dd=20/hh=22/mm=05",
        ),
        ("dataset/yyyy=/hh=/mm=", "lake/logs/yyyy=2026-11-20/hh=22/mm=05"),
        ("dataset/yyyy=/hh=/mm=", "lake/logs/yyyy=2026/hh=22/mm=05"),
        ("dataset/Y/M/D/H", "lake/logs/2026/11/20/22"),
    ] {
        objects
            .iter()
            .for_each(|(name, bytes)| s3.put(&format!("{folder}/{name}"), bytes));
        s3.reads();
        assert_eq!(
            fetch(&with(template, &[]), minute).unwrap().stats.logs,
            40,
            "{template}"
        );
        assert!(s3.reads().iter().all(|(key, _)| key.starts_with(folder)), "{template}");
        std::fs::remove_dir_all(s3.path("lake")).unwrap();
    }
    // Records that lie in the folder of the next minute: found within the slack, and each in its own window once.
    let late = "lake/logs/yyyy=2026/mm=11/dd=20/hh=22/mm=06/late.ndjson";
    s3.put(late, &lines(&rows(355, 10)));
    let full = "dataset/yyyy=/mm=/dd=/hh=/mm=";
    let windows = Windows::new(Window::new(H22 + 5 * MINUTE_US, H22 + 7 * MINUTE_US), MINUTE_US);
    let counts = |got: Fetched| got.windows.iter().map(|w| w.output.stats.logs).collect::<Vec<_>>();
    assert_eq!(
        fetch(&with(full, &[]), minute).unwrap().stats.logs,
        0,
        "the folder is not of the window"
    );
    let slack = with(full, &[("path_slack", "1 min")]);
    assert_eq!(fetch(&slack, minute).unwrap().stats.logs, 5);
    assert_eq!(counts(fetch(&slack, windows).unwrap()), [5, 5]);
}

/// A parent that started just behind the last settled window, as its clock said, is not in the bucket yet.
#[test]
fn parents_behind_the_seam_come_from_the_other_door() {
    let span = |at: i64, id: &str, parent: &str, service: &str| {
        json!({"_timestamp": at, "trace_id": "t", "span_id": id, "reference_parent_span_id": parent,
               "service_name": service, "operation_name": "x", "duration": 5})
    };
    let seam = H22 + 30 * MINUTE_US;
    let (child, parent) = (seam - 1_000_000, seam + 2_000_000);
    let s3 = S3::serve();
    let folder = "traces/yyyy=2026/mm=11/dd=20/hh=22/mm=29";
    s3.put(
        &format!("{folder}/a.ndjson"),
        format!("{}\n", span(child, "c", "p", "cart")).as_bytes(),
    );
    let mut store = Store::default();
    store.add(
        api::Dataset::Traces,
        "default",
        Record::new(parent, span(parent, "p", "", "web")),
    );
    let oo = OpenObserve::serve(store);
    let other = options(&[("kind", "openobserve"), ("endpoint", &oo.endpoint())]);
    let login = options(&[("username", api::USER), ("password", api::PASSWORD)]);
    let window = Window::new(seam - MINUTE_US, seam);
    for (selection, calls) in [(json!({"fallback": "oo", "settle": 0}), 1), (json!({"settle": 0}), 0)] {
        let mut source = source(&[("endpoint", &s3.endpoint()), ("layout", "hive")], &keys(), selection);
        let fallback = |_: &str| server::config(&other, &login, Vec::new());
        source.config.settle(&source.selection, seam, fallback).unwrap();
        let got = fetch(&source, window).unwrap();
        assert_eq!((got.windows[0].output.stats.calls, got.stats.spans), (calls, 1));
    }
}

/// A window of the bucket looks at the streams of the fallback for parents. What is known of those from their own windows
/// stays known: they are asked for in as few pages as before.
#[test]
fn a_window_of_the_bucket_leaves_what_is_known_of_its_fallback() {
    let seam = H22 + 30 * MINUTE_US;
    let s3 = S3::serve();
    let child = json!({"_timestamp": seam - 1_000_000, "trace_id": "t", "span_id": "c", "reference_parent_span_id": "p",
        "service_name": "cart", "span_kind": "2", "duration": 5});
    s3.put(
        "traces/yyyy=2026/mm=11/dd=20/hh=22/mm=29/a.ndjson",
        format!("{child}\n").as_bytes(),
    );
    let mut store = Store::default();
    let row = |n: i64| {
        format!("\"trace_id\":\"u\",\"span_id\":\"{n}\",\"service_name\":\"web\",\"span_kind\":\"2\",\"duration\":5")
    };
    let made = api::Made::new(seam, seam + MINUTE_US, 60_000, row);
    let columns = ["trace_id", "span_id", "service_name", "span_kind", "duration"];
    store.add_made(api::Dataset::Traces, "default", &columns, made);
    let oo = OpenObserve::serve(store);
    let other = options(&[("kind", "openobserve"), ("endpoint", &oo.endpoint())]);
    let login = options(&[("username", api::USER), ("password", api::PASSWORD)]);
    let selection = json!({"traces": "*", "logs": [], "metrics": [], "fallback": "oo", "settle": 0});
    let mut source = source(&[("endpoint", &s3.endpoint()), ("layout", "hive")], &keys(), selection);
    let fallback = |_: &str| server::config(&other, &login, Vec::new());
    source.config.settle(&source.selection, seam, fallback).unwrap();
    let requests = |from: i64| {
        let before = oo.requests();
        fetch(&source, Window::new(from, from + MINUTE_US)).unwrap();
        oo.requests() - before
    };
    let first = requests(seam);
    let known = requests(seam);
    assert!(known < first, "{known} of {first}");
    assert!(requests(seam - MINUTE_US) > 0, "the fallback is asked for parents");
    assert_eq!(requests(seam), known);
}

/// Nothing is read of a range whose end has not settled.
#[test]
fn what_has_not_settled_is_not_asked_of_the_bucket() {
    let s3 = S3::serve();
    s3.put(&name(1), &parquet(&rows(0, 3_600), 1_000));
    let mut young = source(&[("endpoint", &s3.endpoint())], &keys(), json!({}));
    let nobody = |_: &str| Err(SourceError::cancelled());
    young
        .config
        .settle(&young.selection, H22 + 60 * MINUTE_US, nobody)
        .unwrap();
    let windows = Windows::new(Window::new(H22 + 28 * MINUTE_US, H22 + 32 * MINUTE_US), MINUTE_US);
    assert_eq!(
        fetch(&young, windows).map(|_| ()).unwrap_err().kind,
        ErrorKind::Unsettled
    );
    assert_eq!((s3.lists(), s3.reads().len()), (0, 0));
}

#[test]
fn only_the_needed_bytes_are_read() {
    let s3 = S3::serve();
    // An hour of 3,600 rows in 60 row groups, the bodies 1 kB each: 4 MB.
    let big: Vec<Row> = (0..3_600)
        .map(|i| (H22 + i * 1_000_000, format!("line {i} {}", "x".repeat(1_000))))
        .collect();
    let bytes = parquet(&big, 60);
    s3.put(&name(1), &bytes);
    let source = bucket(&s3.endpoint(), "openobserve");
    let minute = Window::new(H22 + 30 * MINUTE_US, H22 + 31 * MINUTE_US);
    assert_eq!(fetch(&source, minute).unwrap().stats.logs, 60);
    let read: u64 = s3.reads().iter().map(|(_, n)| n).sum();
    assert!(read < 200_000, "{read} of {} bytes", bytes.len());
    let whole = Windows::new(HOUR, MINUTE_US);
    let got = fetch(&source, whole).unwrap();
    assert_eq!(got.stats.logs, 3_600);
    assert!(got.windows.iter().all(|w| w.output.stats.logs == 60));
    let reads = s3.reads();
    let read: u64 = reads.iter().map(|(_, n)| n).sum();
    assert!(
        read < bytes.len() as u64 * 5 / 4 + 1_000_000,
        "{read} of {} bytes",
        bytes.len()
    );
    assert!(reads.len() < 130, "{} requests", reads.len());
}

/// One object, and nobody else makes requests: its row groups are read side by side, and small ones in one request.
#[test]
fn one_object_is_read_by_several_requests_at_once() {
    let s3 = Arc::new(S3::serve());
    let wide: Vec<Row> = rows(0, 3_600)
        .into_iter()
        .map(|(ts, body)| (ts, format!("{body} {}", "x".repeat(1_600))))
        .collect();
    // Each of five row groups is more than a megabyte.
    let bytes = parquet(&wide, 720);
    s3.put(&name(1), &bytes);
    let (server, reads) = (Arc::downgrade(&s3), AtomicUsize::new(0));
    s3.before_get(move |_| {
        // Its end is read first, alone.
        if reads.fetch_add(1, Ordering::SeqCst) == 1 {
            server.upgrade().unwrap().crowd(4);
        }
    });
    let source = bucket(&s3.endpoint(), "openobserve");
    assert_eq!(fetch(&source, HOUR).unwrap().stats.logs, 3_600);
    let read: u64 = s3.reads().iter().map(|(_, n)| n).sum();
    assert!(
        read < bytes.len() as u64 + 200_000,
        "nothing twice: {read} of {}",
        bytes.len()
    );

    let s3 = S3::serve();
    s3.put(&name(1), &parquet(&wide, 30));
    let source = bucket(&s3.endpoint(), "openobserve");
    // Half an hour and a bit: the times are read first, then the rest, of sixty row groups.
    let part = Window::new(H22 + 1_000_000, H22 + 30 * MINUTE_US);
    assert_eq!(fetch(&source, part).unwrap().stats.logs, 1_799);
    let reads = s3.reads().len();
    assert!(reads <= 10, "{reads} requests");
}

#[test]
fn a_large_row_group_is_read_in_pieces_and_once() {
    let s3 = S3::serve();
    // An hour of 3,600 rows in one row group, the bodies 4 kB each, none like another: 14 MB.
    let big: Vec<Row> = (0..3_600)
        .map(|i| (H22 + i * 1_000_000, format!("line {i} {}", "x".repeat(4_000))))
        .collect();
    let bytes = parquet(&big, big.len());
    s3.put(&name(1), &bytes);
    let source = bucket(&s3.endpoint(), "openobserve");
    assert_eq!(fetch(&source, HOUR).unwrap().stats.logs, 3_600);
    let reads = s3.reads();
    let longest = reads.iter().map(|(_, n)| *n).max();
    assert!(longest <= Some(5 << 20), "{reads:?}");
    let read: u64 = reads.iter().map(|(_, n)| n).sum();
    assert!(
        read < bytes.len() as u64 + 1_000_000,
        "{read} of {}: {reads:?}",
        bytes.len()
    );
    // Rows are left out within the row group.
    let minute = Window::new(H22 + 30 * MINUTE_US, H22 + 31 * MINUTE_US);
    assert_eq!(fetch(&source, minute).unwrap().stats.logs, 60);
}

#[test]
fn a_product_takes_the_place_of_its_sources_while_they_are_read() {
    let s3 = Arc::new(S3::serve());
    for age in 1..=6u64 {
        s3.put(&name(age), &parquet(&rows(age as i64 * 10, 10), 4));
    }
    let paths: Vec<PathBuf> = (1..=6).map(|age| s3.path(&name(age))).collect();
    let (product, merged) = (s3.path(&name(9)), parquet(&rows(10, 60), 7));
    let reads = AtomicUsize::new(0);
    s3.before_get(move |_| {
        if reads.fetch_add(1, Ordering::SeqCst) == 3 {
            std::fs::write(&product, &merged).unwrap();
            paths.iter().for_each(|path| std::fs::remove_file(path).unwrap());
        }
    });
    let got = fetch(&bucket(&s3.endpoint(), "openobserve"), HOUR).unwrap();
    assert_eq!(
        (got.stats.logs, got.stats.files),
        (60, 1),
        "nothing of the first listing is left"
    );

    // What is listed and never there ends the fetch, to be tried again.
    let lost = s3.path(&name(9));
    s3.before_get(move |_| {
        let _ = std::fs::remove_file(&lost);
        std::fs::write(&lost, "").unwrap();
    });
    s3.put(&name(9), &parquet(&rows(10, 60), 7));
    let e = failure(&bucket(&s3.endpoint(), "openobserve"));
    assert!(!e.is_permanent(), "{e:?}");
}

#[test]
fn two_doors_and_a_seam_without_gap_or_overlap() {
    let s3 = S3::serve();
    s3.put(&name(1), &parquet(&rows(0, 3_600), 1_000));
    let now = H22 + 75 * MINUTE_US;
    let mock = || server::config(&options(&[("kind", "mock")]), &Options::new(), Vec::new());
    let with = |selection: Value| {
        let mut source = source(&[("endpoint", &s3.endpoint())], &keys(), selection);
        source.config.settle(&source.selection, now, |_| mock()).unwrap();
        source
    };
    let windows = Windows::new(Window::new(H22 + 28 * MINUTE_US, H22 + 32 * MINUTE_US), MINUTE_US);
    let two = fetch(&with(json!({"logs": ["app", "default"], "fallback": "oo"})), windows).unwrap();
    let counts: Vec<u64> = two.windows.iter().map(|w| w.output.stats.logs).collect();
    let alone = Source {
        server: "oo".to_string(),
        config: mock().unwrap(),
        selection: Selection::parse(&json!({"logs": ["default"]})).unwrap(),
    };
    let mocked = fetch(&alone, windows).unwrap();
    let mocked: Vec<u64> = mocked.windows.iter().map(|w| w.output.stats.logs).collect();
    assert_eq!(counts, [60, 60, mocked[2], mocked[3]]);
    let doors: Vec<&str> = two.windows.iter().map(|w| w.locators[0].bucket.as_str()).collect();
    assert_eq!(doors, ["lake", "lake", "oo", "oo"]);

    let one = with(json!({}));
    let young = fetch(&one, windows).map(|_| ()).unwrap_err();
    assert!(
        young.kind == ErrorKind::Unsettled && !young.is_permanent() && young.retry_after.is_some(),
        "{young:?}"
    );
    let settled = Window::new(H22, H22 + 30 * MINUTE_US);
    assert_eq!(fetch(&one, settled).unwrap().stats.logs, 1_800);

    let mut mock_source = alone.clone();
    mock_source.selection.fallback = Some("lake".to_string());
    let e = mock_source
        .config
        .settle::<SourceError>(&mock_source.selection, now, |_| mock());
    assert!(e.unwrap_err().is_permanent());
    let mut itself = source(&[("endpoint", &s3.endpoint())], &keys(), json!({"fallback": "lake"}));
    let config = itself.config.clone();
    let e = itself
        .config
        .settle::<SourceError>(&itself.selection, now, |_| Ok(config));
    assert!(e.unwrap_err().is_permanent());
}

/// The bucket of a real OpenObserve. Needs recordings that are not part of the repository; see `blackbox::shared`.
#[test]
fn a_bucket_reads_like_the_folder_it_was_made_of() {
    let Some(objects) = shared().map(|s| s.join("openobserve/objects/s3")) else {
        return;
    };
    let s3 = S3::serve();
    s3.put_all(&objects, "");
    let endpoint = s3.endpoint();
    let bucket = source(&[("endpoint", &endpoint), ("prefix", "oo/prod/")], &keys(), json!({}));
    let folder = options(&[("kind", "file"), ("path", &objects.join("oo/prod").to_string_lossy())]);
    let folder = Source {
        server: "lake".to_string(),
        config: server::config(&folder, &Options::new(), vec![objects.clone()]).unwrap(),
        selection: Selection::default(),
    };
    assert!(matches!(folder.config, SourceConfig::File(_)));
    let windows = Windows::new(Window::new(H22 + 20 * MINUTE_US, H22 + 23 * MINUTE_US), MINUTE_US);
    let (a, b) = (fetch(&bucket, windows).unwrap(), fetch(&folder, windows).unwrap());
    assert_eq!(
        (a.stats.logs, a.stats.metrics, a.stats.spans),
        (b.stats.logs, b.stats.metrics, b.stats.spans)
    );
    assert_eq!(a.windows.len(), 3);
    for (a, b) in a.windows.iter().zip(&b.windows) {
        assert_eq!(format!("{:?}", a.output), format!("{:?}", b.output));
    }
}

/// OpenObserve merges objects within hours: locators lead to the rows also when their objects are no more, and to each row
/// once.
#[test]
fn rows_of_merged_objects_are_found_in_the_product() {
    let s3 = S3::serve();
    for age in 1..=4u64 {
        s3.put(&name(age), &parquet(&rows(age as i64 * 10, 10), 4));
    }
    let source = bucket(&s3.endpoint(), "openobserve");
    let minute = Window::new(H22, H22 + MINUTE_US);
    let got = fetch(&source, minute).unwrap();
    let locators = &got.windows[0].locators;
    assert_eq!(locators.len(), 4);
    let bodies = |of: &[Locator], sample: &Sample| {
        let (bodies, gone) = replay(&source, of, sample).unwrap();
        assert_eq!(gone, 0);
        bodies
    };
    let (all, line) = (Sample::first(100), |n: i64| format!("line {n}"));
    let expected: Vec<String> = (10..50).map(line).collect();
    assert_eq!(bodies(locators, &all), expected);
    assert_eq!(bodies(&locators[..1], &all).len(), 10);
    let last = Sample::of(9, json!({"body": line(49)})).unwrap();
    assert_eq!(
        bodies(locators, &last),
        [line(49)],
        "behind another locator than the first"
    );

    // The product is there, of its sources some are.
    s3.put(&name(9), &parquet(&rows(10, 40), 7));
    for age in 1..=2 {
        std::fs::remove_file(s3.path(&name(age))).unwrap();
    }
    assert_eq!(bodies(locators, &all), expected);
    for age in 3..=4 {
        std::fs::remove_file(s3.path(&name(age))).unwrap();
    }
    assert_eq!(bodies(locators, &all), expected);
    assert_eq!(bodies(locators, &last), [line(49)]);

    std::fs::remove_file(s3.path(&name(9))).unwrap();
    let gone = replay(&source, locators, &all).unwrap_err();
    assert!(gone.kind == ErrorKind::Gone && gone.hint.is_some(), "{gone:?}");

    // A part of them went another way.
    s3.put(&name(9), &parquet(&rows(10, 25), 7));
    let (found, gone) = replay(&source, locators, &all).unwrap();
    assert_eq!((found.len(), gone), (25, 15));
    let (found, gone) = replay(&source, locators, &last).unwrap();
    assert_eq!((found.len(), gone), (0, 15));
    assert_eq!(
        replay(&source, locators, &Sample::first(3)).unwrap().1,
        0,
        "nobody looked for more"
    );
    std::fs::remove_file(s3.path(&name(9))).unwrap();
    s3.put(&name(9).replace(".parquet", ".vortex"), b"");
    let foreign = replay(&source, locators, &all).unwrap_err();
    assert!(
        foreign.kind == ErrorKind::Gone && foreign.hint.is_some_and(|h| h.contains(".vortex")),
        "they are there, and cannot be read"
    );
}

/// A merge between the list and the reading is no loss.
#[test]
fn objects_that_are_merged_during_a_replay_are_followed() {
    let s3 = S3::serve();
    for age in 1..=4u64 {
        s3.put(&name(age), &parquet(&rows(age as i64 * 10, 10), 4));
    }
    let source = bucket(&s3.endpoint(), "openobserve");
    let got = fetch(&source, Window::new(H22, H22 + MINUTE_US)).unwrap();
    let locators = &got.windows[0].locators;
    let paths: Vec<PathBuf> = (1..=4).map(|age| s3.path(&name(age))).collect();
    let (product, merged) = (s3.path(&name(9)), parquet(&rows(10, 40), 7));
    let reads = AtomicUsize::new(0);
    s3.before_get(move |_| {
        // The second of the four is under way.
        if reads.fetch_add(1, Ordering::SeqCst) == 1 {
            std::fs::write(&product, &merged).unwrap();
            paths.iter().for_each(|path| std::fs::remove_file(path).unwrap());
        }
    });
    let (found, gone) = replay(&source, locators, &Sample::first(100)).unwrap();
    assert_eq!((found.len(), gone), (40, 0));
}
