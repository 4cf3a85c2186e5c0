//! What the server answers when nothing is wrong with it.

use super::http::{Request, Response};
use super::store::{Dataset, Missing, Store};
use super::{ORG, PASSWORD, Shared, TOKEN, USER, lock};
use chrono::DateTime;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Rows of an answer when the request names no size.
const DEFAULT_SIZE: usize = 1000;

pub fn answer(shared: &Shared, request: &Request) -> Response {
    let shown = request.authorization.as_deref();
    if shown != Some(&expected_authorization()) && shown != Some(&format!("Bearer {TOKEN}")) {
        return Response::plain(401, "Unauthorized Access");
    }
    let path: Vec<&str> = request.path().trim_matches('/').split('/').collect();
    // Below any base path, as behind another server.
    let [.., "api", org, route] = path.as_slice() else {
        return Response::plain(404, "");
    };
    if *org != ORG {
        return Response::plain(404, "Organization not found");
    }
    if let Some(recorded) = shared.recordings.as_ref().and_then(|r| r.find(request)) {
        return recorded;
    }
    let dataset = Dataset::of(request.parameter("type"));
    let store = lock(&shared.store);
    match (request.method.as_str(), *route) {
        ("GET", "streams") => streams(&store, dataset),
        ("POST", "_search") => match serde_json::from_slice(&request.body) {
            Ok(body) => search(&store, dataset, &body),
            Err(e) => Response::plain(400, &e.to_string()),
        },
        _ => Response::plain(404, ""),
    }
}

/// The stream a request searches, if it is a search.
pub fn searched_stream(request: &Request) -> Option<String> {
    if !request.path().ends_with("/_search") {
        return None;
    }
    let body: Value = serde_json::from_slice(&request.body).ok()?;
    Select::parse(body["query"]["sql"].as_str()?).map(|s| s.stream)
}

/// 400 for a stream that does not exist.
pub fn no_stream(name: &str) -> Response {
    refusal(20002, &format!("Search stream not found: {name}"))
}

/// A search's answer that admits to have only part of the rows, and has half of them.
pub fn made_partial(body: &[u8]) -> Vec<u8> {
    let mut answer: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(hits) = answer["hits"].as_array_mut() {
        hits.truncate(hits.len() / 2);
    }
    answer["is_partial"] = json!(true);
    answer["function_error"] = json!(["Please be aware that the response is based on partial data"]);
    answer.to_string().into_bytes()
}

fn streams(store: &Store, dataset: Dataset) -> Response {
    let list: Vec<Value> = store
        .streams(dataset)
        .map(|(name, columns, rows)| {
            let schema: Vec<Value> = columns.iter().map(|c| json!({ "name": c, "type": "Utf8" })).collect();
            json!({ "name": name, "stream_type": dataset.name(), "stats": { "doc_num": rows }, "schema": schema })
        })
        .collect();
    Response::json(200, &json!({ "total": list.len(), "list": list }))
}

