//! One comparison of two sets.

use std::collections::BTreeSet;
use std::fmt;

/// A line of the report.
#[derive(Debug)]
pub struct Line {
    pub file: String,
    /// What was compared.
    pub what: &'static str,
    pub expected: usize,
    pub found: usize,
    pub both: usize,
    /// Least precision and recall.
    pub least: f64,
    /// What went wrong, some of it.
    pub notes: Vec<String>,
}

impl Line {
    /// Compares sets of lines.
    pub fn compare(
        file: &str,
        what: &'static str,
        least: f64,
        expected: &BTreeSet<String>,
        found: &BTreeSet<String>,
    ) -> Line {
        let missing = expected.difference(found).take(5).map(|text| format!("missing {text}"));
        let extra = found.difference(expected).take(5).map(|text| format!("extra   {text}"));
        Line {
            file: file.to_owned(),
            what,
            expected: expected.len(),
            found: found.len(),
            both: expected.intersection(found).count(),
            least,
            notes: missing.chain(extra).collect(),
        }
    }

    /// A line for something that did not work at all.
    pub fn failure(file: &str, what: &'static str, why: String) -> Line {
        Line {
            file: file.to_owned(),
            what,
            expected: 1,
            found: 0,
            both: 0,
            least: 1.0,
            notes: vec![why],
        }
    }

    pub fn precision(&self) -> f64 {
        share(self.both, self.found)
    }

    pub fn recall(&self) -> f64 {
        share(self.both, self.expected)
    }

    pub fn passed(&self) -> bool {
        self.precision() >= self.least && self.recall() >= self.least
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (precision, recall) = (self.precision(), self.recall());
        let verdict = if self.passed() { "" } else { "  BELOW" };
        write!(
            f,
            "{:<58} {:<13} {:>9} {:>6} {:>5} {precision:>9.3} {recall:>8.3}{verdict}",
            self.file, self.what, self.expected, self.found, self.both
        )?;
        if !self.passed() || self.both < self.expected.max(self.found) {
            for note in &self.notes {
                write!(f, "\n    {note}")?;
            }
        }
        Ok(())
    }
}
