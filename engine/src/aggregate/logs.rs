//! Log lines by minute, resource and pattern.

use hashbrown::HashMap;

use super::intern::{ResourceId, ResourceMap};
use super::output::PatternRow;
use crate::partial::LogCount;
use crate::patterns::{Masker, Scratch, Severity, mask_secrets, sample, severity};
use crate::text::{cut, without_nul};

/// Longest `log_pattern.sample_message`.
const SAMPLE_BYTES: usize = 1_000;
/// Longest `log_pattern.pattern`.
const PATTERN_BYTES: usize = 4_000;
/// How much of a line is kept while it may still become the sample. Masks may shorten a text, so it is more than
/// [`SAMPLE_BYTES`].
const RAW_BYTES: usize = 4_096;
/// Longer lines are not remembered to recognise their repetition.
const REPEAT_BYTES: usize = 8_192;

/// From lines to their fingerprints, for all windows.
#[derive(Default)]
pub(super) struct Fingerprints {
    masker: Masker,
    scratch: Scratch,
    /// The line before and its fingerprint: equal lines often follow each other.
    repeat: String,
    repeat_fingerprint: u64,
}

/// The lines of one window.
#[derive(Default)]
pub(super) struct Logs {
    counts: HashMap<LogKey, LogCount>,
    patterns: HashMap<u64, Pattern>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LogKey {
    pub(super) minute: i64,
    pub(super) resource: ResourceId,
    pub(super) fingerprint: u64,
}

/// A pattern while its lines come in. The sample is the line with the smallest (time, text), the severity the highest,
/// so the order of arrival does not matter.
struct Pattern {
    /// Unmasked, at most [`RAW_BYTES`].
    line: String,
    first_seen: i64,
    last_seen: i64,
    severity: Option<Severity>,
}

impl Pattern {
    fn offer(&mut self, line: &str, first_seen: i64, last_seen: i64, severity: Option<Severity>) {
        if first_seen < self.first_seen || (first_seen == self.first_seen && *line < *self.line) {
            self.line.clear();
            self.line.push_str(line);
            self.first_seen = first_seen;
        }
        self.last_seen = self.last_seen.max(last_seen);
        self.severity = self.severity.max(severity);
    }
}

impl Fingerprints {
    pub(super) fn of(&mut self, body: &str) -> u64 {
        // An empty `repeat` is no line: its fingerprint is not known.
        if body != self.repeat || body.is_empty() {
            self.repeat_fingerprint = self.masker.fingerprint(body, &mut self.scratch);
            self.repeat.clear();
            if body.len() <= REPEAT_BYTES {
                self.repeat.push_str(body);
            }
        }
        self.repeat_fingerprint
    }

    /// The template is made of the sample, once a pattern and not once a line: lines of one fingerprint may still differ
    /// in what people are shown.
    fn row(&self, fingerprint: u64, pattern: &Pattern) -> PatternRow {
        let line = without_nul(&pattern.line);
        let template = self.masker.template(&line);
        PatternRow {
            fingerprint: fingerprint as i64,
            // A template keeps constant words, and one of them may be a secret.
            pattern: cut(&mask_secrets(&template), PATTERN_BYTES).to_owned(),
            sample: sample(&line, SAMPLE_BYTES),
            severity: pattern.severity,
            first_seen: pattern.first_seen,
            last_seen: pattern.last_seen,
        }
    }
}

impl Logs {
    /// Counts a line with this fingerprint.
    pub(super) fn add(
        &mut self,
        minute: i64,
        resource: ResourceId,
        fingerprint: u64,
        ts: i64,
        body: &str,
        field: Option<&str>,
    ) {
        let severity = severity(field, body);
        let count = self
            .counts
            .entry(LogKey {
                minute,
                resource,
                fingerprint,
            })
            .or_default();
        count.total += 1;
        count.errors += u64::from(severity.is_some_and(Severity::is_error));
        self.offer(fingerprint, cut(body, RAW_BYTES), ts, ts, severity);
    }

    fn offer(&mut self, fingerprint: u64, line: &str, first_seen: i64, last_seen: i64, severity: Option<Severity>) {
        match self.patterns.get_mut(&fingerprint) {
            Some(pattern) => pattern.offer(line, first_seen, last_seen, severity),
            None => {
                let pattern = Pattern {
                    line: line.to_owned(),
                    first_seen,
                    last_seen,
                    severity,
                };
                self.patterns.insert(fingerprint, pattern);
            }
        }
    }

    pub(super) fn absorb(&mut self, other: Logs, resources: &ResourceMap) {
        for (key, more) in other.counts {
            let count = self
                .counts
                .entry(LogKey {
                    resource: resources.map(key.resource),
                    ..key
                })
                .or_default();
            count.total += more.total;
            count.errors += more.errors;
        }
        for (fingerprint, p) in other.patterns {
            self.offer(fingerprint, &p.line, p.first_seen, p.last_seen, p.severity);
        }
    }

    pub(super) fn resources(&self) -> impl Iterator<Item = ResourceId> {
        self.counts.keys().map(|key| key.resource)
    }

    /// The counts in no order, and the patterns sorted by fingerprint.
    pub(super) fn finish(self, fingerprints: &Fingerprints) -> (Vec<(LogKey, LogCount)>, Vec<PatternRow>) {
        let mut patterns: Vec<PatternRow> = self
            .patterns
            .iter()
            .map(|(fingerprint, p)| fingerprints.row(*fingerprint, p))
            .collect();
        patterns.sort_unstable_by_key(|row| row.fingerprint);
        (self.counts.into_iter().collect(), patterns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aggregate<'a>(
        lines: impl IntoIterator<Item = (i64, &'a str, Option<&'a str>)>,
    ) -> (Vec<(LogKey, LogCount)>, Vec<PatternRow>) {
        let (mut fingerprints, mut logs) = (Fingerprints::default(), Logs::default());
        for (ts, body, level) in lines {
            logs.add(0, 0, fingerprints.of(body), ts, body, level);
        }
        logs.finish(&fingerprints)
    }

    #[test]
    fn lines_of_a_pattern_are_counted_together() {
        let (counts, patterns) = aggregate([
            (30, "took 5 ms", Some("INFO")),
            (10, "took 7 ms", Some("ERROR")),
            (10, "took 6 ms", Some("WARN")),
            (40, "took 6 ms", None),
        ]);
        assert_eq!(
            counts.iter().map(|c| c.1).collect::<Vec<_>>(),
            [LogCount { total: 4, errors: 1 }]
        );
        let [row] = patterns.as_slice() else {
            panic!("{patterns:?}")
        };
        assert_eq!(
            (row.sample.as_str(), row.first_seen, row.last_seen),
            ("took 6 ms", 10, 40)
        );
        assert_eq!(row.severity, Some(Severity::Error));
        assert!(row.pattern.contains("<*>"), "{}", row.pattern);
    }

    #[test]
    fn huge_odd_and_secret_lines_are_kept_short_and_clean() {
        let huge = format!("login password=hunter \0 {}", "é ".repeat(100_000));
        let (counts, patterns) = aggregate([(1, "", None), (1, "", None), (2, &huge, None)]);
        assert_eq!(counts.iter().map(|c| c.1.total).sum::<u64>(), 3);
        for row in &patterns {
            assert!(row.sample.len() <= SAMPLE_BYTES && row.pattern.len() <= PATTERN_BYTES);
            assert!(!row.sample.contains(['\0']) && !row.pattern.contains(['\0']));
            assert!(!row.sample.contains("hunter") && !row.pattern.contains("hunter"));
        }
    }
}
