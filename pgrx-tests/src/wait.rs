//! Waiting for something to become true, instead of sleeping and hoping.

use std::time::{Duration, Instant};

/// Time between two looks.
const POLL: Duration = Duration::from_millis(20);

/// Looks every 20 ms until `condition` holds.
///
/// # Panics
/// When it does not hold after `timeout`, saying what was waited for.
#[track_caller]
pub fn wait_until(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < timeout, "waited {timeout:?} in vain: {what}");
        std::thread::sleep(POLL);
    }
}

/// Runs `action` and checks that it took no longer than `limit`; its result comes back.
///
/// # Panics
/// When it took longer.
#[track_caller]
pub fn within<T>(what: &str, limit: Duration, action: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = action();
    let took = begun.elapsed();
    assert!(took < limit, "{what} took {took:?}, the limit is {limit:?}");
    result
}
