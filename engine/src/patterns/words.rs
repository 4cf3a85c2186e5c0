//! Word lists of the masking rules. Changing any of them changes fingerprints: raise `MASK_VERSION` with it.

use super::bytes::lower;

/// What a word announces about the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cue {
    #[default]
    None,
    /// `user X`: the next word may be a name.
    Identity,
    /// `for X from <address>`: the next word may be a name.
    For,
    /// `to X:port`: the next word before a port is a host.
    Host,
    /// `Bearer X`: the next word is a secret.
    Secret,
}

/// The cue a word gives.
#[inline]
pub(super) fn cue(word: &[u8]) -> Cue {
    match word.len() {
        2 if matches!(word, b"to" | b"at" | b"on") => Cue::Host,
        3 => match word {
            b"for" => Cue::For,
            b"tcp" | b"udp" | b"via" => Cue::Host,
            _ => Cue::None,
        },
        4 => match word {
            b"user" | b"User" => Cue::Identity,
            b"from" | b"host" | b"peer" | b"addr" | b"node" | b"dial" => Cue::Host,
            _ => Cue::None,
        },
        5 if word.eq_ignore_ascii_case(b"basic") => Cue::Secret,
        6 => match word {
            b"server" | b"Server" | b"broker" => Cue::Host,
            _ if word.eq_ignore_ascii_case(b"bearer") => Cue::Secret,
            _ => Cue::None,
        },
        7 if matches!(word, b"account" | b"address" | b"connect") => {
            if word == b"account" {
                Cue::Identity
            } else {
                Cue::Host
            }
        }
        8 if matches!(word, b"username" | b"endpoint" | b"upstream") => {
            if word == b"username" {
                Cue::Identity
            } else {
                Cue::Host
            }
        }
        _ => Cue::None,
    }
}

/// Schemes of HTTP authentication, after which the credentials come.
pub(super) fn is_auth_scheme(word: &[u8]) -> bool {
    [&b"basic"[..], b"bearer", b"digest", b"negotiate", b"token", b"apikey"]
        .iter()
        .any(|s| word.eq_ignore_ascii_case(s))
}

/// Words that follow `user` without being a name.
pub(super) fn is_no_name(word: &[u8]) -> bool {
    matches!(
        word,
        b"unknown"
            | b"authentication"
            | b"request"
            | b"requests"
            | b"input"
            | b"agent"
            | b"is"
            | b"was"
            | b"has"
            | b"had"
            | b"not"
            | b"id"
            | b"name"
            | b"data"
            | b"error"
            | b"session"
            | b"sessions"
            | b"account"
            | b"accounts"
            | b"and"
            | b"or"
            | b"with"
            | b"does"
            | b"did"
            | b"can"
            | b"cannot"
            | b"could"
            | b"by"
            | b"from"
            | b"to"
            | b"in"
            | b"on"
            | b"for"
            | b"the"
            | b"logged"
            | b"management"
            | b"profile"
            | b"process"
            | b"mode"
            | b"space"
            | b"level"
    )
}

/// Words that may follow a name.
pub(super) fn follows_name(word: &[u8]) -> bool {
    matches!(
        word,
        b"by"
            | b"from"
            | b"on"
            | b"in"
            | b"at"
            | b"logged"
            | b"via"
            | b"to"
            | b"with"
            | b"port"
            | b"has"
            | b"is"
            | b"was"
            | b"for"
            | b"after"
            | b"not"
            | b"and"
            | b"does"
            | b"using"
    )
}

/// `true` and `false` as the usual languages print them.
#[inline]
pub(super) fn is_bool(word: &[u8]) -> bool {
    matches!(word, b"true" | b"false" | b"True" | b"False" | b"TRUE" | b"FALSE")
}

/// Words for "no value" or a switch, variables only where they are the value of a key.
pub(super) fn is_value_word(word: &[u8]) -> bool {
    is_bool(word)
        || matches!(
            word,
            b"null"
                | b"nil"
                | b"None"
                | b"none"
                | b"NULL"
                | b"undefined"
                | b"NaN"
                | b"yes"
                | b"no"
                | b"on"
                | b"off"
                | b"<nil>"
                | b"-"
        )
}

/// Sizes written apart from their number: `18.4 KB`.
pub(super) fn is_size_unit(word: &[u8]) -> bool {
    matches!(
        word,
        b"B" | b"KB" | b"kB" | b"MB" | b"GB" | b"TB" | b"PB" | b"KiB" | b"MiB" | b"GiB" | b"TiB" | b"PiB"
    )
}

