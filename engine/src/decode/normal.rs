//! Records for people and programs: the same few members whatever the source calls its columns, the rest as attributes.

use super::fields::{Role, role};
use super::{Options, json};
use crate::patterns::{mask_json, mask_secrets, names_secret};
use crate::record::{Dataset, Identity, LogRecord, MetricPoint, RecordSink, RejectReason, SpanRecord};
use crate::text::without_nul;
use crate::urn;
use serde_json::{Map, Value, json as object};

/// Deepest nesting of an attribute: records are read once more on their way, and the JSON library stops at 127.
const MAX_NESTING: usize = 120;
/// The only attribute of a record whose columns cannot be told apart: its text.
const RAW: &str = "raw";
/// Stands for a text whose secrets cannot all be told.
const NOT_SHOWN: &str = "not shown: may hold secrets";

/// One raw record (a JSON object) as a normalised one.
///
/// All have `kind` (`log`, `metric`, `span`), `time` (UTC microseconds since the epoch), `urn`, and in `attrs` every
/// column that is not told otherwise. A log has `body` and `severity` (null if it has none); a metric `metric` and
/// `value`; a span `trace_id`, `span_id`, `parent_span_id`, `duration_us` and `error`. Texts are without secrets and
/// without NUL, as in samples and labels. Where the JSON library refuses the columns (nested more than 120 deep, a number
/// that no type holds), `attrs` has one member `raw`, the text of the record, if that hides what its columns would.
///
/// # Errors
/// Why [`json::ndjson`] refuses it.
///
/// ```
/// use engine::{decode::{Options, normal::normalise}, record::Dataset};
/// let raw = r#"{"_timestamp":7,"message":"password=x","app":"web","code":200}"#;
/// let record = normalise(&Options::new(Dataset::Logs), raw).unwrap();
/// assert_eq!((&record["kind"], &record["time"], &record["urn"]), (&"log".into(), &7.into(), &"urn:svc:web".into()));
/// assert_eq!(record["body"], "password=***");
/// assert_eq!(record["attrs"], serde_json::json!({"app": "web", "code": 200}));
/// ```
pub fn normalise(options: &Options, raw: &str) -> Result<Map<String, Value>, RejectReason> {
    let mut sink = Normal(Err(RejectReason::NotAnObject));
    json::ndjson(options, raw.as_bytes(), &mut sink);
    let mut record = sink.0?;
    let readable = |attributes: &Map<String, Value>| attributes.values().all(|value| nests_at_most(value, MAX_NESTING));
    let attributes = match serde_json::from_str(raw).ok().filter(readable) {
        Some(attributes) => others(options.dataset, attributes),
        None => object!({ RAW: whole(raw) }),
    };
    record.insert("attrs".to_string(), attributes);
    Ok(record)
}

/// The columns that the members of the record do not tell, without secrets.
fn others(dataset: Dataset, mut attributes: Map<String, Value>) -> Value {
    let told = told(dataset, &attributes);
    attributes.retain(|name, _| !told.contains(name));
    let mut others = Value::Object(attributes);
    mask_json(&mut others);
    others
}

