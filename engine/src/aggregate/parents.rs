//! Which span is the parent: the spans of all windows and of the margin around them, held once.
//!
//! A window sees the spans that start in it and those of the margin around it, and nothing else: what comes out for it
//! must not depend on which other windows were fetched along with it.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use xxhash_rust::xxh3::xxh3_128;

use super::intern::{ResourceId, ResourceMap, Resources};
use crate::window::Window;
use crate::work::looked;

/// How far around a window the parents of its spans may start; microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Margin {
    /// Before the window: parents start before their children.
    pub before: i64,
    /// Behind it: clocks differ.
    pub after: i64,
}

impl Margin {
    /// The margin that holds both.
    pub fn union(self, other: Margin) -> Margin {
        Margin {
            before: self.before.max(other.before),
            after: self.after.max(other.after),
        }
    }
}

/// Where the parents of a window's spans may start.
#[derive(Clone, Copy)]
pub(super) struct View {
    before: Window,
    own: Window,
    after: Window,
}

impl View {
    pub(super) fn new(own: Window, margin: Margin) -> Self {
        View {
            before: Window::new(own.from.saturating_sub(margin.before.max(0)), own.from),
            own,
            after: Window::new(own.to, own.to.saturating_add(margin.after.max(0))),
        }
    }

    /// The window itself.
    pub(super) fn own(&self) -> Window {
        self.own
    }

    /// The window with its margin.
    pub(super) fn visible(&self) -> Window {
        Window::new(self.before.from, self.after.to)
    }

    /// How much clocks may differ, microseconds: the margin behind the window.
    pub(super) fn skew(&self) -> i64 {
        self.after.len()
    }

    /// Whether the margin overlaps `range`.
    pub(super) fn reaches(&self, range: Window) -> bool {
        !overlap(self.before, range).is_empty() || !overlap(self.after, range).is_empty()
    }

    /// Whether spans that start in the margin's part of `range` may be preferred to `found`; see [`Parents::find`].
    pub(super) fn may_improve(&self, found: Option<Seen>, range: Window) -> bool {
        let (before, after) = (overlap(self.before, range), overlap(self.after, range));
        match found.map(|seen| seen.start) {
            None => !before.is_empty() || !after.is_empty(),
            Some(start) if self.own.contains(start) => false,
            Some(start) if self.after.contains(start) => !after.is_empty() && after.from <= start,
            Some(start) => !after.is_empty() || (!before.is_empty() && start < before.to),
        }
    }
}

fn overlap(a: Window, b: Window) -> Window {
    Window::new(a.from.max(b.from), a.to.min(b.to))
}

/// Trace id and span id, hashed. Two halves, so it aligns to 8 bytes.
pub(super) type SpanKey = [u64; 2];

/// A span that may be a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// UTC microseconds.
    start: i64,
    pub(super) service: ResourceId,
}

impl Seen {
    fn start(&self) -> i64 {
        looked(1);
        self.start
    }
}

/// All spans that may be parents.
#[derive(Default)]
pub(super) struct Parents {
    /// The span that came first of each id.
    seen: HashMap<SpanKey, Seen>,
    /// All spans of an id that is shared by spans that differ.
    shared: HashMap<SpanKey, Vec<Seen>>,
    /// `shared` is not in order.
    unordered: bool,
    key_bytes: Vec<u8>,
}

impl Parents {
    pub(super) fn key(&mut self, trace_id: &str, span_id: &str) -> SpanKey {
        self.key_bytes.clear();
        self.key_bytes.extend_from_slice(trace_id.as_bytes());
        // No id contains a NUL, so this keeps ("ab", "c") and ("a", "bc") apart.
        self.key_bytes.push(0);
        self.key_bytes.extend_from_slice(span_id.as_bytes());
        let hash = xxh3_128(&self.key_bytes);
        [hash as u64, (hash >> 64) as u64]
    }

