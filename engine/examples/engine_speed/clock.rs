//! CPU time of a thread, and medians of it.

use std::fs;
use std::time::{Duration, Instant};

const PASSES: usize = 5;
/// The shortest pass: the clock below advances in steps of a few milliseconds.
const SHORTEST: Duration = Duration::from_millis(300);

/// The time that `work` takes: the median of five passes, each of which repeats it for a while. CPU time of the thread
/// where the system tells it (Linux), else wall time.
pub fn median(mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    let mut repeats = 0;
    while repeats == 0 || start.elapsed() < SHORTEST {
        work();
        repeats += 1;
    }
    let mut times: Vec<Duration> = (0..PASSES)
        .map(|_| {
            let (start, cpu) = (Instant::now(), cpu_time());
            (0..repeats).for_each(|_| work());
            let time = match (cpu, cpu_time()) {
                (Some(from), Some(to)) => to.saturating_sub(from),
                _ => start.elapsed(),
            };
            time / repeats
        })
        .collect();
    times.sort_unstable();
    times.get(PASSES / 2).copied().unwrap_or_default()
}

/// Time this thread has run: the first field of its schedstat, in nanoseconds
/// (<https://docs.kernel.org/scheduler/sched-stats.html>). It advances at scheduler ticks only while the thread runs.
fn cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}
