//! Which column of a stream means what.
//!
//! OpenObserve has no fixed log schema: the text of a line is `body` for OTLP and whatever the sender called it for
//! JSON. So a role has a list of column names, and in each record the earliest name in the list that is present wins.

use crate::record::Dataset;

/// Which labels of a metric point are kept apart (source option `metric_labels`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LabelChoice {
    /// All label sets of a metric on a resource are one series.
    #[default]
    None,
    /// Every column that has no role and is not one of OpenObserve's own.
    All,
    /// These columns, in any order; those a stream lacks are skipped.
    Some(Vec<String>),
}

impl LabelChoice {
    /// Whether the metric column `name` is kept as a label.
    pub fn keeps(&self, name: &str) -> bool {
        match self {
            LabelChoice::None => false,
            LabelChoice::All => role(Dataset::Metrics, name).is_none() && !is_internal(name),
            LabelChoice::Some(names) => names.iter().any(|n| n == name),
        }
    }
}

/// What a column is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Timestamp,
    Value,
    Duration,
    // From here on texts.
    Body,
    Severity,
    Service,
    Host,
    Name,
    TraceId,
    SpanId,
    Parent,
    Status,
    // From here on what only some records have.
    /// The number of a metric's series.
    Series,
    Monotonic,
    Temporality,
    Kind,
    HttpCode,
    GrpcCode,
    PeerName,
    PeerType,
    PeerSystem,
    PeerService,
    PeerAddress,
    DbSystem,
    DbName,
    QueueSystem,
    QueueName,
}

/// How many roles are texts that every record may have.
pub(super) const TEXTS: usize = Role::Status as usize - Role::Duration as usize;

impl Role {
    /// Whether the role is a text; the others are numbers.
    pub(super) fn is_text(self) -> bool {
        !matches!(self, Role::Timestamp | Role::Value | Role::Duration | Role::Series)
    }

    /// Which of the texts that every record may have it is, counted from 0.
    #[inline]
    pub(super) fn text(self) -> Option<usize> {
        (self as usize)
            .checked_sub(Role::Body as usize)
            .filter(|text| *text < TEXTS)
    }

    /// How many columns of the role are worth asking a server for: rows of one stream differ in how they name their
    /// text, their level, their origin and their attributes, not in the rest.
    fn columns_wanted(self) -> usize {
        match self {
            Role::Body | Role::Severity | Role::Service | Role::Host => usize::MAX,
            Role::HttpCode | Role::PeerAddress | Role::DbSystem | Role::DbName | Role::QueueName => usize::MAX,
            _ => 1,
        }
    }

    /// Whether the record is good without the role, so that a cell that cannot be read counts as absent.
    pub(super) fn is_optional(self) -> bool {
        !matches!(
            self,
            Role::Timestamp
                | Role::Body
                | Role::Name
                | Role::Value
                | Role::TraceId
                | Role::SpanId
                | Role::Parent
                | Role::Duration
                | Role::Status
        )
    }
}

/// The event time in UTC microseconds, in every stream.
pub const TIMESTAMP: &str = "_timestamp";
/// The metric's name in a record that does not come from a stream of that name.
pub(super) const METRIC_NAME: &str = "__name__";
/// OpenObserve's hash of all labels of a series.
const SERIES: &str = "__hash__";
/// The upper bound of a histogram's bucket.
pub(super) const BOUND: &str = "le";
/// A span's status, which counts more than the codes of any protocol.
const STATUS: &str = "span_status";

