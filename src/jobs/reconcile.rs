//! The job `reconcile`: late data. Windows of oo-agg are compared with their sources again, some time after they were
//! read, and those that differ are invalidated. sql/64_reconcile.sql says which windows when.
//!
//! One source after the other: a transaction that reads what its windows hold, one count with no transaction open, one
//! transaction that notes the outcome. A source that cannot be asked is noted and left to the next run.

use crate::backend::clock::{from_timestamptz, to_timestamptz};
use crate::backend::fault::{self, Point};
use crate::backend::json::{jsonb, without_nul};
use crate::backend::session::{End, Session};
use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use crate::guc;
use crate::jobs::{fetch, oo_agg, sources};
use crate::scheduler::ledger::{self, Batch};
use crate::source::count::{Counts, Difference, Streams};
use crate::source::{self, Context, Source};
use engine::patterns::Masker;
use engine::record::Dataset;
use engine::window::{MINUTE_US, Window, Windows};
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// The job's name in `etl_job`.
pub const NAME: &str = "reconcile";

/// A source and the part of time it is to be compared in.
struct Check {
    source_id: i64,
    /// Which check: so long after their end.
    recheck: Interval,
    /// The same for people.
    recheck_text: String,
    /// Windows that end in it are compared.
    part: Window,
}

/// A window that was read.
#[derive(Clone)]
struct Read {
    window: Window,
    /// The attempt that read it; `None` where the ledger does not know.
    attempt: Option<i32>,
    records: Streams,
}

/// What the comparisons of a run came to, for `etl_job_run.stats`.
#[derive(Default)]
struct Outcome {
    checked: usize,
    late: i64,
    failed: Vec<Value>,
}

/// Compares the windows of one tenant that are due for it.
pub fn run(session: Session, batch: &Batch) -> Result<()> {
    let (started, tenant) = (Instant::now(), batch.tenant_id);
    let loaded = session.transact(|| Ok(End::Rollback(sources::load_each(tenant, oo_agg::NAME)?)))?;
    let loaded: HashMap<i64, Result<Source>> = loaded.into_iter().collect();
    // What is compared with is told now: a server that was led elsewhere before says nothing about what was read.
    session.transact(|| {
        sql::execute("SELECT etl_sources_look()", &[])?;
        Ok(End::Commit(()))
    })?;
    let (mut outcome, mut given_up) = (Outcome::default(), HashSet::new());
    // Part by part, until no source has more.
    loop {
        let mut due = session.transact(|| Ok(End::Rollback(due(tenant)?)))?;
        due.retain(|check| !check.part.is_empty() && !given_up.contains(&check.source_id));
        fault::point(Point::Planned)?;
        if due.is_empty() {
            break;
        }
        for check in &due {
            let left = batch.timeout.saturating_sub(started.elapsed());
            let failure = match loaded.get(&check.source_id) {
                Some(Ok(source)) => compare(session, check, source, left, &mut outcome)?.map(|e| e.to_json()),
                Some(Err(e)) => Some(e.to_json()),
                // Added since this run began.
                None => {
                    given_up.insert(check.source_id);
                    None
                }
            };
            if let Some(error) = failure {
                note_failure(session, check, &error)?;
                given_up.insert(check.source_id);
                outcome
                    .failed
                    .push(json!({ "source_id": check.source_id, "recheck": check.recheck_text, "error": error }));
            }
        }
    }
    let stats = json!({ "checked": outcome.checked, "late_windows": outcome.late, "failed": outcome.failed });
    session.transact(|| {
        ledger::finish_success(&batch.runs, stats)?;
        fault::point(Point::FinishedBeforeCommit)?;
        Ok(End::Commit(()))
    })
}

/// Compares one source in one part of time; gives what kept the source from being asked.
fn compare(
    session: Session,
    check: &Check,
    source: &Source,
    left: Duration,
    outcome: &mut Outcome,
) -> Result<Option<Error>> {
    let read = session.transact(|| Ok(End::Rollback(windows(check)?)))?;
    let from = read.iter().map(|r| r.window.from).min();
    let to = read.iter().map(|r| r.window.to).max();
    let mut late = Vec::new();
    if let (Some(from), Some(to)) = (from, to) {
        let (source, concurrency, http_timeout) = (source.clone(), guc::fetch_concurrency(), guc::http_timeout());
        let counted = fetch::in_background(NAME, left, move |cancel| {
            let context = Context {
                cancel,
                concurrency,
                http_timeout,
                masker: Masker::new(),
            };
            source::count::count(&source, Windows::new(Window::new(from, to), MINUTE_US), &context)
        });
        let counts = match counted {
            Ok(Ok(counts)) => counts,
            Ok(Err(e)) => return Ok(Some(e.into())),
            Err(e) => return Ok(Some(e)),
        };
        fault::point(Point::Fetched)?;
        if let Some(emptied) = emptied(&read, &counts) {
            return Ok(Some(emptied));
        }
        let difference = |r: &Read| {
            let now = as_located(counts.of(r.window));
            (r.clone(), Difference::between(&r.records, &now))
        };
        late = read.iter().map(difference).filter(|(_, d)| !d.is_none()).collect();
    }
    session.transact(|| {
        fault::point(Point::Writing)?;
        outcome.late += record(check, read.len(), &late)?;
        fault::point(Point::Written)?;
        Ok(End::Commit(()))
    })?;
    outcome.checked += read.len();
    Ok(None)
}

