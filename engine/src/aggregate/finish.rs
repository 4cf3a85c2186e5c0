//! From the aggregator's numbers to sorted rows.

use std::sync::Arc;

use super::intern::{ResourceId, Resources};
use super::logs::LogKey;
use super::output::Output;
use super::parents::{Margin, View};
use super::spans::EdgeKey;
use super::{Aggregator, Part};
use crate::partial::{CallState, LogCount, MinutePartial};
use crate::urn::Resource;
use crate::window::{MINUTE_US, Window};

/// The resources that the output names, sorted by URN, and the place of each number among them.
struct Ranking {
    resources: Vec<Resource>,
    rank: Vec<u32>,
}

impl Ranking {
    fn new(names: &Resources, used: impl Iterator<Item = ResourceId>) -> Self {
        let mut is_used = vec![false; names.bound()];
        for id in used {
            if let Some(flag) = is_used.get_mut(id as usize) {
                *flag = true;
            }
        }
        let used = is_used
            .iter()
            .enumerate()
            .filter(|(_, used)| **used)
            .map(|(id, _)| id as ResourceId);
        let mut sorted: Vec<(Resource, ResourceId)> = used.map(|id| (names.resource(id), id)).collect();
        sorted.sort_unstable();
        let mut rank = vec![0; names.bound()];
        for (place, (_, id)) in sorted.iter().enumerate() {
            if let Some(slot) = rank.get_mut(*id as usize) {
                *slot = place as u32;
            }
        }
        Ranking {
            resources: sorted.into_iter().map(|(resource, _)| resource).collect(),
            rank,
        }
    }

    fn of(&self, id: ResourceId) -> u32 {
        self.rank.get(id as usize).copied().unwrap_or_default()
    }
}

impl Aggregator {
    /// The aggregates of everything that was put in: one output for each window, ascending. `margin` is how far around
    /// its window a span's parent may start.
    pub fn finish(mut self, margin: Margin) -> Vec<Output> {
        self.order();
        let parts = std::mem::take(&mut self.parts);
        let windows = self.windows.iter().zip(parts);
        windows
            .map(|(window, part)| self.output(window, part, View::new(window, margin)))
            .collect()
    }

    fn output(&self, window: Window, part: Part, view: View) -> Output {
        let calls = part.spans.finish(self.others(), view);
        let callers = calls.edges.iter().flat_map(|((_, src, dst, _), _)| [*src, *dst]);
        let used = part
            .metrics
            .resources()
            .chain(part.logs.resources())
            .chain(callers)
            .chain(part.spans.services());
        let ranking = Ranking::new(&self.resources, used);

        let (metrics, histograms) = part.metrics.finish(&self.names, &self.counters, |id| ranking.of(id));
        let (log_counts, patterns) = part.logs.finish();
        let minutes = minutes(window, &ranking, calls.edges, log_counts);
        let mut stats = part.stats;
        stats.rejected = part.rejects.count();
        stats.orphan_spans = calls.orphans;
        stats.calls = calls.calls;
        stats.inferred_calls = calls.inferred;
        stats.resources = ranking.resources.len() as u64;
        stats.patterns = patterns.len() as u64;
        stats.series = metrics.len() as u64;
        let rejects = part.rejects.finish();
        Output {
            resources: ranking.resources,
            metrics,
            histograms,
            patterns,
            minutes,
            rejects,
            stats,
        }
    }
}

/// One partial for every minute of `range`.
fn minutes(
    range: Window,
    ranking: &Ranking,
    mut calls: Vec<(EdgeKey, CallState)>,
    mut logs: Vec<(LogKey, LogCount)>,
) -> Vec<MinutePartial> {
    let urns: Vec<Arc<str>> = ranking.resources.iter().map(|r| Arc::from(r.urn.as_str())).collect();
    calls.sort_unstable_by_key(|((minute, ..), _)| *minute);
    logs.sort_unstable_by_key(|(key, _)| key.minute);
    let mut calls = calls.into_iter().peekable();
    let mut logs = logs.into_iter().peekable();
    let mut out = Vec::new();
    for minute in range.buckets(MINUTE_US) {
        let mut minute_calls = Vec::new();
        while let Some(((_, src, dst, _), state)) = calls.next_if(|((m, ..), _)| *m == minute) {
            minute_calls.push((ranking.of(src), ranking.of(dst), state));
        }
        let mut minute_logs = Vec::new();
        while let Some((key, count)) = logs.next_if(|(key, _)| key.minute == minute) {
            minute_logs.push((ranking.of(key.resource), key.fingerprint as i64, count));
        }
        out.push(MinutePartial::new(minute, &urns, minute_calls, minute_logs));
    }
    out
}