/// The most traded currencies by their ISO 4217 code: `12.50 EUR`.
pub(super) fn is_currency(word: &[u8]) -> bool {
    matches!(
        word,
        b"USD"
            | b"EUR"
            | b"JPY"
            | b"GBP"
            | b"CNY"
            | b"AUD"
            | b"CAD"
            | b"CHF"
            | b"HKD"
            | b"SGD"
            | b"SEK"
            | b"KRW"
            | b"NOK"
            | b"NZD"
            | b"INR"
            | b"MXN"
            | b"TWD"
            | b"ZAR"
            | b"BRL"
            | b"DKK"
            | b"PLN"
            | b"THB"
            | b"ILS"
            | b"CZK"
            | b"TRY"
    )
}

/// English month names, short or long, with their usual capital.
pub(super) fn is_month(word: &[u8]) -> bool {
    matches!(
        word,
        b"Jan"
            | b"Feb"
            | b"Mar"
            | b"Apr"
            | b"May"
            | b"Jun"
            | b"Jul"
            | b"Aug"
            | b"Sep"
            | b"Oct"
            | b"Nov"
            | b"Dec"
            | b"January"
            | b"February"
            | b"March"
            | b"April"
            | b"June"
            | b"July"
            | b"August"
            | b"September"
            | b"October"
            | b"November"
            | b"December"
    )
}

/// English names of week days, short or long.
pub(super) fn is_week_day(word: &[u8]) -> bool {
    matches!(
        word,
        b"Mon"
            | b"Tue"
            | b"Wed"
            | b"Thu"
            | b"Fri"
            | b"Sat"
            | b"Sun"
            | b"Monday"
            | b"Tuesday"
            | b"Wednesday"
            | b"Thursday"
            | b"Friday"
            | b"Saturday"
            | b"Sunday"
    )
}

/// What may follow a time of day: half of the day or a zone.
pub(super) fn is_zone(word: &[u8]) -> bool {
    matches!(word, b"AM" | b"PM" | b"am" | b"pm" | b"UTC" | b"GMT" | b"Z")
        || matches!(word, [b'A'..=b'Z', b'S' | b'D', b'T'] | [b'A'..=b'Z', b'E', b'S', b'T'])
        || matches!(word, b"CET" | b"EET" | b"WET")
}

/// Last labels that make a dotted name a host. Country codes that are also usual last parts of configuration
/// keys or packages (`id`, `io`, `is`, `in`, `py`, `rs` ...) are left out on purpose.
fn is_host_suffix(label: &[u8]) -> bool {
    matches!(
        label,
        b"com"
            | b"net"
            | b"org"
            | b"edu"
            | b"gov"
            | b"mil"
            | b"local"
            | b"internal"
            | b"lan"
            | b"corp"
            | b"localdomain"
            | b"intranet"
            | b"arpa"
            | b"de"
            | b"fr"
            | b"uk"
            | b"ru"
            | b"cn"
            | b"jp"
            | b"br"
            | b"au"
            | b"nl"
            | b"kr"
            | b"tw"
            | b"eu"
            | b"us"
            | b"ca"
            | b"ch"
            | b"se"
            | b"es"
            | b"mx"
            | b"pt"
            | b"cz"
            | b"hu"
            | b"ro"
            | b"gr"
            | b"tr"
            | b"th"
            | b"vn"
            | b"hk"
            | b"sg"
            | b"nz"
            | b"za"
            | b"dk"
            | b"fi"
            | b"ie"
    )
}

/// Whether a dotted word is a host name: a known last label, and labels of letters, digits and dashes.
pub(super) fn is_host(word: &[u8]) -> bool {
    let Some(dot) = word.iter().rposition(|b| *b == b'.') else {
        return false;
    };
    let (head, last) = (
        word.get(..dot).unwrap_or_default(),
        word.get(dot + 1..).unwrap_or_default(),
    );
    let mut buf = [0u8; 12];
    let known = lower(last, &mut buf).is_some_and(is_host_suffix);
    // `java.net` is a package, and `.com` alone nothing.
    known
        && head != b"java"
        && !head.is_empty()
        && head
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && !head.starts_with(b".")
}

/// Extensions of source files: `main.go:12` is a place in the code, not a host and a port.
pub(super) fn is_source_file(word: &[u8]) -> bool {
    let Some(dot) = word.iter().rposition(|b| *b == b'.') else {
        return false;
    };
    matches!(
        word.get(dot + 1..).unwrap_or_default(),
        b"go"
            | b"java"
            | b"py"
            | b"rs"
            | b"c"
            | b"cc"
            | b"cpp"
            | b"cxx"
            | b"h"
            | b"hpp"
            | b"js"
            | b"mjs"
            | b"ts"
            | b"tsx"
            | b"jsx"
            | b"rb"
            | b"php"
            | b"kt"
            | b"scala"
            | b"cs"
            | b"ex"
            | b"exs"
            | b"erl"
            | b"lua"
            | b"pl"
            | b"swift"
            | b"sh"
            | b"sql"
    )
}

