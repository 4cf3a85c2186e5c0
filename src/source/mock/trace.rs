//! One trace: a tree of spans over the call graph, laid out in time.

use std::ops::ControlFlow;

use engine::record::{Peer, SpanKind};
use engine::window::{MINUTE_US, Window};

use super::MockConfig;
use super::fleet::{Class, Fleet, Service};
use super::rng::{Purpose, Rng};

/// The largest trace, in spans.
pub(super) const MAX_SPANS: u64 = 12;

/// The role of a span; [`Kind::otlp`] is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Internal,
    Server,
    Client,
    Producer,
}

impl Kind {
    /// The number of `SpanKind` in OTLP's trace.proto, which OpenObserve writes as text.
    pub(super) fn otlp(self) -> &'static str {
        match self {
            Kind::Internal => "1",
            Kind::Server => "2",
            Kind::Client => "3",
            Kind::Producer => "4",
        }
    }

    pub(super) fn otel(self) -> SpanKind {
        match self {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Producer => SpanKind::Producer,
        }
    }
}

/// One span while its trace grows. Times are microseconds; `start` counts from the start of the trace until the trace
/// is placed in time.
#[derive(Clone, Copy, Debug)]
struct Draft {
    id: u64,
    /// Index of the parent in the trace, smaller than the span's own.
    parent: Option<usize>,
    service: usize,
    kind: Kind,
    /// The service a client span calls; none for calls to a database or a queue.
    callee: Option<usize>,
    start: i64,
    duration: i64,
    /// From the span's start to that of its next child.
    next_child: i64,
    error: bool,
}

/// A finished span, as visitors see it.
pub(super) struct SpanView<'a> {
    /// Start, UTC microseconds.
    pub(super) start: i64,
    pub(super) duration_us: u64,
    pub(super) trace_id: &'a str,
    pub(super) span_id: &'a str,
    pub(super) parent_span_id: Option<&'a str>,
    pub(super) service: &'a Service,
    pub(super) kind: Kind,
    /// The service a client span calls; none for calls to a database.
    pub(super) callee: Option<&'a Service>,
    pub(super) error: bool,
}

/// The address of every database.
pub(super) const DATABASE_HOST: &str = "pg-main";
/// Where every queue is.
pub(super) const QUEUE_SYSTEM: &str = "kafka";

impl SpanView<'_> {
    /// Whom the span calls: a service, the database or the queue of its own service. The last two send no spans.
    pub(super) fn peer(&self) -> Option<Peer<'_>> {
        match (self.kind, self.callee) {
            (Kind::Client, Some(callee)) => Some(Peer::Service(&callee.name)),
            (Kind::Client, None) => Some(Peer::Database {
                system: "postgresql",
                address: Some(DATABASE_HOST),
                name: Some(&self.service.name),
            }),
            (Kind::Producer, _) => Some(Peer::Queue {
                system: QUEUE_SYSTEM,
                destination: &self.service.name,
            }),
            (Kind::Internal | Kind::Server, _) => None,
        }
    }
}

/// `N` bytes of lower-case hex digits.
struct Hex<const N: usize>([u8; N]);

