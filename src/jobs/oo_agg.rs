//! The job `oo-agg`: one window of telemetry becomes rows of every fact table.
//!
//! Three steps: a transaction that reads what to fetch; the fetch, with no transaction open; one transaction that
//! replaces the window's rows and marks the run successful.

use crate::backend::fault::{self, Point};
use crate::backend::session::{End, Session};
use crate::error::Result;
use crate::guc;
use crate::jobs::{fetch, sources};
use crate::scheduler::ledger::{self, Run};
use crate::source::{self, Context, FetchStats};
use crate::store::{self, WindowData, partials};
use engine::aggregate::Aggregator;
use engine::window::Window;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The job's name in `etl_job`.
pub const NAME: &str = "oo-agg";

/// What a run has to do, as plain data for the helper thread.
struct Plan {
    sources: Vec<sources::Source>,
    /// The run's window first; then minutes of the same 5-minute buckets whose partials are gone.
    ranges: Vec<Window>,
    concurrency: usize,
    http_timeout: Duration,
}

/// Works on one window.
pub fn run(session: Session, run: &Run) -> Result<()> {
    let plan = session.transact(|| {
        let mut ranges = vec![run.window];
        ranges.extend(partials::missing_ranges(run.tenant_id, run.window)?);
        Ok(End::Rollback(Plan {
            sources: sources::load(run.tenant_id, NAME)?,
            ranges,
            concurrency: guc::fetch_concurrency(),
            http_timeout: guc::http_timeout(),
        }))
    })?;
    fault::point(Point::Planned)?;
    let (fetched, stats) = fetch::in_background(NAME, run.timeout, move |cancel| fetch_all(plan, cancel))??;
    let stats = json!({ "fetch": stats, "records": fetched.first().map(|f| &f.output.stats) });
    fault::point(Point::Fetched)?;
    session.transact(|| {
        fault::point(Point::Writing)?;
        store::write_window(run.tenant_id, run.run_id, run.window, &fetched)?;
        fault::point(Point::Written)?;
        ledger::finish_success(run, stats)?;
        fault::point(Point::FinishedBeforeCommit)?;
        Ok(End::Commit(()))
    })
}

/// Fetches every range from every source; runs on the helper thread.
fn fetch_all(plan: Plan, cancel: Arc<AtomicBool>) -> Result<(Vec<WindowData>, FetchStats)> {
    let context = Context {
        cancel,
        concurrency: plan.concurrency,
        http_timeout: plan.http_timeout,
    };
    let mut stats = FetchStats::default();
    let mut fetched = Vec::with_capacity(plan.ranges.len());
    for range in plan.ranges {
        let mut all = Aggregator::new(range);
        let mut locators = Vec::new();
        for s in &plan.sources {
            let part = source::fetch(&s.config, &s.selection, &s.server, range, &context)?;
            all.merge(part.aggregator);
            locators.extend(part.locators);
            stats.add(&part.stats);
        }
        fetched.push(WindowData {
            range,
            output: all.finish(),
            locators,
        });
    }
    Ok((fetched, stats))
}