/// Words that hold a digit and are none the less names.
fn is_known_word(lower: &[u8]) -> bool {
    matches!(
        lower,
        b"ipv4"
            | b"ipv6"
            | b"ip4"
            | b"ip6"
            | b"utf8"
            | b"utf16"
            | b"s3"
            | b"ec2"
            | b"k8s"
            | b"k3s"
            | b"log4j"
            | b"log4j2"
            | b"slf4j"
            | b"md5"
            | b"sha1"
            | b"sha256"
            | b"sha384"
            | b"sha512"
            | b"hs256"
            | b"rs256"
            | b"es256"
            | b"aes128"
            | b"aes256"
            | b"base64"
            | b"x509"
            | b"oauth2"
            | b"http2"
            | b"http3"
            | b"h2"
            | b"h2c"
            | b"win32"
            | b"win64"
            | b"x86"
            | b"x64"
            | b"amd64"
            | b"arm64"
            | b"i386"
            | b"i686"
            | b"aarch64"
            | b"ext3"
            | b"ext4"
            | b"mp3"
            | b"mp4"
            | b"i18n"
            | b"l10n"
            | b"a11y"
            | b"p50"
            | b"p90"
            | b"p95"
            | b"p99"
            | b"ssh2"
            | b"b2b"
            | b"b2c"
            | b"e2e"
            | b"p2p"
            | b"2fa"
            | b"neo4j"
            | b"c3p0"
            | b"h264"
            | b"h265"
            | b"python3"
            | b"v8"
            | b"db2"
            | b"int8"
            | b"int16"
            | b"int32"
            | b"int64"
            | b"uint8"
            | b"uint16"
            | b"uint32"
            | b"uint64"
            | b"float32"
            | b"float64"
            | b"i32"
            | b"i64"
            | b"u32"
            | b"u64"
            | b"f32"
            | b"f64"
    )
}

/// Longest known word, with room for the rest of a compound.
const LONGEST: usize = 8;

/// Whether a word with digits is a well-known name (`sha256`, `Slf4jLogger`, `UTF-8`) and not a value.
pub(super) fn is_known(word: &[u8]) -> bool {
    let mut buf = [0u8; 12];
    if let Some(w) = lower(word, &mut buf)
        && matches!(
            w,
            b"utf-8"
                | b"utf-16"
                | b"sha-1"
                | b"sha-256"
                | b"sha-512"
                | b"x86_64"
                | b"iso-8859-1"
                | b"http/1.1"
                | b"http/1.0"
                | b"http/2"
                | b"http/2.0"
                | b"http/3"
                | b"tlsv1.2"
                | b"tlsv1.3"
                | b"tls1.2"
                | b"tls1.3"
        )
    {
        return true;
    }
    if !word.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'2') {
        return false;
    }
    let dotted = word.iter().filter(|b| **b == b'.').count() > 1;
    word.split(|b| !b.is_ascii_alphanumeric())
        .all(|piece| is_known_piece(piece, dotted))
}

/// One alphanumeric piece: no digit, a known word, or a compound that starts with one (`Base64Decoder`).
fn is_known_piece(piece: &[u8], dotted: bool) -> bool {
    let Some(digit) = piece.iter().rposition(u8::is_ascii_digit) else {
        return true;
    };
    // A version inside a package name: `app.v2.Server`.
    if dotted && matches!(piece, [b'v', b'1'..=b'9']) {
        return true;
    }
    let mut buf = [0u8; LONGEST];
    // A known word ends at its last digit, or one letter later: `s3`, `slf4j`.
    (digit + 1..=digit + 2).any(|end| {
        let (Some(head), Some(tail)) = (piece.get(..end), piece.get(end..)) else {
            return false;
        };
        tail.first().is_none_or(u8::is_ascii_uppercase) && lower(head, &mut buf).is_some_and(is_known_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert!(!is_known(w.as_bytes()), "{w}");
        }
    }

    #[test]
    fn hosts() {
        for w in ["www.example.com", "db.shop.svc.cluster.local", "Mail.Example.ORG"] {
            assert!(is_host(w.as_bytes()), "{w}");
        }
        for w in ["java.net", ".com", "com", "mapred.job.id", "org.acme.Main", "java.io"] {
            assert!(!is_host(w.as_bytes()), "{w}");
        }
    }
}
