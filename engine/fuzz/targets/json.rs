//! `_search` answers: an answer in pieces of any size is the whole; a hit is one record.
#![no_main]

use engine::decode::Options;
use engine::decode::json::{SearchPage, parents_from_search_stream, search_response, search_stream_by};
use engine::decode::reply::{count_response, search_error};
use engine::record::Dataset;
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
    let chunk = u.int_in_range(1..=64)?;
    let body = u.take_rest();
    let mut whole = Calls::default();
    let page: Option<SearchPage> = search_response(&options, body, &mut whole).ok();
    if let Some(page) = &page {
        assert_eq!(page.hits, whole.records.len(), "a hit is one record");
    }
    let mut pieces = Calls::default();
    let mut input = body;
    let in_pieces = search_stream_by(chunk, &options, &mut input, &mut pieces).ok();
    assert_eq!(in_pieces, page, "in pieces of {chunk}");
    if page.is_some() {
        assert_eq!(pieces, whole, "in pieces of {chunk}");
    }
    let mut input = body;
    let spans = Options {
        dataset: Dataset::Traces,
        ..options
    };
    let _ = parents_from_search_stream(&spans, &mut input, &mut Vec::new(), ALL, &mut Calls::default());
    let _ = (count_response(body), search_error(body));
    Ok(())
}