fn search(store: &Store, dataset: Dataset, body: &Value) -> Response {
    let query = &body["query"];
    let (Some(sql), Some(from), Some(to)) = (
        query["sql"].as_str(),
        query["start_time"].as_i64(),
        query["end_time"].as_i64(),
    ) else {
        return Response::plain(422, "Failed to deserialize the JSON body: missing field");
    };
    if from > to {
        return refusal(400, "Error# [file_list] invalid time range");
    }
    let Some(select) = Select::parse(sql) else {
        return refusal(20001, &format!("Error# SQL not valid: {sql}"));
    };
    let size = query["size"]
        .as_u64()
        .map_or(DEFAULT_SIZE, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let count = query["track_total_hits"] == json!(true);
    if let Some(made) = store.made(dataset, &select.stream) {
        return made.answer(from, to, size, count);
    }
    let start = store.start(from, to);
    let wanted: Option<Vec<String>> = select
        .columns
        .as_ref()
        .map(|all| all.iter().map(|(c, _)| c.clone()).collect());
    let rows = match store.search(dataset, &select.stream, start, to, wanted.as_deref()) {
        Ok(rows) => select.renamed(rows),
        Err(Missing::Stream) => return no_stream(&select.stream),
        Err(Missing::Field(name)) => return refusal(20004, &format!("Search field not found: {name}")),
    };
    let hits = if select.by_minute {
        by_minute(&rows)
    } else if count {
        vec![json!({ "zo_sql_num": rows.len() })]
    } else {
        rows.into_iter().take(size).map(Value::Object).collect()
    };
    let mut answer = json!({
        "took": 1, "hits": hits, "total": hits.len(), "from": 0, "size": size, "scan_records": 0, "is_partial": false,
        "order_by": "desc",
    });
    if start > from {
        answer["is_partial"] = json!(true);
        answer["function_error"] = json!(["Query duration is modified due to query range restriction"]);
        answer["new_start_time"] = json!(start);
        answer["new_end_time"] = json!(to);
    }
    Response::json(200, &answer)
}

/// Rows counted by minute, which are told as OpenObserve's `histogram` tells them: UTC, without a zone.
fn by_minute(rows: &[Map<String, Value>]) -> Vec<Value> {
    const MINUTE: i64 = 60_000_000;
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    for at in rows.iter().filter_map(|row| row["_timestamp"].as_i64()) {
        *counts.entry(at.div_euclid(MINUTE)).or_default() += 1;
    }
    let told =
        |minute: i64| DateTime::from_timestamp(minute * 60, 0).map(|t| t.format("%Y-%m-%dT%H:%M:%S").to_string());
    counts
        .into_iter()
        .map(|(minute, records)| json!({ "minute": told(minute), "records": records }))
        .collect()
}

fn refusal(code: i64, message: &str) -> Response {
    Response::json(
        400,
        &json!({ "code": code, "message": message, "error_detail": "", "trace_id": "0" }),
    )
}

/// The only grouping that is known.
const BY_MINUTE: &str = "histogram(_timestamp, '1 minute') AS minute, count(*) AS records";

/// `SELECT columns FROM "stream"`, or its records by minute.
struct Select {
    stream: String,
    /// Columns and what the answer calls them. `None`: all.
    columns: Option<Vec<(String, String)>>,
    /// Counted, not shown.
    by_minute: bool,
}

impl Select {
    fn parse(sql: &str) -> Option<Select> {
        let (list, stream) = sql.strip_prefix("SELECT ")?.rsplit_once(" FROM ")?;
        let name = |text: &str| {
            let text = text.trim();
            text.strip_prefix('"')
                .and_then(|t| t.strip_suffix('"'))
                .map_or(text.to_string(), |t| t.replace("\"\"", "\""))
        };
        let by_minute = list == BY_MINUTE;
        let (stream, list) = match stream.strip_suffix(" GROUP BY minute") {
            Some(stream) if by_minute => (stream, "*"),
            _ => (stream, list),
        };
        let column = |item: &str| match item.split_once(" AS ") {
            Some((column, alias)) => (name(column), name(alias)),
            None => (name(item), name(item)),
        };
        let columns = (list.trim() != "*").then(|| list.split(',').map(column).collect());
        Some(Select {
            stream: name(stream),
            columns,
            by_minute,
        })
    }

    fn renamed(&self, rows: Vec<Map<String, Value>>) -> Vec<Map<String, Value>> {
        let alias = |column: String| {
            let named = self.columns.iter().flatten().find(|(c, _)| *c == column);
            named.map_or(column, |(_, alias)| alias.clone())
        };
        let row = |row: Map<String, Value>| row.into_iter().map(|(k, v)| (alias(k), v)).collect();
        rows.into_iter().map(row).collect()
    }
}

fn expected_authorization() -> String {
    format!("Basic {}", base64(format!("{USER}:{PASSWORD}").as_bytes()))
}

/// Base64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk
            .iter()
            .enumerate()
            .fold(0u32, |n, (i, b)| n | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let symbol = ALPHABET[(n >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= chunk.len() { char::from(symbol) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_encoded_as_the_rfc_has_it() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|t| base64(t.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
    }

    #[test]
    fn selects_name_stream_and_columns() {
        let s = Select::parse(r#"SELECT "_timestamp", "a b" AS "a" FROM "my ""stream""""#).expect("a select");
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        assert_eq!(
            (s.stream.as_str(), s.columns.expect("columns").as_slice()),
            (
                "my \"stream\"",
                &[pair("_timestamp", "_timestamp"), pair("a b", "a")][..]
            )
        );
        assert!(Select::parse("SELECT * FROM x").expect("a select").columns.is_none());
        assert!(Select::parse("DELETE").is_none());
    }
}
