//! Call edges from spans: a span whose parent belongs to another service is a call.
//!
//! Children wait for [`Spans::finish`], since pages come in any order, most often the newest first.

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

use super::intern::{ResourceId, ResourceMap, Resources};
use crate::partial::CallState;
use crate::quantile::Durations;
use crate::record::SpanRecord;

/// Trace id and span id, hashed. Two halves, so it aligns to 8 bytes.
type SpanKey = [u64; 2];

#[derive(Default)]
pub(super) struct Spans {
    /// The service of every span that may be a parent.
    services: HashMap<SpanKey, ResourceId>,
    children: Vec<Child>,
    key_bytes: Vec<u8>,
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

/// The edges of the range.
pub(super) struct Calls {
    /// In no order.
    pub(super) edges: Vec<(EdgeKey, CallState)>,
    pub(super) calls: u64,
    /// Children whose parent was not seen.
    pub(super) orphans: u64,
}

impl Spans {
    /// A span of the range, in its minute and with the number of its service.
    pub(super) fn add(&mut self, resources: &Resources, minute: i64, service: ResourceId, span: &SpanRecord<'_>) {
        self.add_parent(resources, span.trace_id, span.span_id, service);
        if let Some(parent) = span.parent_span_id.filter(|id| is_span_id(id)) {
            let parent = self.key(span.trace_id, parent);
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

    /// A span that is only wanted as a parent.
    pub(super) fn add_parent(&mut self, resources: &Resources, trace_id: &str, span_id: &str, service: ResourceId) {
        let key = self.key(trace_id, span_id);
        self.set_service(resources, key, service);
    }

    /// If two spans share an id, the service whose name sorts first has it, whatever came first.
    fn set_service(&mut self, resources: &Resources, key: SpanKey, service: ResourceId) {
        let held = self.services.entry(key).or_insert(service);
        if *held != service && resources.name(service) < resources.name(*held) {
            *held = service;
        }
    }

    fn key(&mut self, trace_id: &str, span_id: &str) -> SpanKey {
        self.key_bytes.clear();
        self.key_bytes.extend_from_slice(trace_id.as_bytes());
        // No id contains a NUL, so this keeps ("ab", "c") and ("a", "bc") apart.
        self.key_bytes.push(0);
        self.key_bytes.extend_from_slice(span_id.as_bytes());
        let hash = xxh3_128(&self.key_bytes);
        [hash as u64, (hash >> 64) as u64]
    }

    /// `resources` are those that `map` translates to.
    pub(super) fn absorb(&mut self, other: Spans, resources: &Resources, map: &ResourceMap) {
        self.services.reserve(other.services.len());
        for (key, service) in other.services {
            self.set_service(resources, key, map.map(service));
        }
        self.children.extend(other.children.into_iter().map(|c| Child {
            service: map.map(c.service),
            ..c
        }));
    }

    /// Children whose parent was not seen so far. Linear in the children.
    pub(super) fn unresolved(&self) -> usize {
        self.children
            .iter()
            .filter(|child| !self.services.contains_key(&child.parent))
            .count()
    }

    pub(super) fn finish(self) -> Calls {
        let mut by_edge: HashMap<EdgeKey, (u64, Vec<u64>)> = HashMap::new();
        let (mut calls, mut orphans) = (0, 0);
        for child in &self.children {
            match self.services.get(&child.parent) {
                None => orphans += 1,
                Some(caller) if *caller == child.service => {}
                Some(caller) => {
                    calls += 1;
                    let (errors, durations) = by_edge.entry((child.minute, *caller, child.service)).or_default();
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
