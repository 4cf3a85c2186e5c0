//! Answers of a real server, read from a folder of recordings: `http/*.json` one exchange each, `full/*.json.gz` the
//! complete rows of each stream.

use super::http::{Request, Response};
use super::store::{Dataset, Record, Store};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The recorded exchanges.
pub struct Recordings(Vec<Exchange>);

struct Exchange {
    method: String,
    target: String,
    body: Value,
    response: Response,
}

impl Recordings {
    /// Reads the exchanges whose answers are there in full.
    ///
    /// # Panics
    /// When the folder does not hold what it should: a test cannot go on then.
    pub fn read(folder: &Path) -> Recordings {
        let mut exchanges = Vec::new();
        for path in files(&folder.join("http"), ".json") {
            let text = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let recorded: Value = serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let (request, response) = (&recorded["request"], &recorded["response"]);
            // Runs against other data than that of full/, and answers that were shortened in the recording.
            if recorded["run"] != "disk" || !response["truncated_in_this_file"].is_null() {
                continue;
            }
            let status = response["status"].as_u64().and_then(|s| u16::try_from(s).ok());
            let (Some(status), Some(method), Some(target)) =
                (status, request["method"].as_str(), request["path"].as_str())
            else {
                continue;
            };
            let response = match &response["body"] {
                Value::String(text) => Response::plain(status, text),
                body => Response::json(status, body),
            };
            exchanges.push(Exchange {
                method: method.to_string(),
                target: target.to_string(),
                body: request["body"].clone(),
                response,
            });
        }
        assert!(!exchanges.is_empty(), "no recorded exchanges in {}", folder.display());
        Recordings(exchanges)
    }

    /// The recorded answer to this very request.
    pub fn find(&self, request: &Request) -> Option<Response> {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let same = |e: &&Exchange| e.method == request.method && e.target == request.target && e.body == body;
        self.0.iter().find(same).map(|e| e.response.clone())
    }
}

/// The complete rows of every stream, and the stream that is listed without rows.
///
/// # Panics
/// When the folder does not hold what it should.
pub fn store(folder: &Path) -> Store {
    let mut store = Store::default();
    for path in files(&folder.join("full"), ".json.gz") {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (dataset, stream) = name
            .trim_end_matches(".json.gz")
            .split_once("__")
            .unwrap_or_else(|| panic!("{name} names no stream"));
        let file = File::open(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let answer: Value = serde_json::from_reader(GzDecoder::new(file)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let Value::Array(hits) = answer["hits"].clone() else {
            panic!("{name} has no hits")
        };
        for hit in hits {
            let at = hit["_timestamp"]
                .as_i64()
                .unwrap_or_else(|| panic!("{name}: a row without _timestamp"));
            store.add(Dataset::of(Some(dataset)), stream, Record::new(at, hit));
        }
    }
    store.add_empty(Dataset::Metrics, "http_server_duration");
    store
}

fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.to_string_lossy().ends_with(suffix))
        .collect();
    found.sort();
    found
}
