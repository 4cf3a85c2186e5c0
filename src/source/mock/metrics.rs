//! Metrics: gauges with a daily curve and noise, and cumulative counters that are pure functions of time and begin at 0
//! whenever their process starts.

use std::f64::consts::TAU;
use std::ops::ControlFlow;

use engine::record::Counts;
use engine::window::{MINUTE_US, Window};

use super::fleet::{Fleet, Service};
use super::rng::{Purpose, Rng};
use super::{MockConfig, Wanted};

/// Every series has a sample each ten seconds.
const STEP_US: i64 = 10_000_000;
const SAMPLES_A_MINUTE: u64 = 6;
const DAY_S: f64 = 86_400.0;
const MIB: f64 = 1_048_576.0;

/// How the values of a metric come about.
enum Shape {
    /// A share of `[0, 1]` that follows the load, with noise.
    Utilization,
    /// Bytes that grow for some minutes and fall back, as with a garbage collector.
    Memory,
    /// A small whole number around `mean`, now and then in a burst.
    Depth { mean: f64 },
    /// All requests since the last start times a share, rounded down.
    Requests { share: f64 },
    /// All requests since the last start times a mean, not rounded: seconds spent, bytes sent.
    Total { mean: f64 },
}

/// A metric with one set of labels.
struct Metric {
    name: &'static str,
    /// In the order of their names.
    labels: &'static [(&'static str, &'static str)],
    shape: Shape,
}

const DURATION: &str = "http_server_duration_seconds_bucket";

/// What every instance of a service exposes. Slow configurations show the first ones only, so the most telling ones
/// come first. Bucket counts are cumulative and end in `inf`, as OpenObserve writes them.
const CATALOG: [Metric; 18] = [
    metric("process_cpu_utilization", &[], Shape::Utilization),
    metric("process_memory_usage_bytes", &[], Shape::Memory),
    metric(
        "http_server_requests_total",
        &[("code", "200"), ("method", "GET")],
        Shape::Requests { share: 0.9 },
    ),
    metric(
        "http_server_requests_total",
        &[("code", "500"), ("method", "GET")],
        Shape::Requests { share: 0.012 },
    ),
    metric("queue_depth", &[("queue", "default")], Shape::Depth { mean: 14.0 }),
    metric(
        "db_client_connections_usage",
        &[("state", "used")],
        Shape::Depth { mean: 9.0 },
    ),
    metric("process_cpu_seconds_total", &[], Shape::Total { mean: 0.004 }),
    metric(
        "http_server_requests_total",
        &[("code", "404"), ("method", "GET")],
        Shape::Requests { share: 0.028 },
    ),
    metric(
        "http_server_requests_total",
        &[("code", "201"), ("method", "POST")],
        Shape::Requests { share: 0.06 },
    ),
    metric("network_sent_bytes_total", &[], Shape::Total { mean: 1_830.0 }),
    metric("process_threads", &[], Shape::Depth { mean: 42.0 }),
    metric(DURATION, &[("le", "0.05")], Shape::Requests { share: 0.55 }),
    metric(DURATION, &[("le", "0.1")], Shape::Requests { share: 0.78 }),
    metric(DURATION, &[("le", "0.5")], Shape::Requests { share: 0.96 }),
    metric(DURATION, &[("le", "1")], Shape::Requests { share: 0.992 }),
    metric(DURATION, &[("le", "inf")], Shape::Requests { share: 1.0 }),
    metric(
        "http_server_duration_seconds_count",
        &[],
        Shape::Requests { share: 1.0 },
    ),
    metric("http_server_duration_seconds_sum", &[], Shape::Total { mean: 0.081 }),
];

impl Metric {
    /// Everything that is counted since a start says so by its name, too.
    fn counts(&self) -> Counts {
        match self.shape {
            Shape::Requests { .. } | Shape::Total { .. } => Counts::Cumulative,
            Shape::Utilization | Shape::Memory | Shape::Depth { .. } => Counts::No,
        }
    }

