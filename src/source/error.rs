//! What can go wrong between a source and the aggregator, and what it means for the window.

use std::fmt;
use std::time::Duration;

/// Longest piece of a server's error body that goes into a message, in bytes.
const BODY_EXCERPT: usize = 200;
/// A server that asks for more patience than this is asked again after it.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The class of a [`SourceError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No connection, or one that broke.
    Connection,
    /// No complete answer within the deadline.
    Timeout,
    /// An HTTP status that no other kind stands for.
    Http(u16),
    /// 401 or 403.
    Auth,
    /// The organization or the route does not exist.
    NotFound,
    /// The records a locator points at no longer exist.
    Gone,
    /// An answer or an object that cannot be read: cut short, invalid JSON, a broken Parquet file.
    BadResponse,
    /// A 200 in which the server admits that rows are missing.
    Partial,
    /// The window is too young: the source may not have all of it yet.
    Unsettled,
    /// Options that cannot work.
    Config,
    /// The caller asked to stop.
    Cancelled,
    /// A document, an archive or a repository that cannot be taken in as it is.
    Document,
    /// A file or directory that cannot be read.
    Io,
    /// A condition the code rules out.
    Internal,
}

/// An error of a source. Never contains a password or an `Authorization` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    pub kind: ErrorKind,
    /// One sentence: what happened, on which server and stream.
    pub message: String,
    /// The facts behind the message.
    pub detail: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// How long the server asks us to stay away (`Retry-After`).
    pub retry_after: Option<Duration>,
    transient: bool,
}

