use super::*;
use crate::decode::json::search_response;
use crate::decode::row::Records;
use crate::decode::testing::{Call, Calls};
use crate::record::Dataset;
use proptest::prelude::*;

fn options() -> Options {
    Options::new(Dataset::Logs)
}

fn whole(body: &[u8]) -> (Result<SearchPage, DecodeError>, Vec<Call>) {
    let mut calls = Calls::default();
    (search_response(&options(), body, &mut calls), calls.0)
}

fn by(chunk: usize, mut body: &[u8]) -> (Result<SearchPage, DecodeError>, Vec<Call>) {
    let options = options();
    let mut calls = Calls::default();
    let mut records = Records {
        options: &options,
        sink: &mut calls,
    };
    let page = match read_by(chunk, &options, &mut body, &mut vec![7; 3], &mut records) {
        Ok(page) => Ok(page),
        Err(ReadError::Decode(e)) => Err(e),
        Err(ReadError::Io(e)) => panic!("{e}"),
    };
    (page, calls.0)
}

const BODY: &str = r#" {"took":{"total":0},"hits":[
    {"_timestamp":1,"body":"a } and a \" and { in it é"}, {"_timestamp":2,"nested":{"x":[{}]},"body":"b"},
    12.5, null, "text } here", [{"a":1}, 2], {}, {"_timestamp":3,"body":"\ud800"}, {"_timestamp":4,"body":"d"}
  ],"total":9,"is_partial":false,"function_error":["x"],"new_start_time":17} "#;

#[test]
fn pieces_of_any_size_make_the_whole() {
    let want = whole(BODY.as_bytes());
    let page = want.0.as_ref().unwrap();
    assert_eq!((page.hits, page.total, page.new_start_time), (9, Some(9), Some(17)));
    assert_eq!(want.1.len(), 9);
    for chunk in 1..BODY.len() + 2 {
        assert_eq!(by(chunk, BODY.as_bytes()), want, "chunks of {chunk}");
    }
}

#[test]
fn an_answer_that_is_cut_anywhere_is_an_error() {
    let end = BODY.trim_end().len();
    for chunk in [1, 7, 64, 4096] {
        for cut in 0..end {
            assert!(
                by(chunk, &BODY.as_bytes()[..cut]).0.is_err(),
                "cut at {cut}, chunks of {chunk}"
            );
        }
    }
}

#[test]
fn what_is_no_answer_is_found_without_reading_on() {
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            out.fill(b'}');
            Ok(out.len())
        }
    }
    for start in [
        "<html>}",
        "[]}",
        "{\"hits\":{}",
        "{\"hits\":[{\"a\":nope}",
        "{\"hits\":[{}{}",
        "{\"hits\":[],\"hits\":[]",
        "{}",
        "{\"hits\":[]}",
    ] {
        let options = options();
        let mut calls = Calls::default();
        let mut records = Records {
            options: &options,
            sink: &mut calls,
        };
        let mut input = start.as_bytes().chain(Endless);
        let mut buffer = Vec::new();
        let e = read(&options, &mut input, &mut buffer, &mut records).unwrap_err();
        assert!(matches!(e, ReadError::Decode(_)), "{start}: {e:?}");
        assert!(buffer.len() <= 2 * CHUNK, "{start}");
    }
}

#[test]
fn the_buffer_does_not_grow_with_the_answer() {
    let hit = format!("{{\"_timestamp\":5,\"body\":\"{}\"}}", "x".repeat(200));
    let body = format!("{{\"hits\":[{}]}}", vec![hit; 20_000].join(","));
    let options = options();
    let mut calls = Calls::default();
    let mut records = Records {
        options: &options,
        sink: &mut calls,
    };
    let mut buffer = Vec::new();
    let page = read(&options, &mut body.as_bytes(), &mut buffer, &mut records).unwrap();
    assert_eq!((page.hits, calls.0.len()), (20_000, 20_000));
    assert!(
        body.len() > 4_000_000 && buffer.capacity() <= 3 * CHUNK,
        "{}",
        buffer.capacity()
    );
}

#[test]
fn one_hit_longer_than_any_chunk() {
    let body = format!(
        "{{\"hits\":[{{\"_timestamp\":5,\"body\":\"{}\"}}]}}",
        "}é".repeat(700_000)
    );
    let (page, calls) = by(CHUNK, body.as_bytes());
    assert_eq!((page.unwrap().hits, calls.len()), (1, 1));
}

proptest! {
    #[test]
    fn any_bytes_in_pieces_are_what_they_are_at_once(
        middle in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"_timestamp\"", "1", "tru", "\\", "\"", "é", " ", "{\"body\":\"x\"}",
        ]), 0..24),
        chunk in 1usize..40,
    ) {
        let body = format!("{{\"hits\":[{}]}}", middle.concat());
        let (want, at_once) = whole(body.as_bytes());
        let (got, in_pieces) = by(chunk, body.as_bytes());
        prop_assert_eq!(&got.is_ok(), &want.is_ok(), "{}", body);
        if want.is_ok() {
            prop_assert_eq!((got, in_pieces), (want, at_once));
        }
    }
}
