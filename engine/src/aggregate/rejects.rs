//! Records that could not be used: counted by reason, with a few of them kept.

use std::collections::BTreeMap;

use super::output::RejectRow;
use crate::patterns::sample;
use crate::record::{Dataset, RejectReason};
use crate::text::{cut, without_nul};

/// How many samples a reason keeps.
const SAMPLES: usize = 3;
/// Longest sample that is written.
const SAMPLE_BYTES: usize = 500;
/// How much of a record is kept until it is masked, which may shorten it.
const RAW_BYTES: usize = 2_048;

#[derive(Default)]
pub(super) struct Rejects(BTreeMap<(Dataset, RejectReason), Reject>);

/// The samples are the distinct ones that sort first, so the order of arrival does not matter.
#[derive(Default)]
struct Reject {
    count: u64,
    samples: Vec<String>,
}

impl Reject {
    fn offer(&mut self, sample: &str) {
        match self.samples.binary_search_by(|held| held.as_str().cmp(sample)) {
            Err(at) if at < SAMPLES => {
                self.samples.insert(at, sample.to_owned());
                self.samples.truncate(SAMPLES);
            }
            _ => {}
        }
    }
}

impl Rejects {
    pub(super) fn add(&mut self, dataset: Dataset, reason: RejectReason, record: &str) {
        let reject = self.0.entry((dataset, reason)).or_default();
        reject.count += 1;
        reject.offer(cut(record, RAW_BYTES));
    }

    pub(super) fn absorb(&mut self, other: Rejects) {
        for (key, more) in other.0 {
            let reject = self.0.entry(key).or_default();
            reject.count += more.count;
            more.samples.iter().for_each(|sample| reject.offer(sample));
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.0.values().map(|reject| reject.count).sum()
    }

    /// Sorted by dataset and reason.
    pub(super) fn finish(self) -> Vec<RejectRow> {
        let row = |((dataset, reason), reject): ((Dataset, RejectReason), Reject)| {
            let mut samples: Vec<String> = reject
                .samples
                .iter()
                .map(|raw| sample(&without_nul(raw), SAMPLE_BYTES))
                .collect();
            samples.sort_unstable();
            samples.dedup();
            RejectRow {
                dataset,
                reason,
                count: i64::try_from(reject.count).unwrap_or(i64::MAX),
                samples,
            }
        };
        self.0.into_iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_clean_samples_are_kept() {
        let mut r = Rejects::default();
        for text in ["d", "b", "x password=hunter", "b", "a\0", "c"] {
            r.add(Dataset::Logs, RejectReason::MissingBody, text);
        }
        r.add(Dataset::Logs, RejectReason::NotAnObject, &"é".repeat(10_000));
        r.add(Dataset::Metrics, RejectReason::BadValue, "x password=hunter");
        let rows = r.finish();
        assert_eq!(
            (rows[0].reason, rows[1].reason),
            (RejectReason::NotAnObject, RejectReason::MissingBody)
        );
        assert!(rows[0].samples[0].len() <= SAMPLE_BYTES);
        assert_eq!(
            (rows[1].count, rows[1].samples.clone()),
            (6, vec!["a\u{FFFD}".into(), "b".into(), "c".into()])
        );
        assert_eq!(rows[2].samples, ["x password=***"]);
    }
}
