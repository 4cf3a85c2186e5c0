//! The job `oo-agg`: windows of telemetry become rows of every fact table.
//!
//! Three steps: a transaction that reads what to fetch; one fetch for all windows, with no transaction open; then, for
//! the windows of each 5-minute bucket, one transaction that replaces their rows and marks them successful.

use crate::backend::fault::{self, Point};
use crate::backend::session::{End, Session};
use crate::backend::settings::{self, KEPT_PLANS};
use crate::error::Result;
use crate::guc;
use crate::jobs::{fetch, sources};
use crate::scheduler::ledger::{self, Batch, Run};
use crate::source::{self, Context, FetchStats, Source};
use crate::store::{self, WindowData, log_masks, partials};
use engine::patterns::Masker;
use engine::window::{BUCKET5_US, MINUTE_US, Windows, floor};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The job's name in `etl_job`.
pub const NAME: &str = "oo-agg";

/// What a batch has to do, as plain data for the helper thread.
struct Plan {
    sources: Vec<Source>,
    windows: Windows,
    /// Minutes of the same 5-minute buckets whose partials are gone.
    missing: Vec<Windows>,
    concurrency: usize,
    http_timeout: Duration,
    masker: Masker,
}

/// What came of it.
struct Fetched {
    /// In the order of the batch's runs.
    windows: Vec<WindowData>,
    missing: Vec<WindowData>,
    stats: FetchStats,
}

/// Works on a batch; `done` counts the windows that are committed.
pub fn run(session: Session, batch: &Batch, done: &mut usize) -> Result<()> {
    let tenant = batch.tenant_id;
    let plan = session.transact(|| {
        let missing = settings::scoped(&KEPT_PLANS, || partials::missing_ranges(tenant, batch.range()))?;
        Ok(End::Rollback(Plan {
            sources: sources::load(tenant, NAME)?,
            windows: Windows::new(batch.range(), batch.runs.first().map_or(0, |r| r.window.len())),
            missing: missing
                .into_iter()
                .map(|range| Windows::new(range, MINUTE_US))
                .collect(),
            concurrency: guc::fetch_concurrency(),
            http_timeout: guc::http_timeout(),
            masker: log_masks::masker(tenant)?,
        }))
    })?;
    fault::point(Point::Planned)?;
    let masker = plan.masker.clone();
    let fetched = fetch::in_background(NAME, batch.timeout, move |cancel| fetch_all(plan, cancel))??;
    fault::point(Point::Fetched)?;
    loop {
        let rest = batch.runs.get(*done..).unwrap_or_default();
        let runs = of_one_bucket(rest);
        if runs.is_empty() {
            return Ok(());
        }
        let windows = fetched.windows.get(*done..*done + runs.len()).unwrap_or_default();
        let mut stats: Vec<Value> = windows
            .iter()
            .map(|data| json!({ "records": data.output.stats }))
            .collect();
        if runs.len() == rest.len()
            && let Some(last) = stats.last_mut()
        {
            // What the fetch as a whole cost.
            last["fetch"] = json!(fetched.stats);
        }
        write(session, (tenant, &masker), runs, windows, &fetched.missing, stats)?;
        *done += runs.len();
    }
}

/// The first windows that lie in one 5-minute bucket: they are committed together, so that the bucket is computed once
/// and never from a part of its minutes.
fn of_one_bucket(runs: &[Run]) -> &[Run] {
    let bucket = |r: &Run| floor(r.window.from, BUCKET5_US);
    let n = runs.first().map_or(0, |first| {
        runs.iter().take_while(|r| bucket(r) == bucket(first)).count()
    });
    runs.get(..n).unwrap_or_default()
}

fn write(
    session: Session,
    (tenant, masker): (i64, &Masker),
    runs: &[Run],
    windows: &[WindowData],
    missing: &[WindowData],
    mut stats: Vec<Value>,
) -> Result<()> {
    let of_runs: Vec<(i64, &WindowData)> = runs.iter().map(|r| r.run_id).zip(windows).collect();
    let buckets: Vec<i64> = runs.iter().flat_map(|r| r.window.buckets(BUCKET5_US)).collect();
    let restored: Vec<&WindowData> = missing
        .iter()
        .filter(|data| buckets.contains(&floor(data.range.from, BUCKET5_US)))
        .collect();
    session.transact(|| {
        fault::point(Point::Writing)?;
        let coarse = settings::scoped(&KEPT_PLANS, || {
            store::write_windows(tenant, masker, &of_runs, &restored)
        })?;
        for (stats, lines) in stats.iter_mut().zip(coarse).filter(|(_, lines)| *lines > 0) {
            stats["records"]["coarse_logs"] = json!(lines);
        }
        fault::point(Point::Written)?;
        ledger::finish_success(runs, Value::Array(std::mem::take(&mut stats)))?;
        fault::point(Point::FinishedBeforeCommit)?;
        Ok(End::Commit(()))
    })
}

/// Fetches every range from all sources; runs on the helper thread.
fn fetch_all(plan: Plan, cancel: Arc<AtomicBool>) -> Result<Fetched> {
    let context = Context {
        cancel,
        concurrency: plan.concurrency,
        http_timeout: plan.http_timeout,
        masker: plan.masker,
    };
    let mut stats = FetchStats::default();
    let mut fetch = |range: Windows| -> Result<Vec<WindowData>> {
        let got = source::fetch(&plan.sources, range, &context)?;
        stats.add(&got.stats);
        let data = got.windows.into_iter().map(|w| WindowData {
            range: w.window,
            output: w.output,
            locators: w.locators,
        });
        Ok(data.collect())
    };
    let windows = fetch(plan.windows)?;
    let mut missing = Vec::new();
    for range in plan.missing {
        missing.extend(fetch(range)?);
    }
    Ok(Fetched {
        windows,
        missing,
        stats,
    })
}
