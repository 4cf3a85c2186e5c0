//! NDJSON: every line that is not blank is one record, whatever stands around it.
#![no_main]

use engine::decode::json::{ndjson, ndjson_rows, parents_from_ndjson};
use fuzzing::{ALL, Calls, options};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Too few bytes for the choices: nothing to do.
    let _ = run(data);
});

fn run(data: &[u8]) -> Result<()> {
    let mut u = Unstructured::new(data);
    let options = options(&mut u)?;
    let bytes = u.take_rest();
    let mut whole = Calls::default();
    let records = ndjson(&options, bytes, &mut whole);
    assert_eq!(records, whole.records.len(), "a line is one record");
    let mut by_line = Calls::default();
    for line in bytes.split(|b| *b == b'\n') {
        let blank = line.trim_ascii().is_empty();
        assert_eq!(ndjson(&options, line, &mut by_line), usize::from(!blank));
    }
    assert_eq!(by_line, whole);
    assert!(ndjson_rows(bytes, ALL, usize::MAX).len() <= records);
    parents_from_ndjson(bytes, ALL, &mut Calls::default());
    Ok(())
}
