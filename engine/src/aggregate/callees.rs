//! Which calls of client and producer spans were answered: their children of other services, wherever they start.
//!
//! A window sees the children that start in it and, to both sides, as far around it as clocks may differ (the margin
//! behind it); of a client span's children those that start while it runs, give or take as much. A child that starts
//! later is too late: the consumer of a message that waited longer, say.

use hashbrown::HashMap;

use super::intern::{ResourceId, ResourceMap};
use super::parents::{SpanKey, View};
use super::spans::{Child, Client};
use crate::window::Window;
use crate::work::looked;

/// Spans known as children only, and the children of all client spans.
#[derive(Default)]
pub(super) struct Callees {
    links: Vec<Link>,
    /// Children by their parents, of those that are asked about; in the order of their starts.
    by_client: HashMap<SpanKey, Vec<Taker>>,
    /// `by_client` lacks nothing.
    ready: bool,
}

/// A child.
#[derive(Clone, Copy)]
struct Link {
    parent: SpanKey,
    start: i64,
    service: ResourceId,
}

/// A child among those of one client span.
#[derive(Clone, Copy)]
struct Taker {
    start: i64,
    service: ResourceId,
    /// When the next one of another service starts. Senders that give all spans one id must not cost a look at each.
    other: Option<i64>,
}

impl Taker {
    fn start(&self) -> i64 {
        looked(1);
        self.start
    }
}

impl Callees {
    /// A span that is known as a child only.
    pub(super) fn add(&mut self, parent: SpanKey, start: i64, service: ResourceId) {
        self.links.push(Link { parent, start, service });
        self.ready = false;
    }

    /// Spans came that [`order`](Self::order) has not seen.
    pub(super) fn unsettle(&mut self) {
        self.ready = false;
    }

    pub(super) fn absorb(&mut self, other: Callees, resources: &ResourceMap) {
        self.links.extend(other.links.into_iter().map(|link| Link {
            service: resources.map(link.service),
            ..link
        }));
        self.ready = false;
    }

    /// Makes [`want`](Self::want) and [`answer`](Self::answer) ready after spans were added. Linear in all spans, but for
    /// putting those of one parent into order.
    pub(super) fn order<'s>(
        &mut self,
        clients: impl Iterator<Item = &'s Client>,
        children: impl Iterator<Item = &'s Child>,
    ) {
        if self.ready {
            return;
        }
        self.by_client = clients.map(|client| (client.span, Vec::new())).collect();
        if !self.by_client.is_empty() {
            let known = children.map(|child| Link {
                parent: child.parent,
                start: child.start,
                service: child.service,
            });
            for link in known.chain(self.links.iter().copied()) {
                if let Some(takers) = self.by_client.get_mut(&link.parent) {
                    takers.push(Taker {
                        start: link.start,
                        service: link.service,
                        other: None,
                    });
                }
            }
            self.by_client.values_mut().for_each(|takers| settle(takers));
        }
        self.ready = true;
    }

    /// Whether a span of another service has taken the call.
    pub(super) fn answer(&self, client: &Client, view: View) -> bool {
        let takers = self.by_client.get(&client.span).map_or(&[][..], Vec::as_slice);
        is_taken(takers, client.service, reach(client, view))
    }

    /// Whether a span that starts in the part of `range` outside the window may take the call.
    pub(super) fn want(&self, client: &Client, range: Window, view: View) -> bool {
        let reach = reach(client, view);
        let outside = [
            Window::new(reach.from, reach.to.min(view.own().from)),
            Window::new(reach.from.max(view.own().to), reach.to),
        ];
        let overlap = |part: &Window| part.from.max(range.from) < part.to.min(range.to);
        outside.iter().any(overlap) && !self.answer(client, view)
    }
}

/// Puts the children of one span into the order that [`is_taken`] needs.
fn settle(takers: &mut [Taker]) {
    takers.sort_unstable_by_key(|taker| (taker.start, taker.service));
    let mut next: Option<Taker> = None;
    for taker in takers.iter_mut().rev() {
        taker.other = next.and_then(|next| match next.service == taker.service {
            true => next.other,
            false => Some(next.start),
        });
        next = Some(*taker);
    }
}

/// Whether one of another service than `service` starts in `reach`.
fn is_taken(takers: &[Taker], service: ResourceId, reach: Window) -> bool {
    let first = takers.get(takers.partition_point(|taker| taker.start() < reach.from));
    let start = first.and_then(|first| match first.service == service {
        true => first.other,
        false => Some(first.start()),
    });
    start.is_some_and(|start| start < reach.to)
}

/// Where children that take the call may start.
fn reach(client: &Client, view: View) -> Window {
    let (own, skew) = (view.own(), view.skew());
    // No farther before the window than parents are looked for.
    let around = Window::new(
        view.visible().from.max(own.from.saturating_sub(skew)),
        view.visible().to,
    );
    let end = match client.waits {
        true => i64::MAX,
        false => client
            .start
            .saturating_add_unsigned(client.duration_us)
            .saturating_add(skew)
            .saturating_add(1),
    };
    Window::new(around.from.max(client.start.saturating_sub(skew)), around.to.min(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_call_is_taken_as_if_each_child_were_looked_at(
            children in prop::collection::vec((0i64..20, 0u32..3), 0..12), service in 0u32..3, from in 0i64..20, len in -3i64..20,
        ) {
            let reach = Window::new(from, from + len);
            let slow = children.iter().any(|(start, other)| *other != service && reach.contains(*start));
            let taker = |(start, service): &(i64, u32)| Taker { start: *start, service: *service, other: None };
            let mut takers: Vec<Taker> = children.iter().map(taker).collect();
            settle(&mut takers);
            prop_assert_eq!(is_taken(&takers, service, reach), slow);
        }
    }
}
