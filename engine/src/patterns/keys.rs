//! What the key of a `key=value`, `key: value` or JSON member says about its value.

use super::bytes::lower;
use super::list::WordList;
use super::secret_keys::is_secret_key;

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
    } else if is_secret_key(k) {
        KeyKind::Secret
    } else {
        KeyKind::Other
    }
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
