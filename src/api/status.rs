//! `etl_worker_status()`: are there workers, and if not, why.

use crate::backend::catalog;
use crate::error::or_raise;
use crate::worker::shmem;
use pgrx::prelude::*;

/// State of the workers of this database, one row.
#[allow(clippy::type_complexity)]
#[pg_extern(volatile)]
#[search_path(pg_catalog, pg_temp)]
fn etl_worker_status() -> TableIterator<
    'static,
    (
        name!(preloaded, bool),
        name!(launcher_pid, Option<i32>),
        name!(scheduler_pid, Option<i32>),
        name!(runner_pids, Vec<i32>),
        name!(library_version, String),
        name!(extension_version, Option<String>),
        name!(version_match, bool),
        name!(last_error, Option<String>),
        name!(advice, Option<String>),
    ),
> {
    let installed = or_raise(catalog::installed()).map(|e| e.version);
    let matches = installed.as_deref() == Some(catalog::LIBRARY_VERSION);
    let snapshot = shmem::with(|r| (r.launcher, r.slot(shmem::my_database()).map(|s| *s)));
    let (launcher, slot) = snapshot.unwrap_or((0, None));
    let scheduler = slot.map_or(0, |s| s.scheduler);
    let runners = slot
        .map(|s| s.runners.into_iter().filter(|p| *p != 0).collect())
        .unwrap_or_default();
    let error = slot.and_then(|s| s.error());
    let starved = slot.is_some_and(|s| s.starved > 0);
    let advice = advice(launcher, scheduler, matches, starved);
    let pid = |p: i32| (p != 0).then_some(p);
    TableIterator::once((
        shmem::preloaded(),
        pid(launcher),
        pid(scheduler),
        runners,
        catalog::LIBRARY_VERSION.to_string(),
        installed,
        matches,
        error,
        advice,
    ))
}

/// What to do next; `None` when all is well.
fn advice(launcher: i32, scheduler: i32, version_matches: bool, starved: bool) -> Option<String> {
    if !shmem::preloaded() {
        let loaded = setting(c"shared_preload_libraries");
        let list = if loaded.is_empty() {
            "observe_bridge".into()
        } else {
            format!("{loaded},observe_bridge")
        };
        return Some(format!(
            "No workers run: set shared_preload_libraries = '{list}' in postgresql.conf and restart, \
             or have pg_cron run SELECT etl_tick() and CALL etl_run()."
        ));
    }
    if !version_matches {
        return Some("Run ALTER EXTENSION observe_bridge UPDATE, or restart the server with the newer library.".into());
    }
    if catalog::restoring() {
        return Some(
            "A dump is being restored (observe_bridge.restoring or timescaledb.restoring is on): the workers idle."
                .into(),
        );
    }
    if starved {
        return Some(format!(
            "max_worker_processes = {} is used up: raise it and restart, or lower observe_bridge.max_runners.",
            setting(c"max_worker_processes")
        ));
    }
    if launcher == 0 {
        return Some(
            "The launcher is not running; it starts when recovery has ended, and again 5 s after it died.".into(),
        );
    }
    if scheduler == 0 {
        return Some(
            "The scheduler of this database is not running; the launcher starts it within a few seconds.".into(),
        );
    }
    if !crate::guc::enabled() {
        return Some("observe_bridge.enabled is off.".into());
    }
    None
}

fn setting(name: &std::ffi::CStr) -> String {
    // SAFETY: missing_ok; the text belongs to the GUC machinery and is copied at once.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        if value.is_null() {
            String::new()
        } else {
            std::ffi::CStr::from_ptr(value).to_string_lossy().into_owned()
        }
    }
}
