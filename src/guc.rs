//! The settings: `observe_bridge.*`.

use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::{CStr, CString, c_char, c_void};
use std::path::PathBuf;
use std::time::Duration;

/// Most runners a database can be given.
pub const MAX_RUNNERS: usize = 32;

static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);
static RUNNER_LIMIT: GucSetting<i32> = GucSetting::<i32>::new(2);
static MAX_RUNNING: GucSetting<i32> = GucSetting::<i32>::new(0);
static TENANT_SHARD: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static POLL_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(1_000);
static FETCH_CONCURRENCY: GucSetting<i32> = GucSetting::<i32>::new(4);
static HTTP_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(30_000);
static WORKER_MEMORY_LIMIT: GucSetting<i32> = GucSetting::<i32>::new(256 * 1024);
static FILE_ROOTS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static RESTORING: GucSetting<bool> = GucSetting::<bool>::new(false);
static CLOCK: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

/// Registers every setting; called once, from `_PG_init`.
pub fn register() {
    GucRegistry::define_bool_guc(
        c"observe_bridge.enabled",
        c"Whether the background workers run jobs.",
        c"Off: windows are neither planned nor run; a run that is under way is finished.",
        &ENABLED,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"observe_bridge.max_runners",
        c"Most runner processes of one database.",
        c"Each takes one slot of max_worker_processes, beside one launcher and one scheduler for each database.",
        &RUNNER_LIMIT,
        1,
        MAX_RUNNERS as i32,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"observe_bridge.max_running",
        c"Most runs of one database at once, those of CALL etl_run() included; 0: no limit.",
        c"etl_job.concurrency, etl_job.max_running and dim_tenant.max_running limit them further.",
        &MAX_RUNNING,
        0,
        10_000,
        GucContext::Sighup,
        GucFlags::default(),
    );
    // SAFETY: the hook is guarded and only looks at the text it is given.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"observe_bridge.tenant_shard",
            c"The tenants this server works for, as part/parts: '2/8' is the second of eight; empty: all.",
            c"A tenant belongs to a part by the hash of its tenant_id.",
            &TENANT_SHARD,
            GucContext::Sighup,
            GucFlags::default(),
            Some(check_tenant_shard),
            None,
            None,
        );
    }
    GucRegistry::define_int_guc(
        c"observe_bridge.poll_interval",
        c"How often a scheduler looks for due windows.",
        c"",
        &POLL_INTERVAL,
        100,
        60_000,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"observe_bridge.fetch_concurrency",
        c"Most requests one run has under way at once.",
        c"",
        &FETCH_CONCURRENCY,
        1,
        64,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"observe_bridge.http_timeout",
        c"Most time one request may take, its whole body included.",
        c"",
        &HTTP_TIMEOUT,
        100,
        3_600_000,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"observe_bridge.worker_memory_limit",
        c"Most memory a run may use while it fetches and aggregates.",
        c"",
        &WORKER_MEMORY_LIMIT,
        16 * 1024,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_string_guc(
        c"observe_bridge.file_roots",
        c"Directories below which sources of kind 'file' may read, separated by commas.",
        c"Empty: none.",
        &FILE_ROOTS,
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_bool_guc(
        c"observe_bridge.restoring",
        c"Set while a dump is restored: observe_bridge_setup() creates nothing and the workers idle.",
        c"",
        &RESTORING,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"observe_bridge.clock",
        c"A fixed instant instead of the database's clock, for tests of the schedule.",
        c"A timestamp with time zone; empty: the real clock.",
        &CLOCK,
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY | GucFlags::NO_SHOW_ALL,
    );
    // SAFETY: called from _PG_init on the main thread, with a NUL-terminated literal.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"observe_bridge".as_ptr()) };
}

/// Refuses what is no part/parts. SQL reads the setting (view etl_job_effective).
#[pg_guard]
unsafe extern "C-unwind" fn check_tenant_shard(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: the GUC machinery gives a pointer to a NUL-terminated text, or to null.
    let text = unsafe {
        match value.as_ref() {
            Some(text) if !text.is_null() => CStr::from_ptr(*text),
            _ => return true,
        }
    };
    if is_shard(text.to_bytes()) {
        return true;
    }
    // SAFETY: a literal; the GUC machinery only reads it, and never frees it.
    unsafe {
        pg_sys::GUC_check_errhint_string =
            c"Write part/parts, such as 2/8 for the second of eight, or nothing for all tenants."
                .as_ptr()
                .cast_mut();
    }
    false
}

fn is_shard(text: &[u8]) -> bool {
    let number = |digits: &[u8]| -> Option<u32> {
        let plain = (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
    };
    let mut halves = text.split(|b| *b == b'/');
    match (halves.next(), halves.next(), halves.next()) {
        (Some(b""), None, None) => true,
        (Some(part), Some(parts), None) => {
            matches!((number(part), number(parts)), (Some(part), Some(parts)) if (1..=parts).contains(&part))
        }
        _ => false,
    }
}

/// Whether workers run jobs.
pub fn enabled() -> bool {
    ENABLED.get()
}

/// Most runners of one database.
pub fn max_runners() -> usize {
    usize::try_from(RUNNER_LIMIT.get()).unwrap_or(1)
}

/// Time between two looks of a scheduler.
pub fn poll_interval() -> Duration {
    milliseconds(POLL_INTERVAL.get())
}

/// Most requests of one run at once.
pub fn fetch_concurrency() -> usize {
    usize::try_from(FETCH_CONCURRENCY.get()).unwrap_or(1)
}

/// Deadline of one request.
pub fn http_timeout() -> Duration {
    milliseconds(HTTP_TIMEOUT.get())
}

/// Memory budget of one run, bytes.
pub fn worker_memory_limit() -> usize {
    usize::try_from(WORKER_MEMORY_LIMIT.get()).unwrap_or(0) * 1024
}

/// Directories sources of kind `file` may read.
pub fn file_roots() -> Vec<PathBuf> {
    text(&FILE_ROOTS)
        .split(',')
        .map(str::trim)
        .filter(|p| !p.is_empty())
        .map(PathBuf::from)
        .collect()
}

/// Whether a dump is being restored.
pub fn restoring() -> bool {
    RESTORING.get()
}

/// The virtual clock's text, empty for the real clock.
pub fn clock() -> String {
    text(&CLOCK)
}

fn text(setting: &GucSetting<Option<CString>>) -> String {
    setting
        .get()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn milliseconds(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
