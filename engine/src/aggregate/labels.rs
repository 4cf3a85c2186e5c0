//! Label sets of metric points. Each distinct set is cleaned, masked and hashed once.

use std::borrow::Cow;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::patterns::mask_value;
use crate::text::without_nul;

/// The number of "no labels kept".
pub(super) const NO_LABELS: u32 = 0;

/// Gives each distinct label set a number, counting from 1.
#[derive(Default)]
pub(super) struct LabelSets {
    sets: Vec<LabelSet>,
    table: HashTable<u32>,
    /// The bytes of the set being looked up.
    scratch: Vec<u8>,
}

/// The label that tells the buckets of a histogram apart.
const BOUND: &str = "le";

struct LabelSet {
    /// The set as it came, see [`set_bytes`].
    raw: Box<[u8]>,
    /// The number of the set without the bound of a bucket, if it has one.
    unbounded: Option<u32>,
    hash: i64,
    json: Box<str>,
}

impl LabelSets {
    /// The number of a label set. The pairs may come in any order; of a name that is there twice, the last counts.
    pub(super) fn intern(&mut self, labels: &[(&str, &str)]) -> u32 {
        if labels.is_empty() {
            return NO_LABELS;
        }
        let labels = in_order(labels);
        self.scratch.clear();
        set_bytes(&labels, &mut self.scratch);
        let hash = xxh3_64(&self.scratch);
        match self.find(hash, &self.scratch) {
            Some(id) => id,
            None => {
                let raw = self.scratch.as_slice().into();
                let unbounded: Vec<(&str, &str)> = labels.iter().filter(|(name, _)| *name != BOUND).copied().collect();
                // It gets its number before the set itself, which `absorb` relies on.
                let unbounded = (unbounded.len() < labels.len()).then(|| self.intern(&unbounded));
                self.add(hash, LabelSet::new(&labels, raw, unbounded))
            }
        }
    }

    /// The number of the same set without the bound of a bucket.
    pub(super) fn unbounded(&self, id: u32) -> u32 {
        let set = id.checked_sub(1).and_then(|i| self.sets.get(i as usize));
        set.and_then(|set| set.unbounded).unwrap_or(id)
    }

    /// `metric_1m.labels_hash` and `labels` of a number.
    pub(super) fn get(&self, id: u32) -> (i64, Option<&str>) {
        match id.checked_sub(1).and_then(|i| self.sets.get(i as usize)) {
            Some(set) => (set.hash, Some(&set.json)),
            None => (0, None),
        }
    }

    /// Takes over the sets of `other`; answers the new number of each of its numbers.
    pub(super) fn absorb(&mut self, other: LabelSets) -> Vec<u32> {
        let mut new = vec![NO_LABELS];
        for mut set in other.sets {
            let hash = xxh3_64(&set.raw);
            set.unbounded = set.unbounded.and_then(|id| new.get(id as usize).copied());
            new.push(self.find(hash, &set.raw).unwrap_or_else(|| self.add(hash, set)));
        }
        new
    }

    fn find(&self, hash: u64, raw: &[u8]) -> Option<u32> {
        let same = |id: &u32| self.sets.get(*id as usize).is_some_and(|set| *set.raw == *raw);
        self.table.find(hash, same).map(|index| index + 1)
    }

    fn add(&mut self, hash: u64, set: LabelSet) -> u32 {
        let index = self.sets.len() as u32;
        self.sets.push(set);
        let sets = &self.sets;
        let rehash = |id: &u32| sets.get(*id as usize).map(|set| xxh3_64(&set.raw)).unwrap_or_default();
        self.table.insert_unique(hash, index, rehash);
        index + 1
    }
}

impl LabelSet {
    fn new(labels: &[(&str, &str)], raw: Box<[u8]>, unbounded: Option<u32>) -> Self {
        let masked: Vec<(Cow<'_, str>, Cow<'_, str>)> = labels
            .iter()
            .map(|(name, value)| (without_nul(name), mask_value(name, value)))
            .collect();
        let pairs: Vec<(&str, &str)> = masked
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
            .collect();
        let pairs = in_order(&pairs);
        let json: serde_json::Map<String, serde_json::Value> = pairs
            .iter()
            .map(|(name, value)| (name.to_string(), (*value).into()))
            .collect();
        LabelSet {
            raw,
            unbounded,
            hash: labels_hash(&pairs),
            json: serde_json::Value::Object(json).to_string().into(),
        }
    }
}

