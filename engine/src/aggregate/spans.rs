//! Call edges from spans: a span whose parent belongs to another service is a call.
//!
//! Children wait for the end, since pages come in any order, most often the newest first.

use hashbrown::{HashMap, HashSet};

use super::intern::{ResourceId, ResourceMap};
use super::parents::{Parents, SpanKey, View};
use crate::partial::CallState;
use crate::quantile::Durations;
use crate::record::SpanRecord;
use crate::window::Window;

/// The spans of one window.
#[derive(Default)]
pub(super) struct Spans {
    children: Vec<Child>,
    /// Services with spans in the window; those of parents around it are not among them.
    services: HashSet<ResourceId>,
}

/// A span with a parent: 40 bytes.
struct Child {
    parent: SpanKey,
    duration_us: u64,
    minute: i64,
    service: ResourceId,
    error: bool,
}

/// Minute, calling service, called service.
pub(super) type EdgeKey = (i64, ResourceId, ResourceId);

/// The edges of a window.
pub(super) struct Calls {
    /// In no order.
    pub(super) edges: Vec<(EdgeKey, CallState)>,
    pub(super) calls: u64,
    /// Children whose parent was not seen.
    pub(super) orphans: u64,
}

impl Spans {
    /// A span of the window, in its minute and with the number of its service. It goes to `parents`, too.
    pub(super) fn add(&mut self, parents: &mut Parents, minute: i64, service: ResourceId, span: &SpanRecord<'_>) {
        self.services.insert(service);
        let key = parents.key(span.trace_id, span.span_id);
        parents.add(key, span.ts, service);
        if let Some(parent) = span.parent_span_id.filter(|id| is_span_id(id)) {
            let parent = parents.key(span.trace_id, parent);
            let (duration_us, error) = (span.duration_us, span.error);
            self.children.push(Child {
                parent,
                duration_us,
                minute,
                service,
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
    }

    pub(super) fn services(&self) -> impl Iterator<Item = ResourceId> {
        self.services.iter().copied()
    }

    /// Whether spans that start in `range` may change what comes out. Linear in the children.
    pub(super) fn want(&self, range: Window, parents: &Parents, view: View) -> bool {
        let wants = |child: &Child| view.may_improve(parents.find(child.parent, view), range);
        view.reaches(range) && self.children.iter().any(wants)
    }

    pub(super) fn finish(&self, parents: &Parents, view: View) -> Calls {
        let mut by_edge: HashMap<EdgeKey, (u64, Vec<u64>)> = HashMap::new();
        let (mut calls, mut orphans) = (0, 0);
        for child in &self.children {
            match parents.find(child.parent, view).map(|parent| parent.service) {
                None => orphans += 1,
                Some(caller) if caller == child.service => {}
                Some(caller) => {
                    calls += 1;
                    let (errors, durations) = by_edge.entry((child.minute, caller, child.service)).or_default();
                    *errors += u64::from(child.error);
                    durations.push(child.duration_us);
                }
            }
        }
        let edge = |(key, (errors, samples))| {
            (
                key,
                CallState {
                    errors,
                    durations: Durations::from_samples(samples),
                },
            )
        };
        Calls {
            edges: by_edge.into_iter().map(edge).collect(),
            calls,
            orphans,
        }
    }
}

/// Whether a parent's id names a span. OpenTelemetry's invalid id, all zeros, says that there is no parent.
fn is_span_id(id: &str) -> bool {
    id.bytes().any(|b| b != b'0')
}
