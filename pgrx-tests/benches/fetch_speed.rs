//! What it costs to fetch, decode and aggregate windows of a source, without a server around it: CPU time of the process
//! (all its threads) and wall time, medians of the passes. For `bench/fetching.py`.
//!
//!     cargo bench -p observe-bridge-blackbox --bench fetch_speed -- FROM WINDOWS PASSES OPTION=VALUE...
//!
//! FROM: start of the first window of one minute, UTC microseconds. OPTION: of the server or of its user mapping, as in
//! SQL; a source of kind `file` may read what is below its path. Prints one line of JSON: milliseconds of `single`, each window fetched by
//! itself, and of `range`, all of them as one (left out of one window), each `[cpu, wall]`; `records` of the windows.

// The tests in it are run elsewhere; here there is no harness that would find them.
#[allow(dead_code, unused_imports)]
#[path = "../../src/source/mod.rs"]
mod source;

use engine::window::{MINUTE_US, Window, Windows};
use serde_json::json;
use source::server::{self, Options};
use source::{Context, FetchStats, Selection, Source, fetch};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Uncounted passes, in which connections are made and the sizes of streams are learned.
const WARM_UP: usize = 3;
/// As `observe_bridge.fetch_concurrency` is shipped.
const CONCURRENCY: usize = 4;
/// Options that belong to the user mapping.
const MAPPING: [&str; 2] = ["username", "password"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = || {
        args.next()
            .ok_or("usage: fetch_speed FROM WINDOWS PASSES OPTION=VALUE...")
    };
    let from: i64 = next()?.parse()?;
    let count: i64 = next()?.parse()?;
    let passes: usize = next()?.parse()?;
    let (mapping, options): (Options, Options) = args
        .filter_map(|arg| {
            arg.split_once('=')
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
        })
        .partition(|(key, _)| MAPPING.contains(&key.as_str()));
    let roots = options.get("path").map(PathBuf::from).into_iter().collect();
    let source = Source {
        server: "measured".into(),
        config: server::config(&options, &mapping, roots).map_err(|e| format!("{e:?}"))?,
        selection: Selection::parse(&json!({})).map_err(|e| format!("{e:?}"))?,
    };
    let context = Context {
        cancel: Arc::default(),
        concurrency: CONCURRENCY,
        http_timeout: Duration::from_secs(60),
        masker: engine::patterns::Masker::new(),
    };
    let whole = Windows::new(Window::new(from, from + count * MINUTE_US), MINUTE_US);
    let get = |windows: Windows| -> Result<FetchStats, String> {
        fetch(std::slice::from_ref(&source), windows, &context)
            .map(|got| got.stats)
            .map_err(|e| format!("{e:?}"))
    };
    let single = || {
        whole
            .iter()
            .try_fold(0, |all, one| Ok(all + records(&get(Windows::new(one, MINUTE_US))?)))
    };
    let range = || get(whole).map(|stats| records(&stats));
    let (mut singles, mut ranges, mut found) = (Vec::new(), Vec::new(), 0);
    // In turns, so that whatever else the machine does meets both.
    for pass in 0..WARM_UP + passes {
        let (cost, n) = timed(single)?;
        let (range_cost, same) = if count > 1 { timed(range)? } else { (cost, n) };
        if n != same {
            return Err(format!("{n} records one by one, {same} in a range").into());
        }
        if pass >= WARM_UP {
            singles.push(cost);
            ranges.push(range_cost);
        }
        found = n;
    }
    let mut told = json!({"records": found, "single": median(&singles)});
    if count > 1 {
        told["range"] = json!(median(&ranges));
    }
    println!("{told}");
    Ok(())
}

fn records(stats: &FetchStats) -> u64 {
    stats.logs + stats.metrics + stats.spans
}

/// `[CPU, wall]` in milliseconds, and what the work came to.
fn timed(work: impl Fn() -> Result<u64, String>) -> Result<([f64; 2], u64), String> {
    let (cpu, wall) = (cpu_time(), Instant::now());
    let came = work()?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(([ms(cpu_time().saturating_sub(cpu)), ms(wall.elapsed())], came))
}

/// Of each figure by itself.
fn median(passes: &[[f64; 2]]) -> [f64; 2] {
    [0, 1].map(|figure| {
        let mut all: Vec<f64> = passes.iter().filter_map(|pass| pass.get(figure).copied()).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    })
}

/// User and system time of all threads of this process, also of those that have ended.
fn cpu_time() -> Duration {
    let mut spent = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `spent` is a timespec of ours; the clock is there on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut spent) };
    Duration::new(
        spent.tv_sec.unsigned_abs(),
        u32::try_from(spent.tv_nsec).unwrap_or_default(),
    )
}
