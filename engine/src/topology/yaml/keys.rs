//! The keys at the top of a stream, without reading what is below.

use saphyr_parser::{Event, Parser};

use super::MAX_DEPTH;

/// Calls `found` with the keys of the outermost maps of all documents until it returns true. Nothing is kept, so this is
/// cheap even for a large stream; errors end it, they come up again when the input is read.
pub fn outer_keys(text: &str, mut found: impl FnMut(&str) -> bool) {
    let mut parser = Parser::new_from_str(text);
    let mut depth = 0usize;
    let mut is_key = false;
    while let Some(Ok((event, _))) = parser.next_event() {
        match event {
            Event::StreamEnd => return,
            Event::DocumentStart(_) => (depth, is_key) = (0, false),
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if depth == 0 && matches!(event, Event::SequenceStart(..)) {
                    return;
                }
                is_key |= depth == 0;
                depth += 1;
                if depth > MAX_DEPTH {
                    return;
                }
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth = depth.saturating_sub(1);
                is_key ^= depth == 1;
            }
            Event::Scalar(text, ..) if depth == 1 => {
                if is_key && found(&text) {
                    return;
                }
                is_key = !is_key;
            }
            Event::Alias(_) if depth == 1 => is_key = !is_key,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn outer_keys_are_those_of_maps() {
        let mut keys = Vec::new();
        outer_keys("a: {b: c}\nd: [e, f]\ng: h\n---\n? {x: y}\n: z\ni: j\n", |key| {
            keys.push(key.to_owned());
            false
        });
        assert_eq!(keys, ["a", "d", "g", "i"]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[-a:&*!<{}\\[\\]|>#'\"?, \n]{0,60}") {
            outer_keys(&text, |_| false);
        }
    }
}
