//! Which objects are live, as OpenObserve itself knows it: the table `file_list` of its metadata database. Only a
//! PostgreSQL database can be asked; a single OpenObserve keeps the table in a file of its own.
//!
//! A merge and the end of its sources are one transaction there, so an answer has each row once, at any moment.

mod options;
mod session;
mod tls;

pub use options::FileListConfig;

use super::error::SourceError;
use chrono::{DateTime, NaiveDateTime};
use engine::record::Dataset;
use engine::window::Window;
use session::{Limits, Session};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

const HOUR_US: i64 = 3_600_000_000;

/// Every stream of every organization, by steps through the index on `stream`: the table itself has a row an object.
const STREAMS: &str = "WITH RECURSIVE s(stream) AS (
        (SELECT min(stream) FROM file_list)
    UNION ALL
        SELECT (SELECT min(f.stream) FROM file_list f WHERE f.stream > s.stream) FROM s WHERE s.stream IS NOT NULL)
    SELECT stream::text FROM s WHERE stream IS NOT NULL";

/// The live objects of streams and hours; `max_ts` is the time of the last record, not the first after it.
const LIVE: &str = "SELECT stream::text, date::text, file::text, compressed_size::bigint
       FROM file_list
      WHERE stream = ANY ($1) AND date = ANY ($2) AND deleted IS NOT TRUE AND max_ts >= $3 AND min_ts < $4
      ORDER BY stream, date, file";

/// The type of the streams `{stream}_{type}` that tell of dumps: objects into which OpenObserve, if it is told to, moves rows
/// of this table (`compact.file_list_dump_enabled`).
const DUMPS: &str = "file_list";

/// Whether rows of a time have been moved; a dump's times are those of the hours whose rows it has.
const DUMPED: &str = "SELECT 1 FROM file_list
      WHERE stream = ANY ($1) AND deleted IS NOT TRUE AND max_ts >= $2 AND min_ts < $3 LIMIT 1";

/// A live object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its stream, without organization and type.
    pub stream: String,
    /// The hour of its records, UTC microseconds.
    pub hour: Window,
    /// Its key below the organization's folder: `{type}/{stream}/{Y}/{M}/{D}/{H}/..{name}`.
    pub path: String,
    /// Bytes; `None` where the table does not tell.
    pub size: Option<u64>,
}

/// The table, over one connection that is made when it is needed.
pub struct FileList {
    config: FileListConfig,
    server: String,
    limits: Limits,
    stop: Arc<AtomicBool>,
    session: Mutex<Option<Session>>,
}

impl FileList {
    /// `server` names the source in messages; `timeout` bounds each question, `cancel` ends it.
    pub fn new(config: &FileListConfig, server: &str, timeout: Duration, cancel: &Arc<AtomicBool>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        FileList {
            config: config.clone(),
            server: server.to_string(),
            limits: Limits {
                timeout,
                stops: [cancel.clone(), stop.clone()],
            },
            stop,
            session: Mutex::new(None),
        }
    }

