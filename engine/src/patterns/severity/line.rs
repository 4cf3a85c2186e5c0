//! The severity that the header of a line tells.

use super::{Severity, letter, level_word};

/// How many bytes of a line are looked at for a level.
const HEADER: usize = 120;
/// How many words of a line are looked at for a level that stands alone.
const HEADER_WORDS: usize = 8;

/// Looks for a level where line headers have one.
pub(super) fn from_line(line: &str) -> Option<Severity> {
    let head = line.as_bytes();
    let head = head.get(..HEADER).unwrap_or(head);
    let head = head.split(|b| *b == b'\n').next().unwrap_or(head);
    syslog_priority(head)
        .or_else(|| klog(head))
        .or_else(|| logcat(head))
        .or_else(|| keyed(head))
        .or_else(|| standing_alone(head))
}

/// `<34>`: RFC 5424 section 6.2.1, severity = priority modulo 8.
fn syslog_priority(head: &[u8]) -> Option<Severity> {
    let rest = head.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|b| *b == b'>')?;
    let number: u8 = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
    Some(match number {
        192.. => return None,
        n => match n % 8 {
            0..=2 => Severity::Fatal,
            3 => Severity::Error,
            4 => Severity::Warn,
            5 | 6 => Severity::Info,
            _ => Severity::Debug,
        },
    })
}

/// `E0105 12:00:00`: letter, month and day, as glog and klog write.
fn klog(head: &[u8]) -> Option<Severity> {
    let [first @ (b'I' | b'W' | b'E' | b'F'), a, b, c, d, b' ', ..] = head else {
        return None;
    };
    [a, b, c, d]
        .iter()
        .all(|x| x.is_ascii_digit())
        .then(|| letter(&[*first]))
        .flatten()
}

/// `01-05 10:00:00.123  1702  2395 E tag: text` and `E/tag(1702): text`, as Android's logcat writes
/// (<https://developer.android.com/tools/logcat#outputFormat>): a letter after nothing but numbers, or before a tag.
fn logcat(head: &[u8]) -> Option<Severity> {
    let is_level = |b: &u8| matches!(b, b'V' | b'D' | b'I' | b'W' | b'E' | b'F');
    if let [level, b'/', tag @ ..] = head
        && is_level(level)
    {
        let end = tag.iter().position(|b| matches!(b, b' ' | b'('))?;
        let process = tag.get(end..)?.strip_prefix(b"(")?.trim_ascii_start();
        let digits = process.iter().take_while(|b| b.is_ascii_digit()).count();
        return (digits > 0 && process.get(digits..)?.starts_with(b"):"))
            .then(|| letter(&[*level]))
            .flatten();
    }
    let mut numbers = head.split(|b| *b == b' ').filter(|w| !w.is_empty());
    let mut clock = false;
    loop {
        match numbers.next()? {
            [level] if clock && is_level(level) => return letter(&[*level]),
            number @ [b'0'..=b'9', ..] => clock |= number.contains(&b':'),
            _ => return None,
        }
    }
}

/// `level=warn`, `"level":"warn"`, `severity: WARN`.
fn keyed(head: &[u8]) -> Option<Severity> {
    let mut key_end = None;
    for (start, word) in words(head) {
        if let Some(end) = key_end.take() {
            let between = head.get(end..start).unwrap_or_default();
            let separated = between.iter().any(|b| matches!(b, b'=' | b':'))
                && between
                    .iter()
                    .all(|b| matches!(b, b'=' | b':' | b'"' | b'\'' | b' ' | b'\\'));
            if separated && let Some(found) = std::str::from_utf8(word).ok().and_then(Severity::parse) {
                return Some(found);
            }
        }
        let is_level = matches!(
            word,
            b"level" | b"lvl" | b"severity" | b"loglevel" | b"levelname" | b"severity_text" | b"Level" | b"Severity"
        );
        key_end = is_level.then_some(start + word.len());
    }
    None
}

/// A level as a word of its own: in capitals among the first words; in brackets, or before a colon at the start.
fn standing_alone(head: &[u8]) -> Option<Severity> {
    let mut prose = 0;
    for (start, word) in words(head).take(HEADER_WORDS) {
        let before = start.checked_sub(1).and_then(|p| head.get(p)).copied();
        let after = head.get(start + word.len()).copied();
        let bracketed =
            matches!(before, Some(b'[' | b'|' | b'(' | b'<')) && matches!(after, Some(b']' | b'|' | b')' | b'>'));
        if bracketed && let Some(found) = letter(word) {
            return Some(found);
        }
        if let Some(found) = level_word(word) {
            let capitals = word.iter().all(u8::is_ascii_uppercase)
                && matches!(before, None | Some(b' ' | b'\t' | b'[' | b'|' | b'(' | b'<' | b'-'));
            if prose < 2 && capitals || bracketed || prose == 0 && matches!(after, Some(b':')) {
                return Some(found);
            }
        }
        // Words in lower case are prose: past the second the header is over.
        if word.iter().all(u8::is_ascii_lowercase) && !bracketed {
            prose += 1;
        }
    }
    None
}

/// The words of letters, digits and underscores with their starts.
fn words(head: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    head.split(|b| !(b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80))
        .filter_map(move |word| {
            let start = at;
            at += word.len() + 1;
            (!word.is_empty()).then_some((start, word))
        })
}

#[cfg(test)]
mod tests {
    use crate::patterns::{Severity, severity};

    #[test]
    fn headers() {
        use Severity::*;
        for (line, want) in [
            ("2026-01-05 10:00:00,123 ERROR [main] com.acme.Shop: no stock", Error),
            ("2026-01-05T10:00:00Z WARN  queue is long", Warn),
            ("[Mon Jan 05 10:00:00 2026] [notice] child is up", Info),
            ("level=warn ts=2026-01-05 msg=\"slow\"", Warn),
            ("ts=1 lvl=eror level=error", Error),
            ("{\"level\":\"fatal\",\"msg\":\"gone\"}", Fatal),
            ("{\"severity\": 17, \"msg\":\"gone\"}", Error),
            ("error: disk is full", Error),
            ("panic: runtime error: index out of range", Fatal),
            ("<11>Jan  5 10:00:00 web app: x", Error),
            ("E0105 10:00:00.000000   12 node.go:12] gone", Error),
            ("[E] 10:00 gone", Error),
            ("01-05 10:00:00.123  1702  2395 W tag: gone", Warn),
            ("2026-01-05T10:00:00Z E gone", Error),
            ("D/tag( 585): gone", Debug),
            ("10:00:00 | INFO | started", Info),
        ] {
            assert_eq!(severity(None, line), Some(want), "{line}");
        }
        for line in [
            "",
            "an error occurred",
            "no error at all in this line, ERROR is a word",
            "level of the lake",
            "<999>x",
            "E01x5 y",
            "72 F is warm",
            "10:00:00 A man, a plan",
            "I/O is slow",
            "I/O (12) is slow",
        ] {
            assert_eq!(severity(None, line), None, "{line}");
        }
    }
}
