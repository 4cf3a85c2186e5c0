//! Objects of an hour in a real bucket, and sources that read them.

use super::source::fetch::Fetched;
use super::source::objects::testing::Row;
use super::source::server::{self, Options};
use super::source::{self, Context, Locator, Sample, Selection, Source, SourceError};
use blackbox::s3::{ACCESS_KEY, BUCKET, SECRET_KEY};
use engine::window::{MINUTE_US, Window, Windows};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// 2026-11-20 22:00 UTC.
pub const H22: i64 = 1_795_212_000_000_000;
pub const HOUR: Window = Window {
    from: H22,
    to: H22 + 60 * MINUTE_US,
};
pub const FOLDER: &str = "files/default/logs/app/2026/11/20/22";

pub fn options(pairs: &[(&str, &str)]) -> Options {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

/// A source of the bucket: options of the server, the user mapping and the source.
pub fn source(server: &[(&str, &str)], mapping: &[(&str, &str)], selection: Value) -> Source {
    let mut all = options(&[("kind", "s3"), ("bucket", BUCKET)]);
    all.extend(options(server));
    Source {
        server: "lake".to_string(),
        config: server::config(&all, &options(mapping), Vec::new()).unwrap(),
        selection: Selection::parse(&selection).unwrap(),
    }
}

pub fn keys() -> [(&'static str, &'static str); 2] {
    [("access_key_id", ACCESS_KEY), ("secret_access_key", SECRET_KEY)]
}

pub fn bucket(endpoint: &str, layout: &str) -> Source {
    source(&[("endpoint", endpoint), ("layout", layout)], &keys(), json!({}))
}

pub fn context() -> Context {
    Context {
        cancel: Arc::default(),
        concurrency: 4,
        http_timeout: Duration::from_secs(20),
        masker: Default::default(),
    }
}

pub fn fetch(source: &Source, windows: impl Into<Windows>) -> Result<Fetched, SourceError> {
    let got = source::fetch(std::slice::from_ref(source), windows.into(), &context());
    if let Err(e) = &got {
        assert!(!format!("{e:?} {e}").contains(SECRET_KEY), "{e:?}");
    }
    got
}

pub fn failure(source: &Source) -> SourceError {
    match fetch(source, HOUR) {
        Ok(got) => panic!("{:?}", got.stats),
        Err(e) => e,
    }
}

/// Rows at every second from `from` on.
pub fn rows(from: i64, count: i64) -> Vec<Row> {
    (0..count)
        .map(|i| (H22 + (from + i) * 1_000_000, format!("line {}", from + i)))
        .collect()
}

pub fn name(age: u64) -> String {
    format!("{FOLDER}/{:019}abcd.parquet", 7_529_685_024_161_923_072 + (age << 22))
}

pub fn lines(rows: &[Row]) -> Vec<u8> {
    let line = |(ts, body): &Row| json!({"_timestamp": ts, "body": body, "service_name": "shop"}).to_string() + "\n";
    rows.iter().map(line).collect::<String>().into_bytes()
}

/// The texts of the rows that a replay brings back, in order, and how many rows are gone.
pub fn replay(source: &Source, of: &[Locator], sample: &Sample) -> Result<(Vec<String>, u64), SourceError> {
    let got = source::replay(&source.config, of, sample, &context())?;
    let body = |row: &String| -> String {
        let row: Value = serde_json::from_str(row).unwrap();
        row["body"].as_str().unwrap().to_string()
    };
    let mut bodies: Vec<String> = got.rows.iter().map(body).collect();
    bodies.sort();
    Ok((bodies, got.gone))
}
