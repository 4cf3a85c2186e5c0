//! The records a decoder hands to a sink. They borrow from the decode buffer and live for one call.

use serde::{Deserialize, Serialize};

/// The three kinds of telemetry. The text form is OpenObserve's stream type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dataset {
    Logs,
    Metrics,
    Traces,
}

impl Dataset {
    /// All datasets, in the order in which they are fetched.
    pub const ALL: [Dataset; 3] = [Dataset::Logs, Dataset::Metrics, Dataset::Traces];

    /// OpenObserve's `type` parameter: `logs`, `metrics` or `traces`.
    pub fn as_str(self) -> &'static str {
        match self {
            Dataset::Logs => "logs",
            Dataset::Metrics => "metrics",
            Dataset::Traces => "traces",
        }
    }
}

impl std::str::FromStr for Dataset {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        Dataset::ALL.into_iter().find(|d| d.as_str() == s).ok_or(())
    }
}

/// Who a record is about. A record's resource is its service, else its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity<'a> {
    pub service: Option<&'a str>,
    pub host: Option<&'a str>,
}

/// One log line.
#[derive(Clone, Copy, Debug)]
pub struct LogRecord<'a> {
    /// UTC microseconds.
    pub ts: i64,
    pub identity: Identity<'a>,
    pub body: &'a str,
    /// The structured severity field as the source wrote it, if there is one.
    pub severity: Option<&'a str>,
}

/// One sample of one metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricPoint<'a> {
    /// UTC microseconds.
    pub ts: i64,
    pub identity: Identity<'a>,
    pub metric: &'a str,
    pub value: f64,
    /// Labels the caller asked to keep apart (`metric_labels`), in the order of their names.
    pub labels: &'a [(&'a str, &'a str)],
    /// Which series the sample belongs to: `__hash__`, or a hash of all labels where there is none.
    pub series: u64,
    pub counts: Counts,
    /// The upper bound of a histogram's bucket, from the label `le`.
    pub le: Option<f64>,
}

/// How the values of a series add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Counts {
    /// They do not: a gauge, or a sum that may fall.
    #[default]
    No,
    /// A counter: each value is the total since some start, which is lost now and then.
    Cumulative,
    /// Each value is what was added since the one before.
    Delta,
}

/// What a span is in a call: OTLP's `SpanKind`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SpanKind {
    #[default]
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

impl SpanKind {
    /// Whether the span is the calling half of a call: its other half is a span of somebody else, or of nobody.
    pub fn calls(self) -> bool {
        matches!(self, SpanKind::Client | SpanKind::Producer)
    }
}

/// Whom a client or producer span calls, as far as its attributes tell. All texts are as the source wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer<'a> {
    /// A database: the system (`postgresql`), the address of its server and the name of the database.
    Database {
        system: &'a str,
        address: Option<&'a str>,
        name: Option<&'a str>,
    },
    /// A queue or topic of a messaging system (`kafka`).
    Queue { system: &'a str, destination: &'a str },
    /// Any other service.
    Service(&'a str),
}

/// One span.
#[derive(Clone, Copy, Debug)]
pub struct SpanRecord<'a> {
    /// Start, UTC microseconds.
    pub ts: i64,
    pub trace_id: &'a str,
    pub span_id: &'a str,
    /// `None` on root spans.
    pub parent_span_id: Option<&'a str>,
    pub service: Option<&'a str>,
    /// Microseconds.
    pub duration_us: u64,
    pub error: bool,
    pub kind: SpanKind,
    /// `None` for spans that are not the calling half of a call, and where nothing is known.
    pub peer: Option<Peer<'a>>,
}

/// A span of which only its place in the trace is known: it may be the parent of another, or what another called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanLink<'a> {
    /// UTC microseconds.
    pub start: i64,
    pub trace_id: &'a str,
    pub span_id: &'a str,
    /// `None` on root spans.
    pub parent_span_id: Option<&'a str>,
    /// `None` or empty is the unknown service.
    pub service: Option<&'a str>,
}

/// Why a record was refused. The text form is `etl_reject.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// The record is not a JSON object, or not JSON at all.
    NotAnObject,
    /// No `_timestamp`, or null.
    MissingTimestamp,
    /// `_timestamp` is not an integer in the int64 range.
    BadTimestamp,
    /// A metric point without a `value`, or one that is not a number.
    BadValue,
    /// A span without trace or span id.
    MissingSpanId,
    /// A span whose duration is absent, negative, or wrapped around (end before start).
    BadDuration,
    /// A log line without a body.
    MissingBody,
    /// A needed column has a type that cannot be read as what it should be.
    WrongType,
    /// A text that is not UTF-8.
    NotUtf8,
    /// A whole object in a format that cannot be read; the sample is its key.
    UnreadableObject,
}

impl RejectReason {
    /// The name kept in `etl_reject.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectReason::NotAnObject => "not_an_object",
            RejectReason::MissingTimestamp => "missing_timestamp",
            RejectReason::BadTimestamp => "bad_timestamp",
            RejectReason::BadValue => "bad_value",
            RejectReason::MissingSpanId => "missing_span_id",
            RejectReason::BadDuration => "bad_duration",
            RejectReason::MissingBody => "missing_body",
            RejectReason::WrongType => "wrong_type",
            RejectReason::NotUtf8 => "not_utf8",
            RejectReason::UnreadableObject => "unreadable_object",
        }
    }
}

/// Where decoders put what they decoded. Every record of the input ends in exactly one call of `log`, `metric`, `span`
/// or `reject`.
pub trait RecordSink {
    fn log(&mut self, r: LogRecord<'_>);
    fn metric(&mut self, p: MetricPoint<'_>);
    fn span(&mut self, s: SpanRecord<'_>);
    /// A span that is rejected for itself, but whose start, ids and service are good: children may name it as their
    /// parent, and a client span may have called it.
    fn link_only(&mut self, _link: SpanLink<'_>) {}
    /// A record that cannot be used; `ts` is its timestamp, if that at least is good, and `sample` its raw text, which
    /// the sink may cut.
    fn reject(&mut self, dataset: Dataset, reason: RejectReason, ts: Option<i64>, sample: &str);
}
