//! Words that say something about the next word. Changing a list changes fingerprints: raise `MASK_VERSION` with it.

use super::list::WordList;

/// What a word announces about the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cue {
    #[default]
    None,
    /// `user X`: the next word may be a name.
    Identity,
    /// `for X from <address>`: the next word may be a name.
    For,
    /// `to X:port`, `GET /`: the next word before a port is a host, and a lone slash a path.
    Host,
    /// `Bearer X`: the next word is a secret.
    Secret,
}

/// What [`cue`] looks for, to say "none" fast: the words, and how `basic` and `bearer` may begin and end.
static CUES: WordList = WordList::new(&[
    "BASIC", "BASIc", "BEARER", "BEAREr", "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT",
    "Server", "TRACE", "User", "account", "addr", "address", "at", "basiC", "basic", "beareR", "bearer", "broker",
    "connect", "dial", "endpoint", "for", "from", "host", "node", "on", "peer", "server", "tcp", "to", "udp",
    "upstream", "user", "username", "via",
]);

/// The cue a word gives.
#[inline]
pub(super) fn cue(word: &[u8]) -> Cue {
    if !CUES.may_have(word) {
        return Cue::None;
    }
    match word {
        b"for" => Cue::For,
        b"user" | b"User" | b"account" | b"username" => Cue::Identity,
        b"to" | b"at" | b"on" | b"tcp" | b"udp" | b"via" | b"from" | b"host" | b"peer" | b"addr" | b"node"
        | b"dial" | b"server" | b"Server" | b"broker" | b"address" | b"connect" | b"endpoint" | b"upstream" => {
            Cue::Host
        }
        _ if is_method(word) => Cue::Host,
        _ if word.eq_ignore_ascii_case(b"basic") || word.eq_ignore_ascii_case(b"bearer") => Cue::Secret,
        _ => Cue::None,
    }
}

/// The methods of HTTP (RFC 9110 section 9.3, RFC 5789).
pub(super) fn is_method(word: &[u8]) -> bool {
    matches!(
        word,
        b"GET" | b"HEAD" | b"POST" | b"PUT" | b"DELETE" | b"CONNECT" | b"OPTIONS" | b"TRACE" | b"PATCH"
    )
}

/// Schemes of HTTP authentication, after which the credentials come.
pub(super) fn is_auth_scheme(word: &[u8]) -> bool {
    ["basic", "bearer", "digest", "negotiate", "token", "apikey"]
        .iter()
        .any(|s| word.eq_ignore_ascii_case(s.as_bytes()))
}

/// Words that follow `user` without being a name.
static NO_NAMES: WordList = WordList::new(&[
    "account",
    "accounts",
    "agent",
    "and",
    "authentication",
    "by",
    "can",
    "cannot",
    "could",
    "data",
    "did",
    "does",
    "error",
    "for",
    "from",
    "had",
    "has",
    "id",
    "in",
    "input",
    "is",
    "level",
    "logged",
    "management",
    "mode",
    "name",
    "not",
    "on",
    "or",
    "process",
    "profile",
    "request",
    "requests",
    "session",
    "sessions",
    "space",
    "the",
    "to",
    "unknown",
    "was",
    "with",
]);

/// Accounts that every system has: who uses them is part of what happened, and they are few.
static ACCOUNTS: WordList = WordList::new(&["admin", "administrator", "guest", "nobody", "root", "test"]);

/// Words that may follow a name.
static AFTER_NAMES: WordList = WordList::new(&[
    "after", "and", "at", "by", "does", "for", "from", "has", "in", "is", "logged", "not", "on", "port", "to", "using",
    "via", "was", "with",
]);

/// Whether a word after `user` cannot be a name.
pub(super) fn is_no_name(word: &[u8]) -> bool {
    NO_NAMES.has(word)
}

/// Whether a word is an account that every system has.
pub(super) fn is_account(word: &[u8]) -> bool {
    ACCOUNTS.has(word)
}

/// Whether a word may follow a name.
pub(super) fn follows_name(word: &[u8]) -> bool {
    AFTER_NAMES.has(word)
}
