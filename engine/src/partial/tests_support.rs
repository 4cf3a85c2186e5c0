//! Arbitrary partials for the property tests.

use std::sync::Arc;

use proptest::prelude::*;

use super::{CallState, LogCount, MinutePartial};
use crate::quantile::{Durations, State};

fn durations() -> impl Strategy<Value = Durations> {
    let samples = (prop::collection::vec(any::<u64>(), 1..40), 0u32..64);
    (samples, any::<bool>()).prop_map(|((samples, shift), sketch)| {
        let samples = samples.into_iter().map(|v| v >> shift);
        if sketch {
            Durations::from_state(State::Sketch(samples.collect()))
        } else {
            Durations::from_samples(samples.collect())
        }
    })
}

/// Partials with a few resources, exact and sketched edges, and log counts.
pub(super) fn partials() -> impl Strategy<Value = MinutePartial> {
    let call = (0u32..6, 0u32..6, durations(), any::<bool>(), any::<bool>());
    let log = (0u32..6, any::<i64>(), 0u64..1_000_000, 0u64..1000);
    let refs = (any::<i64>(), any::<i64>(), any::<i64>());
    (
        refs,
        prop::collection::vec(call, 0..12),
        prop::collection::vec(log, 0..60),
    )
        .prop_map(|(refs, calls, logs)| {
            let urns: Vec<Arc<str>> = (0..6).map(|i| Arc::from(format!("urn:svc:s{}", i * 7 % 6))).collect();
            let calls = calls.into_iter().map(|(src, dst, durations, failed, inferred)| {
                (
                    src,
                    dst,
                    CallState {
                        inferred,
                        errors: if failed { durations.count() } else { 0 },
                        durations,
                    },
                )
            });
            let logs = logs.into_iter().map(|(r, fp, ok, errors)| {
                (
                    r,
                    fp % 50,
                    LogCount {
                        total: ok + errors,
                        errors,
                    },
                )
            });
            let mut partial = MinutePartial::new(refs.0, &urns, calls.collect(), logs.collect());
            (partial.log_ref, partial.trace_ref) = (refs.1, refs.2);
            partial
        })
}
