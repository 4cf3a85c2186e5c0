//! One source, two doors: OpenObserve's rows reach its objects 10 to 30 minutes after they happened. Until a window has
//! settled it is read from another server, if one is named, and else not at all.

use crate::source::error::{ErrorKind, SourceError};
use crate::source::objects::Layout;
use crate::source::pattern::Patterns;
use crate::source::{Selection, Source, SourceConfig};
use engine::window::{Window, Windows};
use std::time::Duration;

/// How long OpenObserve keeps rows to itself: half an hour at most, at its own settings and without load, and half as much
/// for the upload.
const OPENOBSERVE_US: i64 = 45 * 60_000_000;
/// Longest time a caller is asked to wait: a job's clock may be far behind.
const MAX_WAIT_US: i64 = 3_600_000_000;

/// Which windows of a bucket or a folder are whole, and what stands in for it at the others.
#[derive(Clone, Debug)]
pub struct Settle {
    /// Windows that end up to here are whole, UTC microseconds.
    pub until: i64,
    /// Where later windows are read.
    pub fallback: Option<Box<Source>>,
    /// The same server, where only parents of spans are looked for.
    pub parents: Option<Box<Source>>,
}

impl Settle {
    /// How a source's objects settle, seen from `now` (UTC microseconds). `fallback` finds the named server.
    ///
    /// # Errors
    /// `Config` where the options and the server do not fit each other; those of `fallback`.
    pub fn new<E: From<SourceError>>(
        layout: Layout,
        selection: &Selection,
        now: i64,
        fallback: impl FnOnce(&str) -> Result<SourceConfig, E>,
    ) -> Result<Settle, E> {
        let default = match layout {
            Layout::OpenObserve => OPENOBSERVE_US,
            // Nothing is known of who writes there.
            Layout::Hive | Layout::Plain => 0,
        };
        let fallback = match &selection.fallback {
            None => None,
            Some(name) => match fallback(name)? {
                config if config.lags() => {
                    return Err(SourceError::config(
                        format!("the fallback \"{name}\" has its records late itself"),
                        "Name a server of kind openobserve.",
                    )
                    .into());
                }
                config => Some(Box::new(Source {
                    server: name.clone(),
                    config,
                    selection: Selection {
                        fallback: None,
                        settle_us: None,
                        ..selection.clone()
                    },
                })),
            },
        };
        let parents = fallback.clone().map(|mut source| {
            (source.selection.logs, source.selection.metrics) = (Patterns::default(), Patterns::default());
            source
        });
        Ok(Settle {
            parents,
            until: now.saturating_sub(selection.settle_us.unwrap_or(default)),
            fallback,
        })
    }

    /// Where the settled windows of a range end and the others begin; at one of its windows' bounds.
    pub fn seam(&self, windows: Windows) -> i64 {
        let settled = windows.iter().take_while(|window| window.to <= self.until);
        settled.last().map_or(windows.range().from, |window| window.to)
    }

    /// Windows that have not settled, and nothing else to read them from.
    pub fn too_young(&self, server: &str, range: Window) -> SourceError {
        let wait = range.to.saturating_sub(self.until).clamp(0, MAX_WAIT_US);
        SourceError::new(
            ErrorKind::Unsettled,
            format!("server \"{server}\" may not have all objects of the window yet"),
        )
        .detail("OpenObserve's rows reach its objects up to half an hour after they happened, and later under load.")
        .hint(
            "The window is tried again when it has settled. Name a server of kind openobserve as \"fallback\" in the \
             options of the source to read such windows over its API, raise the delay of the job above \"settle\", or \
             lower \"settle\" if objects arrive earlier.",
        )
        .retry_after(Some(Duration::from_micros(wait.unsigned_abs())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn settle(layout: Layout, options: serde_json::Value) -> Settle {
        let selection = Selection::parse(&options).unwrap();
        let mock = |_: &str| Ok::<_, SourceError>(SourceConfig::Mock(Default::default()));
        Settle::new(layout, &selection, 100 * MINUTE, mock).unwrap()
    }

    #[test]
    fn the_seam_lies_between_two_windows() {
        let windows = |from: i64, to: i64| Windows::new(Window::new(from * MINUTE, to * MINUTE), MINUTE);
        let own = settle(Layout::OpenObserve, serde_json::json!({}));
        assert_eq!(own.until, 55 * MINUTE, "more than the half hour that is regular");
        assert_eq!(own.seam(windows(45, 65)), 55 * MINUTE);
        assert_eq!(own.seam(windows(45, 55)), 55 * MINUTE);
        assert_eq!(own.seam(windows(55, 65)), 55 * MINUTE);
        assert_eq!(own.seam(windows(60, 65)), 60 * MINUTE);
        let odd = settle(Layout::Hive, serde_json::json!({"settle": "90 s"}));
        assert_eq!(odd.seam(windows(90, 100)), 98 * MINUTE, "half a window has not settled");
        assert_eq!(settle(Layout::Hive, serde_json::json!({})).until, 100 * MINUTE);
    }

    #[test]
    fn too_young_is_a_matter_of_waiting() {
        let e = settle(Layout::OpenObserve, serde_json::json!({})).too_young("lake", Window::new(0, 57 * MINUTE));
        assert!(!e.is_transient() && !e.is_permanent() && e.hint.is_some());
        assert_eq!(e.kind, ErrorKind::Unsettled);
        assert_eq!(e.retry_after, Some(Duration::from_secs(120)));
    }

    #[test]
    fn a_fallback_is_another_source_of_the_same_streams() {
        let own = settle(
            Layout::OpenObserve,
            serde_json::json!({"logs": ["a"], "fallback": "oo", "settle": 60}),
        );
        let fallback = own.fallback.unwrap();
        assert!(fallback.server == "oo" && fallback.selection.logs.matches("a"));
        assert!(fallback.selection.fallback.is_none() && own.until == 99 * MINUTE);
    }
}
