use proptest::prelude::*;

use super::*;
use crate::partial::tests_support::partials;

/// Puts a right checksum before `rest`, so that tests reach the code behind it.
fn sealed(rest: &[u8]) -> Vec<u8> {
    let mut out = xxh3_64(rest).to_le_bytes().to_vec();
    out.extend_from_slice(rest);
    out
}

#[test]
fn the_format_is_stable() {
    let urns: Vec<Arc<str>> = ["urn:svc:b", "urn:svc:a"].map(Arc::from).to_vec();
    let calls = vec![(
        1,
        0,
        CallState {
            inferred: true,
            errors: 1,
            durations: Durations::from_samples(vec![300, 5]),
        },
    )];
    let logs = vec![(0, -1, LogCount { total: 3, errors: 2 })];
    let mut partial = MinutePartial::new(60_000_000, &urns, calls, logs);
    (partial.log_ref, partial.trace_ref) = (7, -1);
    let mut body = vec![PLAIN, 6, 0x80, 0x9c, 0x9c, 0x39, 14, 1, 2, 9];
    body.extend(b"urn:svc:a\x09urn:svc:b");
    body.extend([1, 0, 1, 1, 1, EXACT, 2, 5, 0xa7, 2]);
    body.extend([1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 3, 2]);
    assert_eq!(partial.encode(), sealed(&body));
    assert_eq!(MinutePartial::decode(FORMAT, &sealed(&body)), Ok(partial));
}

#[test]
fn wrong_payloads_are_named() {
    let payload = MinutePartial::empty(0).encode();
    let decode = |rest: &[u8]| MinutePartial::decode(FORMAT, &sealed(rest));
    assert_eq!(MinutePartial::decode(1, &payload), Err(PartialError::UnknownFormat(1)));
    assert_eq!(MinutePartial::decode(FORMAT, b"short"), Err(PartialError::Truncated));
    assert_eq!(MinutePartial::decode(FORMAT, &[1; 20]), Err(PartialError::Checksum));
    assert_eq!(decode(&[9]), Err(PartialError::Invalid("unknown compression")));
    assert_eq!(
        decode(&[ZSTD, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        Err(PartialError::TooLarge)
    );
    assert_eq!(
        decode(&[PLAIN, 7]),
        Err(PartialError::Invalid("its sketches have another resolution"))
    );
    assert_eq!(
        decode(&[PLAIN, 6, 0, 0, 0, 0, 0, 0, 0]),
        Err(PartialError::Invalid("bytes follow its end"))
    );
    assert_eq!(decode(&[PLAIN, 6, 0, 0, 0, 0xff, 0x7f]), Err(PartialError::Truncated));
}

#[test]
fn many_samples_are_compressed() {
    let urns: Vec<Arc<str>> = vec![Arc::from("urn:svc:a"), Arc::from("urn:svc:b")];
    let durations = Durations::from_samples((0..9_000u64).map(|i| i * 37 % 9_001).collect());
    let state = CallState {
        inferred: false,
        errors: 0,
        durations,
    };
    let partial = MinutePartial::new(0, &urns, vec![(0, 1, state)], vec![]);
    let payload = partial.encode();
    assert!(payload.len() < 2_000, "{}", payload.len());
    assert_eq!(MinutePartial::decode(FORMAT, &payload), Ok(partial));
}

proptest! {
    #[test]
    fn partials_read_back(partial in partials()) {
        prop_assert_eq!(MinutePartial::decode(FORMAT, &partial.encode()), Ok(partial));
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(MinutePartial::decode(FORMAT, &bytes).is_err());
        let _ = MinutePartial::decode(FORMAT, &sealed(&bytes));
        let _ = decode_body(&bytes);
    }

    /// A changed payload is refused; with its checksum set right again it either is, or gives a partial that reads back.
    #[test]
    fn mutations_never_panic(partial in partials(), at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<prop::sample::Index>()) {
        let payload = partial.encode();
        let mut changed = payload.clone();
        changed[at.index(payload.len())] ^= flip;
        prop_assert!(MinutePartial::decode(FORMAT, &changed).is_err());
        prop_assert!(MinutePartial::decode(FORMAT, &payload[..cut.index(payload.len())]).is_err());
        if let Ok(other) = MinutePartial::decode(FORMAT, &sealed(&changed[CHECKSUM_BYTES..])) {
            prop_assert_eq!(MinutePartial::decode(FORMAT, &other.encode()), Ok(other));
        }
        let mut body = partial.encode_body();
        let i = at.index(body.len());
        body[i] ^= flip;
        if let Ok(other) = decode_body(&body) {
            prop_assert_eq!(decode_body(&other.encode_body()), Ok(other));
        }
        prop_assert!(decode_body(&partial.encode_body()[..cut.index(body.len())]).is_err());
    }
}
