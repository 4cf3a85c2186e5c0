//! The four measures of log parsing, as the LogHub-2.0 benchmark defines them (Jiang et al., "A Large-scale
//! Evaluation for Log Parsing Techniques: How Far are We?", ISSTA 2024, section 3.3).

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// What a parser made of a set, each between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// Grouping accuracy: share of lines whose group is exactly the gold group.
    pub ga: f64,
    /// Parsing accuracy: share of lines with the gold template.
    pub pa: f64,
    /// F1 of grouping, over groups.
    pub fga: f64,
    /// F1 of templates: groups that are gold groups and have the gold template.
    pub fta: f64,
}

/// One line: what it should be and what it was taken for.
#[derive(Clone, Copy)]
pub struct Line<'a, G> {
    /// The gold template.
    pub gold: &'a str,
    /// The group the line was put into.
    pub group: G,
    /// The template it was given.
    pub template: &'a str,
}

/// Scores a set of lines.
pub fn score<G: Copy + Eq + Hash>(lines: &[Line<'_, G>]) -> Scores {
    let mut gold: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut groups: HashMap<G, Vec<usize>> = HashMap::new();
    for (i, line) in lines.iter().enumerate() {
        gold.entry(line.gold).or_default().push(i);
        groups.entry(line.group).or_default().push(i);
    }
    let same = |line: &Line<'_, G>| same(line.template, line.gold);
    let (mut right_lines, mut right_groups, mut right_templates) = (0, 0, 0);
    for members in groups.values() {
        let Some(first) = members.first().and_then(|i| lines.get(*i)) else {
            continue;
        };
        // The lists hold line numbers in ascending order.
        if gold.get(first.gold) == Some(members) {
            right_lines += members.len();
            right_groups += 1;
            let templates: HashSet<&str> = members
                .iter()
                .filter_map(|i| lines.get(*i))
                .map(|l| l.template)
                .collect();
            right_templates += usize::from(templates.len() == 1 && same(first));
        }
    }
    let total = lines.len().max(1) as f64;
    Scores {
        ga: right_lines as f64 / total,
        pa: lines.iter().filter(|l| same(l)).count() as f64 / total,
        fga: f1(right_groups, groups.len(), gold.len()),
        fta: f1(right_templates, groups.len(), gold.len()),
    }
}

/// The average of several sets.
pub fn average<'a>(scores: impl Iterator<Item = &'a Scores> + Clone) -> Scores {
    let n = scores.clone().count().max(1) as f64;
    let of = |measure: fn(&Scores) -> f64| scores.clone().map(measure).sum::<f64>() / n;
    Scores {
        ga: of(|s| s.ga),
        pa: of(|s| s.pa),
        fga: of(|s| s.fga),
        fta: of(|s| s.fta),
    }
}

/// Whether a template is the gold template.
pub fn same(template: &str, gold: &str) -> bool {
    normal(template) == normal(gold)
}

/// F1 of `right` out of `found`, where `wanted` exist.
fn f1(right: usize, found: usize, wanted: usize) -> f64 {
    2.0 * right as f64 / (found + wanted).max(1) as f64
}

/// Templates are compared without regard to blanks and to how a run of neighbouring variables is written: the
/// benchmark's own rules of correction treat both as one (Khan et al., ICSE 2022, rules DS, DV and CV).
fn normal(template: &str) -> String {
    let mut out = template.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    for run in ["<*> <*>", "<*>.<*>", "<*>,<*>", "<*>, <*>", "<*><*>"] {
        while out.contains(run) {
            out = out.replace(run, "<*>");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(lines: &[(&str, u64, &str)]) -> Scores {
        let lines: Vec<_> = lines
            .iter()
            .map(|(gold, group, template)| Line {
                gold,
                group: *group,
                template,
            })
            .collect();
        score(&lines)
    }

    #[test]
    fn all_is_right() {
        let right = scores(&[("a <*>", 1, "a <*>"), ("a <*>", 1, "a <*>"), ("b <*> <*>", 2, "b <*>")]);
        assert_eq!([right.ga, right.pa, right.fga, right.fta], [1.0; 4]);
    }

    #[test]
    fn a_group_counts_only_if_it_is_the_whole_gold_group() {
        // Gold a is split in two, b and c are in one group, d has another text.
        let s = scores(&[
            ("a", 1, "a"),
            ("a", 2, "a"),
            ("b", 3, "b"),
            ("c", 3, "b"),
            ("d", 4, "x"),
            ("e", 5, "e"),
        ]);
        assert_eq!([s.ga, s.pa], [2.0 / 6.0, 4.0 / 6.0]);
        // Five groups for five gold ones; d and e are right, e alone with its text.
        assert_eq!([s.fga, s.fta], [0.4, 0.2]);
    }
}
