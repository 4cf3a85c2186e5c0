//! Bytes of Parquet files, mostly damaged ones: an error or rows, and the rows of two halves of time are those of the
//! whole.
#![no_main]

use bytes::Bytes;
use engine::decode::parquet::{json_rows, parents_from_parquet, parquet, row_hashes, summary, timestamps};
use engine::window::Window;
use fuzzing::{ALL, Calls, options};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use std::ops::ControlFlow;

fuzz_target!(
    // The Parquet reader panics on some damaged files, which the engine catches: only what it does not catch counts.
    init: std::panic::set_hook(Box::new(|_| {})),
    |data: &[u8]| {
        // Too few bytes for the choices: nothing to do.
        let _ = run(data);
    }
);

fn run(data: &[u8]) -> Result<()> {
    let mut u = Unstructured::new(data);
    let options = options(&mut u)?;
    let middle = i64::from(u.arbitrary::<u8>()?);
    let file = Bytes::copy_from_slice(u.take_rest());
    let read = |range| {
        let mut calls = Calls::default();
        parquet(&options, file.clone(), range, &mut calls)
            .ok()
            .map(|stats| (stats, calls))
    };
    let all = read(ALL);
    let halves = (read(Window::new(i64::MIN, middle)), read(Window::new(middle, i64::MAX)));
    let _ = (
        summary(&file),
        row_hashes(file.clone(), ALL, |_| ()),
        timestamps(file.clone(), ALL, |_| ()),
    );
    let _ = json_rows(file.clone(), ALL, |_| ControlFlow::Continue(()));
    let _ = parents_from_parquet(file.clone(), ALL, &mut Calls::default());
    let _ = (all, halves);
    Ok(())
}
