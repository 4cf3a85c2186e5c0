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

/// Spans known as children only, and the children of all client spans.
#[derive(Default)]
pub(super) struct Callees {
    links: Vec<Link>,
    /// Children by their parents, of those that are asked about.
    by_client: HashMap<SpanKey, Vec<Link>>,
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

    /// Makes [`want`](Self::want) and [`answer`](Self::answer) ready after spans were added. Linear in all spans.
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
                if let Some(links) = self.by_client.get_mut(&link.parent) {
                    links.push(link);
                }
            }
        }
        self.ready = true;
    }

    /// Whether a span of another service has taken the call.
    pub(super) fn answer(&self, client: &Client, view: View) -> bool {
        let reach = reach(client, view);
        let links = self.by_client.get(&client.span).map_or(&[][..], Vec::as_slice);
        links
            .iter()
            .any(|link| link.service != client.service && reach.contains(link.start))
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
