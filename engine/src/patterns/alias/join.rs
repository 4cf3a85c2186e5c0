//! Sets that are joined and never split: a union-find whose result does not depend on the order of the unions.

use super::Rule;

/// The members `0..n`, each at first in a class of its own.
pub(super) struct Joined {
    parent: Vec<usize>,
    rule: Vec<Option<Rule>>,
}

impl Joined {
    pub(super) fn new(n: usize) -> Self {
        Joined {
            parent: (0..n).collect(),
            rule: vec![None; n],
        }
    }

    /// Joins the members, because of `rule`.
    pub(super) fn join(&mut self, members: impl IntoIterator<Item = usize>, rule: Rule) {
        let mut first = None;
        for member in members {
            let root = self.root(member);
            if let Some(r) = self.rule.get_mut(member) {
                *r = Some(r.map_or(rule, |known| known.min(rule)));
            }
            let to = *first.get_or_insert(root);
            // The smallest member is the root, whatever came first.
            let (small, large) = (to.min(root), to.max(root));
            if let Some(parent) = self.parent.get_mut(large) {
                *parent = small;
            }
            first = Some(small);
        }
    }

    fn root(&mut self, member: usize) -> usize {
        let mut at = member;
        while let Some(&up) = self.parent.get(at)
            && up != at
        {
            let above = self.parent.get(up).copied().unwrap_or(up);
            // Halves the way for the next one.
            if let Some(parent) = self.parent.get_mut(at) {
                *parent = above;
            }
            at = above;
        }
        at
    }

    /// Every class, by its smallest member: the members ascending, each with its rule.
    pub(super) fn classes(mut self) -> Vec<Vec<(usize, Option<Rule>)>> {
        let mut by_root: Vec<(usize, usize)> = (0..self.parent.len()).map(|m| (self.root(m), m)).collect();
        by_root.sort_unstable();
        let rule = |member: usize| self.rule.get(member).copied().flatten();
        by_root
            .chunk_by(|a, b| a.0 == b.0)
            .map(|class| class.iter().map(|(_, member)| (*member, rule(*member))).collect())
            .collect()
    }
}