impl SourceError {
    /// An error whose being transient follows from its kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let transient = match kind {
            ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::BadResponse | ErrorKind::Partial => true,
            ErrorKind::Http(status) => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        };
        SourceError {
            kind,
            message: message.into(),
            detail: None,
            hint: None,
            retry_after: None,
            transient,
        }
    }

    /// Options that cannot work; `hint` says which can.
    pub fn config(message: impl Into<String>, hint: impl Into<String>) -> Self {
        SourceError::new(ErrorKind::Config, message).hint(hint)
    }

    /// A server of documents was asked for records.
    pub fn no_records() -> Self {
        SourceError::config(
            "a server of this kind holds documents, not records",
            "Records are read from servers of kind openobserve, s3, file or mock.",
        )
    }

    /// The caller asked to stop.
    pub fn cancelled() -> Self {
        SourceError::new(ErrorKind::Cancelled, "the fetch was cancelled")
    }

    /// With the facts behind the message; an empty text is no detail.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into()).filter(|d| !d.is_empty());
        self
    }

    /// With what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As somebody needs it who waits for the answer: what a window does next is not his business.
    pub fn for_asker(self) -> Self {
        let hint = match self.kind {
            ErrorKind::Unsettled => {
                "Ask for a range that ends earlier, or name a server of kind openobserve as \"fallback\" in the options of \
                 the source."
            }
            // What does not pass by has a hint of its own.
            ErrorKind::Connection | ErrorKind::Timeout => return self,
            ErrorKind::BadResponse if self.transient => {
                "Ask again later; if it stays, check that the endpoint leads to the server and not to a proxy's page, and \
                 look at the server's own log."
            }
            ErrorKind::Gone if self.transient => "Objects were merged while they were read: ask again.",
            ErrorKind::Http(status) if !self.transient && (400..500).contains(&status) => {
                "Look at the server's own log for what it does not like."
            }
            _ if self.transient => "Ask again later; if it stays, look at the server's own log.",
            _ => return self,
        };
        self.hint(hint)
    }

    /// With the wait the server asked for.
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait.map(|w| w.min(MAX_RETRY_AFTER));
        self
    }

    /// Overrides what the kind says: whether the same window may well succeed later.
    pub fn transient(mut self, transient: bool) -> Self {
        self.transient = transient;
        self
    }

    /// Whether the outage says nothing about the window itself: it waits and is tried again.
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// Whether trying again cannot help before somebody changes the configuration. What is neither transient nor
    /// permanent uses up attempts.
    pub fn is_permanent(&self) -> bool {
        let by_kind = match self.kind {
            ErrorKind::Auth | ErrorKind::NotFound | ErrorKind::Gone | ErrorKind::Config | ErrorKind::Document => true,
            ErrorKind::Http(status) => (300..400).contains(&status),
            _ => false,
        };
        by_kind && !self.transient
    }

    /// The SQLSTATE: class 08 for connections, HV (foreign data) for what a server answers.
    pub fn sqlstate(&self) -> &'static str {
        match self.kind {
            ErrorKind::Connection => "08001",
            ErrorKind::Timeout => "08006",
            ErrorKind::Http(429) => "53400",
            ErrorKind::Http(_) | ErrorKind::Partial => "HV000",
            ErrorKind::Unsettled => "55000",
            ErrorKind::Auth => "28000",
            ErrorKind::NotFound => "42704",
            ErrorKind::Gone => "P0002",
            ErrorKind::BadResponse => "08P01",
            ErrorKind::Config => "22023",
            ErrorKind::Document => "22000",
            ErrorKind::Cancelled => "57014",
            ErrorKind::Io => "58030",
            ErrorKind::Internal => "XX000",
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

impl std::error::Error for SourceError {}

/// The start of a server's text as one printable line of at most 200 bytes.
pub fn excerpt(text: &str) -> String {
    let text = text.trim();
    let mut out = String::with_capacity(text.len().min(BODY_EXCERPT + 4));
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > BODY_EXCERPT {
            out.push_str("...");
            break;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_say_what_a_window_does_next() {
        let e = |kind| SourceError::new(kind, "x");
        for kind in [
            ErrorKind::Connection,
            ErrorKind::Timeout,
            ErrorKind::Http(503),
            ErrorKind::Http(408),
        ] {
            assert!(e(kind).is_transient() && !e(kind).is_permanent(), "{kind:?}");
        }
        for kind in [
            ErrorKind::Auth,
            ErrorKind::NotFound,
            ErrorKind::Config,
            ErrorKind::Http(301),
        ] {
            assert!(!e(kind).is_transient() && e(kind).is_permanent(), "{kind:?}");
        }
        for kind in [ErrorKind::Io, ErrorKind::Http(400), ErrorKind::Internal] {
            assert!(!e(kind).is_transient() && !e(kind).is_permanent(), "{kind:?}");
        }
        let gone = e(ErrorKind::Gone).transient(true);
        assert!(gone.is_transient() && !gone.is_permanent());
    }

    #[test]
    fn who_waits_for_an_answer_hears_nothing_of_windows() {
        let hint = |kind, transient| {
            let e = SourceError::new(kind, "x").hint("The window is tried again.");
            e.transient(transient).for_asker().hint.unwrap()
        };
        for kind in [
            ErrorKind::Http(503),
            ErrorKind::Http(400),
            ErrorKind::BadResponse,
            ErrorKind::Partial,
            ErrorKind::Gone,
        ] {
            let hint = hint(kind, true);
            assert!(
                !hint.contains("window") && hint.to_lowercase().contains("ask again"),
                "{hint}"
            );
        }
        assert!(hint(ErrorKind::Http(400), false).contains("log"));
        assert!(hint(ErrorKind::Unsettled, false).contains("fallback"));
        let own = SourceError::config("x", "Set y.").for_asker();
        assert_eq!(own.hint.as_deref(), Some("Set y."));
    }

    #[test]
    fn every_sqlstate_has_five_characters() {
        for kind in [
            ErrorKind::Http(429),
            ErrorKind::Http(1),
            ErrorKind::Gone,
            ErrorKind::Internal,
            ErrorKind::Timeout,
        ] {
            assert_eq!(SourceError::new(kind, "").sqlstate().len(), 5);
        }
    }

    #[test]
    fn excerpts_are_short_printable_and_cut_between_characters() {
        assert_eq!(excerpt("  Unauthorized\nAccess "), "Unauthorized Access");
        let cut = excerpt(&"é".repeat(500));
        assert!(cut.len() <= BODY_EXCERPT + 3 && cut.ends_with("..."));
    }
}