type Columns = &'static [(Role, &'static [&'static str])];

const LOGS: Columns = &[
    (Role::Timestamp, &[TIMESTAMP]),
    (Role::Body, &["body", "message", "msg", "log", "_original", "event"]),
    (
        Role::Severity,
        &[
            "severity",
            "severity_text",
            "level",
            "log_level",
            "loglevel",
            "severity_number",
        ],
    ),
    (Role::Service, &["service_name", "service", "app", "job"]),
    (Role::Host, &["host_name", "host", "hostname", "instance", "node"]),
];

const METRICS: Columns = &[
    (Role::Timestamp, &[TIMESTAMP]),
    (Role::Value, &["value"]),
    (Role::Service, &["service_name", "service", "job"]),
    (Role::Host, &["host_name", "host", "instance", "node"]),
    (Role::Name, &[METRIC_NAME]),
    (Role::Series, &[SERIES]),
    (Role::Monotonic, &["is_monotonic"]),
    (Role::Temporality, &["aggregation_temporality"]),
];

const TRACES: Columns = &[
    (Role::Timestamp, &[TIMESTAMP]),
    (Role::TraceId, &["trace_id"]),
    (Role::SpanId, &["span_id"]),
    (Role::Parent, &["reference_parent_span_id"]),
    (Role::Service, &["service_name"]),
    (Role::Duration, &["duration"]),
    (Role::Status, &[STATUS]),
    (Role::HttpCode, &["http_response_status_code", "http_status_code"]),
    (Role::GrpcCode, &["rpc_grpc_status_code"]),
    (Role::Kind, &["span_kind"]),
    (Role::PeerName, &["infer_service_name"]),
    (Role::PeerType, &["infer_service_type"]),
    (Role::PeerSystem, &["infer_service_system"]),
    (Role::PeerService, &["peer_service"]),
    (
        Role::PeerAddress,
        &["server_address", "net_peer_name", "network_peer_address", "net_peer_ip"],
    ),
    (Role::DbSystem, &["db_system_name", "db_system"]),
    (Role::DbName, &["db_namespace", "db_name"]),
    (Role::QueueSystem, &["messaging_system"]),
    (
        Role::QueueName,
        &["messaging_destination_name", "messaging_destination"],
    ),
];

/// Columns that OpenObserve adds to metric streams and that are not labels of the series.
const METRIC_INTERNALS: &[&str] = &[
    "start_time",
    "flag",
    "exemplars",
    "is_monotonic",
    "aggregation_temporality",
    "trace_id",
    "span_id",
];

fn columns(dataset: Dataset) -> Columns {
    match dataset {
        Dataset::Logs => LOGS,
        Dataset::Metrics => METRICS,
        Dataset::Traces => TRACES,
    }
}

/// OpenObserve's own columns begin with `_` (`__hash__`, `__type__`, `_o2_id`, ..) or are in a short list.
fn is_internal(name: &str) -> bool {
    name.starts_with('_') || name.starts_with("instrumentation_library_") || METRIC_INTERNALS.contains(&name)
}

/// What the metric column `name` is as a label, if it is one at all.
pub(super) fn label(labels: &LabelChoice, name: &str) -> Option<Label> {
    match name {
        _ if labels.keeps(name) => Some(Label::Kept),
        BOUND => Some(Label::Bound),
        _ if is_internal(name) => None,
        _ => match role(Dataset::Metrics, name) {
            None | Some((Role::Service | Role::Host, _)) => Some(Label::Identifying),
            Some(_) => None,
        },
    }
}

/// What a label of a metric point is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// It is handed on.
    Kept,
    /// The upper bound of a bucket.
    Bound,
    /// It tells series apart where they have no number.
    Identifying,
}

/// The role of a column and its rank among the role's names (0 = wins over all others).
pub(super) fn role(dataset: Dataset, name: &str) -> Option<(Role, u8)> {
    columns(dataset).iter().find_map(|(role, names)| {
        let rank = names.iter().position(|n| *n == name)?;
        Some((*role, u8::try_from(rank).unwrap_or(u8::MAX)))
    })
}

/// The columns of a stream that decoding needs, for a SELECT list or a Parquet projection: `_timestamp` first, then
/// by role, then labels in the order of the schema. No name is there twice. `schema` holds the stream's column names.
///
/// A metric stream's `__name__` is left out, since the stream is named like it.
///
/// ```
/// use engine::{decode::fields::{LabelChoice, needed_columns}, record::Dataset};
/// let schema = ["_timestamp", "hostname", "level", "log", "message", "msg", "thread"];
/// assert_eq!(
///     needed_columns(Dataset::Logs, &schema, &LabelChoice::None),
///     ["_timestamp", "message", "msg", "log", "level", "hostname"]
/// );
/// ```
pub fn needed_columns(dataset: Dataset, schema: &[impl AsRef<str>], labels: &LabelChoice) -> Vec<String> {
    needed(dataset, schema, labels, false)
}

/// As [`needed_columns`], with `__name__` if `name` is set.
pub(super) fn needed(dataset: Dataset, schema: &[impl AsRef<str>], labels: &LabelChoice, name: bool) -> Vec<String> {
    let has = |n: &str| schema.iter().any(|c| c.as_ref() == n);
    let mut out = vec![TIMESTAMP.to_string()];
    for (role, names) in columns(dataset) {
        // OpenObserve leaves no span without a status: then nobody asks for codes.
        let needless = match role {
            Role::Timestamp => true,
            Role::Name => !name,
            Role::HttpCode | Role::GrpcCode => has(STATUS),
            _ => false,
        };
        if needless {
            continue;
        }
        let present = names.iter().filter(|n| has(n)).take(role.columns_wanted());
        out.extend(present.map(|n| n.to_string()));
    }
    if dataset == Dataset::Metrics {
        let wanted = |name: &str| match label(labels, name) {
            None => false,
            Some(Label::Identifying) => !has(SERIES),
            Some(Label::Kept | Label::Bound) => true,
        };
        for column in schema.iter().map(AsRef::as_ref).filter(|c| wanted(c)) {
            if !out.iter().any(|c| c == column) {
                out.push(column.to_string());
            }
        }
    }
    out
}

