//! Severity of a log record: from its structured field, else from the header of its line.

mod line;

use super::list::WordList;
use line::from_line;
use serde::{Deserialize, Serialize};

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
        match text {
            // What nearly every record has.
            "INFO" | "info" => return Some(Severity::Info),
            "WARN" | "warn" => return Some(Severity::Warn),
            "ERROR" | "error" => return Some(Severity::Error),
            "DEBUG" | "debug" => return Some(Severity::Debug),
            _ => {}
        }
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
    let (name, mut buf) = (LEVELS.may_have_in_any_case(word).then_some(word)?, [0; LONGEST_LEVEL]);
    let at = LEVELS.position(super::bytes::lower(name, &mut buf)?)?;
    LEVEL_SEVERITIES.get(at).copied()
}

/// The names of levels.
static LEVELS: WordList = WordList::new(&[
    "alert",
    "crit",
    "critical",
    "dbg",
    "debug",
    "dpanic",
    "emerg",
    "emergency",
    "err",
    "error",
    "fatal",
    "fine",
    "finer",
    "finest",
    "inf",
    "info",
    "information",
    "informational",
    "notice",
    "panic",
    "severe",
    "trace",
    "verbose",
    "warn",
    "warning",
    "wrn",
]);

/// Which severity each of [`LEVELS`] is.
const LEVEL_SEVERITIES: [Severity; 26] = [
    Severity::Fatal,
    Severity::Fatal,
    Severity::Fatal,
    Severity::Debug,
    Severity::Debug,
    Severity::Fatal,
    Severity::Fatal,
    Severity::Fatal,
    Severity::Error,
    Severity::Error,
    Severity::Fatal,
    Severity::Debug,
    Severity::Trace,
    Severity::Trace,
    Severity::Info,
    Severity::Info,
    Severity::Info,
    Severity::Info,
    Severity::Info,
    Severity::Fatal,
    Severity::Error,
    Severity::Trace,
    Severity::Trace,
    Severity::Warn,
    Severity::Warn,
    Severity::Warn,
];

const LONGEST_LEVEL: usize = 13;

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
