//! What the key of a `key=value`, `key: value` or JSON member says about its value.

use super::bytes::lower;
use super::list::WordList;

/// The kinds of keys that matter to templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// The value is a secret: never in a template.
    Secret,
    /// The value names somebody or something: always a variable.
    Identity,
    /// The value is the severity, which is not part of a fingerprint.
    Level,
    /// The value is the text the line is about: scanned like a line.
    Text,
    /// Anything else.
    Other,
}

/// Keys of the severity.
static LEVELS: WordList = WordList::new(&[
    "level",
    "levelname",
    "log_level",
    "loglevel",
    "lvl",
    "severity",
    "severity_text",
]);

/// Keys whose value is what happened.
static TEXTS: WordList = WordList::new(&[
    "action",
    "body",
    "caller",
    "cause",
    "code",
    "component",
    "description",
    "detail",
    "details",
    "err",
    "error",
    "event",
    "exception",
    "func",
    "function",
    "kind",
    "log",
    "logger",
    "message",
    "method",
    "module",
    "msg",
    "op",
    "operation",
    "reason",
    "result",
    "stack",
    "stacktrace",
    "state",
    "status",
    "title",
    "type",
]);

/// Keys whose value names somebody or something.
static IDENTITIES: WordList = WordList::new(&[
    "account",
    "addr",
    "address",
    "client",
    "container",
    "customer",
    "email",
    "host",
    "hostname",
    "instance",
    "login",
    "logname",
    "mail",
    "node",
    "owner",
    "peer",
    "pod",
    "remote",
    "rhost",
    "ruser",
    "server",
    "tenant",
    "user",
    "user_name",
    "username",
]);

/// Longest key that is looked at; longer ones are [`KeyKind::Other`] unless their end is secret.
const LONGEST: usize = 64;

/// Classifies a key. Case, and the parts before the last `.`, do not matter.
pub(super) fn key_kind(key: &[u8]) -> KeyKind {
    let mut buf = [0u8; LONGEST];
    let tail = key.get(key.len().saturating_sub(LONGEST)..).unwrap_or(key);
    let Some(k) = lower(tail, &mut buf) else {
        return KeyKind::Other;
    };
    let last = k.rsplit(|b| *b == b'.').next().unwrap_or(k);
    if TEXTS.has(last) {
        KeyKind::Text
    } else if IDENTITIES.has(last) {
        KeyKind::Identity
    } else if LEVELS.has(last) {
        KeyKind::Level
    } else if may_be_secret(k) && is_secret_normal(k) {
        KeyKind::Secret
    } else {
        KeyKind::Other
    }
}

/// Whether the value of `key` must never be written anywhere.
pub(super) fn is_secret_key(key: &[u8]) -> bool {
    let mut buf = [0u8; LONGEST];
    let tail = key.get(key.len().saturating_sub(LONGEST)..).unwrap_or(key);
    may_be_secret(tail) && lower(tail, &mut buf).is_some_and(is_secret_normal)
}

/// Keys that are secret as a whole.
const WHOLE: [&[u8]; 5] = [b"pass", b"auth", b"sig", b"pin", b"pgpass"];

/// Stems that make a key secret wherever they stand in it (`db_password_hash`).
const STEMS: [&[u8]; 7] = [
    b"password",
    b"passwd",
    b"passphrase",
    b"privatekey",
    b"secret",
    b"apikey",
    b"credential",
];

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

/// The letters of each of these: most keys lack one of each.
static WHOLE_LETTERS: [u32; WHOLE.len()] = letters_of(&WHOLE);
static STEM_LETTERS: [u32; STEMS.len()] = letters_of(&STEMS);
static END_LETTERS: [u32; ENDS.len()] = letters_of(&ENDS);

const fn letters_of<const N: usize>(words: &[&[u8]; N]) -> [u32; N] {
    let mut all = [0; N];
    let mut i = 0;
    while i < N {
        let mut at = 0;
        while at < words[i].len() {
            all[i] |= letter(words[i][at]);
            at += 1;
        }
        i += 1;
    }
    all
}

/// A letter in any case as a bit, which other bytes may share.
const fn letter(b: u8) -> u32 {
    1 << (b & 31)
}