/// Whether lists and objects lie at most so deep in each other. A value comes from a text whose nesting was bounded.
fn nests_at_most(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| nests_at_most(item, depth - 1)),
        Value::Object(members) => depth > 0 && members.values().all(|member| nests_at_most(member, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// The columns that the members of the record already tell: of each role the one that wins.
fn told(dataset: Dataset, attributes: &Map<String, Value>) -> Vec<String> {
    let mut best: Vec<(Role, u8, &String)> = Vec::new();
    for (name, value) in attributes {
        let Some((role, rank)) = role(dataset, name).filter(|(role, _)| is_told(*role)) else {
            continue;
        };
        if value.is_null() {
            continue;
        }
        match best.iter_mut().find(|(known, ..)| *known == role) {
            Some(known) if rank < known.1 => *known = (role, rank, name),
            Some(_) => {}
            None => best.push((role, rank, name)),
        }
    }
    best.into_iter().map(|(_, _, name)| name.clone()).collect()
}

/// What a member of the record holds whole. A URN does not, nor does `error`.
fn is_told(role: Role) -> bool {
    !matches!(role, Role::Service | Role::Host | Role::Status)
}

fn text(text: &str) -> Value {
    Value::String(mask_secrets(&without_nul(text)).into_owned())
}

/// The text of a record without secrets; none of it where columns hide more than a text does: lists, objects and booleans
/// under the name of a secret, and what has an escaped name.
fn whole(raw: &str) -> Value {
    let raw = without_nul(raw);
    // Of a list, an object, `true`, `false`.
    let begins = |c: char| matches!(c, '[' | '{' | 't' | 'f');
    let mut name = "";
    let more = raw.split('"').any(|piece| {
        let value = piece.trim_start().strip_prefix(':').map(str::trim_start);
        let secret = value.is_some_and(|value| value.starts_with(begins)) && names_secret(name);
        name = piece;
        secret
    });
    if more || raw.contains("\\u") {
        return NOT_SHOWN.into();
    }
    text(&raw)
}

/// Keeps the record it is given, or why there is none.
struct Normal(Result<Map<String, Value>, RejectReason>);

impl Normal {
    fn keep(&mut self, record: Value) {
        if let Value::Object(record) = record {
            self.0 = Ok(record);
        }
    }
}

impl RecordSink for Normal {
    fn log(&mut self, r: LogRecord<'_>) {
        self.keep(object!({
            "kind": "log", "time": r.ts, "urn": urn::resource(r.identity).urn,
            "body": text(r.body), "severity": r.severity.map(text),
        }));
    }

    fn metric(&mut self, p: MetricPoint<'_>) {
        self.keep(object!({
            "kind": "metric", "time": p.ts, "urn": urn::resource(p.identity).urn,
            "metric": text(p.metric), "value": p.value,
        }));
    }

    fn span(&mut self, s: SpanRecord<'_>) {
        let identity = Identity {
            service: s.service,
            host: None,
        };
        self.keep(object!({
            "kind": "span", "time": s.ts, "urn": urn::resource(identity).urn,
            "trace_id": text(s.trace_id), "span_id": text(s.span_id), "parent_span_id": s.parent_span_id.map(text),
            "duration_us": s.duration_us, "error": s.error,
        }));
    }

    fn reject(&mut self, _: Dataset, reason: RejectReason, _: Option<i64>, _: &str) {
        self.0 = Err(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::fields::LabelChoice;

    fn of(options: &Options, raw: Value) -> Option<Value> {
        normalise(options, &raw.to_string()).ok().map(Value::Object)
    }

    #[test]
    fn kinds_have_their_members_and_the_rest_are_attributes() {
        let point = object!({ "_timestamp": 5, "__name__": "cpu", "value": 1.5, "host_name": "n1", "code": "200" });
        let own_name = Options::new(Dataset::Metrics);
        assert_eq!(
            of(&own_name, point.clone()),
            Some(object!({
                "kind": "metric", "time": 5, "urn": "urn:host:n1", "metric": "cpu", "value": 1.5,
                "attrs": { "host_name": "n1", "code": "200" },
            }))
        );
        let of_stream = Options::stream(Dataset::Metrics, "load", LabelChoice::None);
        assert_eq!(of(&of_stream, point).unwrap()["metric"], "load");
        let span = object!({
            "_timestamp": 5, "trace_id": "t", "span_id": "s", "reference_parent_span_id": "p", "service_name": "web",
            "duration": 30, "span_status": "ERROR", "http_method": "GET",
        });
        assert_eq!(
            of(&Options::new(Dataset::Traces), span),
            Some(object!({
                "kind": "span", "time": 5, "urn": "urn:svc:web", "trace_id": "t", "span_id": "s", "parent_span_id": "p",
                "duration_us": 30, "error": true,
                "attrs": { "service_name": "web", "span_status": "ERROR", "http_method": "GET" },
            }))
        );
    }

    #[test]
    fn only_the_column_that_became_the_body_is_told() {
        let line = object!({ "_timestamp": 5, "body": null, "message": "hello", "log": "more", "level": "warn" });
        let record = of(&Options::new(Dataset::Logs), line).unwrap();
        assert_eq!(
            (&record["body"], &record["severity"]),
            (&object!("hello"), &object!("warn"))
        );
        assert_eq!(record["attrs"], object!({ "body": null, "log": "more" }));
    }

    #[test]
    fn secrets_are_masked_everywhere() {
        let line = object!({
            "_timestamp": 5, "body": "login password=hunter2", "api_key": "abc", "url": "http://u:hunter2@h/",
            "deep": { "password": ["hunter2"], "a\0b": "c\0d" }, "pin": 1234, "auth": { "user": "hunter2" },
        });
        let record = of(&Options::new(Dataset::Logs), line).unwrap();
        assert!(
            !record.to_string().contains("hunter2") && !record.to_string().contains("\\u0000"),
            "{record}"
        );
        for name in ["api_key", "pin", "auth"] {
            assert_eq!(record["attrs"][name], "***", "{name}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let logs = Options::new(Dataset::Logs);
        let of = |raw: Value| normalise(&logs, &raw.to_string());
        assert_eq!(normalise(&logs, "no json"), Err(RejectReason::NotAnObject));
        assert_eq!(normalise(&logs, ""), Err(RejectReason::NotAnObject));
        assert_eq!(of(object!({ "body": "when?" })), Err(RejectReason::MissingTimestamp));
        assert_eq!(of(object!({ "_timestamp": 5 })), Err(RejectReason::MissingBody));
    }

    /// The decoder takes them, the JSON library does not: they are records all the same.
    #[test]
    fn what_only_the_json_library_refuses_comes_as_its_text() {
        let logs = Options::new(Dataset::Logs);
        for depth in [120, 121, 126, 127, 9_999] {
            let nested = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
            let raw = format!("{{\"_timestamp\":1,\"body\":\"x\",\"api_key\":\"hunter2\",\"d\":{nested}}}");
            let record = Value::Object(normalise(&logs, &raw).unwrap());
            let raw = record["attrs"]["raw"].as_str();
            assert_eq!((&record["time"], &record["body"]), (&object!(1), &object!("x")));
            assert_eq!(raw.is_some_and(|raw| raw.contains(&nested)), depth > 120, "{depth}");
            assert!(!record.to_string().contains("hunter2"), "{depth}");
            assert!(serde_json::from_str::<Value>(&record.to_string()).is_ok(), "{depth}");
        }
        let raw = r#"{"_timestamp":1,"body":"x","big":1e999}"#;
        let record = normalise(&logs, raw).unwrap();
        assert_eq!(record["attrs"], object!({ "raw": raw }));
        for secret in [
            r#""password":["hunter2"]"#,
            r#""password" : { "a": [["hunter2"]] }"#,
            r#""pass\u0077ord":"hunter2""#,
            r#""password" :true"#,
        ] {
            let raw = format!("{{\"_timestamp\":1,\"body\":\"x\",{secret},\"big\":1e999}}");
            let record = normalise(&logs, &raw).unwrap();
            assert_eq!(record["attrs"], object!({ "raw": NOT_SHOWN }), "{secret}");
        }
    }
}
