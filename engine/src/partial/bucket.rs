//! Five minutes from their one-minute partials.

use std::fmt;

use super::{CallState, LogCount, MinutePartial};
use crate::quantile::Durations;
use crate::window::{BUCKET5_US, MINUTE_US, Window};

const BUCKET_SECONDS: f64 = (BUCKET5_US / 1_000_000) as f64;

/// A row of `service_call_5m`.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRow {
    /// URN of the caller.
    pub src: String,
    /// URN of the called service, database, ...
    pub dst: String,
    /// Nobody but the caller told of the calls.
    pub inferred: bool,
    pub calls: i64,
    pub errors: i64,
    /// Calls a second over the whole five minutes, whether or not all of them are there yet.
    pub rps: f64,
    /// Errors by calls, 0 to 1.
    pub err_rate: f64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    /// `trace_ref` of the newest minute that has the edge and a reference; 0 for none.
    pub sample_ref: i64,
}

/// A row of `log_pattern_5m`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// URN.
    pub resource: String,
    pub fingerprint: i64,
    pub total: i64,
    pub errors: i64,
    /// `log_ref` of the newest minute that has the pattern and a reference; 0 for none.
    pub sample_ref: i64,
}

/// The rows of one five-minute bucket, sorted by their keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket5 {
    /// Start, UTC microseconds.
    pub bucket: i64,
    pub calls: Vec<CallRow>,
    pub logs: Vec<LogRow>,
}

/// Partials that do not make up the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketError {
    /// The bucket does not start at a multiple of five minutes.
    Unaligned(i64),
    /// This minute does not belong to the bucket, or is not a whole minute.
    NotInBucket(i64),
    /// This minute was given twice.
    DuplicateMinute(i64),
}

impl fmt::Display for BucketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BucketError::Unaligned(us) => write!(f, "bucket {us} does not start at a multiple of five minutes"),
            BucketError::NotInBucket(us) => write!(f, "minute {us} does not belong to the bucket"),
            BucketError::DuplicateMinute(us) => write!(f, "minute {us} was given twice"),
        }
    }
}

impl std::error::Error for BucketError {}

impl Bucket5 {
    /// The bucket that starts at `bucket` (UTC microseconds), from one to five of its minutes in any order; what the
    /// missing ones hold is not counted, so pass all that exist.
    pub fn from_partials(bucket: i64, partials: &[MinutePartial]) -> Result<Bucket5, BucketError> {
        Bucket5::from_partials_named(bucket, partials, |urn| urn)
    }

    /// [`Bucket5::from_partials`] under other names: `name` gives the URN that stands for the one in a partial. Where two
    /// become one, their rows are one; a call that thereby becomes a call to itself is none.
    pub fn from_partials_named<'a>(
        bucket: i64,
        partials: &'a [MinutePartial],
        name: impl Fn(&'a str) -> &'a str,
    ) -> Result<Bucket5, BucketError> {
        let mut minutes: Vec<&MinutePartial> = partials.iter().collect();
        minutes.sort_by_key(|p| p.minute);
        check(bucket, &minutes)?;

        let mut urns: Vec<&str> = minutes.iter().flat_map(|p| p.urns()).map(&name).collect();
        urns.sort_unstable();
        urns.dedup();
        let mut calls: Vec<((u32, u32), i64, &CallState)> = Vec::new();
        let mut logs: Vec<((u32, i64), i64, LogCount)> = Vec::new();
        for partial in minutes {
            let common: Vec<u32> = partial
                .urns()
                .filter_map(|u| urns.binary_search(&name(u)).ok())
                .map(|i| i as u32)
                .collect();
            let common = |i: u32| common.get(i as usize).copied().unwrap_or_default();
            calls.extend(
                partial
                    .calls
                    .iter()
                    .filter(|(s, d, _)| s == d || common(*s) != common(*d))
                    .map(|(s, d, state)| ((common(*s), common(*d)), partial.trace_ref, state)),
            );
            logs.extend(
                partial
                    .logs
                    .iter()
                    .map(|(r, fp, count)| ((common(*r), *fp), partial.log_ref, *count)),
            );
        }
        // Stable, so the entries of one key stay in the order of their minutes.
        calls.sort_by_key(|c| c.0);
        logs.sort_by_key(|l| l.0);

        let urn = |i: u32| urns.get(i as usize).map(|u| u.to_string()).unwrap_or_default();
        Ok(Bucket5 {
            bucket,
            calls: calls
                .chunk_by(|a, b| a.0 == b.0)
                .filter_map(|edge| call_row(edge, urn))
                .collect(),
            logs: logs
                .chunk_by(|a, b| a.0 == b.0)
                .filter_map(|pattern| log_row(pattern, urn))
                .collect(),
        })
    }
}

