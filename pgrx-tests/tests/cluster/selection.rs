//! Which streams a source reads: names, patterns and exclusions, for every kind of source. What is left out does not count,
//! and is not even asked for.

use blackbox::bridge::{add_openobserve, add_source, bridge, count, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, OpenObserve, Store};
use blackbox::places::{Place, Way};
use blackbox::s3::{ACCESS_KEY, BUCKET, S3, SECRET_KEY};
use blackbox::session::Session;
use blackbox::telemetry::{SECOND, T0, log, point, span};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Streams of logs, or metrics. Each has twice as many records as the one before, so that a sum tells which were read.
const STREAMS: [&str; 6] = ["api1", "api22", "app", "debug", "debug_sql", "x"];

/// Lists of patterns, and what they choose.
const LISTS: [(&str, &[&str]); 7] = [
    (r#"["*", "!debug*"]"#, &["api1", "api22", "app", "x"]),
    // Exclusions alone are all others.
    (r#"["!x"]"#, &["api1", "api22", "app", "debug", "debug_sql"]),
    (r#"["!x", "!debug?*", "!api*"]"#, &["app", "debug"]),
    (r#"["api?"]"#, &["api1"]),
    (r#"["!ap?", "a*"]"#, &["api1", "api22"]),
    (r#"["x", "nowhere", "debug"]"#, &["debug", "x"]),
    (r#"["app", "!app"]"#, &[]),
];

/// The minute of the tests as arguments.
const MINUTE: &str = "'2026-01-05 10:00Z', '2026-01-05 10:01Z'";

fn records(stream: &str) -> i64 {
    let at = STREAMS.iter().position(|s| *s == stream).expect("one of the streams");
    1 << at
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_string).collect()
}

/// What a query gives, as a set.
fn column(db: &mut Session, sql: &str) -> BTreeSet<String> {
    db.column(sql).into_iter().collect()
}

/// The streams that the folders of a key name.
fn named(key: &str) -> impl Iterator<Item = String> {
    let folder = |part: &str| part.strip_prefix("stream=").unwrap_or(part).to_string();
    key.split('/')
        .map(folder)
        .filter(|name| STREAMS.contains(&name.as_str()))
}

/// The streams that a bucket was asked for since the last call: what was listed, and what was read.
fn asked_of_bucket(s3: &S3) -> BTreeSet<String> {
    let read = s3.reads().into_iter().map(|(key, _)| key);
    let all: Vec<String> = s3.listed().into_iter().chain(read).collect();
    all.iter().flat_map(|key| named(key)).collect()
}

fn asked_of_server(oo: &OpenObserve, dataset: Dataset) -> BTreeSet<String> {
    let folder = format!("{}/", dataset.name());
    let searched = oo.searched().into_iter();
    searched
        .map(|name| name.strip_prefix(&folder).expect("only streams of logs").to_string())
        .collect()
}

/// Runs the minute again with these options of the only source.
#[track_caller]
fn run_with(db: &mut Session, options: &str) {
    db.exec(&format!("UPDATE etl_source SET options = '{options}'"));
    enqueue(db, T0, 1);
    run(db);
    let error = db.text("SELECT coalesce(error::text, '') FROM etl_job_run WHERE job = 'oo-agg'");
    assert_eq!(count(db, "oo-agg", "success"), 1, "{options}: {error}");
}

/// Holds what comes of each list to what it chooses: lines, locators, streamed records, and what `asked` saw. `more` are
/// further options; `hide` is given what is not to be looked at.
fn assert_lines(
    db: &mut Session,
    what: &str,
    more: &str,
    mut asked: impl FnMut() -> Option<BTreeSet<String>>,
    hide: impl Fn(&[&str]),
) {
    for (list, chosen) in LISTS {
        let (what, expected) = (format!("{what}, {list}"), set(chosen.iter().copied()));
        let left_out: Vec<&str> = STREAMS.into_iter().filter(|s| !chosen.contains(s)).collect();
        hide(&left_out);
        asked();
        run_with(db, &format!("{{\"logs\": {list}{more}}}"));
        assert_eq!(
            db.int("SELECT coalesce(sum(count_total), 0)::bigint FROM log_pattern_5m"),
            chosen.iter().map(|s| records(s)).sum::<i64>(),
            "{what}"
        );
        assert_eq!(asked().unwrap_or(expected.clone()), expected, "{what}: a window");
        let located = column(
            db,
            "SELECT coalesce(attributes ->> 'stream', s.key)
               FROM oo_locator LEFT JOIN LATERAL jsonb_each_text(attributes -> 'streams') s ON s.value <> '0'
              WHERE NOT attributes ? 'superseded'",
        );
        assert_eq!(located, expected, "{what}: locators");
        let streamed = db.rows(&format!(
            "SELECT r ->> 'stream', count(*) FROM oo_stream('default', {MINUTE}) r GROUP BY 1 ORDER BY 1"
        ));
        let counted: Vec<[String; 2]> = chosen.iter().map(|s| [s.to_string(), records(s).to_string()]).collect();
        assert_eq!(streamed, counted, "{what}: oo_stream");
        assert_eq!(asked().unwrap_or(expected.clone()), expected, "{what}: oo_stream");
        hide(&[]);
    }
}

#[test]
fn streams_of_openobserve_that_are_left_out_are_not_searched() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    for stream in STREAMS {
        for n in 0..records(stream) {
            let line = log(T0 + n * SECOND, "shop", "INFO", &format!("line {n}"));
            store.add(Dataset::Logs, stream, line);
        }
    }
    store.add(Dataset::Metrics, "cpu", point(T0, "cpu", "shop", 1.0));
    let oo = OpenObserve::serve(store);
    let mut db = bridge(&cluster, "http");
    db.exec(&format!(
        "CREATE SERVER oo FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'openobserve', endpoint '{}');
         CREATE USER MAPPING FOR CURRENT_USER SERVER oo OPTIONS (username '{}', password '{}')",
        oo.endpoint(),
        blackbox::openobserve::USER,
        blackbox::openobserve::PASSWORD,
    ));
    add_source(&mut db, "oo", "{}");
    let asked = || Some(asked_of_server(&oo, Dataset::Logs));
    assert_lines(&mut db, "http", "", asked, |_| {});
}

#[test]
fn folders_of_streams_that_are_left_out_are_not_opened() {
    let cluster = Cluster::without_workers();
    for way in Way::ALL {
        let place = Place::new(&cluster, way);
        let mut db = bridge(&cluster, way.name());
        for stream in STREAMS {
            place.put_stream(stream, 0, 0, records(stream));
        }
        place.add_to(&mut db);
        let folders = folders_of_streams(place.root());
        assert_eq!(folders.len(), STREAMS.len());
        // A folder of this machine shows nobody who looks into it: what is not to be read cannot be.
        let hide = |left_out: &[&str]| {
            for folder in folders.iter().filter(|_| way == Way::Folder) {
                let name = folder.to_string_lossy();
                let shut = named(&name).any(|stream| left_out.contains(&stream.as_str()));
                set_mode(folder, if shut { 0o000 } else { 0o755 });
            }
        };
        let asked = || place.s3().map(asked_of_bucket);
        assert_lines(&mut db, way.name(), ", \"settle\": 0", asked, hide);
        if way == Way::Folder {
            hide(&["app"]);
            db.exec("UPDATE etl_source SET options = '{\"logs\": [\"app\"]}'");
            let refused = db.refused(&format!("SELECT oo_stream('default', {MINUTE})"));
            assert_eq!(refused.sqlstate, "58030", "a folder that is shut shows: {refused}");
            hide(&[]);
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the folder is ours");
}

/// The folders that are named after streams.
fn folders_of_streams(root: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(root).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            match name.is_some_and(|name| named(&name).next().is_some()) {
                true => out.push(path),
                false => out.extend(folders_of_streams(&path)),
            }
        }
    }
    out
}

/// Where no folder names a metric, its points do.
#[test]
fn metrics_that_are_left_out_do_not_count_wherever_their_names_stand() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    let mut lines = String::new();
    for metric in STREAMS {
        for n in 0..records(metric) {
            let record = point(T0 + n * SECOND, metric, "shop", 1.0);
            lines.push_str(&format!("{}\n", Value::Object(record.fields.clone())));
            store.add(Dataset::Metrics, metric, record);
        }
    }
    store.add(Dataset::Logs, "default", log(T0, "shop", "INFO", "a line"));
    let line = json!({ "_timestamp": T0, "service_name": "shop", "body": "a line" }).to_string();
    let oo = OpenObserve::serve(store);
    let s3 = S3::serve();
    for (key, text) in [("metrics", &lines), ("logs", &line)] {
        let key = format!("lake/{key}/yyyy=2026/mm=01/dd=05/hh=10/mm=00/a.ndjson");
        s3.put(&key, text.as_bytes());
    }
    let folder = cluster.make_folder("plain");
    for (name, text) in [("metrics.ndjson", &lines), ("logs.ndjson", &line)] {
        fs::write(folder.join(name), text).expect("a file");
    }
    cluster.set("observe_bridge.file_roots", &folder.to_string_lossy());
    let bucket = format!(
        "kind 's3', endpoint '{}', bucket '{BUCKET}', prefix 'lake/', layout 'hive'",
        s3.endpoint()
    );
    let plain = format!("kind 'file', path '{}', layout 'plain'", folder.display());
    for (name, options) in [("http", String::new()), ("hive", bucket), ("plain", plain)] {
        let mut db = bridge(&cluster, name);
        if options.is_empty() {
            add_openobserve(&mut db, &oo);
        } else {
            db.exec(&format!(
                "CREATE SERVER lake FOREIGN DATA WRAPPER observe_bridge OPTIONS ({options})"
            ));
        }
        if name == "hive" {
            db.exec(&format!(
                "CREATE USER MAPPING FOR CURRENT_USER SERVER lake
                     OPTIONS (access_key_id '{ACCESS_KEY}', secret_access_key '{SECRET_KEY}')"
            ));
        }
        if name != "http" {
            add_source(&mut db, "lake", "{}");
        }
        for (list, chosen) in LISTS {
            let patterns: Value = serde_json::from_str(list).expect("a list");
            oo.searched();
            // Metrics are named, so logs and traces are left out.
            run_with(&mut db, &json!({ "metrics": patterns }).to_string());
            let found = db.rows("SELECT metric, sum(sample_count)::bigint FROM metric_1m GROUP BY 1 ORDER BY 1");
            let expected: Vec<[String; 2]> = chosen.iter().map(|m| [m.to_string(), records(m).to_string()]).collect();
            assert_eq!(found, expected, "{name}, {list}");
            let streamed = db.rows(&format!(
                "SELECT coalesce(r ->> 'metric', r ->> 'kind'), count(*) FROM oo_stream('default', {MINUTE}) r
                  GROUP BY 1 ORDER BY 1"
            ));
            assert_eq!(streamed, expected, "{name}, {list}: oo_stream");
            assert_eq!(db.int("SELECT count(*) FROM log_pattern_5m"), 0, "{name}, {list}");
            if name == "http" {
                let asked = asked_of_server(&oo, Dataset::Metrics);
                assert_eq!(asked, set(chosen.iter().copied()), "{list}");
            }
        }
    }
}

/// A stream of spans that is left out has no parents either.
#[test]
fn spans_that_are_left_out_are_nobodys_parents() {
    let cluster = Cluster::without_workers();
    let child = span(T0 + SECOND, "t1", "c", "p", "cart", 5, false);
    let parent = span(T0 - SECOND, "t1", "p", "", "web", 9, false);
    let mut store = Store::default();
    store.add(Dataset::Traces, "default", child.clone());
    store.add(Dataset::Traces, "debug", parent.clone());
    let oo = OpenObserve::serve(store);
    let s3 = S3::serve();
    for (stream, minute, record) in [("default", "hh=10/mm=00", child), ("debug", "hh=09/mm=59", parent)] {
        let line = format!("{}\n", Value::Object(record.fields));
        let key = format!("lake/spans/yyyy=2026/mm=01/dd=05/{minute}/stream={stream}/a.ndjson");
        s3.put(&key, line.as_bytes());
    }
    for name in ["http", "hive"] {
        let mut db = bridge(&cluster, name);
        if name == "http" {
            add_openobserve(&mut db, &oo);
        } else {
            db.exec(&format!(
                "CREATE SERVER lake FOREIGN DATA WRAPPER observe_bridge
                     OPTIONS (kind 's3', endpoint '{}', bucket '{BUCKET}', prefix 'lake/', layout 'hive');
                 CREATE USER MAPPING FOR CURRENT_USER SERVER lake
                     OPTIONS (access_key_id '{ACCESS_KEY}', secret_access_key '{SECRET_KEY}')",
                s3.endpoint()
            ));
            add_source(&mut db, "lake", "{}");
        }
        for (list, calls) in [(json!(["*"]), 1), (json!(["!debug*"]), 0), (json!(["d*", "!d??ug"]), 0)] {
            oo.searched();
            s3.reads();
            s3.listed();
            run_with(&mut db, &json!({ "traces": list }).to_string());
            let found = db.int("SELECT coalesce(sum(calls), 0)::bigint FROM service_call_5m");
            assert_eq!(found, calls, "{name}, {list}");
            let asked = match name {
                "http" => oo.searched().contains("traces/debug"),
                _ => asked_of_bucket(&s3).contains("debug"),
            };
            assert_eq!(asked, calls > 0, "{name}, {list}");
        }
    }
}

/// Files without an arrangement are of one stream.
#[test]
fn plain_files_are_of_the_stream_default() {
    let cluster = Cluster::without_workers();
    let folder = cluster.make_folder("plain");
    let line = json!({ "_timestamp": T0, "service_name": "shop", "body": "a line" });
    let file = folder.join("logs.ndjson");
    fs::write(&file, format!("{line}\n")).expect("the file");
    cluster.set("observe_bridge.file_roots", &folder.to_string_lossy());
    let mut db = bridge(&cluster, "plain");
    db.exec(&format!(
        "CREATE SERVER lake FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '{}', layout 'plain')",
        folder.display()
    ));
    add_source(&mut db, "lake", "{}");
    for (list, lines) in [
        (json!(["!debug*"]), 1),
        (json!(["def*", "!defaul?x"]), 1),
        (json!(["!default"]), 0),
        (json!(["*", "!d?f*"]), 0),
    ] {
        set_mode(&file, if lines > 0 { 0o644 } else { 0o000 });
        run_with(&mut db, &json!({ "logs": list }).to_string());
        let found = db.int("SELECT coalesce(sum(count_total), 0)::bigint FROM log_pattern_5m");
        let streamed = db.int(&format!("SELECT count(*) FROM oo_stream('default', {MINUTE})"));
        assert_eq!((found, streamed), (lines, lines), "{list}");
    }
}
