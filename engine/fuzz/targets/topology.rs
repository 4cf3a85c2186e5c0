//! Files of infrastructure: any bytes give edges with two ends or an error, and the same again.
#![no_main]

use engine::topology::{Format, extract};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, content) = input;
    let format = match Format::ALL.get(usize::from(choice)) {
        Some(format) => *format,
        None => match Format::detect(content) {
            Ok(format) => format,
            Err(error) => {
                assert!(!error.to_string().is_empty() && !error.hint().is_empty());
                return;
            }
        },
    };
    let found = extract(content, format);
    match &found {
        Ok(found) => {
            for edge in &found.edges {
                assert!(!edge.src.is_empty() && !edge.dst.is_empty(), "{edge:?}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert_eq!(format!("{:?}", extract(content, format)), format!("{found:?}"));
});
