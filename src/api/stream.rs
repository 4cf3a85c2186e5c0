//! `oo_stream()`: the records of a tenant, from wherever they are.

use crate::api::records::{Records, interval};
use crate::backend::sql::{self, required};
use crate::error::{Error, Result, or_raise};
use crate::guc;
use crate::jobs::flow::Flow;
use crate::jobs::{oo_agg, sources};
use crate::source::rows::normalised;
use crate::source::{self, Context, Source};
use crate::store::urn_rules;
use chrono::{DateTime, SecondsFormat};
use engine::patterns::Masker;
use engine::record::Dataset;
use engine::urn::rules::Rules;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Map, Value};

/// Names of kinds, as arguments and in records.
const KINDS: [(&str, Dataset); 3] = [
    ("log", Dataset::Logs),
    ("metric", Dataset::Metrics),
    ("span", Dataset::Traces),
];

/// Deepest nesting within a record: it is read once more before it becomes a row, and the JSON library stops at 127.
const MAX_NESTING: usize = 120;

/// The records of a tenant in [from, to), of all enabled sources of `oo-agg`.
///
/// Reads user mappings, hence SECURITY DEFINER; what is read is bounded by the rights of each source's owner.
#[pg_extern(sql = "
CREATE FUNCTION oo_stream(tenant text, \"from\" timestamptz, \"to\" timestamptz, kinds text[] DEFAULT NULL)
    RETURNS SETOF jsonb
    LANGUAGE c VOLATILE SECURITY DEFINER ROWS 100000 SET search_path = pg_catalog, @extschema@, pg_temp
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
")]
fn oo_stream(
    tenant: Option<&str>,
    from: Option<TimestampWithTimeZone>,
    to: Option<TimestampWithTimeZone>,
    kinds: Option<Vec<Option<String>>>,
) -> SetOfIterator<'static, JsonB> {
    SetOfIterator::new(Records(or_raise(start(tenant, from, to, kinds))))
}

fn start(
    tenant: Option<&str>,
    from: Option<TimestampWithTimeZone>,
    to: Option<TimestampWithTimeZone>,
    kinds: Option<Vec<Option<String>>>,
) -> Result<Flow> {
    let range = interval(from, to)?;
    let datasets = datasets(kinds)?;
    let tenant_id: i64 = sql::select("SELECT etl_tenant_require($1)", &[tenant.into()], |rows| {
        required(rows.first().get_one()?, "etl_tenant_require")
    })?;
    let mut sources = sources::load(tenant_id, oo_agg::NAME)?;
    for source in &mut sources {
        narrow(source, &datasets);
    }
    let rules = Rules::clone(&*urn_rules::of(Some(tenant_id))?);
    let (concurrency, http_timeout) = (guc::fetch_concurrency(), guc::http_timeout());
    Flow::start(move |cancel, sink| {
        let context = Context {
            cancel,
            concurrency,
            http_timeout,
            masker: Masker::new(),
        };
        for source in &sources {
            source::rows::rows(source, range, &context, &mut |raw| match normalised(source, raw) {
                Some(record) if record.values().all(|value| nests_at_most(value, MAX_NESTING)) => {
                    sink.put(told(record, &rules))
                }
                // As everywhere: one that is no record does not stop the others.
                Some(_) | None => Ok(()),
            })?;
        }
        Ok(())
    })
}

/// Leaves only these datasets in what is read of a source, by either door.
fn narrow(source: &mut Source, datasets: &[Dataset]) {
    source.selection = source.selection.only(datasets);
    if let Some(fallback) = source.config.fallback_mut() {
        narrow(fallback, datasets);
    }
}

/// Whether lists and objects lie at most so deep in each other. A value comes from a text whose nesting was bounded.
fn nests_at_most(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| nests_at_most(item, depth - 1)),
        Value::Object(members) => depth > 0 && members.values().all(|member| nests_at_most(member, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// The record as text, its time as PostgreSQL and people read it, its URN as `dim_resource` has it.
fn told(mut record: Map<String, Value>, rules: &Rules) -> String {
    let urn = record.get("urn").and_then(Value::as_str);
    if let Some(urn) = urn.map(|urn| rules.telemetry(urn).urn) {
        record.insert("urn".into(), urn.into());
    }
    let time = record.get("time").and_then(Value::as_i64);
    if let Some(time) = time.and_then(DateTime::from_timestamp_micros) {
        record.insert("time".into(), time.to_rfc3339_opts(SecondsFormat::Micros, true).into());
    }
    Value::Object(record).to_string()
}

fn datasets(kinds: Option<Vec<Option<String>>>) -> Result<Vec<Dataset>> {
    let Some(kinds) = kinds else {
        return Ok(Dataset::ALL.to_vec());
    };
    let of = |kind: Option<String>| {
        let kind = kind.unwrap_or_else(|| "NULL".into());
        KINDS
            .iter()
            .find(|(name, _)| *name == kind)
            .map(|(_, dataset)| *dataset)
            .ok_or_else(|| {
                Error::invalid(
                    PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                    format!("there are no records of kind \"{kind}\""),
                    "kinds are log, metric and span; NULL is all of them.",
                )
            })
    };
    kinds.into_iter().map(of).collect()
}
