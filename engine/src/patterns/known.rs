//! Words that hold a digit and are names all the same.

use super::bytes::lower;
use super::list::WordList;

/// Words that are known only as a whole.
static WHOLE: WordList = WordList::new(&[
    "http/1.0",
    "http/1.1",
    "http/2",
    "http/2.0",
    "http/3",
    "iso-8859-1",
    "sha-1",
    "sha-256",
    "sha-512",
    "tls1.2",
    "tls1.3",
    "tlsv1.2",
    "tlsv1.3",
    "utf-16",
    "utf-8",
    "x86_64",
]);

/// Words that may also be pieces of others, joined by punctuation or by capitals.
const PIECE_WORDS: &[&str] = &[
    "2fa", "a11y", "aarch64", "aes128", "aes256", "amd64", "arm64", "b2b", "b2c", "base64", "c3p0", "db2", "e2e",
    "ec2", "es256", "ext3", "ext4", "f32", "f64", "float32", "float64", "h2", "h264", "h265", "h2c", "hs256", "http2",
    "http3", "i18n", "i32", "i386", "i64", "i686", "int16", "int32", "int64", "int8", "ip4", "ip6", "ipv4", "ipv6",
    "k3s", "k8s", "l1", "l10n", "l2", "l3", "log4j", "log4j2", "md5", "mp3", "mp4", "neo4j", "oauth2", "p2p", "p50",
    "p90", "p95", "p99", "python3", "rs256", "s3", "sha1", "sha256", "sha384", "sha512", "slf4j", "socks4", "socks5",
    "ssh2", "u32", "u64", "uint16", "uint32", "uint64", "uint8", "utf16", "utf8", "v8", "win32", "win64", "x509",
    "x64", "x86",
];

static PIECES: WordList = WordList::new(PIECE_WORDS);

/// For each letter, which digits follow it as the first digit of a word in [`PIECE_WORDS`], as bits.
static FIRST_DIGITS: [u16; 32] = {
    let (mut digits, mut i) = ([0; 32], 0);
    while i < PIECE_WORDS.len() {
        let (word, mut at) = (PIECE_WORDS[i].as_bytes(), 0);
        while !word[at].is_ascii_digit() {
            at += 1;
        }
        if at > 0 {
            digits[(word[at - 1] & 31) as usize] |= 1 << (word[at] - b'0');
        }
        i += 1;
    }
    digits
};

/// Longest word in the lists.
const LONGEST: usize = 10;

/// Whether a word with digits is a well-known name (`sha256`, `Slf4jLogger`, `UTF-8`) and not a value.
pub(super) fn is_known(word: &[u8]) -> bool {
    if !word.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'2') {
        return false;
    }
    match word.iter().position(u8::is_ascii_digit) {
        Some(digit) if !may_be_known(word, digit) => is_whole(word),
        _ => is_known_by_pieces(word),
    }
}

/// False if the piece of `word` with its first digit, which is at `digit`, is neither known nor a version.
#[inline]
fn may_be_known(word: &[u8], digit: usize) -> bool {
    let before = digit.checked_sub(1).and_then(|before| word.get(before));
    let (Some(first), next) = (word.get(digit), word.get(digit + 1)) else {
        return false;
    };
    match before {
        Some(b'v') => true,
        Some(letter) if letter.is_ascii_alphabetic() => {
            let digits = FIRST_DIGITS.get(usize::from(letter & 31)).copied().unwrap_or_default();
            digits & (1 << first.wrapping_sub(b'0').min(15)) != 0
        }
        // `2fa` is the only one that starts with a digit.
        _ => *first == b'2' && next.is_some_and(|b| b.eq_ignore_ascii_case(&b'f')),
    }
}

fn is_known_by_pieces(word: &[u8]) -> bool {
    let mut dots = 0;
    // One look at each piece, and the first unknown one ends it.
    let pieces = word.split(|b| {
        dots += usize::from(*b == b'.');
        !b.is_ascii_alphanumeric()
    });
    let mut unknown = pieces.filter(|piece| !is_known_piece(piece));
    match unknown.next() {
        None => true,
        Some(first) => is_whole(word) || (is_version(first) && unknown.all(is_version) && dots > 1),
    }
}

fn is_whole(word: &[u8]) -> bool {
    let mut buf = [0u8; LONGEST];
    WHOLE.may_have_in_any_case(word) && lower(word, &mut buf).is_some_and(|w| WHOLE.has(w))
}

/// A version inside a package name: `app.v2.Server`.
fn is_version(piece: &[u8]) -> bool {
    matches!(piece, [b'v', b'1'..=b'9'])
}

/// One alphanumeric piece: no digit, a known word, or a compound that starts with one (`Base64Decoder`).
fn is_known_piece(piece: &[u8]) -> bool {
    let Some(digit) = piece.iter().rposition(u8::is_ascii_digit) else {
        return true;
    };
    let mut buf = [0u8; LONGEST];
    // A known word ends at its last digit, or one letter later: `s3`, `slf4j`.
    (digit + 1..=digit + 2).any(|end| {
        let (Some(head), Some(tail)) = (piece.get(..end), piece.get(end..)) else {
            return false;
        };
        tail.first().is_none_or(u8::is_ascii_uppercase) && lower(head, &mut buf).is_some_and(|w| PIECES.has(w))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quick_no_is_no(word in "([a-zA-Z]{0,3}|2F|2fa|sha256|H2|v2|utf|tls|[0-9]{1,3}|[._/@-]){0,6}") {
            let word = word.as_bytes();
            let starts_well = word.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'2');
            prop_assert_eq!(is_known(word), starts_well && is_known_by_pieces(word));
        }
    }

    #[test]
    fn known_words() {
        for w in [
            "ipv4",
            "Slf4jLogger",
            "UTF-8",
            "x86_64",
            "sha256",
            "S3Client",
            "HTTP/1.1",
            "a.b.v2.Server",
            "Base64Decoder",
            "c3p0",
        ] {
            assert!(is_known(w.as_bytes()), "{w}");
        }
        for w in [
            "abc1",
            "node-3",
            "sha257",
            "1.v2.x",
            "s3x",
            "blk_12",
            "v2",
            "7",
            "sha256abc1",
            "v2.x",
        ] {
            assert!(!is_known(w.as_bytes()), "{w}");
        }
    }
}
