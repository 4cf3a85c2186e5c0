//! The job `oo-agg`: windows of telemetry become rows of every fact table.
//!
//! Three steps: a transaction that reads what to fetch; the fetch, with no transaction open; then, for the windows of
//! each 5-minute bucket, one transaction that replaces their rows and marks them successful.

use crate::backend::session::{End, Session};
use crate::error::Result;
use crate::guc;
use crate::jobs::{fetch, sources};
use crate::scheduler::ledger::{self, Batch, Run};
use crate::source::{self, Context, FetchStats};
use crate::store::{self, WindowData, partials};
use engine::aggregate::Aggregator;
use engine::window::{BUCKET5_US, Window, floor};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The job's name in `etl_job`.
pub const NAME: &str = "oo-agg";

/// What a batch has to do, as plain data for the helper thread.
struct Plan {
    sources: Vec<sources::Source>,
    windows: Vec<Window>,
    /// Minutes of the same 5-minute buckets whose partials are gone.
    missing: Vec<Window>,
    concurrency: usize,
    http_timeout: Duration,
}

/// What came of it: the windows in their order, then the missing ranges.
struct Fetched {
    windows: Vec<(WindowData, FetchStats)>,
    missing: Vec<WindowData>,
}

/// Works on a batch; `done` counts the windows that are committed.
pub fn run(session: Session, batch: &Batch, done: &mut usize) -> Result<()> {
    let tenant = batch.tenant_id;
    let plan = session.transact(|| {
        Ok(End::Rollback(Plan {
            sources: sources::load(tenant, NAME)?,
            windows: batch.runs.iter().map(|r| r.window).collect(),
            missing: partials::missing_ranges(tenant, batch.range())?,
            concurrency: guc::fetch_concurrency(),
            http_timeout: guc::http_timeout(),
        }))
    })?;
    let fetched = fetch::in_background(NAME, batch.timeout, move |cancel| fetch_all(plan, cancel))??;
    while let Some(runs) = batch.runs.get(*done..).map(of_one_bucket).filter(|r| !r.is_empty()) {
        let windows = fetched.windows.get(*done..*done + runs.len()).unwrap_or_default();
        write(session, tenant, runs, windows, &fetched.missing)?;
        *done += runs.len();
    }
    Ok(())
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
    tenant: i64,
    runs: &[Run],
    windows: &[(WindowData, FetchStats)],
    missing: &[WindowData],
) -> Result<()> {
    let of_runs: Vec<(i64, &WindowData)> = runs
        .iter()
        .map(|r| r.run_id)
        .zip(windows.iter().map(|w| &w.0))
        .collect();
    let buckets: Vec<i64> = runs.iter().flat_map(|r| r.window.buckets(BUCKET5_US)).collect();
    let restored: Vec<&WindowData> = missing
        .iter()
        .filter(|data| buckets.contains(&floor(data.range.from, BUCKET5_US)))
        .collect();
    let stats = windows
        .iter()
        .map(|(data, fetch)| json!({ "fetch": fetch, "records": data.output.stats }))
        .collect();
    session.transact(|| {
        store::write_windows(tenant, &of_runs, &restored)?;
        ledger::finish_success(runs, stats)?;
        Ok(End::Commit(()))
    })
}

/// Fetches every range from every source; runs on the helper thread.
fn fetch_all(plan: Plan, cancel: Arc<AtomicBool>) -> Result<Fetched> {
    let context = Context {
        cancel,
        concurrency: plan.concurrency,
        http_timeout: plan.http_timeout,
    };
    let fetch = |range: &Window| fetch_range(&plan.sources, *range, &context);
    Ok(Fetched {
        windows: plan.windows.iter().map(fetch).collect::<Result<_>>()?,
        missing: plan
            .missing
            .iter()
            .map(|range| fetch(range).map(|f| f.0))
            .collect::<Result<_>>()?,
    })
}

fn fetch_range(sources: &[sources::Source], range: Window, context: &Context) -> Result<(WindowData, FetchStats)> {
    let mut stats = FetchStats::default();
    let mut all = Aggregator::new(range);
    let mut locators = Vec::new();
    for s in sources {
        let part = source::fetch(&s.config, &s.selection, &s.server, range, context)?;
        all.merge(part.aggregator);
        locators.extend(part.locators);
        stats.add(&part.stats);
    }
    let data = WindowData {
        range,
        output: all.finish(),
        locators,
    };
    Ok((data, stats))
}