    /// The live objects of the wanted streams that may have records of `range`, by stream, hour and name.
    ///
    /// # Errors
    /// `Connection`, `Timeout`, `Auth`, `NotFound` (database), `Config` (no such table, no credentials, rows moved away),
    /// `BadResponse`, `Cancelled`.
    pub fn live(
        &self,
        org: &str,
        dataset: Dataset,
        wanted: &dyn Fn(&str) -> bool,
        range: Window,
    ) -> Result<Vec<Live>, SourceError> {
        let hours: Vec<String> = range
            .buckets(HOUR_US)
            .filter_map(DateTime::from_timestamp_micros)
            .map(|hour| hour.format("%Y/%m/%d/%H").to_string())
            .collect();
        if hours.is_empty() {
            return Ok(Vec::new());
        }
        let folder = format!("{org}/{}/", dataset.as_str());
        let (dump, of_dataset) = (format!("{org}/{DUMPS}/"), format!("_{}", dataset.as_str()));
        let named = |row: &Row| row.try_get::<_, String>(0);
        let all = self.ask(|session| session.query(STREAMS, &[]))?;
        let (mut streams, mut dumps) = (Vec::new(), Vec::new());
        for row in &all {
            let stream = named(row).map_err(|e| self.unreadable(&e))?;
            if stream.strip_prefix(&folder).is_some_and(wanted) {
                streams.push(stream);
            } else if stream
                .strip_prefix(&dump)
                .and_then(|name| name.strip_suffix(&of_dataset))
                .is_some_and(wanted)
            {
                dumps.push(stream);
            }
        }
        let rows = self.ask(|session| {
            session.query(
                LIVE,
                &[
                    (&streams, Type::TEXT_ARRAY),
                    (&hours, Type::TEXT_ARRAY),
                    (&range.from, Type::INT8),
                    (&range.to, Type::INT8),
                ],
            )
        })?;
        self.check_dumps(&dumps, range)?;
        rows.iter()
            .map(|row| live(row, org).map_err(|e| self.unreadable(&e)))
            .collect()
    }

    /// Refuses a range of which rows have been moved away: without them its objects would seem to be gone. Asked last, so
    /// that what is moved meanwhile is noticed.
    fn check_dumps(&self, dumps: &[String], range: Window) -> Result<(), SourceError> {
        if dumps.is_empty() {
            return Ok(());
        }
        let found = self.ask(|session| {
            session.query(
                DUMPED,
                &[
                    (&dumps, Type::TEXT_ARRAY),
                    (&range.from, Type::INT8),
                    (&range.to, Type::INT8),
                ],
            )
        })?;
        if found.is_empty() {
            return Ok(());
        }
        Err(SourceError::config(
            format!(
                "server \"{}\": OpenObserve has moved the rows of file_list for this time into objects",
                self.server
            ),
            "Switch the dumps of file_list off in OpenObserve, or leave metadata_url away: then the objects tell.",
        ))
    }

    /// Ends a question on any thread; later ones fail at once.
    pub fn interrupt(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Asks over the connection, which does not survive an error.
    fn ask<T>(&self, question: impl FnOnce(&Session) -> Result<T, SourceError>) -> Result<T, SourceError> {
        // One question at a time: they are few. Whoever waits here waits no longer than the question runs.
        let mut slot = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let session = match slot.take() {
            Some(session) => session,
            None => Session::open(&self.config, &self.server, &self.limits)?,
        };
        let answer = question(&session)?;
        *slot = Some(session);
        Ok(answer)
    }

    fn unreadable(&self, e: &tokio_postgres::Error) -> SourceError {
        session::failed(&self.config, &self.server, e)
    }
}

fn live(row: &Row, org: &str) -> Result<Live, tokio_postgres::Error> {
    let (stream, date, file): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let size: Option<i64> = row.try_get(3)?;
    let path = stream.strip_prefix(org).unwrap_or(&stream).trim_start_matches('/');
    Ok(Live {
        path: format!("{path}/{date}/{file}"),
        stream: path.rsplit('/').next().unwrap_or(path).to_string(),
        hour: hour(&date),
        size: size.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0),
    })
}

/// The hour that a date stands for; all of time for a text that is none, which leaves nothing out.
fn hour(date: &str) -> Window {
    match NaiveDateTime::parse_from_str(&format!("{date}/00"), "%Y/%m/%d/%H/%M") {
        Ok(start) => {
            let start = start.and_utc().timestamp_micros();
            Window::new(start, start.saturating_add(HOUR_US))
        }
        Err(_) => Window::new(i64::MIN, i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_an_hour() {
        let h22 = 1_795_212_000_000_000;
        assert_eq!(hour("2026/11/20/22"), Window::new(h22, h22 + HOUR_US));
        assert_eq!(hour("2026/11/20"), Window::new(i64::MIN, i64::MAX));
    }
}