/// What does not count in a key.
#[inline]
fn is_joint(b: u8) -> bool {
    matches!(b, b'_' | b'-' | b'.' | b' ')
}

/// False if `key`, in any case, lacks what every secret key has. Most keys need no closer look.
fn may_be_secret(key: &[u8]) -> bool {
    let (mut letters, mut last) = (0, 0);
    for b in key.iter().filter(|b| !is_joint(**b)) {
        letters |= letter(*b);
        last = b.to_ascii_lowercase();
    }
    let holds = |of: &u32| letters & of == *of;
    WHOLE_LETTERS.contains(&letters)
        || STEM_LETTERS.iter().any(holds)
        || (matches!(last, b'n' | b'd' | b'y' | b'e' | b't' | b'v') && END_LETTERS.iter().any(holds))
}

/// `key` is lower case.
fn is_secret_normal(key: &[u8]) -> bool {
    let mut buf = [0u8; LONGEST];
    let mut n = 0;
    for (dst, b) in buf.iter_mut().zip(key.iter().filter(|b| !is_joint(**b))) {
        *dst = *b;
        n += 1;
    }
    let k = buf.get(..n).unwrap_or_default();
    WHOLE.contains(&k)
        || ENDS.iter().any(|end| k.ends_with(end))
        || STEMS.iter().any(|stem| k.windows(stem.len()).any(|part| part == *stem))
}

/// Whether `word` looks like a token of a well-known issuer: cloud access keys, personal access tokens, signed
/// web tokens. The prefixes are those their issuers document.
pub(super) fn is_issued_token(word: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 20] = [
        b"AKIA",
        b"ASIA",
        b"AROA",
        b"AIDA",
        b"eyJ",
        b"ghp_",
        b"gho_",
        b"ghu_",
        b"ghs_",
        b"ghr_",
        b"github_pat_",
        b"glpat-",
        b"xoxb-",
        b"xoxp-",
        b"xoxa-",
        b"xoxs-",
        b"sk_live_",
        b"rk_live_",
        b"AIza",
        b"npm_",
    ];
    word.len() >= 20
        && matches!(word.first(), Some(b'A' | b'e' | b'g' | b'x' | b's' | b'r' | b'n'))
        && PREFIXES.iter().any(|p| word.starts_with(p))
        && word.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+' | b'/' | b'='))
        // Upper-case prefixes are followed by upper case and digits only; a word like `AKIAsomething` is none.
        && (!matches!(word, [b'A', b'K' | b'S' | b'R', ..] | [b'A', b'I', b'D', ..])
            || word.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
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

    proptest! {
        #[test]
        fn every_secret_key_may_be_one(
            before in "[a-zA-Z0-9_.-]{0,8}",
            stem in prop::sample::select(WHOLE.iter().chain(&STEMS).chain(&ENDS).copied().collect::<Vec<_>>()),
            upper in any::<bool>(),
            after in "[a-zA-Z0-9_. -]{0,8}",
        ) {
            let stem = String::from_utf8(stem.to_vec()).unwrap();
            let stem = if upper { stem.to_uppercase() } else { stem.chars().map(|c| format!("{c}_")).collect() };
            for key in [format!("{before}{stem}{after}"), format!("{before}{stem}"), stem] {
                let lower = key.to_lowercase();
                prop_assert!(!is_secret_normal(lower.as_bytes()) || may_be_secret(key.as_bytes()), "{}", key);
            }
        }
    }

    #[test]
    fn kinds() {
        assert_eq!(key_kind(b"log.level"), KeyKind::Level);
        assert_eq!(key_kind(b"Msg"), KeyKind::Text);
        assert_eq!(key_kind(b"rhost"), KeyKind::Identity);
        assert_eq!(key_kind(b"count"), KeyKind::Other);
        assert_eq!(key_kind(b"userPassword"), KeyKind::Secret);
        assert_eq!(key_kind(&[b'x'; 5000]), KeyKind::Other);
    }

    #[test]
    fn issued_tokens() {
        assert!(is_issued_token(b"AKIAABCDEFGHIJKLMNOP"));
        assert!(!is_issued_token(b"AKIAsomethingelsethatislong"));
        assert!(is_issued_token(b"ghp_abcdefghijklmnopqrstuvwxyz"));
        assert!(!is_issued_token(b"eyJ"));
    }
}
