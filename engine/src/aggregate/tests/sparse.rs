//! Counters that are read less often than growth is looked for.

use super::*;

type Growth = Option<f64>;

/// A counter or a bucket at `minute`, of a histogram that is read every five minutes.
fn sample(metric: &'static str, minute: i64, series: u64, value: f64) -> Record {
    let labels = match metric {
        "latency_bucket" => vec![("le", "inf".to_owned())],
        _ => vec![],
    };
    let counter = (metric, series, Counts::Cumulative);
    Record::Metric(minute * MINUTE_US, "web", counter, value, labels)
}

fn readings(every: i64) -> Vec<Record> {
    let mut readings = Vec::new();
    for n in 0..4 {
        let value = 10.0 * n as f64;
        for (series, metric) in (1..).zip(["hits_total", "latency_bucket", "latency_sum"]) {
            readings.push(sample(metric, n * every, series, value));
        }
    }
    readings
}

/// What the counter grew by, and count and sum of the histogram, in each minute that has any.
fn growth(every: i64) -> (Vec<Growth>, Vec<(Growth, Growth)>) {
    let window = Window::new(5 * MINUTE_US, 15 * MINUTE_US);
    let range = records_range(Dataset::Metrics, window);
    let mut a = Aggregator::new(window);
    let due = |r: &&Record| matches!(r, Record::Metric(ts, ..) if range.contains(*ts));
    readings(every).iter().filter(due).for_each(|r| feed(&mut a, r));
    let out = a.finish(MARGIN).remove(0);
    let of = |name: &str| {
        out.metrics
            .iter()
            .filter(|m| m.metric == name)
            .map(|m| m.increase)
            .collect()
    };
    (
        of("hits_total"),
        out.histograms.iter().map(|h| (h.count, h.sum)).collect(),
    )
}

#[test]
fn growth_since_a_sample_too_long_ago_is_unknown_and_not_zero() {
    assert_eq!(growth(5), (vec![None, None], vec![]));
    // At minute 6, two minutes after the sample at minute 4, it is known.
    assert_eq!(growth(2), (vec![Some(10.0)], vec![(Some(10.0), Some(10.0))]));
}

#[test]
fn series_of_which_nobody_knows_take_nothing_from_the_others() {
    let out = aggregate(&[
        sample("hits_total", 0, 1, 5.0),
        sample("hits_total", 1, 1, 8.0),
        sample("hits_total", 1, 2, 100.0),
    ]);
    let increases: Vec<_> = out.metrics.iter().map(|m| m.increase).collect();
    assert_eq!(increases, [None, Some(3.0)]);
}
