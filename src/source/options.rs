//! `etl_source.options`: which streams of a source are read, and how.

use super::error::SourceError;
use super::pattern::Patterns;
use engine::aggregate::Margin;
use engine::decode::fields::LabelChoice;
use engine::record::Dataset;
use serde_json::Value;

const KEYS: &str = "logs, metrics, traces, metric_labels, parent_margin_before, parent_margin_after, page_rows, settle, \
     fallback";
const DEFAULT_MARGIN: Margin = Margin {
    before: 300_000_000,
    after: 5_000_000,
};
const MAX_MARGIN_US: i64 = 24 * 3_600_000_000;
const DEFAULT_PAGE_ROWS: usize = 50_000;
const MAX_PAGE_ROWS: u64 = 1_000_000;

/// What is read of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Streams of each dataset; the empty list leaves the dataset out. For metrics a stream is a metric name.
    pub logs: Patterns,
    pub metrics: Patterns,
    pub traces: Patterns,
    /// Labels of metric points that are kept apart.
    pub metric_labels: LabelChoice,
    /// How far around a window parents of its spans are looked for.
    pub parent_margin: Margin,
    /// Rows asked for in one request.
    pub page_rows: usize,
    /// Buckets: how long after its end a window may still miss objects, microseconds. `None`: what the layout has.
    pub settle_us: Option<i64>,
    /// Buckets: the server that windows are read from until then.
    pub fallback: Option<String>,
}

impl Default for Selection {
    fn default() -> Self {
        Selection {
            logs: Patterns::all(),
            metrics: Patterns::all(),
            traces: Patterns::all(),
            metric_labels: LabelChoice::None,
            parent_margin: DEFAULT_MARGIN,
            page_rows: DEFAULT_PAGE_ROWS,
            settle_us: None,
            fallback: None,
        }
    }
}

impl Selection {
    /// Reads an options object such as `{"logs":["default"],"metrics":["http_*","!http_debug"],"metric_labels":["le"]}`.
    /// As soon as one dataset is named, those not named are left out; without any, all streams of all are read.
    /// Margins are numbers with units (`"5 min"`, `"1 h 30 s"`), `hh:mm:ss`, or seconds as a number.
    pub fn parse(options: &Value) -> Result<Selection, SourceError> {
        let Value::Object(map) = options else {
            return Err(wrong("options", "a JSON object", options));
        };
        let mut s = Selection::default();
        if Dataset::ALL.iter().any(|d| map.contains_key(d.as_str())) {
            (s.logs, s.metrics, s.traces) = (Patterns::default(), Patterns::default(), Patterns::default());
        }
        for (key, value) in map {
            match key.as_str() {
                "logs" => s.logs = Patterns::new(names(key, value)?),
                "metrics" => s.metrics = Patterns::new(names(key, value)?),
                "traces" => s.traces = Patterns::new(names(key, value)?),
                "metric_labels" => {
                    let labels = names(key, value)?;
                    s.metric_labels = match labels {
                        l if l.is_empty() => LabelChoice::None,
                        l if l.iter().any(|l| l == "*") => LabelChoice::All,
                        l => LabelChoice::Some(l),
                    };
                }
                "parent_margin_before" => s.parent_margin.before = margin(key, value)?,
                "parent_margin_after" => s.parent_margin.after = margin(key, value)?,
                "settle" => s.settle_us = Some(margin(key, value)?),
                "fallback" => match value {
                    Value::String(name) if !name.is_empty() => s.fallback = Some(name.clone()),
                    other => return Err(wrong(key, "the name of a server", other)),
                },
                "page_rows" => s.page_rows = page_rows(value)?,
                _ => {
                    return Err(SourceError::config(
                        format!("unknown source option \"{key}\""),
                        format!("Valid options are: {KEYS}."),
                    ));
                }
            }
        }
        Ok(s)
    }

    /// The same without the datasets that are not among these.
    pub fn only(&self, datasets: &[Dataset]) -> Selection {
        let keep = |dataset: Dataset| match datasets.contains(&dataset) {
            true => self.streams(dataset).clone(),
            false => Patterns::default(),
        };
        Selection {
            logs: keep(Dataset::Logs),
            metrics: keep(Dataset::Metrics),
            traces: keep(Dataset::Traces),
            ..self.clone()
        }
    }

    /// The streams wanted of a dataset.
    pub fn streams(&self, dataset: Dataset) -> &Patterns {
        match dataset {
            Dataset::Logs => &self.logs,
            Dataset::Metrics => &self.metrics,
            Dataset::Traces => &self.traces,
        }
    }

    /// The datasets of which anything is wanted.
    pub fn datasets(&self) -> impl Iterator<Item = Dataset> {
        Dataset::ALL.into_iter().filter(|d| !self.streams(*d).is_empty())
    }
}

fn wrong(key: &str, expected: &str, got: &Value) -> SourceError {
    let got = match got {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    SourceError::config(
        format!("source option \"{key}\" must be {expected}, not {got}"),
        format!("Valid options are: {KEYS}."),
    )
}

/// A list of non-empty texts, or one text alone.
fn names(key: &str, value: &Value) -> Result<Vec<String>, SourceError> {
    const EXPECTED: &str = "an array of non-empty texts";
    let one = |v: &Value| match v {
        Value::String(s) if !s.trim_start_matches('!').is_empty() => Ok(s.clone()),
        other => Err(wrong(key, EXPECTED, other)),
    };
    match value {
        Value::String(_) => Ok(vec![one(value)?]),
        Value::Array(items) => items.iter().map(one).collect(),
        other => Err(wrong(key, EXPECTED, other)),
    }
}

fn page_rows(value: &Value) -> Result<usize, SourceError> {
    value
        .as_u64()
        .filter(|n| (1..=MAX_PAGE_ROWS).contains(n))
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| wrong("page_rows", &format!("an integer between 1 and {MAX_PAGE_ROWS}"), value))
}

