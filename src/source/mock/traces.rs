//! Traces: requests that enter at an entry service and spread over the call graph as client and server spans.
//!
//! A minute is made of its interior traces, whose spans all start in it, and of its share of the border traces at its
//! two ends, whose first spans start in one minute and whose last ones in the next. How many spans the border traces
//! bring is known without looking at any other minute's interior, and the interior traces bring exactly the rest.

use std::ops::ControlFlow;

use engine::window::{MINUTE_US, Window};

use super::MockConfig;
use super::fleet::Fleet;
use super::rng::{Purpose, Rng};
use super::trace::{MAX_SPANS, SpanView, Trace};

/// One border trace for so many spans a minute: then both borders together never bring more than the whole minute.
const SPANS_PER_BORDER_TRACE: u64 = 60;
/// Below that rate two border traces might fill the minute, so there are none.
const MIN_RATE_FOR_BORDERS: u64 = 2 * MAX_SPANS;

/// Calls `visit` for every span that starts in `range`, trace by trace, minute by minute, until it breaks.
pub(super) fn visit<B>(
    cfg: &MockConfig,
    fleet: &Fleet,
    range: Window,
    mut visit: impl FnMut(SpanView<'_>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let mut trace = Trace::default();
    for minute in range.buckets(MINUTE_US) {
        let wanted = Window::new(range.from.max(minute), range.to.min(minute + MINUTE_US));
        let mut rest = u64::from(cfg.spans_per_minute);
        for border in [minute, minute + MINUTE_US] {
            for index in 0..border_traces(cfg) {
                trace.make_border(cfg, fleet, border, index);
                rest = rest.saturating_sub(trace.starts_in(Window::new(minute, minute + MINUTE_US)));
                trace.show(fleet, wanted, &mut visit)?;
            }
        }
        let mut sizes = Rng::new(cfg.seed, Purpose::TraceSizes, minute, 0);
        for index in 0.. {
            if rest == 0 {
                break;
            }
            let size = next_size(&mut sizes, rest);
            rest -= size;
            trace.make_interior(cfg, fleet, minute, index, size);
            trace.show(fleet, wanted, &mut visit)?;
        }
    }
    ControlFlow::Continue(())
}

/// How many traces cross each border between two minutes.
fn border_traces(cfg: &MockConfig) -> u64 {
    let rate = u64::from(cfg.spans_per_minute);
    if rate < MIN_RATE_FOR_BORDERS {
        0
    } else {
        (rate / SPANS_PER_BORDER_TRACE).max(1)
    }
}

/// The size of the next trace when `rest` spans are left: 2 to 12, and 1 only when the minute has no more.
fn next_size(rng: &mut Rng, rest: u64) -> u64 {
    let size = rng.between(2, MAX_SPANS).min(rest);
    match (rest - size, size) {
        (1, 2) => 3,
        (1, _) => size - 1,
        _ => size,
    }
}
