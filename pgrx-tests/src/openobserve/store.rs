//! Records in memory.

use super::made::Made;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// The three kinds of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dataset {
    Logs,
    Metrics,
    Traces,
}

impl Dataset {
    /// The parameter `type`; unknown values mean logs, as they do at OpenObserve.
    pub fn of(name: Option<&str>) -> Dataset {
        match name {
            Some("metrics") => Dataset::Metrics,
            Some("traces") => Dataset::Traces,
            _ => Dataset::Logs,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Dataset::Logs => "logs",
            Dataset::Metrics => "metrics",
            Dataset::Traces => "traces",
        }
    }
}

/// One record. `at` decides in which range it is found, also when what it says of itself in `_timestamp` is wrong.
#[derive(Clone, Debug)]
pub struct Record {
    /// UTC microseconds.
    pub at: i64,
    pub fields: Map<String, Value>,
}

impl Record {
    /// A record with `_timestamp` and these fields.
    pub fn new(at: i64, fields: Value) -> Record {
        let Value::Object(mut fields) = fields else {
            panic!("the fields of a record are an object")
        };
        fields.insert("_timestamp".into(), at.into());
        Record { at, fields }
    }

    /// The same with another value of a field, or without it.
    pub fn with(mut self, field: &str, value: Option<Value>) -> Record {
        match value {
            Some(value) => self.fields.insert(field.into(), value),
            None => self.fields.remove(field),
        };
        self
    }
}

/// A stream: its records and its columns.
#[derive(Clone, Debug, Default)]
struct Stream {
    records: Vec<Record>,
    columns: BTreeSet<String>,
    made: Option<Made>,
}

/// Columns of a stream that `SELECT *` gives at most (`ZO_QUICK_MODE_NUM_FIELDS`).
const MAX_STAR: usize = 500;

/// All streams.
#[derive(Clone, Debug, Default)]
pub struct Store {
    streams: BTreeMap<(Dataset, String), Stream>,
    longest: Option<i64>,
}

/// Why a search has no rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    Stream,
    Field(String),
}

impl Store {
    /// Adds a record to a stream, which is made if need be.
    pub fn add(&mut self, dataset: Dataset, stream: &str, record: Record) {
        let stream = self.streams.entry((dataset, stream.to_string())).or_default();
        stream.columns.extend(record.fields.keys().cloned());
        stream.columns.insert("_timestamp".into());
        stream.records.push(record);
    }

    /// Adds a stream whose rows are made when they are asked for, with these columns.
    pub fn add_made(&mut self, dataset: Dataset, stream: &str, columns: &[&str], made: Made) {
        let stream = self.streams.entry((dataset, stream.to_string())).or_default();
        stream.columns = columns.iter().map(|c| c.to_string()).collect();
        stream.columns.insert("_timestamp".into());
        stream.made = Some(made);
    }

    /// How the rows of a stream are made, if they are.
    pub fn made(&self, dataset: Dataset, stream: &str) -> Option<&Made> {
        self.streams.get(&(dataset, stream.to_string()))?.made.as_ref()
    }

    /// From now on searches look at so many microseconds at most, up to the end of their range (`max_query_range`).
    pub fn limit_range(&mut self, longest: i64) {
        self.longest = Some(longest);
    }

    /// Where a search of this range begins.
    pub fn start(&self, from: i64, to: i64) -> i64 {
        self.longest.map_or(from, |longest| from.max(to - longest))
    }

    /// Adds a stream that never got a record, as the base name of a histogram.
    pub fn add_empty(&mut self, dataset: Dataset, stream: &str) {
        self.streams.entry((dataset, stream.to_string())).or_default();
    }

    /// Name, columns and number of records of every stream of a dataset.
    pub fn streams(&self, dataset: Dataset) -> impl Iterator<Item = (&str, &BTreeSet<String>, usize)> {
        let of_dataset = self.streams.iter().filter(move |((d, _), _)| *d == dataset);
        of_dataset.map(|((_, name), s)| (name.as_str(), &s.columns, s.records.len()))
    }

    /// The rows of `[from, to)`, newest first, with these columns (`None`: all).
    pub fn search(
        &self,
        dataset: Dataset,
        stream: &str,
        from: i64,
        to: i64,
        columns: Option<&[String]>,
    ) -> Result<Vec<Map<String, Value>>, Missing> {
        let stream = self
            .streams
            .get(&(dataset, stream.to_string()))
            .ok_or(Missing::Stream)?;
        if stream.records.is_empty() {
            return Err(Missing::Stream);
        }
        if let Some(unknown) = columns.and_then(|list| list.iter().find(|c| !stream.columns.contains(*c))) {
            return Err(Missing::Field(unknown.clone()));
        }
        let mut found: Vec<&Record> = stream.records.iter().filter(|r| from <= r.at && r.at < to).collect();
        found.sort_by_key(|r| std::cmp::Reverse(r.at));
        let star: Vec<String> = stream.columns.iter().take(MAX_STAR).cloned().collect();
        let columns = columns.unwrap_or(&star);
        let keep = |name: &String| name == "_timestamp" || columns.contains(name);
        Ok(found
            .into_iter()
            .map(|r| {
                r.fields
                    .iter()
                    .filter(|(k, _)| keep(k))
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect()
            })
            .collect())
    }
}