fn margin(key: &str, value: &Value) -> Result<i64, SourceError> {
    duration(value).ok_or_else(|| {
        wrong(
            key,
            "a duration between 0 and 24 hours such as \"5 min\", or seconds as a number",
            value,
        )
    })
}

/// A duration between 0 and 24 hours in microseconds: numbers with units, `hh:mm:ss`, or seconds.
pub fn duration(value: &Value) -> Option<i64> {
    let us = match value {
        Value::Number(n) => n.as_f64().map(|s| s * 1e6),
        Value::String(s) => duration_us(s),
        _ => None,
    };
    // The range check also makes the cast exact.
    us.filter(|us| (0.0..=MAX_MARGIN_US as f64).contains(us))
        .map(|us| us.round() as i64)
}

/// `"5 min"`, `"1h 30 s"`, `"00:05:00"` or `"300"` (seconds) in microseconds.
fn duration_us(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.contains(':') {
        let parts: Vec<u32> = text.split(':').map(|p| p.parse().ok()).collect::<Option<_>>()?;
        return match parts.as_slice() {
            [h, m, s] if *m < 60 && *s < 60 => Some(f64::from(*h) * 3.6e9 + f64::from(*m) * 6e7 + f64::from(*s) * 1e6),
            _ => None,
        };
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        total += number.parse::<f64>().ok()? * unit_us(unit)?;
        rest = tail.trim_start();
    }
    (!text.is_empty()).then_some(total)
}

fn unit_us(unit: &str) -> Option<f64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "us" | "microsecond" | "microseconds" => 1.0,
        "ms" | "millisecond" | "milliseconds" => 1e3,
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1e6,
        "m" | "min" | "mins" | "minute" | "minutes" => 6e7,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3.6e9,
        "d" | "day" | "days" => 8.64e10,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(options: Value) -> String {
        let e = Selection::parse(&options).unwrap_err();
        assert!(e.is_permanent());
        format!("{} | {}", e.message, e.hint.unwrap())
    }

    #[test]
    fn an_empty_object_is_everything() {
        let s = Selection::parse(&json!({})).unwrap();
        assert_eq!(s, Selection::default());
        assert_eq!(s.datasets().count(), 3);
        let s = Selection::parse(&json!({"metric_labels": "*"})).unwrap();
        assert!(s.metrics.is_all() && s.metric_labels == LabelChoice::All);
    }

    #[test]
    fn naming_one_dataset_leaves_the_others_out() {
        let s = Selection::parse(&json!({"logs": ["default", "!x"], "metrics": [], "metric_labels": ["le"]})).unwrap();
        assert_eq!(s.datasets().collect::<Vec<_>>(), [Dataset::Logs]);
        assert!(s.logs.matches("default") && !s.logs.matches("x"));
        assert_eq!(s.metric_labels, LabelChoice::Some(vec!["le".to_string()]));
    }

    #[test]
    fn datasets_can_be_left_out() {
        let s = Selection::parse(&json!({"logs": ["a"], "metrics": ["b"]})).unwrap();
        let only = s.only(&[Dataset::Metrics, Dataset::Traces]);
        assert_eq!(only.datasets().collect::<Vec<_>>(), [Dataset::Metrics]);
        assert!(only.metrics.matches("b"));
    }

    #[test]
    fn durations() {
        for (text, want) in [
            ("5 min", Some(3e8)),
            ("300", Some(3e8)),
            ("1h30m", Some(5.4e9)),
            ("1 hour 30 seconds", Some(3.63e9)),
            ("00:05:00", Some(3e8)),
            ("250ms", Some(2.5e5)),
            ("0.5 s", Some(5e5)),
            ("", None),
            ("min", None),
            ("5 parsecs", None),
            ("-5 s", None),
            ("00:65:00", None),
            ("1.2.3 s", None),
        ] {
            assert_eq!(duration_us(text), want, "{text}");
        }
        let s = Selection::parse(&json!({"settle": "45 min", "fallback": "oo"})).unwrap();
        assert_eq!((s.settle_us, s.fallback.as_deref()), (Some(2_700_000_000), Some("oo")));
        let s = Selection::parse(&json!({"parent_margin_before": 10, "parent_margin_after": "0 s"})).unwrap();
        assert_eq!((s.parent_margin.before, s.parent_margin.after), (10_000_000, 0));
    }

    #[test]
    fn bad_options_name_the_valid_ones() {
        assert!(error(json!({"log": ["x"]})).contains("\"log\" | Valid options are: logs, metrics"));
        assert!(error(json!([])).contains("not an array"));
        assert!(error(json!({"logs": 1})).contains("array of non-empty texts, not a number"));
        assert!(error(json!({"logs": [""]})).contains("not a text"));
        assert!(error(json!({"logs": ["!"]})).contains("not a text"));
        assert!(error(json!({"page_rows": 0})).contains("between 1 and"));
        assert!(error(json!({"page_rows": "many"})).contains("between 1 and"));
        assert!(error(json!({"parent_margin_before": "2 days"})).contains("24 hours"));
        assert!(error(json!({"parent_margin_after": -1})).contains("24 hours"));
    }
}