/// Whether a metric stream may hold counters, by its columns or, where they do not tell, by its name; any may whose columns
/// are not known. Those are read from a little before a window on.
pub fn may_count(metric: &str, schema: &[impl AsRef<str>]) -> bool {
    let has = |role: Role| {
        schema
            .iter()
            .any(|c| self::role(Dataset::Metrics, c.as_ref()).is_some_and(|(r, _)| r == role))
    };
    schema.is_empty() || has(Role::Monotonic) || has(Role::Temporality) || is_counter_name(metric)
}

/// Prometheus' names of counters and of the parts of histograms and summaries.
pub(super) fn is_counter_name(metric: &str) -> bool {
    metric.ends_with("_total") || is_part_name(metric)
}

/// The names of the parts of a histogram or summary that only grow.
pub(super) fn is_part_name(metric: &str) -> bool {
    ["_bucket", "_count", "_sum"]
        .iter()
        .any(|suffix| metric.ends_with(suffix))
}

/// The columns of a trace stream from which a span can be found as a parent or as what another called: `_timestamp`,
/// the three ids and the service, as far as the stream has them.
pub fn parent_columns(schema: &[impl AsRef<str>]) -> Vec<String> {
    let wanted = |r: Role| matches!(r, Role::TraceId | Role::SpanId | Role::Parent | Role::Service);
    let mut out = needed(Dataset::Traces, schema, &LabelChoice::None, false);
    out.retain(|c| c == TIMESTAMP || role(Dataset::Traces, c).is_some_and(|(r, _)| wanted(r)));
    out
}

/// Whether the column says which service a record is of.
pub(super) fn is_service(dataset: Dataset, name: &str) -> bool {
    role(dataset, name).is_some_and(|(role, _)| role == Role::Service)
}

/// Letters of short names.
const LETTERS: usize = 26;

/// A column's name in an answer whose columns are renamed to save bytes: `a` to `z`, `aa`, `ab`, and so on.
///
/// ```
/// use engine::decode::fields::short_name;
/// assert_eq!([0, 25, 26, 701, 702].map(short_name), ["a", "z", "aa", "zz", "aaa"]);
/// ```
pub fn short_name(index: usize) -> String {
    let mut rest = index + 1;
    let mut name = Vec::new();
    while rest > 0 {
        rest -= 1;
        name.push(char::from(b'a' + (rest % LETTERS) as u8));
        rest /= LETTERS;
    }
    name.iter().rev().collect()
}

/// The index of a short name; `None` if it is none, or of more columns than any stream has.
pub(super) fn short_name_index(name: &str) -> Option<usize> {
    if name.is_empty() || name.len() > 4 || !name.bytes().all(|b| b.is_ascii_lowercase()) {
        return None;
    }
    let number = name.bytes().fold(0, |n, b| n * LETTERS + usize::from(b - b'a') + 1);
    Some(number - 1)
}