/// `metric_1m.labels_hash`: the xxh3-64 of [`set_bytes`] over the masked labels, as signed; never 0, which says that no
/// labels are kept. It is part of stored keys and must never change.
fn labels_hash(labels: &[(&str, &str)]) -> i64 {
    let mut bytes = Vec::new();
    set_bytes(labels, &mut bytes);
    match xxh3_64(&bytes) as i64 {
        0 => 1,
        hash => hash,
    }
}

/// Each name and value in turn, with its length before it (4 bytes, little-endian).
fn set_bytes(labels: &[(&str, &str)], out: &mut Vec<u8>) {
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
}

/// The pairs by ascending name, each name once.
fn in_order<'s, 'a>(labels: &'s [(&'a str, &'a str)]) -> Cow<'s, [(&'a str, &'a str)]> {
    if labels.is_sorted_by(|a, b| a.0 < b.0) {
        return Cow::Borrowed(labels);
    }
    let mut sorted = labels.to_vec();
    sorted.reverse();
    sorted.sort_by_key(|pair| pair.0);
    sorted.dedup_by_key(|pair| pair.0);
    Cow::Owned(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(labels: &[(&str, &str)]) -> (i64, Option<String>) {
        let mut sets = LabelSets::default();
        let id = sets.intern(labels);
        let (hash, json) = sets.get(id);
        (hash, json.map(str::to_owned))
    }

    #[test]
    fn the_hash_is_part_of_stored_keys() {
        assert_eq!(of(&[]), (0, None));
        let (hash, json) = of(&[("code", "200"), ("le", "0.5")]);
        assert_eq!(
            (hash, json.as_deref()),
            (7_772_036_586_783_046_212, Some(r#"{"code":"200","le":"0.5"}"#))
        );
    }

    #[test]
    fn order_and_repetition_do_not_matter_but_boundaries_do() {
        assert_eq!(of(&[("b", "2"), ("a", "0"), ("a", "1")]), of(&[("a", "1"), ("b", "2")]));
        assert_ne!(of(&[("a", "bc")]).0, of(&[("ab", "c")]).0);
    }

    #[test]
    fn nothing_that_the_database_refuses_or_that_is_secret_gets_through() {
        let (_, json) = of(&[("password", "hunter two"), ("q\"", "a\0b"), ("x", "password=hunter")]);
        assert_eq!(
            json.as_deref(),
            Some("{\"password\":\"***\",\"q\\\"\":\"a\u{FFFD}b\",\"x\":\"password=***\"}")
        );
    }

    #[test]
    fn numbers_translate() {
        let (mut a, mut b) = (LabelSets::default(), LabelSets::default());
        let (x, y) = ([("k", "x")], [("k", "y")]);
        assert_eq!((a.intern(&x), a.intern(&y), a.intern(&x)), (1, 2, 1));
        b.intern(&y);
        assert_eq!(b.absorb(a), [0, 2, 1]);
    }

    #[test]
    fn buckets_share_the_set_without_their_bounds() {
        let mut a = LabelSets::default();
        let fast = a.intern(&[("code", "200"), ("le", "0.1")]);
        let slow = a.intern(&[("le", "+Inf"), ("code", "200")]);
        let both = a.intern(&[("code", "200")]);
        let alone = a.intern(&[("le", "0.1")]);
        let unbounded = |sets: &LabelSets, ids: &[u32]| ids.iter().map(|id| sets.unbounded(*id)).collect::<Vec<_>>();
        assert_eq!(unbounded(&a, &[fast, slow, both, alone]), [both, both, both, NO_LABELS]);
        let mut b = LabelSets::default();
        b.intern(&[("x", "1")]);
        let map = b.absorb(a);
        let new: Vec<u32> = [fast, slow, both].iter().map(|id| map[*id as usize]).collect();
        assert_eq!(unbounded(&b, &new), [new[2]; 3]);
    }
}
