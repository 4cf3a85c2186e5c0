//! The `mock` source behind the interface of all sources.

use super::count::Counts;
use super::error::SourceError;
use super::fetch::{self, Request};
use super::mock::{self, MockConfig, Wanted};
use super::rows::{Each, Raw};
use super::sample::{Picked, Sample};
use super::tap::Tap;
use super::{FetchStats, Locator};
use engine::aggregate::{Aggregator, records_range};
use engine::record::Dataset;
use engine::window::{MINUTE_US, Window};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// Makes records up; see [`fetch::Reader`].
pub struct Reader<'a> {
    config: &'a MockConfig,
    request: Request<'a>,
    stats: FetchStats,
}

impl<'a> Reader<'a> {
    pub fn new(config: &'a MockConfig, request: Request<'a>) -> Self {
        Reader {
            config,
            request,
            stats: FetchStats::default(),
        }
    }

    /// The minutes of `range`, with a look at the cancel flag before each: work is bounded by what a minute holds.
    fn minutes(&self, range: Window, mut each: impl FnMut(Window)) -> Result<(), SourceError> {
        for minute in range.buckets(MINUTE_US) {
            if self.request.ctx.cancel.load(Ordering::Relaxed) {
                return Err(SourceError::cancelled());
            }
            each(Window::new(
                minute.max(range.from),
                minute.saturating_add(MINUTE_US).min(range.to),
            ));
        }
        Ok(())
    }
}

impl fetch::Reader for Reader<'_> {
    fn records(&mut self) -> Result<(Aggregator, Vec<Locator>), SourceError> {
        let Request {
            selection,
            windows,
            server,
            ..
        } = self.request;
        let mut aggregator = self.request.aggregator();
        let mut locators = Vec::new();
        for dataset in selection.datasets() {
            let wanted = Wanted {
                logs: dataset == Dataset::Logs && selection.logs.matches(mock::STREAM),
                traces: dataset == Dataset::Traces && selection.traces.matches(mock::STREAM),
                metric: &|name| dataset == Dataset::Metrics && selection.metrics.matches(name),
                label: &|name| selection.metric_labels.keeps(name),
            };
            let mut tap = Tap::new(&mut aggregator, windows, None, true);
            self.minutes(records_range(dataset, windows.range()), |part| {
                mock::fetch(self.config, part, &wanted, &mut tap);
            })?;
            for (window, records) in windows.iter().zip(tap.records) {
                self.stats.add_records(dataset, records);
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
        }
        Ok((aggregator, locators))
    }

    fn parents(&mut self, ranges: &[Window], into: &mut Aggregator) -> Result<(), SourceError> {
        if !self.request.selection.traces.matches(mock::STREAM) {
            return Ok(());
        }
        for range in ranges {
            self.minutes(*range, |part| {
                mock::parents(self.config, part, &mut |link| into.link(link));
            })?;
        }
        Ok(())
    }

    fn counts(&mut self) -> Result<Counts, SourceError> {
        let mut counts = Counts::default();
        // It costs as much to make the records as to count them.
        for locator in self.records()?.1 {
            let records = locator.attributes.get("records").and_then(Value::as_u64);
            let window = Window::new(locator.t_from, locator.t_to);
            counts.add(window, locator.dataset, "", records.unwrap_or(0));
        }
        Ok(counts)
    }

    fn rows(&mut self, each: &mut Each<'_>) -> Result<(), SourceError> {
        let selection = self.request.selection;
        let wanted = Wanted {
            logs: selection.logs.matches(mock::STREAM),
            traces: selection.traces.matches(mock::STREAM),
            metric: &|name| selection.metrics.matches(name),
            label: Wanted::ALL.label,
        };
        let mut result = Ok(());
        self.minutes(self.request.windows.range(), |minute| {
            for dataset in selection.datasets() {
                let rows = mock::json_rows(self.config, dataset, minute, usize::MAX, &wanted);
                let mut rows = rows.iter().map(|json| Raw {
                    dataset,
                    stream: None,
                    json,
                });
                if result.is_ok() {
                    result = rows.try_for_each(|row| each(&row));
                }
            }
        })?;
        result
    }

    fn stats(&self) -> FetchStats {
        self.stats.clone()
    }
}

/// The records behind a locator, made again.
pub fn replay(config: &MockConfig, locator: &Locator, sample: &Sample) -> Vec<String> {
    let range = Window::new(locator.t_from, locator.t_to);
    let most = if sample.takes_all() { sample.max } else { usize::MAX };
    let mut picked = Picked::new(sample);
    // Whether it ended early does not matter.
    let _ = mock::json_rows(config, locator.dataset, range, most, &Wanted::ALL)
        .into_iter()
        .try_for_each(|row| picked.offer(row));
    picked.rows
}
