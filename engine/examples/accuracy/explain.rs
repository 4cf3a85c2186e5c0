//! What went wrong: gold templates whose lines are in several groups, or in one with others, or have another text.

use crate::score::{Line, same};
use std::collections::{BTreeMap, BTreeSet};

/// Groups of a gold template that are printed.
const MAX_GROUPS: usize = 12;

/// Prints every gold template that is not met, and what was found instead.
pub fn print(lines: &[Line<'_, u64>]) {
    let mut by_gold: BTreeMap<&str, BTreeMap<(u64, &str), usize>> = BTreeMap::new();
    let mut golds: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for line in lines {
        let found = by_gold.entry(line.gold).or_default();
        *found.entry((line.group, line.template)).or_default() += 1;
        golds.entry(line.group).or_default().insert(line.gold);
    }
    for (gold, found) in by_gold {
        let mixed = |group: &u64| golds.get(group).is_some_and(|g| g.len() > 1);
        let what = if found.keys().any(|(group, _)| mixed(group)) {
            "mixed"
        } else if found.len() > 1 {
            "split"
        } else if found.keys().any(|(_, template)| !same(template, gold)) {
            "text "
        } else {
            continue;
        };
        println!("    {what} {gold}");
        for ((_, template), count) in found.iter().take(MAX_GROUPS) {
            println!("    {count:>7} {template}");
        }
    }
}
