//! Checks against recordings of a real server, which are not part of this repository: the tests read them below the
//! directory that the environment variable OBSERVE_BRIDGE_SHARED names, and pass when it is unset.

use super::fields::LabelChoice;
use super::testing::{Call, Calls};
use super::{Options, json, parquet, reply};
use crate::record::Dataset;
use crate::window::Window;
use std::path::{Path, PathBuf};
use std::process::Command;

const ALL: Window = Window {
    from: i64::MIN,
    to: i64::MAX,
};

fn recordings() -> Option<PathBuf> {
    std::env::var_os("OBSERVE_BRIDGE_SHARED").map(|dir| PathBuf::from(dir).join("openobserve"))
}

fn files(below: &Path, ending: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(below).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            out.push(path);
        }
    }
    out.sort();
    out
}

/// All records of Parquet objects, sorted.
fn objects(options: &Options, paths: &[PathBuf], range: Window) -> Vec<String> {
    let mut calls = Calls::default();
    for path in paths {
        let before = calls.0.len() as u64;
        let stats = parquet::parquet(options, std::fs::File::open(path).unwrap(), range, &mut calls).unwrap();
        assert_eq!(stats.rows_in_range, calls.0.len() as u64 - before);
        let mut rows = Vec::new();
        let each = |row| {
            rows.push(row);
            std::ops::ControlFlow::Continue(())
        };
        parquet::json_rows(std::fs::File::open(path).unwrap(), range, each).unwrap();
        assert_eq!(rows.len() as u64, stats.rows_in_range);
    }
    sorted(&calls.0)
}

/// A host says nothing where there is a service, and is not always read.
fn sorted(calls: &[Call]) -> Vec<String> {
    let mut calls = calls.to_vec();
    for call in &mut calls {
        if let Call::Log { service, host, .. } | Call::Point { service, host, .. } = call
            && service.is_some()
        {
            *host = None;
        }
    }
    let mut out: Vec<String> = calls.iter().map(|c| format!("{c:?}")).collect();
    out.sort();
    out
}

#[test]
fn answers_and_objects_hold_the_same_records() {
    let Some(dir) = recordings() else { return };
    let rows = [
        ("logs", "default", 15000),
        ("logs", "edge_nginx", 600),
        ("metrics", "http_server_duration_bucket", 1296),
        ("metrics", "http_server_duration_count", 144),
        ("metrics", "http_server_duration_max", 144),
        ("metrics", "http_server_duration_min", 144),
        ("metrics", "http_server_duration_sum", 144),
        ("metrics", "http_server_requests_total", 576),
        ("metrics", "process_cpu_usage", 288),
        ("metrics", "process_memory_usage", 144),
        ("metrics", "queue_depth", 36),
        ("metrics", "up", 36),
        ("traces", "default", 3017),
    ];
    for (kind, stream, n) in rows {
        let options = Options::stream(kind.parse().unwrap(), stream, LabelChoice::All);
        let body = Command::new("gzip")
            .arg("-dc")
            .arg(dir.join(format!("full/{kind}__{stream}.json.gz")))
            .output();
        let body = body.unwrap().stdout;
        let mut calls = Calls::default();
        let page = json::search_response(&options, &body, &mut calls).unwrap();
        assert_eq!(
            (page.hits, calls.0.len(), calls.rejects().len()),
            (n, n, 0),
            "{kind}/{stream}"
        );
        let paths = files(
            &dir.join(format!("objects/disk/stream/files/default/{kind}/{stream}")),
            ".parquet",
        );
        let stored = objects(&options, &paths, ALL);
        assert!(sorted(&calls.0) == stored, "{kind}/{stream}");
        let minute = Window::new(1_795_216_320_000_000, 1_795_216_380_000_000);
        let inside = stored.iter().filter(|c| {
            let ts = c
                .split_once("ts: ")
                .and_then(|(_, t)| t.split(',').next()?.parse().ok());
            ts.is_some_and(|ts| minute.contains(ts))
        });
        assert!(inside.eq(&objects(&options, &paths, minute)), "{kind}/{stream}");
    }
}

#[test]
fn merged_objects_hold_their_sources() {
    let Some(dir) = recordings() else { return };
    let hour = |stream: &str| {
        files(
            &dir.join(format!("objects/s3/oo/prod/files/default/{stream}/2026/11/20/22")),
            ".parquet",
        )
    };
    for (dataset, stream, rows) in [
        (Dataset::Logs, "logs/default", 10_000),
        (Dataset::Traces, "traces/default", 2010),
    ] {
        let paths = hour(stream);
        // Keys sort by creation time, so the merge product is the last one.
        let (merged, sources) = paths.split_last().unwrap();
        let merged = objects(&Options::new(dataset), std::slice::from_ref(merged), ALL);
        assert_eq!(merged.len(), rows);
        assert!(merged == objects(&Options::new(dataset), sources, ALL), "{stream}");
    }
}

#[test]
fn every_object_and_every_answer_can_be_read() {
    let Some(dir) = recordings() else { return };
    for path in files(&dir.join("objects"), ".parquet") {
        let name = path.to_string_lossy().into_owned();
        let dataset = Dataset::ALL
            .into_iter()
            .find(|d| name.contains(&format!("/default/{}/", d.as_str())));
        objects(
            &Options::new(dataset.unwrap_or(Dataset::Logs)),
            std::slice::from_ref(&path),
            ALL,
        );
    }
    let mut odd = Vec::new();
    for path in files(&dir.join("http"), ".json") {
        let file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let request = file["request"]["path"].as_str().unwrap_or_default();
        let body = match &file["response"]["body"] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let error = reply::search_error(body.as_bytes());
        if file["response"]["status"] != 200 {
            assert!(
                file["response"]["body"].is_null() || !error.message.is_empty() || body.is_empty(),
                "{path:?}"
            );
        } else if request.contains("/_search?") {
            let kind = request
                .split("type=")
                .nth(1)
                .and_then(|t| t.split('&').next()?.parse().ok());
            let mut calls = Calls::default();
            let options = Options::new(kind.unwrap_or(Dataset::Logs));
            let page = json::search_response(&options, body.as_bytes(), &mut calls).unwrap();
            assert_eq!(page.hits, calls.0.len(), "{path:?}");
            odd.extend(
                calls
                    .0
                    .iter()
                    .filter(|c| matches!(c, Call::Reject(..)))
                    .map(|c| (path.clone(), c.clone())),
            );
            if file["request"]["body"]["query"]["track_total_hits"] == true {
                assert_eq!(reply::count_response(body.as_bytes()), Ok(15000));
            }
        }
    }
    // The aggregates and tables among the answers are no records, and one span ends before it starts.
    let wrapped = odd.iter().filter(|(p, _)| p.to_string_lossy().contains("209_")).count();
    assert_eq!(wrapped, 1, "{odd:?}");
}
