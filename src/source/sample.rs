//! Which of the records behind a locator are shown, and those found so far.

use super::error::SourceError;
use serde_json::{Map, Value};
use std::ops::ControlFlow;

/// At most so many records, all of which have the fields of the filter.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub max: usize,
    filter: Map<String, Value>,
}

impl Sample {
    /// Any records.
    pub fn first(max: usize) -> Self {
        Sample {
            max,
            filter: Map::new(),
        }
    }

    /// Records that contain `filter`, an object: each of its fields is in the record with the same value. Objects inside
    /// are held to the same. A number or a boolean equals its text: one field may be of different types in different
    /// objects of a stream.
    ///
    /// # Errors
    /// `Config` for a filter that is no object.
    pub fn of(max: usize, filter: Value) -> Result<Self, SourceError> {
        match filter {
            Value::Object(filter) => Ok(Sample { max, filter }),
            other => Err(SourceError::config(
                "the filter must be a JSON object of fields and their values",
                "For example: '{\"service_name\": \"cart\", \"severity\": \"ERROR\"}'.",
            )
            .detail(format!("It is {other:.100}."))),
        }
    }

    /// The same with another number of records.
    pub fn up_to(&self, max: usize) -> Self {
        Sample {
            max,
            filter: self.filter.clone(),
        }
    }

    /// Whether any record will do.
    pub fn takes_all(&self) -> bool {
        self.filter.is_empty()
    }

    fn takes(&self, record: &str) -> bool {
        self.takes_all()
            || serde_json::from_str(record).is_ok_and(|record: Value| match record {
                Value::Object(record) => contains(&record, &self.filter),
                _ => false,
            })
    }
}

/// The depth is that of parsed JSON, which is bounded.
fn contains(record: &Map<String, Value>, filter: &Map<String, Value>) -> bool {
    filter.iter().all(|(key, wanted)| match (record.get(key), wanted) {
        (Some(Value::Object(record)), Value::Object(wanted)) => contains(record, wanted),
        // A column that is null is left out of a record.
        (None, Value::Null) => true,
        (Some(found), wanted) => same(found, wanted),
        (None, _) => false,
    })
}

fn same(found: &Value, wanted: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(
            n.as_f64()
                .filter(|f| f.fract() == 0.0 && f.abs() < 1e15)
                .map_or(n.to_string(), |f| format!("{f:.0}")),
        ),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    };
    found == wanted || text(found).is_some_and(|found| text(wanted) == Some(found))
}

/// The records found.
pub struct Picked<'a> {
    sample: &'a Sample,
    pub rows: Vec<String>,
    /// Whether there was any record, shown or not.
    pub any: bool,
}

impl<'a> Picked<'a> {
    /// None yet.
    pub fn new(sample: &'a Sample) -> Self {
        Picked {
            sample,
            rows: Vec::new(),
            any: false,
        }
    }

    /// How many more records there may be.
    pub fn room(&self) -> usize {
        self.sample.max.saturating_sub(self.rows.len())
    }

    /// Shown a record; says whether to go on.
    pub fn offer(&mut self, record: String) -> ControlFlow<()> {
        self.any = true;
        if self.room() > 0 && self.sample.takes(&record) {
            self.rows.push(record);
        }
        match self.room() {
            0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_contains_a_filter() {
        let record = r#"{"service_name":"cart","code":200,"ok":true,"ratio":0.5,"big":9007199254740993,"tags":{"a":1,"b":[1,2]}}"#;
        let takes = |filter: Value| Sample::of(1, filter).unwrap().takes(record);
        for good in [
            json!({}),
            json!({"service_name": "cart", "code": 200}),
            json!({"code": "200"}),
            json!({"code": 200.0}),
            json!({"ok": true}),
            json!({"ok": "true"}),
            json!({"ratio": "0.5"}),
            json!({"big": 9007199254740993i64}),
            json!({"tags": {"a": 1}}),
            json!({"tags": {"b": [1, 2]}}),
            json!({"absent": null}),
        ] {
            assert!(takes(good.clone()), "{good}");
        }
        for bad in [
            json!({"service_name": "car"}),
            json!({"service_name": "cart", "code": 201}),
            json!({"absent": "x"}),
            json!({"big": 9007199254740992i64}),
            json!({"tags": {"a": 2}}),
            json!({"tags": {}, "code": {}}),
            json!({"code": null}),
        ] {
            assert!(!takes(bad.clone()), "{bad}");
        }
        for wrong in [json!([]), json!("x"), json!(1)] {
            assert!(Sample::of(1, wrong).unwrap_err().hint.is_some());
        }
    }

    #[test]
    fn as_many_as_wanted() {
        let sample = Sample::of(2, json!({"a": 1})).unwrap();
        let mut picked = Picked::new(&sample);
        assert!(!picked.any && picked.room() == 2);
        for (record, goes_on) in [
            ("{\"a\":1}", true),
            ("{\"a\":2}", true),
            ("no json", true),
            ("{\"a\":\"1\"}", false),
        ] {
            assert_eq!(picked.offer(record.to_string()).is_continue(), goes_on, "{record}");
        }
        assert!(picked.any && picked.rows.len() == 2);
        let nothing = Sample::first(0);
        assert!(Picked::new(&nothing).offer("{}".to_string()).is_break());
    }
}
