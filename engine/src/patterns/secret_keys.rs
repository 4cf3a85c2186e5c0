//! Which keys have a secret as their value.

/// Longest key that is looked at; of longer ones the end.
const LONGEST: usize = 64;

/// Bytes that are looked at together.
const BLOCK: usize = 16;

/// Keys that are secret as a whole.
const WHOLE: [&[u8]; 5] = [b"pass", b"auth", b"sig", b"pin", b"pgpass"];

/// Stems that make a key secret wherever they stand in it (`db_password_hash`). Each has one of [`PAIRS`].
const STEMS: [&[u8]; 7] = [
    b"password",
    b"passwd",
    b"passphrase",
    b"privatekey",
    b"secret",
    b"apikey",
    b"credential",
];

/// Letters side by side that few keys have, and every stem.
const PAIRS: [[u8; 2]; 4] = [*b"ss", *b"iv", *b"cr", *b"pi"];

/// Stems that make a key secret at its end only (`access_token`, but not `max_tokens` or `token_count`).
const ENDS: [&[u8]; 14] = [
    b"token",
    b"authorization",
    b"pwd",
    b"accesskeyid",
    b"accesskey",
    b"sessionkey",
    b"encryptionkey",
    b"signingkey",
    b"authkey",
    b"cookie",
    b"signature",
    b"passcode",
    b"jwt",
    b"cvv",
];

/// Whether the value of `key` must never be written anywhere. Case, blanks, `_`, `-` and `.` in the key do not matter.
pub(super) fn is_secret_key(key: &[u8]) -> bool {
    let tail = key.get(key.len().saturating_sub(LONGEST)..).unwrap_or(key);
    // One more, so that every byte has a next one.
    let mut buf = [0; LONGEST + 1];
    let mut len = 0;
    for b in tail.iter().filter(|b| !matches!(b, b'_' | b'-' | b'.' | b' ')) {
        if let Some(slot) = buf.get_mut(len) {
            *slot = *b;
        }
        len += 1;
    }
    buf.make_ascii_lowercase();
    let key = buf.get(..len).unwrap_or_default();
    ends_secret(key) || WHOLE.contains(&key) || (has_pair(&buf, len) && has_stem(key))
}

fn ends_secret(key: &[u8]) -> bool {
    let last_two = key.last_chunk::<2>();
    ENDS.iter()
        .any(|end| end.last_chunk() == last_two && key.ends_with(end))
}

/// Whether one of [`PAIRS`] is among the first `len` bytes. No byte of a block is waited for, so that all of it can be
/// looked at together.
fn has_pair(buf: &[u8; LONGEST + 1], len: usize) -> bool {
    (0..len).step_by(BLOCK).any(|start| {
        let block = |start| buf.get(start..).and_then(|rest| rest.first_chunk::<BLOCK>());
        let (Some(firsts), Some(seconds)) = (block(start), block(start + 1)) else {
            return true;
        };
        let mut found = 0;
        for (a, b) in firsts.iter().zip(seconds) {
            for [first, second] in PAIRS {
                found |= u8::from(*a == first) & u8::from(*b == second);
            }
        }
        found != 0
    })
}

fn has_stem(key: &[u8]) -> bool {
    STEMS
        .iter()
        .any(|stem| key.windows(stem.len()).any(|part| part == *stem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secret_keys() {
        for k in [
            "password",
            "DB_PASSWORD",
            "db.password.hash",
            "access_token",
            "X-Api-Key",
            "pwd",
            "client-secret",
            "Set-Cookie",
        ] {
            assert!(is_secret_key(k.as_bytes()), "{k}");
        }
        for k in [
            "max_tokens",
            "token_count",
            "user",
            "passenger",
            "compass",
            "author",
            "spin",
            "",
        ] {
            assert!(!is_secret_key(k.as_bytes()), "{k}");
        }
    }

    fn any_of(words: &[&'static [u8]]) -> impl Strategy<Value = String> + use<> {
        let words: Vec<String> = words.iter().map(|w| String::from_utf8_lossy(w).into_owned()).collect();
        prop::sample::select(words)
    }

    proptest! {
        #[test]
        fn stems_are_found_wherever_they_stand(
            before in "[a-zA-Z0-9_.-]{0,8}",
            stem in any_of(&STEMS),
            end in any_of(&ENDS),
            whole in any_of(&WHOLE),
            upper in any::<bool>(),
            after in "[a-zA-Z0-9_. -]{0,8}",
        ) {
            let spelled = |word: String| match upper {
                true => word.to_uppercase(),
                false => word.chars().map(|c| format!("{c}_")).collect(),
            };
            let (stem, end, whole) = (spelled(stem), spelled(end), spelled(whole));
            for key in [format!("{before}{stem}{after}"), format!("{before}{end}"), whole] {
                prop_assert!(is_secret_key(key.as_bytes()), "{}", key);
            }
        }
    }
}
