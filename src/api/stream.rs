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
use engine::record::{Dataset, RejectReason};
use engine::urn::rules::Rules;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// Names of kinds, as arguments and in records.
const KINDS: [(&str, Dataset); 3] = [
    ("log", Dataset::Logs),
    ("metric", Dataset::Metrics),
    ("span", Dataset::Traces),
];

/// Records that were left out since they are none.
#[derive(Default)]
struct LeftOut(Mutex<Option<(u64, RejectReason)>>);

impl LeftOut {
    fn add(&self, reason: RejectReason) {
        let mut left_out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left_out.get_or_insert((0, reason)).0 += 1;
    }

    /// Says how many, once.
    fn tell(&self) {
        let Some((count, first)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        ereport!(
            PgLogLevel::WARNING,
            PgSqlErrorCode::ERRCODE_WARNING,
            format!(
                "records left out because they cannot be used: {count}, the first with {}",
                first.as_str()
            ),
            "Windows leave them out, too, and keep samples of them in etl_reject."
        );
    }
}

/// The rows of a call; after the last one it says what was left out.
struct Rows {
    records: Records,
    left_out: Arc<LeftOut>,
}

impl Iterator for Rows {
    type Item = JsonB;

    fn next(&mut self) -> Option<JsonB> {
        let record = self.records.next();
        if record.is_none() {
            self.left_out.tell();
        }
        record
    }
}

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
    SetOfIterator::new(or_raise(start(tenant, from, to, kinds)))
}

fn start(
    tenant: Option<&str>,
    from: Option<TimestampWithTimeZone>,
    to: Option<TimestampWithTimeZone>,
    kinds: Option<Vec<Option<String>>>,
) -> Result<Rows> {
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
    let left_out = Arc::<LeftOut>::default();
    let refused = left_out.clone();
    let flow = Flow::start(move |cancel, sink| {
        let context = Context {
            cancel,
            concurrency,
            http_timeout,
            masker: Masker::new(),
        };
        for source in &sources {
            source::rows::rows(source, range, &context, &mut |raw| match normalised(source, raw) {
                Ok(Some(record)) => sink.put(told(record, &rules)),
                Ok(None) => Ok(()),
                Err(reason) => {
                    // As everywhere: one that is no record does not stop the others.
                    refused.add(reason);
                    Ok(())
                }
            })?;
        }
        Ok(())
    })?;
    Ok(Rows {
        records: Records(flow),
        left_out,
    })
}

/// Leaves only these datasets in what is read of a source, by either door.
fn narrow(source: &mut Source, datasets: &[Dataset]) {
    source.selection = source.selection.only(datasets);
    if let Some(fallback) = source.config.fallback_mut() {
        narrow(fallback, datasets);
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
