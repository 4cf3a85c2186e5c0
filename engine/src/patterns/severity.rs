//! Severity of a log record: from its structured field, else from the header of its line.

use serde::{Deserialize, Serialize};

/// How many bytes of a line are looked at for a level.
const HEADER: usize = 120;
/// How many words of a line are looked at for a level that stands alone.
const HEADER_WORDS: usize = 8;

/// The six severities, ascending. They are the ranges of OpenTelemetry's severity number
/// (<https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// 1-4.
    Trace,
    /// 5-8.
    Debug,
    /// 9-12; syslog notice and informational.
    Info,
    /// 13-16.
    Warn,
    /// 17-20.
    Error,
    /// 21-24; syslog critical, alert and emergency.
    Fatal,
}

impl Severity {
    /// Reads the value of a severity field, in any case: a name (`warning`, `err`, `critical`, `panic`, syslog's
    /// names, OpenTelemetry's `ERROR2`), one letter (`E`), or OpenTelemetry's number (1 to 24). `None` for anything
    /// else.
    pub fn parse(text: &str) -> Option<Severity> {
        let text = text
            .trim()
            .trim_matches(|c| matches!(c, '[' | ']' | '<' | '>' | '"' | '\'' | ':'));
        let text = text.strip_prefix("SEVERITY_NUMBER_").unwrap_or(text);
        if let Ok(number) = text.parse::<u8>() {
            return Severity::from_number(number);
        }
        // OpenTelemetry's short names of the finer steps: INFO2 .. INFO4.
        let name = text.strip_suffix(['2', '3', '4']).unwrap_or(text);
        level_word(name.as_bytes()).or_else(|| letter(name.as_bytes()))
    }

    /// OpenTelemetry's severity number, 1 to 24.
    pub fn from_number(number: u8) -> Option<Severity> {
        Some(match number {
            1..=4 => Severity::Trace,
            5..=8 => Severity::Debug,
            9..=12 => Severity::Info,
            13..=16 => Severity::Warn,
            17..=20 => Severity::Error,
            21..=24 => Severity::Fatal,
            _ => return None,
        })
    }

    /// The name that is stored: `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR`, `FATAL`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Trace => "TRACE",
            Severity::Debug => "DEBUG",
            Severity::Info => "INFO",
            Severity::Warn => "WARN",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }

    /// Whether a line of this severity counts as an error.
    pub fn is_error(self) -> bool {
        self >= Severity::Error
    }
}

/// The severity of a record: its field if that can be read, else what the line's first 120 bytes say.
pub fn severity(field: Option<&str>, line: &str) -> Option<Severity> {
    field.and_then(Severity::parse).or_else(|| from_line(line))
}

/// A whole word that names a level, in any case.
pub(super) fn level_word(word: &[u8]) -> Option<Severity> {
    let mut buf = [0u8; 13];
    if !(3..=13).contains(&word.len()) {
        return None;
    }
    Some(match super::bytes::lower(word, &mut buf)? {
        b"trace" | b"verbose" | b"finest" | b"finer" => Severity::Trace,
        b"debug" | b"dbg" | b"fine" => Severity::Debug,
        b"info" | b"information" | b"informational" | b"notice" | b"inf" => Severity::Info,
        b"warn" | b"warning" | b"wrn" => Severity::Warn,
        b"error" | b"err" | b"severe" => Severity::Error,
        b"fatal" | b"critical" | b"crit" | b"alert" | b"emerg" | b"emergency" | b"panic" | b"dpanic" => Severity::Fatal,
        _ => return None,
    })
}

/// One letter, in any case: the level of klog, glog and Android, and C for critical.
fn letter(word: &[u8]) -> Option<Severity> {
    let [b] = word else { return None };
    Some(match b.to_ascii_uppercase() {
        b'T' | b'V' => Severity::Trace,
        b'D' => Severity::Debug,
        b'I' | b'N' => Severity::Info,
        b'W' => Severity::Warn,
        b'E' => Severity::Error,
        b'F' | b'C' | b'A' => Severity::Fatal,
        _ => return None,
    })
}

/// Looks for a level where line headers have one.
fn from_line(line: &str) -> Option<Severity> {
    let head = line.as_bytes();
    let head = head.get(..HEADER).unwrap_or(head);
    let head = head.split(|b| *b == b'\n').next().unwrap_or(head);
    syslog_priority(head)
        .or_else(|| klog(head))
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
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_letters_and_numbers() {
        use Severity::*;
        for (text, want) in [
            ("trace", Trace),
            ("DEBUG", Debug),
            ("Info", Info),
            ("notice", Info),
            ("informational", Info),
            ("warning", Warn),
            ("WARN", Warn),
            ("err", Error),
            ("ERROR", Error),
            ("critical", Fatal),
            ("panic", Fatal),
            ("emerg", Fatal),
            ("alert", Fatal),
            ("crit", Fatal),
            ("E", Error),
            ("w", Warn),
            ("f", Fatal),
            ("1", Trace),
            ("9", Info),
            ("17", Error),
            ("24", Fatal),
            ("ERROR2", Error),
            ("SEVERITY_NUMBER_WARN3", Warn),
            (" info ", Info),
            ("[Error]", Error),
            ("Severe", Error),
        ] {
            assert_eq!(Severity::parse(text), Some(want), "{text}");
        }
        for text in ["", "0", "25", "256", "-1", "x", "unset", "informationalism", "ärger"] {
            assert_eq!(Severity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn order_and_names() {
        assert!(Severity::Error.is_error() && Severity::Fatal.is_error() && !Severity::Warn.is_error());
        for s in [
            Severity::Trace,
            Severity::Debug,
            Severity::Info,
            Severity::Warn,
            Severity::Error,
            Severity::Fatal,
        ] {
            assert_eq!(Severity::parse(s.as_str()), Some(s));
        }
    }

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
        ] {
            assert_eq!(severity(None, line), None, "{line}");
        }
    }

    #[test]
    fn the_field_goes_first() {
        assert_eq!(severity(Some("info"), "ERROR gone"), Some(Severity::Info));
        assert_eq!(severity(Some("?"), "ERROR gone"), Some(Severity::Error));
        assert_eq!(severity(None, &format!("{} ERROR", "x".repeat(200))), None);
    }

    proptest! {
        #[test]
        fn never_panics(field in ".{0,20}", line in ".{0,200}") {
            severity(Some(&field), &line);
            severity(None, &line);
        }
    }
}