    fn le(&self) -> Option<f64> {
        let (_, bound) = self.labels.iter().find(|(name, _)| *name == "le")?;
        bound.parse().ok()
    }
}

const fn metric(name: &'static str, labels: &'static [(&'static str, &'static str)], shape: Shape) -> Metric {
    Metric { name, labels, shape }
}

/// A sample, as visitors see it.
pub(super) struct PointView<'a> {
    /// UTC microseconds.
    pub(super) ts: i64,
    pub(super) service: &'a Service,
    pub(super) metric: &'static str,
    pub(super) value: f64,
    /// The labels that are wanted, in the order of their names.
    pub(super) labels: &'a [(&'a str, &'a str)],
    /// The number of the series.
    pub(super) series: u64,
    pub(super) counts: Counts,
    /// The upper bound of a bucket.
    pub(super) le: Option<f64>,
}

/// Calls `visit` for every wanted sample in `range`, series by series, minute by minute, until it breaks.
pub(super) fn visit<B>(
    cfg: &MockConfig,
    fleet: &Fleet,
    range: Window,
    wanted: &Wanted<'_>,
    mut visit: impl FnMut(PointView<'_>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let rate = u64::from(cfg.metrics_per_minute);
    let catalog = CATALOG
        .each_ref()
        .map(|metric| (wanted.metric)(metric.name).then_some(metric));
    let services = fleet.services.len().max(1) as u64;
    let metrics = catalog.len() as u64;
    for minute in range.buckets(MINUTE_US) {
        for number in 0..rate.div_ceil(SAMPLES_A_MINUTE) {
            // Services turn fastest, so that all have about as many series; then metrics; then instances.
            let slot = number / services;
            let Some(service) = fleet.services.get((number % services) as usize) else {
                continue;
            };
            let Some(metric) = catalog.get((slot % metrics) as usize).copied().flatten() else {
                continue;
            };
            let instance = slot / metrics;
            let pod = format!("{}-{instance}", service.name);
            let mut labels: Vec<(&str, &str)> = metric.labels.to_vec();
            labels.push(("pod", &pod));
            labels.retain(|(name, _)| (wanted.label)(name));
            labels.sort_unstable();

            // All series of an instance share its load, so that its counters agree with each other.
            let load = Load::new(cfg.seed, instance * services + number % services);
            let offset = Rng::new(cfg.seed, Purpose::Series, 0, number)
                .below(10_000)
                .cast_signed()
                * 1_000;
            // The last series may be one of fewer samples: the rate is kept exactly.
            for sample in 0..SAMPLES_A_MINUTE.min(rate - number * SAMPLES_A_MINUTE) {
                let ts = minute + sample.cast_signed() * STEP_US + offset;
                if range.contains(ts) {
                    let mut noise = Rng::new(cfg.seed, Purpose::Sample, ts, number);
                    let value = value(&metric.shape, &load, ts as f64 / 1e6, &mut noise);
                    visit(PointView {
                        ts,
                        service,
                        metric: metric.name,
                        value,
                        labels: &labels,
                        series: number,
                        counts: metric.counts(),
                        le: metric.le(),
                    })?;
                }
            }
        }
    }
    ControlFlow::Continue(())
}

/// The requests that reach one instance.
struct Load {
    /// Mean requests a second.
    rate: f64,
    /// Where in its day the instance is at midnight UTC, in turns.
    phase: f64,
    /// Some start of the process, seconds since 1970. Its counters begin at 0 then.
    first_start: f64,
    /// Seconds from one start to the next: 20 minutes to 10 hours.
    lifetime: f64,
}

/// Periods in seconds and depths of the waves on a load. The depths sum to less than 1: requests never run backwards.
const WAVES: [(f64, f64); 3] = [(DAY_S, 0.6), (3_670.0, 0.15), (421.0, 0.1)];

impl Load {
    fn new(seed: u64, instance: u64) -> Load {
        let mut rng = Rng::new(seed, Purpose::Series, 1, instance);
        Load {
            rate: 5.0 + 75.0 * rng.unit() * rng.unit(),
            phase: 0.1 * rng.unit(),
            first_start: DAY_S * rng.unit(),
            lifetime: 1_200.0 + 34_800.0 * rng.unit() * rng.unit(),
        }
    }

    /// Load relative to its mean at `t` seconds since 1970, in `(0, 2)`.
    fn at(&self, t: f64) -> f64 {
        1.0 + WAVES
            .iter()
            .map(|(period, depth)| depth * (TAU * (t / period + self.phase)).sin())
            .sum::<f64>()
    }

    /// Requests from the last start of the process to `t` seconds after 1970.
    fn counted(&self, t: f64) -> f64 {
        let uptime = (t - self.first_start).rem_euclid(self.lifetime);
        self.total(t) - self.total(t - uptime)
    }

    /// Requests from 1970 to `t` seconds later, the integral of `rate * at(t)`; 0 before 1970.
    fn total(&self, t: f64) -> f64 {
        let wave = |(period, depth): &(f64, f64)| {
            depth * period / TAU * ((TAU * self.phase).cos() - (TAU * (t / period + self.phase)).cos())
        };
        (self.rate * (t + WAVES.iter().map(wave).sum::<f64>())).max(0.0)
    }
}

fn value(shape: &Shape, load: &Load, t: f64, noise: &mut Rng) -> f64 {
    match shape {
        Shape::Utilization => (0.35 * load.at(t) + 0.12 * (noise.unit() - 0.5)).clamp(0.01, 0.99),
        Shape::Memory => {
            let period = 400.0 + 10.0 * load.rate;
            let filled = (t / period + load.phase).rem_euclid(1.0);
            (MIB * (180.0 + 2.0 * load.rate + 240.0 * filled + 6.0 * noise.unit())).floor()
        }
        Shape::Depth { mean } => {
            let burst = if noise.chance(10) { 8.0 } else { 1.0 };
            (mean * load.at(t) * burst * (0.6 + 0.8 * noise.unit())).floor()
        }
        Shape::Requests { share } => (load.counted(t) * share).floor(),
        Shape::Total { mean } => load.counted(t) * mean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_positive_and_their_totals_never_fall() {
        for instance in 0..50 {
            let load = Load::new(3, instance);
            let mut before = 0.0;
            for step in 0..20_000 {
                let t = 1_790_000_000.0 + f64::from(step) * 10.0;
                assert!(load.at(t) > 0.0 && load.at(t) < 2.0);
                let total = load.total(t);
                assert!(total > before, "{instance} at {t}: {total} after {before}");
                before = total;
            }
        }
        assert_eq!(Load::new(3, 1).total(-5.0), 0.0);
    }

    #[test]
    fn counters_fall_when_their_process_starts_and_at_no_other_time() {
        for instance in 0..20 {
            let load = Load::new(3, instance);
            let (day, mut falls) = (1_790_000_000.0, 0.0);
            let mut before = load.counted(day);
            for second in 1..86_400 {
                let counted = load.counted(day + f64::from(second));
                falls += f64::from(u8::from(counted < before));
                assert!(counted >= 0.0);
                before = counted;
            }
            let starts = DAY_S / load.lifetime;
            assert!(
                (falls - starts).abs() <= 1.0,
                "{instance}: {falls} falls, {starts} starts"
            );
        }
    }

    #[test]
    fn labels_are_sorted_and_buckets_cumulative() {
        assert!(CATALOG.iter().all(|m| m.labels.is_sorted()));
        let shares: Vec<f64> = CATALOG
            .iter()
            .filter(|m| m.name == DURATION)
            .map(|m| match m.shape {
                Shape::Requests { share } => share,
                _ => f64::NAN,
            })
            .collect();
        assert!(shares.is_sorted() && shares.last() == Some(&1.0));
    }
}
