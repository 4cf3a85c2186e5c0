//! Masking of what is stored: nothing planted survives, a second pass changes nothing, and work is linear.
#![no_main]

use cpu_time::ThreadTime;
use engine::patterns::{Masker, Scratch, mask_secrets, mask_value, sample};
use libfuzzer_sys::fuzz_target;
use std::hint::black_box;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// No word of a text.
const SECRET: &str = "Zq9vXk27Lm4tRw8sHd";
const SHORT: usize = 8 << 10;
const LONG: usize = 16 * SHORT;

fuzz_target!(|text: &str| {
    // libFuzzer learns it from the comparisons.
    if text.contains(SECRET) {
        return;
    }
    let at = xxh3_64(text.as_bytes()) as usize;
    let once = mask_secrets(text).into_owned();
    assert_eq!(mask_secrets(&once), once, "masked again, of {text:?}");
    let limit = at % 256;
    let stored = sample(text, limit);
    assert!(stored.len() <= limit && !stored.contains('\0'));
    let (before, after) = text.split_at(text.floor_char_boundary(at % (text.len() + 1)));
    let planted = match at % 4 {
        0 => format!("{before}\npassword={SECRET} {after}"),
        1 => format!("{before}\n--api-key={SECRET} {after}"),
        2 => format!("{before}\nghp_{SECRET}0123456789abcdefgh {after}"),
        _ => format!("{before}\nclient_secret: {SECRET} {after}"),
    };
    for masked in [
        mask_secrets(&planted),
        mask_value("note", &planted),
        sample(&planted, usize::MAX).into(),
    ] {
        assert!(!masked.contains(SECRET), "{planted:?} gave {masked:?}");
    }
    if at >> 32 & 255 == 0 && !text.is_empty() {
        linear(text);
    }
});

/// Sixteen times the text may take no more than fifty times as long: a square would take 256 times.
fn linear(text: &str) {
    let short = text.repeat(SHORT / text.len() + 1);
    let long = text.repeat(LONG / text.len() + 1);
    let slow = || time(&long) > 50 * time(&short).max(Duration::from_micros(200));
    assert!(
        !(0..4).all(|_| slow()),
        "{:?} for {} bytes of {text:?}",
        time(&long),
        long.len()
    );
}

fn time(text: &str) -> Duration {
    let start = ThreadTime::now();
    black_box(mask_secrets(text));
    black_box(Masker::new().fingerprint(text, &mut Scratch::default()));
    start.elapsed()
}
