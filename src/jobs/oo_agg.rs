//! The job `oo-agg`: one window of telemetry becomes rows of every fact table.
//!
//! Three steps: a transaction that reads what to fetch; the fetch, with no transaction open; one transaction that
//! replaces the window's rows and marks the run successful.

use crate::backend::session::{End, Session};
use crate::error::Result;
use crate::guc;
use crate::jobs::{fetch, sources};
use crate::scheduler::ledger::{self, Run};
use crate::source::{self, Context, FetchStats, Source};
use crate::store::{self, WindowData, partials};
use engine::window::{MINUTE_US, Windows};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The job's name in `etl_job`.
pub const NAME: &str = "oo-agg";

/// What a run has to do, as plain data for the helper thread.
struct Plan {
    sources: Vec<Source>,
    /// The run's window first; then minutes of the same 5-minute buckets whose partials are gone.
    ranges: Vec<Windows>,
    concurrency: usize,
    http_timeout: Duration,
}

/// Works on one window.
pub fn run(session: Session, run: &Run) -> Result<()> {
    let plan = session.transact(|| {
        let mut ranges = vec![Windows::from(run.window)];
        let missing = partials::missing_ranges(run.tenant_id, run.window)?;
        ranges.extend(missing.into_iter().map(|range| Windows::new(range, MINUTE_US)));
        Ok(End::Rollback(Plan {
            sources: sources::load(run.tenant_id, NAME)?,
            ranges,
            concurrency: guc::fetch_concurrency(),
            http_timeout: guc::http_timeout(),
        }))
    })?;
    let (fetched, stats) = fetch::in_background(NAME, run.timeout, move |cancel| fetch_all(plan, cancel))??;
    let stats = json!({ "fetch": stats, "records": fetched.first().map(|f| &f.output.stats) });
    session.transact(|| {
        store::write_window(run.tenant_id, run.run_id, run.window, &fetched)?;
        ledger::finish_success(run, stats)?;
        Ok(End::Commit(()))
    })
}

/// Fetches every range from all sources; runs on the helper thread.
fn fetch_all(plan: Plan, cancel: Arc<AtomicBool>) -> Result<(Vec<WindowData>, FetchStats)> {
    let context = Context {
        cancel,
        concurrency: plan.concurrency,
        http_timeout: plan.http_timeout,
    };
    let mut stats = FetchStats::default();
    let mut fetched = Vec::with_capacity(plan.ranges.len());
    for range in plan.ranges {
        let got = source::fetch(&plan.sources, range, &context)?;
        stats.add(&got.stats);
        fetched.extend(got.windows.into_iter().map(|w| WindowData {
            range: w.window,
            output: w.output,
            locators: w.locators,
        }));
    }
    Ok((fetched, stats))
}
