//! Which series a metric point belongs to, and whether the values of that series add up.

use super::fields::{self, BOUND, Label};
use crate::record::Counts;
use std::borrow::Cow;
use xxhash_rust::xxh3::Xxh3;

/// The labels of one point: those that are handed on, the bound of a bucket, and those that only tell series apart.
#[derive(Debug, Default)]
pub(super) struct Labels<'a>(Vec<(Cow<'a, str>, Label, Cow<'a, str>)>);

impl<'a> Labels<'a> {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn push(&mut self, name: Cow<'a, str>, label: Label, value: Cow<'a, str>) {
        self.0.push((name, label, value));
    }

    /// Puts them into the order of their names. False if a name is there twice.
    pub(super) fn sort(&mut self) -> bool {
        if !self.0.is_sorted_by(|a, b| a.0 <= b.0) {
            self.0.sort_by(|a, b| a.0.cmp(&b.0));
        }
        self.0.is_sorted_by(|a, b| a.0 < b.0)
    }

    /// What stands for the number of a series that has none: the hash of all sorted labels that say something; 0 without
    /// any.
    pub(super) fn hash(&self) -> u64 {
        if self.0.iter().all(|(.., value)| value.is_empty()) {
            return 0;
        }
        let mut hash = Xxh3::new();
        for (name, _, value) in self.0.iter().filter(|(.., value)| !value.is_empty()) {
            for text in [name, value] {
                hash.update(&(text.len() as u64).to_le_bytes());
                hash.update(text.as_bytes());
            }
        }
        hash.digest()
    }

    /// Drops labels that say nothing and those that only told series apart.
    pub(super) fn keep_wanted(&mut self) {
        self.0
            .retain(|(_, label, value)| *label != Label::Identifying && !value.is_empty());
    }

    /// Those to hand on, by their names.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&str, &str)> {
        let kept = self.0.iter().filter(|(_, label, _)| *label == Label::Kept);
        kept.map(|(name, _, value)| (name.as_ref(), value.as_ref()))
    }

    /// The upper bound of a bucket: any number, `inf` (OTLP) and `+Inf` (Prometheus); nothing for `NaN`.
    pub(super) fn bound(&self) -> Option<f64> {
        let (.., value) = self.0.iter().find(|(name, ..)| name == BOUND)?;
        value.parse().ok().filter(|bound: &f64| !bound.is_nan())
    }
}

/// Whether a sample counts something, from the OTLP columns: a sum says whether it only grows, the parts of a histogram
/// (whose smallest and largest value have a temporality, too) are told by their names. Prometheus' samples have neither
/// column: then the name decides alone.
pub(super) fn counts(metric: &str, monotonic: Option<&str>, temporality: Option<&str>) -> Counts {
    let grows = match (monotonic, temporality) {
        (Some(monotonic), _) => monotonic.eq_ignore_ascii_case("true"),
        (None, Some(_)) => fields::is_part_name(metric),
        (None, None) => fields::is_counter_name(metric),
    };
    match temporality {
        _ if !grows => Counts::No,
        Some(temporality) if temporality.to_ascii_uppercase().ends_with("DELTA") => Counts::Delta,
        _ => Counts::Cumulative,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts() {
        let (cumulative, delta) = (
            Some("AGGREGATION_TEMPORALITY_CUMULATIVE"),
            Some("AGGREGATION_TEMPORALITY_DELTA"),
        );
        for (metric, monotonic, temporality, want) in [
            ("requests", Some("true"), cumulative, Counts::Cumulative),
            ("requests", Some("true"), delta, Counts::Delta),
            ("requests", Some("true"), None, Counts::Cumulative),
            ("connections_total", Some("false"), cumulative, Counts::No),
            ("latency_bucket", None, cumulative, Counts::Cumulative),
            ("latency_sum", None, delta, Counts::Delta),
            ("latency_max", None, cumulative, Counts::No),
            ("latency_total", None, cumulative, Counts::No),
            ("requests_total", None, None, Counts::Cumulative),
            ("latency_count", None, None, Counts::Cumulative),
            ("queue_depth", None, None, Counts::No),
        ] {
            assert_eq!(
                counts(metric, monotonic, temporality),
                want,
                "{metric} {monotonic:?} {temporality:?}"
            );
        }
    }

    #[test]
    fn bounds_of_either_spelling() {
        let bound = |text: &'static str| {
            let mut labels = Labels::default();
            labels.push(BOUND.into(), Label::Bound, text.into());
            labels.bound()
        };
        assert_eq!(
            (bound("inf"), bound("+Inf")),
            (Some(f64::INFINITY), Some(f64::INFINITY))
        );
        assert_eq!((bound("0.25"), bound("NaN"), bound("x")), (Some(0.25), None, None));
    }

    #[test]
    fn the_hash_is_of_what_the_labels_say() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let mut labels = Labels::default();
            pairs
                .iter()
                .for_each(|(n, v)| labels.push((*n).into(), Label::Identifying, (*v).into()));
            labels.sort();
            labels.hash()
        };
        assert_eq!(of(&[("b", "2"), ("a", "1"), ("c", "")]), of(&[("a", "1"), ("b", "2")]));
        assert_ne!(of(&[("a", "bc")]), of(&[("ab", "c")]));
    }
}
