//! What stands for new patterns when a tenant has too many of them.

use engine::aggregate::PatternRow;
use engine::partial::MinutePartial;
use engine::patterns::{self, Masker};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Fingerprints of lines, and the coarser ones under which they count.
#[derive(Default)]
pub struct Coarse {
    instead: HashMap<i64, i64>,
}

impl Coarse {
    /// Decides for patterns, sorted by fingerprint, which of them get an entry of their own in a dictionary that has `count`
    /// entries, where `limit` are allowed (0: any number): those that are `known`, and new ones as long as there is room.
    /// Returns what is to be entered, each once. [`patterns::within`] says what takes the place of the others.
    pub fn new(
        masker: &Masker,
        limit: usize,
        mut count: usize,
        known: &HashSet<i64>,
        rows: Vec<PatternRow>,
    ) -> (Coarse, Vec<PatternRow>) {
        let mut coarse = Coarse::default();
        let mut entered: BTreeMap<i64, PatternRow> = BTreeMap::new();
        for mut row in rows {
            if !known.contains(&row.fingerprint) {
                let template = patterns::within(limit, count, &row.pattern);
                if template != row.pattern {
                    let own = row.fingerprint;
                    row.fingerprint = masker.template_fingerprint(&template) as i64;
                    row.pattern = template.into_owned();
                    coarse.instead.insert(own, row.fingerprint);
                }
                // A coarse one may be known: then this counts one too many, which no one will miss among so many.
                count += usize::from(!entered.contains_key(&row.fingerprint));
            }
            entered
                .entry(row.fingerprint)
                .and_modify(|first| first.merge(&row))
                .or_insert(row);
        }
        (coarse, entered.into_values().collect())
    }

    /// Minutes with their lines counted under what stands for their patterns.
    pub fn minutes<'a>(&self, minutes: &'a [MinutePartial]) -> Cow<'a, [MinutePartial]> {
        if self.instead.is_empty() {
            return Cow::Borrowed(minutes);
        }
        let of = |own| self.instead.get(&own).copied().unwrap_or(own);
        Cow::Owned(minutes.iter().map(|minute| minute.with_patterns(of)).collect())
    }

    /// How many lines of these minutes do not count under their own pattern.
    pub fn lines(&self, minutes: &[MinutePartial]) -> i64 {
        let lines = minutes.iter().flat_map(MinutePartial::logs);
        let lines = lines.filter(|(_, fingerprint, _)| self.instead.contains_key(fingerprint));
        lines.map(|(.., count)| count.total as i64).sum()
    }
}
