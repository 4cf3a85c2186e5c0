//! Stored partials: bytes with a right checksum are an error or a partial that is stored as it was read.
#![no_main]

use engine::partial::{Bucket5, FORMAT, MinutePartial};
use engine::window::BUCKET5_US;
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::xxh3_64;

fuzz_target!(|data: &[u8]| {
    let _ = MinutePartial::decode(FORMAT, data);
    let mut payload = xxh3_64(data).to_le_bytes().to_vec();
    payload.extend_from_slice(data);
    let Ok(partial) = MinutePartial::decode(FORMAT, &payload) else {
        return;
    };
    assert_eq!(MinutePartial::decode(FORMAT, &partial.encode()).as_ref(), Ok(&partial));
    let bucket = partial.minute.saturating_sub(partial.minute.rem_euclid(BUCKET5_US));
    let _ = Bucket5::from_partials(bucket, &[partial]);
});
