//! One error type for everything that can go wrong, and its way into `ereport` and `etl_job_run.error`.

use crate::backend::sqlstate;
use crate::source::SourceError;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport, ErrorReportWithLevel};
use pgrx::prelude::*;
use serde_json::{Value, json};

/// What every fallible function of the extension returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong.
#[derive(Debug)]
pub enum Error {
    /// A telemetry source did not deliver.
    Source(SourceError),
    /// PostgreSQL raised an error below us (SPI, locks, constraints, a cancel).
    Postgres {
        sqlstate: PgSqlErrorCode,
        /// The SQLSTATE as PostgreSQL packs it, where pgrx has no name for it (see [`crate::backend::sqlstate`]).
        code: Option<i32>,
        message: String,
        detail: Option<String>,
        hint: Option<String>,
    },
    /// Bad input of a user: arguments, options, configuration.
    Invalid {
        sqlstate: PgSqlErrorCode,
        message: String,
        detail: Option<String>,
        hint: Option<String>,
    },
    /// The run was taken over, cancelled or finished by somebody else: nothing may be written for it.
    LostRun { run_id: i64 },
    /// Somebody is dropping or changing the extension: nothing could be written.
    Busy,
    /// Somebody else holds the advisory lock of a SQL job: nothing was run.
    SkippedLocked { key: i64 },
    /// The run took longer than its job's `timeout`.
    TimedOut { job: String, seconds: i64 },
    /// The process went over `observe_bridge.worker_memory_limit` while fetching.
    OutOfBudget { used: usize, limit: usize },
    /// A stored value cannot be read back (a partial of a foreign or broken format).
    Corrupt { what: &'static str, detail: String },
    /// A condition the code rules out.
    Internal(String),
}

impl Error {
    /// Bad input: `hint` says what to do next.
    pub fn invalid(sqlstate: PgSqlErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Invalid {
            sqlstate,
            message: message.into(),
            detail: None,
            hint: Some(hint.into()),
        }
    }

    /// An outage that says nothing about the window itself: the window waits and is tried again.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Source(e) => e.is_transient(),
            // Serialization failures, deadlocks and a lack of resources (class 53) pass by themselves.
            Error::Postgres { sqlstate, .. } => {
                let state = sqlstate_text(*sqlstate);
                state.starts_with("40") || state.starts_with("53") || state == "55P03"
            }
            _ => false,
        }
    }

    /// Trying again cannot help: the run fails at once.
    pub fn is_permanent(&self) -> bool {
        match self {
            Error::Source(e) => e.is_permanent(),
            Error::Invalid { .. } => true,
            _ => false,
        }
    }

    /// Somebody cancelled the statement or asked the process to end.
    pub fn is_cancel(&self) -> bool {
        matches!(self, Error::Postgres { sqlstate, .. } if *sqlstate == PgSqlErrorCode::ERRCODE_QUERY_CANCELED)
    }

    /// Says nothing about the window: it uses up no attempt.
    fn is_interruption(&self) -> bool {
        self.is_cancel() || matches!(self, Error::Busy | Error::LostRun { .. })
    }

    /// The SQLSTATE under which the error is raised and stored.
    pub fn sqlstate(&self) -> PgSqlErrorCode {
        match self {
            Error::Source(e) => sqlstate_code(e.sqlstate()),
            Error::Postgres { sqlstate, .. } | Error::Invalid { sqlstate, .. } => *sqlstate,
            Error::LostRun { .. } => PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
            Error::Busy => PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,
            Error::SkippedLocked { .. } => PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
            Error::TimedOut { .. } => PgSqlErrorCode::ERRCODE_QUERY_CANCELED,
            Error::OutOfBudget { .. } => PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY,
            Error::Corrupt { .. } => PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
            Error::Internal(_) => PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        }
    }

    /// One sentence: what happened.
    pub fn message(&self) -> String {
        match self {
            Error::Source(e) => e.message.clone(),
            Error::Postgres { message, .. } | Error::Invalid { message, .. } => message.clone(),
            Error::LostRun { run_id } => format!("run {run_id} is no longer ours"),
            Error::Busy => "the extension was being changed".to_string(),
            Error::SkippedLocked { key } => {
                format!("skipped_locked: advisory lock {key} is held by another session")
            }
            Error::TimedOut { job, seconds } => format!("job \"{job}\" ran into its timeout of {seconds} s"),
            Error::OutOfBudget { .. } => "the window needs more memory than a worker may use".to_string(),
            Error::Corrupt { what, .. } => format!("cannot read {what}"),
            Error::Internal(what) => format!("internal error: {what}"),
        }
    }

    /// The facts behind the message.
    pub fn detail(&self) -> Option<String> {
        match self {
            Error::Source(e) => e.detail.clone(),
            Error::Postgres { detail, .. } | Error::Invalid { detail, .. } => detail.clone(),
            Error::LostRun { .. } => Some(
                "It was cancelled, retried or rescued while it was running; its result was thrown away.".to_string(),
            ),
            Error::OutOfBudget { used, limit } => Some(format!(
                "{} MB are in use, observe_bridge.worker_memory_limit is {} MB.",
                used >> 20,
                limit >> 20
            )),
            Error::Corrupt { detail, .. } => Some(detail.clone()),
            Error::Busy => Some("Another session is dropping the extension, or it is of another version.".to_string()),
            Error::SkippedLocked { .. } => {
                Some("The window was not run. It waits and is tried again, which uses up no attempt.".to_string())
            }
            Error::TimedOut { .. } | Error::Internal(_) => None,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Source(e) => e.hint.clone(),
            Error::Postgres { hint, .. } | Error::Invalid { hint, .. } => hint.clone(),
            Error::TimedOut { .. } => {
                Some("Raise etl_job.timeout, or look at what the source or function is slow at.".to_string())
            }
            Error::OutOfBudget { .. } => Some(
                "Raise observe_bridge.worker_memory_limit, or lower page_rows in the options of the source."
                    .to_string(),
            ),
            Error::Corrupt { .. } => {
                Some("Delete the row and replay its window with etl_enqueue(): it is written again.".to_string())
            }
            Error::SkippedLocked { key } => Some(format!(
                "See who holds it: SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = {} AND objid = {}.",
                (*key as u64) >> 32,
                (*key as u64) & 0xFFFF_FFFF
            )),
            Error::LostRun { .. } | Error::Busy => None,
            Error::Internal(_) => Some("This is a bug: please report it with the server log.".to_string()),
        }
    }

    /// The value of `etl_job_run.error`: sqlstate, message, detail, hint, permanent, interrupted,
    /// skipped.
    pub fn to_json(&self) -> Value {
        json!({
            "sqlstate": match self {
                Error::Postgres { code: Some(code), .. } => code_text(*code as u32),
                _ => sqlstate_text(self.sqlstate()),
            },
            "message": self.message(),
            "detail": self.detail(),
            "hint": self.hint(),
            "permanent": self.is_permanent(),
            "interrupted": self.is_interruption(),
            "skipped": matches!(self, Error::SkippedLocked { .. }),
        })
    }

    /// Raises the error in the current backend.
    pub fn raise(self) -> ! {
        if let Error::Postgres { code: Some(code), .. } = self {
            sqlstate::raise_as(code);
        }
        self.report().report(PgLogLevel::ERROR);
        // report(ERROR) unwinds; the compiler cannot know.
        std::process::abort()
    }

    /// Writes the error to the server log at WARNING and goes on.
    pub fn log(&self, context: &str) {
        let mut report = ErrorReport::new(
            self.sqlstate(),
            format!("observe_bridge: {context}: {}", self.message()),
            "",
        );
        if let Some(detail) = self.detail() {
            report = report.set_detail(detail);
        }
        if let Some(hint) = self.hint() {
            report = report.set_hint(hint);
        }
        report.report(PgLogLevel::WARNING);
    }

    fn report(&self) -> ErrorReport {
        let mut report = ErrorReport::new(self.sqlstate(), self.message(), "");
        if let Some(detail) = self.detail() {
            report = report.set_detail(detail);
        }
        if let Some(hint) = self.hint() {
            report = report.set_hint(hint);
        }
        report
    }
}