/// `columns` without those of hosts, which say whose a record is only where it has no service: `None` if there are none
/// to spare, because the stream has no service, or because they are labels that tell series apart.
///
/// ```
/// use engine::{decode::fields::{LabelChoice, without_hosts}, record::Dataset};
/// let columns = ["_timestamp", "body", "service_name", "host_name"].map(String::from);
/// assert_eq!(without_hosts(Dataset::Logs, &columns, &LabelChoice::None).unwrap(), columns[..3]);
/// assert_eq!(without_hosts(Dataset::Logs, &[columns[0].clone(), columns[3].clone()], &LabelChoice::None), None);
/// ```
pub fn without_hosts(dataset: Dataset, columns: &[String], labels: &LabelChoice) -> Option<Vec<String>> {
    let is = |column: &String, wanted: Role| role(dataset, column).is_some_and(|(r, _)| r == wanted);
    let has = |wanted: Role| columns.iter().any(|c| is(c, wanted));
    if !has(Role::Host) || !has(Role::Service) || (dataset == Dataset::Metrics && !has(Role::Series)) {
        return None;
    }
    let spared = |c: &&String| !is(c, Role::Host) || labels.keeps(c);
    let rest: Vec<String> = columns.iter().filter(spared).cloned().collect();
    (rest.len() < columns.len()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_one_column_a_role_and_all_where_rows_differ() {
        let schema = [
            "severity",
            "level",
            "app",
            "job",
            "service",
            "node",
            "body",
            "_timestamp",
            "x",
        ];
        let got = needed_columns(Dataset::Logs, &schema, &LabelChoice::All);
        assert_eq!(
            got,
            [
                "_timestamp",
                "body",
                "severity",
                "level",
                "service",
                "app",
                "job",
                "node"
            ]
        );
    }

    #[test]
    fn timestamp_is_asked_for_even_if_the_schema_lacks_it() {
        assert_eq!(
            needed_columns(Dataset::Traces, &[] as &[&str], &LabelChoice::None),
            ["_timestamp"]
        );
        assert_eq!(parent_columns(&["span_id", "duration"]), ["_timestamp", "span_id"]);
    }

    #[test]
    fn labels_are_what_is_neither_a_role_nor_internal() {
        let schema = [
            "__hash__",
            "__name__",
            "_timestamp",
            "flag",
            "host_name",
            "le",
            "pod",
            "start_time",
            "value",
            "service_name",
        ];
        let all = needed_columns(Dataset::Metrics, &schema, &LabelChoice::All);
        assert_eq!(
            all,
            [
                "_timestamp",
                "value",
                "service_name",
                "host_name",
                "__hash__",
                "le",
                "pod"
            ]
        );
        let none = needed_columns(Dataset::Metrics, &schema, &LabelChoice::None);
        assert_eq!(none, all[..6], "the bound of a bucket, no other label");
        let unnumbered = needed_columns(Dataset::Metrics, &schema[1..], &LabelChoice::None);
        assert_eq!(
            unnumbered,
            ["_timestamp", "value", "service_name", "host_name", "le", "pod"]
        );
        let some = LabelChoice::Some(vec!["host_name".into(), "absent".into(), "le".into()]);
        assert_eq!(needed_columns(Dataset::Metrics, &schema, &some), all[..6]);
        assert!(needed(Dataset::Metrics, &schema, &LabelChoice::None, true).contains(&"__name__".to_string()));
    }

    #[test]
    fn codes_are_asked_for_where_there_is_no_status() {
        let schema = [
            "_timestamp",
            "http_status_code",
            "span_status",
            "db_system",
            "db_system_name",
        ];
        let needed = |schema: &[&str]| needed_columns(Dataset::Traces, schema, &LabelChoice::None);
        assert_eq!(
            needed(&schema),
            ["_timestamp", "span_status", "db_system_name", "db_system"]
        );
        assert_eq!(needed(&schema[..2]), ["_timestamp", "http_status_code"]);
        let both = ["http_status_code", "http_response_status_code"];
        assert_eq!(
            needed(&both),
            ["_timestamp", "http_response_status_code", "http_status_code"],
            "old and new senders in one stream"
        );
    }

    #[test]
    fn short_names_lead_back() {
        for index in (0..2000).chain([475_253]) {
            assert_eq!(short_name_index(&short_name(index)), Some(index));
        }
        for name in ["", "_timestamp", "A", "a1", "body_"] {
            assert_eq!(short_name_index(name), None, "{name}");
        }
    }

    #[test]
    fn hosts_are_spared_where_a_service_tells_and_no_label_needs_them() {
        let columns = [
            "_timestamp",
            "value",
            "service_name",
            "host_name",
            "__hash__",
            "instance",
        ]
        .map(String::from);
        let spared = |columns: &[String], labels: &LabelChoice| without_hosts(Dataset::Metrics, columns, labels);
        let none = spared(&columns, &LabelChoice::None).unwrap();
        assert_eq!(none, ["_timestamp", "value", "service_name", "__hash__"]);
        let kept = LabelChoice::Some(vec!["instance".into()]);
        assert!(spared(&columns, &kept).unwrap().contains(&"instance".to_string()));
        assert_eq!(
            spared(&columns[..4], &LabelChoice::None),
            None,
            "without a number hosts tell series apart"
        );
        assert_eq!(spared(&none, &LabelChoice::None), None, "there are none");
    }

    #[test]
    fn counters_tell_themselves_by_columns_or_by_name() {
        assert!(may_count("requests", &["is_monotonic"]) && may_count("m_bucket", &["le"]));
        assert!(!may_count("requests", &["le"]) && !may_count("total", &["value"]));
        assert!(
            may_count("requests", &[] as &[&str]),
            "read whole, it may have any column"
        );
    }

    #[test]
    fn a_role_column_named_as_label_is_both() {
        let some = LabelChoice::Some(vec!["instance".into()]);
        assert!(some.keeps("instance"));
        assert_eq!(role(Dataset::Metrics, "instance"), Some((Role::Host, 2)));
        assert!(!LabelChoice::All.keeps("instance"));
    }
}