impl<const N: usize> Hex<N> {
    /// The last `N` digits of `value`.
    fn new(mut value: u128) -> Self {
        let mut digits = [b'0'; N];
        for digit in digits.iter_mut().rev() {
            let nibble = (value & 0xf) as u8;
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
            value >>= 4;
        }
        Hex(digits)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// One trace; its buffers are used again for the next one.
#[derive(Default)]
pub(super) struct Trace {
    id: u128,
    spans: Vec<Draft>,
    /// Indices of the server spans while the trace grows.
    servers: Vec<usize>,
}

impl Trace {
    /// A trace whose spans all start in the minute that begins at `minute`.
    pub(super) fn make_interior(&mut self, cfg: &MockConfig, fleet: &Fleet, minute: i64, index: u64, size: u64) {
        let mut rng = Rng::new(cfg.seed, Purpose::Trace, minute, index);
        self.grow(fleet, &mut rng, size);
        let room = (MINUTE_US - self.last_start()).max(1).cast_unsigned();
        self.place(minute + rng.below(room).cast_signed());
    }

    /// A trace with at least one span that starts at or after `border` while its parent starts before it. In every
    /// second trace that is a call from one service to another.
    pub(super) fn make_border(&mut self, cfg: &MockConfig, fleet: &Fleet, border: i64, index: u64) {
        let mut rng = Rng::new(cfg.seed, Purpose::BorderTrace, border, index);
        let size = rng.between(3, MAX_SPANS);
        self.grow(fleet, &mut rng, size);
        let calls_only = index.is_multiple_of(2) && self.servers.len() > 1;
        // The root, span 0 and server 0, has no parent.
        let child = if calls_only {
            self.servers
                .get(1 + rng.index(self.servers.len() - 1))
                .copied()
                .unwrap_or(0)
        } else {
            1 + rng.index(self.spans.len() - 1)
        };
        let start_of = |span: Option<usize>| span.and_then(|s| self.spans.get(s)).map_or(0, |s| s.start);
        let parent = self.spans.get(child).and_then(|s| s.parent);
        let (before, after) = (start_of(parent), start_of(Some(child)));
        let cut = before + 1 + rng.below((after - before).max(1).cast_unsigned()).cast_signed();
        self.place(border - cut);
    }

    /// Builds a tree of `size` spans with durations and errors; the root starts at 0.
    fn grow(&mut self, fleet: &Fleet, rng: &mut Rng, size: u64) {
        let size = size as usize;
        self.id = (u128::from(rng.bits()) << 64) | u128::from(rng.bits());
        self.spans.clear();
        self.servers.clear();
        // Two draws: the first entries get more than the last.
        let entry = rng.index(fleet.entries).min(rng.index(fleet.entries));
        self.push(fleet, rng, None, entry, Kind::Server, None);
        while self.spans.len() < size {
            let newest = self.servers.len().saturating_sub(1);
            let chosen = if rng.chance(500) {
                newest
            } else {
                rng.index(self.servers.len())
            };
            let parent = self.servers.get(chosen).copied().unwrap_or(0);
            let caller = self.spans.get(parent).map_or(entry, |s| s.service);
            let callees = fleet.services.get(caller).map_or(&[][..], |s| &s.callees);
            if self.spans.len() + 2 <= size && !callees.is_empty() && rng.chance(850) {
                let callee = rng.pick(callees);
                let client = self.spans.len();
                self.push(fleet, rng, Some(parent), caller, Kind::Client, Some(callee));
                self.push(fleet, rng, Some(client), callee, Kind::Server, None);
            } else {
                let kind = match fleet.services.get(caller).map(|s| s.class) {
                    Some(Class::Store | Class::Money) => Kind::Client,
                    Some(Class::Async) => Kind::Producer,
                    Some(Class::Edge) | None => Kind::Internal,
                };
                self.push(fleet, rng, Some(parent), caller, kind, None);
            }
        }
        self.sum_up(rng);
    }

    /// Adds a span with the time it takes by itself and the error it has by itself.
    fn push(
        &mut self,
        fleet: &Fleet,
        rng: &mut Rng,
        parent: Option<usize>,
        service: usize,
        kind: Kind,
        callee: Option<usize>,
    ) {
        let owner = fleet.services.get(service);
        let typical = match kind {
            Kind::Server => owner.map_or(1000.0, |s| s.own_us),
            Kind::Client if callee.is_some() => 350.0,
            Kind::Client => 1_200.0,
            Kind::Producer => 900.0,
            Kind::Internal => 600.0,
        };
        let duration = (typical * rng.latency_factor()) as i64;
        let error = kind == Kind::Server && rng.chance(owner.map_or(0, |s| s.error_per_mille));
        if kind == Kind::Server {
            self.servers.push(self.spans.len());
        }
        let id = rng.bits().max(1);
        let next_child = duration / 3;
        self.spans.push(Draft {
            id,
            parent,
            service,
            kind,
            callee,
            start: 0,
            duration,
            next_child,
            error,
        });
    }

    /// Lets durations and errors rise from the leaves to the root, then lays children one after another into their
    /// parents. A span takes time before its first child and after its last, so children start later and end earlier.
    fn sum_up(&mut self, rng: &mut Rng) {
        for index in (1..self.spans.len()).rev() {
            let Some(&child) = self.spans.get(index) else { continue };
            // The caller sees every failure; whether its own request fails with it is its decision.
            let passed_on = child.error && (child.kind == Kind::Server || rng.chance(400));
            if let Some(parent) = child.parent.and_then(|p| self.spans.get_mut(p)) {
                parent.duration += child.duration;
                parent.error |= passed_on;
            }
        }
        for index in 1..self.spans.len() {
            let Some(&child) = self.spans.get(index) else { continue };
            let Some(parent) = child.parent.and_then(|p| self.spans.get_mut(p)) else {
                continue;
            };
            let start = parent.start + parent.next_child;
            parent.next_child += child.duration;
            if let Some(child) = self.spans.get_mut(index) {
                child.start = start;
            }
        }
    }

    /// The greatest start of its spans. Far below a minute: a trace takes some seconds at most.
    fn last_start(&self) -> i64 {
        self.spans.iter().map(|s| s.start).max().unwrap_or(0)
    }

    /// Moves the trace from time 0 to `start`.
    fn place(&mut self, start: i64) {
        for span in &mut self.spans {
            span.start += start;
        }
    }

    /// How many of its spans start in `window`.
    pub(super) fn starts_in(&self, window: Window) -> u64 {
        self.spans.iter().filter(|s| window.contains(s.start)).count() as u64
    }

    /// Hands the spans that start in `wanted` to `visit`.
    pub(super) fn show<B>(
        &self,
        fleet: &Fleet,
        wanted: Window,
        visit: &mut impl FnMut(SpanView<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let trace_id = Hex::<32>::new(self.id);
        for span in self.spans.iter().filter(|s| wanted.contains(s.start)) {
            let Some(service) = fleet.services.get(span.service) else {
                continue;
            };
            let parent = span
                .parent
                .and_then(|p| self.spans.get(p))
                .map(|p| Hex::<16>::new(p.id.into()));
            visit(SpanView {
                start: span.start,
                duration_us: span.duration.max(0).cast_unsigned(),
                trace_id: trace_id.as_str(),
                span_id: Hex::<16>::new(span.id.into()).as_str(),
                parent_span_id: parent.as_ref().map(Hex::as_str),
                service,
                kind: span.kind,
                callee: span.callee.and_then(|c| fleet.services.get(c)),
                error: span.error,
            })?;
        }
        ControlFlow::Continue(())
    }
}