impl From<SourceError> for Error {
    fn from(e: SourceError) -> Self {
        Error::Source(e)
    }
}

impl From<pgrx::spi::Error> for Error {
    fn from(e: pgrx::spi::Error) -> Self {
        Error::Internal(format!("SPI: {e}"))
    }
}

impl From<CaughtError> for Error {
    fn from(e: CaughtError) -> Self {
        let from = |r: &ErrorReportWithLevel| Error::Postgres {
            sqlstate: r.sql_error_code(),
            code: None,
            message: r.message().to_string(),
            // detail(), not detail_with_backtrace(): build paths are nobody's business.
            detail: r.detail().map(str::to_string),
            hint: r.hint().map(str::to_string),
        };
        match &e {
            CaughtError::PostgresError(r) | CaughtError::ErrorReport(r) => from(r),
            CaughtError::RustPanic { ereport, .. } => Error::Internal(ereport.message().to_string()),
        }
    }
}

/// Raises an `Err` as a PostgreSQL error: the last step of an SQL-callable function.
pub fn or_raise<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|e| e.raise())
}

/// Runs `f` and turns every PostgreSQL error and every panic below it into an `Err`. Rolls nothing back.
pub fn catch<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    PgTryBuilder::new(std::panic::AssertUnwindSafe(f))
        .catch_others(|e| Err(Error::from(e)))
        .catch_rust_panic(|e| Err(Error::from(e)))
        .execute()
}

/// The five characters of an SQLSTATE (`MAKE_SQLSTATE` of elog.h, undone).
pub fn sqlstate_text(code: PgSqlErrorCode) -> String {
    code_text(code as isize as u32)
}

fn code_text(code: u32) -> String {
    (0..5)
        .map(|i| char::from(((code >> (6 * i)) & 0x3F) as u8 + b'0'))
        .collect()
}

/// The code of a five-character SQLSTATE; one pgrx does not know becomes `XX000`.
pub fn sqlstate_code(text: &str) -> PgSqlErrorCode {
    let code = text
        .bytes()
        .take(5)
        .enumerate()
        .fold(0i32, |n, (i, c)| n | ((i32::from(c) - 48) & 0x3F) << (6 * i));
    PgSqlErrorCode::from(code)
}

/// Keeps Rust backtraces, and with them build paths, out of DETAIL: pgrx adds one to every panic when RUST_BACKTRACE
/// is set in the server's environment.
pub fn hide_backtraces() {
    // SAFETY: called from _PG_init, before this process has any other thread.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
}