    /// A span of `service` that starts at `start`.
    pub(super) fn add(&mut self, key: SpanKey, start: i64, service: ResourceId) {
        let span = Seen { start, service };
        match self.seen.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(span);
            }
            Entry::Occupied(first) if *first.get() != span => {
                self.shared.entry(key).or_insert_with(|| vec![*first.get()]).push(span);
                self.unordered = true;
            }
            Entry::Occupied(_) => {}
        }
    }

    pub(super) fn absorb(&mut self, other: Parents, resources: &ResourceMap) {
        self.seen.reserve(other.seen.len());
        for (key, span) in other.seen {
            self.add(key, span.start, resources.map(span.service));
        }
        for (key, spans) in other.shared {
            for span in spans {
                self.add(key, span.start, resources.map(span.service));
            }
        }
    }

    /// Makes [`find`](Self::find) ready after spans were added. `resources` are those the numbers belong to.
    pub(super) fn order(&mut self, resources: &Resources) {
        if self.unordered {
            for spans in self.shared.values_mut() {
                spans.sort_unstable_by(|a, b| {
                    let name = |span: &Seen| resources.name(span.service);
                    a.start.cmp(&b.start).then_with(|| name(a).cmp(name(b)))
                });
                spans.dedup();
            }
            self.unordered = false;
        }
    }

    /// The span of this id as a window sees it. Of several it is the last that starts in the window, else the first
    /// behind it, else the last before it; of those at one instant the one whose service sorts first. So a span nearer
    /// by is never displaced by what is read later, farther away.
    pub(super) fn find(&self, key: SpanKey, view: View) -> Option<Seen> {
        if !self.shared.is_empty()
            && let Some(spans) = self.shared.get(&key)
        {
            return pick(spans, view);
        }
        let seen = self.seen.get(&key).copied();
        seen.filter(|span| view.visible().contains(span.start))
    }
}

/// See [`Parents::find`]; `spans` are in order.
fn pick(spans: &[Seen], view: View) -> Option<Seen> {
    let first_from = |start: i64| spans.get(spans.partition_point(|span| span.start() < start)).copied();
    let end = spans.partition_point(|span| span.start() < view.own.to);
    let last = end.checked_sub(1).and_then(|i| spans.get(i)).map(Seen::start);
    let behind = spans.get(end).copied().filter(|span| view.after.contains(span.start()));
    match last {
        Some(start) if view.own.contains(start) => first_from(start),
        Some(start) if behind.is_none() && view.before.contains(start) => first_from(start),
        _ => behind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A view of [100, 200) with a margin of 50 before and 20 behind, and what it makes of spans of one id.
    fn found(spans: &[(i64, &str)]) -> Option<(i64, String)> {
        let view = View::new(Window::new(100, 200), Margin { before: 50, after: 20 });
        let (mut resources, mut parents) = (Resources::default(), Parents::default());
        for (start, service) in spans {
            let key = parents.key("t", "s");
            parents.add(key, *start, resources.service(Some(service)));
        }
        parents.order(&resources);
        let key = parents.key("t", "s");
        parents
            .find(key, view)
            .map(|seen| (seen.start, resources.name(seen.service).to_string()))
    }

    #[test]
    fn the_window_first_then_what_lies_behind_it_then_before_it() {
        let is = |spans: &[(i64, &str)], start, service: &str| {
            assert_eq!(found(spans), Some((start, service.to_string())), "{spans:?}");
        };
        is(
            &[(60, "a"), (70, "b"), (120, "c"), (130, "e"), (130, "d"), (205, "f")],
            130,
            "d",
        );
        is(&[(205, "f"), (70, "b"), (60, "a"), (207, "g"), (207, "g")], 205, "f");
        is(&[(60, "a"), (70, "c"), (49, "x"), (70, "b"), (220, "y")], 70, "b");
        is(&[(199, "a")], 199, "a");
        for none in [&[][..], &[(49, "a")], &[(220, "a")], &[(49, "a"), (220, "b")]] {
            assert_eq!(found(none), None);
        }
    }

    #[test]
    fn only_what_may_be_preferred_is_worth_reading() {
        let view = View::new(Window::new(100, 200), Margin { before: 50, after: 20 });
        let better = |start: Option<i64>, from, to| {
            let found = start.map(|start| Seen { start, service: 0 });
            view.may_improve(found, Window::new(from, to))
        };
        assert!(better(None, 0, 51) && better(None, 219, 300));
        assert!(!better(None, 0, 50) && !better(None, 220, 300) && !better(None, 100, 200));
        assert!(!better(Some(150), 0, 300));
        assert!(better(Some(210), 200, 205) && !better(Some(210), 211, 220) && !better(Some(210), 0, 100));
        assert!(better(Some(80), 200, 220) && better(Some(80), 90, 100) && !better(Some(80), 50, 80));
    }
}
