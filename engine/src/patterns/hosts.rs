//! Host names without digits, by their last label or by the port behind them.

use super::bytes::lower;
use super::list::WordList;

/// Last labels that make a dotted name a host. Country codes that are also usual last parts of configuration
/// keys or packages (`id`, `io`, `is`, `in`, `py`, `rs` ...) are left out on purpose.
static SUFFIXES: WordList = WordList::new(&[
    "arpa",
    "au",
    "br",
    "ca",
    "ch",
    "cn",
    "com",
    "corp",
    "cz",
    "de",
    "dk",
    "edu",
    "es",
    "eu",
    "fi",
    "fr",
    "gov",
    "gr",
    "hk",
    "hu",
    "ie",
    "internal",
    "intranet",
    "jp",
    "kr",
    "lan",
    "local",
    "localdomain",
    "mil",
    "mx",
    "net",
    "nl",
    "nz",
    "org",
    "pt",
    "ro",
    "ru",
    "se",
    "sg",
    "th",
    "tr",
    "tw",
    "uk",
    "us",
    "vn",
    "za",
]);

/// Extensions of source files: `main.go:12` is a place in the code, not a host and a port.
static SOURCES: WordList = WordList::new(&[
    "c", "cc", "cpp", "cs", "cxx", "erl", "ex", "exs", "go", "h", "hpp", "java", "js", "jsx", "kt", "lua", "mjs",
    "php", "pl", "py", "rb", "rs", "scala", "sh", "sql", "swift", "ts", "tsx",
]);

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
    // `java.net` is a package, and `.com` alone nothing.
    lower(last, &mut buf).is_some_and(|l| SUFFIXES.has(l))
        && head != b"java"
        && !head.is_empty()
        && !head.starts_with(b".")
        && head
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// Whether a word is a host if a port follows. After words like `to` (`announced`) any word is.
pub(super) fn is_host_before_port(part: &[u8], announced: bool) -> bool {
    if part.is_empty() || part.starts_with(b".") || is_source_file(part) {
        return false;
    }
    if announced {
        part.iter()
            .all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'.' | b'_'))
    } else {
        part.contains(&b'.') && part.iter().all(|b| b.is_ascii_lowercase() || matches!(b, b'-' | b'.'))
    }
}

fn is_source_file(word: &[u8]) -> bool {
    let dot = word.iter().rposition(|b| *b == b'.');
    dot.and_then(|d| word.get(d + 1..)).is_some_and(|ext| SOURCES.has(ext))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for w in ["www.example.com", "db.shop.svc.cluster.local", "Mail.Example.ORG"] {
            assert!(is_host(w.as_bytes()), "{w}");
        }
        for w in ["java.net", ".com", "com", "mapred.job.id", "org.acme.Main", "java.io"] {
            assert!(!is_host(w.as_bytes()), "{w}");
        }
    }

    #[test]
    fn ports() {
        assert!(is_host_before_port(b"redis", true) && !is_host_before_port(b"redis", false));
        assert!(is_host_before_port(b"a.b", false) && !is_host_before_port(b"A.b", false));
        assert!(!is_host_before_port(b"main.go", true) && !is_host_before_port(b"", true));
    }
}
