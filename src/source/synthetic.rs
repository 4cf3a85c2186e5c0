//! The `mock` source behind the interface of all sources.

use super::error::SourceError;
use super::mock::{self, MockConfig, Wanted};
use super::options::Selection;
use super::tap::Tap;
use super::{Context, FetchStats, Fetched, Locator, margin};
use engine::aggregate::Aggregator;
use engine::record::Dataset;
use engine::window::{MINUTE_US, Window};
use serde_json::json;
use std::sync::atomic::Ordering;

/// Makes the records of `window` and aggregates them; see [`super::fetch`].
pub fn fetch(
    config: &MockConfig,
    selection: &Selection,
    server: &str,
    window: Window,
    ctx: &Context,
) -> Result<Fetched, SourceError> {
    let mut aggregator = Aggregator::new(window);
    let mut stats = FetchStats::default();
    let mut locators = Vec::new();
    for dataset in selection.datasets() {
        let wanted = Wanted {
            logs: dataset == Dataset::Logs && selection.logs.matches(mock::STREAM),
            traces: dataset == Dataset::Traces && selection.traces.matches(mock::STREAM),
            metric: &|name| dataset == Dataset::Metrics && selection.metrics.matches(name),
            label: &|name| selection.metric_labels.keeps(name),
        };
        let mut tap = Tap::new(&mut aggregator, window, None);
        for minute in window.buckets(MINUTE_US) {
            if ctx.cancel.load(Ordering::Relaxed) {
                return Err(SourceError::cancelled());
            }
            let part = Window::new(minute.max(window.from), (minute + MINUTE_US).min(window.to));
            mock::fetch(config, part, &wanted, &mut tap);
        }
        let records = tap.in_range;
        stats.add_records(dataset, records);
        locators.push(Locator {
            dataset,
            bucket: server.to_string(),
            object_key: String::new(),
            t_from: window.from,
            t_to: window.to,
            query_hint: None,
            attributes: json!({ "records": records }),
        });
    }
    for step in margin::steps(
        window,
        selection.parent_margin_before_us,
        selection.parent_margin_after_us,
    ) {
        if aggregator.unresolved_parents() == 0 {
            break;
        }
        for range in step {
            mock::parents(config, range, &mut |trace, span, service| {
                aggregator.parent(trace, span, service)
            });
        }
    }
    Ok(Fetched {
        aggregator,
        locators,
        stats,
    })
}

/// The records behind a locator, made again.
pub fn replay(config: &MockConfig, locator: &Locator, max_records: usize) -> Vec<String> {
    let range = Window::new(locator.t_from, locator.t_to);
    mock::json_rows(config, locator.dataset, range, max_records, &Wanted::ALL)
}