fn check(bucket: i64, minutes: &[&MinutePartial]) -> Result<(), BucketError> {
    if bucket.rem_euclid(BUCKET5_US) != 0 {
        return Err(BucketError::Unaligned(bucket));
    }
    let window = Window::new(bucket, bucket.saturating_add(BUCKET5_US));
    for p in minutes {
        if !window.contains(p.minute) || p.minute.rem_euclid(MINUTE_US) != 0 {
            return Err(BucketError::NotInBucket(p.minute));
        }
    }
    match minutes
        .iter()
        .zip(minutes.iter().skip(1))
        .find(|(a, b)| a.minute == b.minute)
    {
        Some((twice, _)) => Err(BucketError::DuplicateMinute(twice.minute)),
        None => Ok(()),
    }
}

/// The newest reference; the entries are in the order of their minutes.
fn newest(refs: impl DoubleEndedIterator<Item = i64>) -> i64 {
    refs.rev().find(|r| *r != 0).unwrap_or_default()
}

/// Postgres has no unsigned 64-bit integers, and a real count never comes near the limit.
fn to_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Where the called one tells of calls itself, those that only its caller tells of are left out: all minutes together
/// know better whom somebody calls than one alone.
fn call_row(edge: &[((u32, u32), i64, &CallState)], urn: impl Fn(u32) -> String) -> Option<CallRow> {
    let ((src, dst), ..) = *edge.first()?;
    let inferred = edge.iter().all(|(_, _, state)| state.inferred);
    let edge: Vec<_> = edge.iter().filter(|(_, _, state)| state.inferred == inferred).collect();
    let durations = Durations::merged(edge.iter().map(|(_, _, state)| &state.durations));
    let calls = durations.count();
    let errors = edge
        .iter()
        .fold(0u64, |sum, (_, _, state)| sum.saturating_add(state.errors));
    Some(CallRow {
        src: urn(src),
        dst: urn(dst),
        inferred,
        calls: to_i64(calls),
        errors: to_i64(errors),
        rps: calls as f64 / BUCKET_SECONDS,
        err_rate: errors as f64 / calls as f64,
        // None without a call: then there is no row.
        p50_ms: durations.quantile_ms(0.5)?,
        p95_ms: durations.quantile_ms(0.95)?,
        sample_ref: newest(edge.iter().map(|(_, trace_ref, _)| *trace_ref)),
    })
}

