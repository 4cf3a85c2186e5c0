use proptest::prelude::*;

use super::MinutePartial;
use super::tests_support::partials;

proptest! {
    /// Lines are moved, none is lost or made, and the entries are as the format demands.
    #[test]
    fn lines_move_to_other_patterns(partial in partials(), kinds in 1i64..60) {
        let of = |fingerprint: i64| fingerprint.rem_euclid(kinds);
        let moved = partial.with_patterns(of);
        let mut expected = std::collections::BTreeMap::new();
        for (resource, fingerprint, count) in partial.logs() {
            let sum: &mut (u64, u64) = expected.entry((resource.to_owned(), of(fingerprint))).or_default();
            *sum = (sum.0 + count.total, sum.1 + count.errors);
        }
        let found: Vec<_> = moved.logs().map(|(r, f, c)| ((r.to_owned(), f), (c.total, c.errors))).collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        let decoded = MinutePartial::decode(super::FORMAT, &moved.encode());
        prop_assert_eq!(decoded, Ok(moved));
        prop_assert_eq!(partial.with_patterns(|same| same), partial);
    }
}
