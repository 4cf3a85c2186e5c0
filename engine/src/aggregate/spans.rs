//! Call edges from spans: a span whose parent belongs to another service is a call; so is a client or producer span
//! whose other half is nowhere, to whom its attributes name.
//!
//! Children wait for the end, since pages come in any order, most often the newest first.

use hashbrown::{HashMap, HashSet};

use super::callees::Callees;
use super::intern::{ResourceId, ResourceMap};
use super::parents::{Parents, SpanKey, View};
use crate::partial::CallState;
use crate::quantile::Durations;
use crate::record::{SpanKind, SpanRecord};
use crate::window::{MINUTE_US, Window, floor};

/// The spans of one window.
#[derive(Default)]
pub(super) struct Spans {
    children: Vec<Child>,
    clients: Vec<Client>,
    /// Services with spans in the window; those of parents around it are not among them.
    services: HashSet<ResourceId>,
}

/// A span with a parent: 40 bytes.
pub(super) struct Child {
    pub(super) parent: SpanKey,
    duration_us: u64,
    pub(super) start: i64,
    pub(super) service: ResourceId,
    error: bool,
}

/// The calling half of a call, and whom it says it calls.
pub(super) struct Client {
    pub(super) span: SpanKey,
    pub(super) start: i64,
    pub(super) duration_us: u64,
    pub(super) service: ResourceId,
    peer: ResourceId,
    /// Nobody knows how long a message waits for its consumer.
    pub(super) waits: bool,
    error: bool,
}

/// Minute, calling resource, called one, whether the call is inferred.
pub(super) type EdgeKey = (i64, ResourceId, ResourceId, bool);

/// The edges of a window.
pub(super) struct Calls {
    /// In no order.
    pub(super) edges: Vec<(EdgeKey, CallState)>,
    /// Calls of which the called half was seen.
    pub(super) calls: u64,
    pub(super) inferred: u64,
    /// Children whose parent was not seen.
    pub(super) orphans: u64,
}

/// What windows look up in each other.
#[derive(Clone, Copy)]
pub(super) struct Others<'a> {
    pub(super) parents: &'a Parents,
    pub(super) callees: &'a Callees,
}

impl Spans {
    /// A span of the window, with the numbers of its service and of whom it calls. It goes to `parents`, too.
    pub(super) fn add(
        &mut self,
        parents: &mut Parents,
        service: ResourceId,
        peer: Option<ResourceId>,
        span: &SpanRecord<'_>,
    ) {
        self.services.insert(service);
        let key = parents.key(span.trace_id, span.span_id);
        parents.add(key, span.ts, service);
        let (start, duration_us, error) = (span.ts, span.duration_us, span.error);
        if let Some(parent) = span.parent_span_id.filter(|id| is_span_id(id)) {
            let parent = parents.key(span.trace_id, parent);
            self.children.push(Child {
                parent,
                duration_us,
                start,
                service,
                error,
            });
        }
        // Whoever calls itself makes no edge.
        if let Some(peer) = peer.filter(|peer| *peer != service) {
            self.clients.push(Client {
                span: key,
                start,
                duration_us,
                service,
                peer,
                waits: span.kind == SpanKind::Producer,
                error,
            });
        }
    }

    pub(super) fn absorb(&mut self, other: Spans, map: &ResourceMap) {
        self.services.extend(other.services.into_iter().map(|id| map.map(id)));
        self.children.extend(other.children.into_iter().map(|c| Child {
            service: map.map(c.service),
            ..c
        }));
        self.clients.extend(other.clients.into_iter().map(|c| Client {
            service: map.map(c.service),
            peer: map.map(c.peer),
            ..c
        }));
    }

    pub(super) fn services(&self) -> impl Iterator<Item = ResourceId> {
        self.services.iter().copied()
    }

    pub(super) fn children(&self) -> &[Child] {
        &self.children
    }

    pub(super) fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// Whether spans that start in `range` may change what comes out. Linear in the spans.
    pub(super) fn want(&self, range: Window, others: Others<'_>, view: View) -> bool {
        let wants = |child: &Child| view.may_improve(others.parents.find(child.parent, view), range);
        view.reaches(range)
            && (self.children.iter().any(wants)
                || self
                    .clients
                    .iter()
                    .any(|client| others.callees.want(client, range, view)))
    }

    pub(super) fn finish(&self, others: Others<'_>, view: View) -> Calls {
        let mut by_edge: HashMap<EdgeKey, (u64, Vec<u64>)> = HashMap::new();
        let mut add = |start: i64, src, dst, inferred, error: bool, duration_us| {
            let key = (floor(start, MINUTE_US), src, dst, inferred);
            let (errors, durations) = by_edge.entry(key).or_default();
            *errors += u64::from(error);
            durations.push(duration_us);
        };
        let (mut calls, mut inferred, mut orphans) = (0, 0, 0);
        for child in &self.children {
            match others.parents.find(child.parent, view).map(|parent| parent.service) {
                None => orphans += 1,
                Some(caller) if caller == child.service => {}
                Some(caller) => {
                    calls += 1;
                    add(
                        child.start,
                        caller,
                        child.service,
                        false,
                        child.error,
                        child.duration_us,
                    );
                }
            }
        }
        for client in self
            .clients
            .iter()
            .filter(|client| !others.callees.answer(client, view))
        {
            inferred += 1;
            add(
                client.start,
                client.service,
                client.peer,
                true,
                client.error,
                client.duration_us,
            );
        }
        let edge = |(key, (errors, samples)): (EdgeKey, (u64, Vec<u64>))| {
            let state = CallState {
                inferred: key.3,
                errors,
                durations: Durations::from_samples(samples),
            };
            (key, state)
        };
        Calls {
            edges: by_edge.into_iter().map(edge).collect(),
            calls,
            inferred,
            orphans,
        }
    }
}

/// Whether a parent's id names a span. OpenTelemetry's invalid id, all zeros, says that there is no parent.
pub(super) fn is_span_id(id: &str) -> bool {
    id.bytes().any(|b| b != b'0')
}