fn log_row(pattern: &[((u32, i64), i64, LogCount)], urn: impl Fn(u32) -> String) -> Option<LogRow> {
    let ((resource, fingerprint), ..) = *pattern.first()?;
    let sum = |part: fn(&LogCount) -> u64| {
        pattern
            .iter()
            .fold(0u64, |sum, (_, _, count)| sum.saturating_add(part(count)))
    };
    Some(LogRow {
        resource: urn(resource),
        fingerprint,
        total: to_i64(sum(|count| count.total)),
        errors: to_i64(sum(|count| count.errors)),
        sample_ref: newest(pattern.iter().map(|(_, log_ref, _)| *log_ref)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::sync::Arc;

    use super::*;
    use crate::partial::tests_support::partials;

    fn minute(i: i64, us: &[u64], errors: u64, total: u64, reference: i64) -> MinutePartial {
        let urns: Vec<Arc<str>> = vec![Arc::from("urn:svc:b"), Arc::from("urn:svc:a")];
        let calls = vec![(
            1,
            0,
            CallState {
                inferred: false,
                errors,
                durations: Durations::from_samples(us.to_vec()),
            },
        )];
        let mut p = MinutePartial::new(i * MINUTE_US, &urns, calls, vec![(0, 9, LogCount { total, errors: 1 })]);
        (p.log_ref, p.trace_ref) = (reference, reference + 1);
        p
    }

    #[test]
    fn minutes_add_up() {
        let parts = [
            minute(7, &[4000], 1, 2, 70),
            minute(5, &[1000, 3000], 0, 3, 50),
            MinutePartial::empty(9 * MINUTE_US),
        ];
        let b = Bucket5::from_partials(BUCKET5_US, &parts).unwrap();
        let call = CallRow {
            src: "urn:svc:a".into(),
            dst: "urn:svc:b".into(),
            inferred: false,
            calls: 3,
            errors: 1,
            rps: 0.01,
            err_rate: 1.0 / 3.0,
            p50_ms: 3.0,
            p95_ms: 3.9,
            sample_ref: 71,
        };
        assert_eq!(b.calls, [call]);
        let log = LogRow {
            resource: "urn:svc:b".into(),
            fingerprint: 9,
            total: 5,
            errors: 2,
            sample_ref: 70,
        };
        assert_eq!(b.logs, [log]);
    }

    #[test]
    fn two_names_of_one_thing_are_one_row() {
        let urns: Vec<Arc<str>> = ["urn:svc:web", "urn:db:postgres:a", "urn:db:postgres:b"]
            .map(Arc::from)
            .to_vec();
        let call = |us| CallState {
            errors: 1,
            inferred: false,
            durations: Durations::from_samples(vec![us]),
        };
        let count = LogCount { total: 2, errors: 1 };
        let part = MinutePartial::new(
            0,
            &urns,
            vec![(0, 1, call(1000)), (0, 2, call(3000)), (1, 2, call(9))],
            vec![(1, 9, count), (2, 9, count)],
        );
        let name = |urn| {
            if urn == "urn:db:postgres:a" {
                "urn:db:postgres:b"
            } else {
                urn
            }
        };
        let b = Bucket5::from_partials_named(0, &[part], name).unwrap();
        let calls: Vec<_> = b
            .calls
            .iter()
            .map(|c| (c.dst.as_str(), c.calls, c.errors, c.p50_ms))
            .collect();
        assert_eq!(calls, [("urn:db:postgres:b", 2, 2, 2.0)]);
        assert_eq!(b.logs.iter().map(|l| (l.total, l.errors)).collect::<Vec<_>>(), [(4, 2)]);
    }

    #[test]
    fn inferred_calls_give_way_to_those_the_called_one_tells_of() {
        let inferred = |i: i64, us: &[u64]| {
            let mut p = minute(i, us, 0, 1, 30);
            p.calls.iter_mut().for_each(|(_, _, state)| state.inferred = true);
            p
        };
        let alone = Bucket5::from_partials(0, &[inferred(1, &[1000]), inferred(3, &[3000])]).unwrap();
        assert_eq!(
            (alone.calls[0].inferred, alone.calls[0].calls, alone.calls[0].p50_ms),
            (true, 2, 2.0)
        );
        let both = [inferred(1, &[1000]), minute(2, &[5000], 1, 1, 20), inferred(3, &[3000])];
        let row = &Bucket5::from_partials(0, &both).unwrap().calls[0];
        assert_eq!(
            (row.inferred, row.calls, row.errors, row.p50_ms, row.sample_ref),
            (false, 1, 1, 5.0, 21)
        );
    }

    #[test]
    fn the_newest_reference_that_exists_is_kept() {
        let mut newest = minute(2, &[1], 0, 1, 5);
        (newest.log_ref, newest.trace_ref) = (0, 0);
        let b = Bucket5::from_partials(0, &[newest, minute(1, &[1], 0, 1, 3)]).unwrap();
        assert_eq!((b.calls[0].sample_ref, b.logs[0].sample_ref), (4, 3));
    }

    #[test]
    fn wrong_minutes_are_refused() {
        let at = MinutePartial::empty;
        assert_eq!(Bucket5::from_partials(1, &[]), Err(BucketError::Unaligned(1)));
        assert_eq!(
            Bucket5::from_partials(0, &[at(BUCKET5_US)]),
            Err(BucketError::NotInBucket(BUCKET5_US))
        );
        assert_eq!(Bucket5::from_partials(0, &[at(1)]), Err(BucketError::NotInBucket(1)));
        assert_eq!(
            Bucket5::from_partials(0, &[at(0), at(MINUTE_US), at(0)]),
            Err(BucketError::DuplicateMinute(0))
        );
        assert!(Bucket5::from_partials(0, &[]).unwrap().calls.is_empty());
    }

    proptest! {
        #[test]
        fn the_order_of_minutes_does_not_matter(parts in prop::collection::vec(partials(), 0..=5), seed in any::<u64>()) {
            let mut parts = parts;
            for (i, p) in parts.iter_mut().enumerate() {
                p.minute = i as i64 * MINUTE_US;
            }
            let want = Bucket5::from_partials(0, &parts).unwrap();
            let seen = parts.iter().flat_map(|p| p.calls()).filter(|c| !c.2.inferred);
            let calls: u64 = seen.map(|c| c.2.durations.count()).sum();
            let rows = want.calls.iter().filter(|c| !c.inferred);
            prop_assert_eq!(rows.map(|c| c.calls).sum::<i64>() as u64, calls);
            let by = seed as usize % (parts.len() + 1);
            parts.rotate_left(by);
            if seed & 1 == 1 {
                parts.reverse();
            }
            prop_assert_eq!(Bucket5::from_partials(0, &parts).unwrap(), want);
        }
    }
}