/// The streams as locators have them: what they are compared with cannot hold a NUL.
fn as_located(streams: Streams) -> Streams {
    let mut located = Streams::new();
    for ((dataset, stream), records) in streams {
        *located.entry((dataset, without_nul(stream))).or_default() += records;
    }
    located
}

/// A source that has let go of everything it had in that time says nothing about what came late: its facts stay.
fn emptied(read: &[Read], counts: &Counts) -> Option<Error> {
    let had: u64 = read.iter().flat_map(|r| r.records.values()).sum();
    let has: u64 = read.iter().flat_map(|r| counts.of(r.window).into_values()).sum();
    (had > 0 && has == 0).then(|| {
        Error::invalid(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("the source has none of the {had} records any more that were read from it"),
            "Where it keeps records for a shorter time, shorten etl_job.recheck. If they were really deleted, run their windows again with etl_enqueue().",
        )
    })
}

/// What is to be compared now.
fn due(tenant: i64) -> Result<Vec<Check>> {
    sql::select(
        "SELECT source_id, recheck, recheck::text, checked_from, checked_to FROM etl_reconcile_due($1)",
        &[tenant.into()],
        |rows| {
            let mut found = Vec::new();
            for row in rows {
                found.push(Check {
                    source_id: required(row.get(1)?, "source_id")?,
                    recheck: required(row.get(2)?, "recheck")?,
                    recheck_text: required(row.get(3)?, "recheck")?,
                    part: Window::new(
                        from_timestamptz(required(row.get(4)?, "checked_from")?),
                        from_timestamptz(required(row.get(5)?, "checked_to")?),
                    ),
                });
            }
            Ok(found)
        },
    )
}

/// What the windows of a check hold.
fn windows(check: &Check) -> Result<Vec<Read>> {
    sql::select(
        "SELECT window_from, window_to, attempt, records FROM etl_reconcile_windows($1, $2, $3, $4)",
        &[
            check.source_id.into(),
            check.recheck.into(),
            to_timestamptz(check.part.from)?.into(),
            to_timestamptz(check.part.to)?.into(),
        ],
        |rows| {
            let mut found = Vec::new();
            for row in rows {
                let locators: JsonB = required(row.get(4)?, "records")?;
                found.push(Read {
                    window: Window::new(
                        from_timestamptz(required(row.get(1)?, "window_from")?),
                        from_timestamptz(required(row.get(2)?, "window_to")?),
                    ),
                    attempt: row.get(3)?,
                    records: of_locators(&locators.0),
                });
            }
            Ok(found)
        },
    )
}

/// The records that locators lead to, good and refused: by stream for an API, one number for an object.
fn of_locators(locators: &Value) -> Streams {
    let mut streams = Streams::new();
    for locator in locators.as_array().into_iter().flatten() {
        let dataset = locator.get("dataset").and_then(Value::as_str);
        let (Some(Ok(dataset)), Some(attributes)) = (dataset.map(str::parse::<Dataset>), locator.get("attributes"))
        else {
            continue;
        };
        let own = attributes.get("stream").and_then(Value::as_str).unwrap_or_default();
        for counts in ["streams", "records", "rejected"].map(|key| attributes.get(key)) {
            let mut add = |stream: &str, records: &Value| {
                if let Some(records) = records.as_u64().filter(|n| *n > 0) {
                    *streams.entry((dataset, stream.to_string())).or_default() += records;
                }
            };
            match counts {
                Some(Value::Object(named)) => named.iter().for_each(|(stream, records)| add(stream, records)),
                Some(records) => add(own, records),
                None => {}
            }
        }
    }
    streams
}

/// Notes that the windows of a check were compared; gives how many are invalidated.
fn record(check: &Check, checked: usize, late: &[(Read, Difference)]) -> Result<i64> {
    let times = |of: fn(&Window) -> i64| {
        late.iter()
            .map(|(r, _)| to_timestamptz(of(&r.window)))
            .collect::<Result<Vec<_>>>()
    };
    let numbers = |of: fn(&Difference) -> u64| -> Vec<i64> {
        late.iter()
            .map(|(_, d)| i64::try_from(of(d)).unwrap_or(i64::MAX))
            .collect()
    };
    sql::update(
        "SELECT etl_reconcile_record($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &[
            check.source_id.into(),
            check.recheck.into(),
            to_timestamptz(check.part.from)?.into(),
            to_timestamptz(check.part.to)?.into(),
            i64::try_from(checked).unwrap_or(i64::MAX).into(),
            times(|w| w.from)?.into(),
            times(|w| w.to)?.into(),
            late.iter().map(|(r, _)| r.attempt).collect::<Vec<_>>().into(),
            numbers(|d| d.late).into(),
            numbers(|d| d.vanished).into(),
        ],
        |rows| required(rows.first().get_one()?, "etl_reconcile_record"),
    )
}

/// Notes why a source could not be compared.
fn note_failure(session: Session, check: &Check, error: &Value) -> Result<()> {
    session.transact(|| {
        sql::execute(
            "SELECT etl_reconcile_failed($1, $2, $3, $4)",
            &[
                check.source_id.into(),
                check.recheck.into(),
                to_timestamptz(check.part.from)?.into(),
                jsonb(error.clone()).into(),
            ],
        )?;
        Ok(End::Commit(()))
    })
}
