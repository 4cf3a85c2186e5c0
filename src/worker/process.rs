//! What every worker process does alike: signals, connecting, waiting, naming itself.

use crate::backend::latch;
use crate::guc::MAX_RUNNERS;
use crate::worker::shmem;
use pgrx::bgworkers::{BackgroundWorkerBuilder, BackgroundWorkerStatus, DynamicBackgroundWorker};
use pgrx::prelude::*;
use std::ffi::CString;
use std::time::{Duration, Instant};

/// The three kinds of worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Launcher,
    Scheduler,
    Runner,
}

impl Role {
    /// `backend_type` in pg_stat_activity.
    pub fn backend_type(self) -> &'static str {
        match self {
            Role::Launcher => "observe_bridge launcher",
            Role::Scheduler => "observe_bridge scheduler",
            Role::Runner => "observe_bridge runner",
        }
    }

    fn entry_point(self) -> &'static str {
        match self {
            Role::Launcher => "observe_bridge_launcher_main",
            Role::Scheduler => "observe_bridge_scheduler_main",
            Role::Runner => "observe_bridge_runner_main",
        }
    }

    fn builder(self) -> BackgroundWorkerBuilder {
        // enable_spi_access also sets database-connection access, without which a process ignores barriers and
        // holds up DROP DATABASE everywhere; and it starts the worker when recovery has finished.
        BackgroundWorkerBuilder::new(self.backend_type())
            .set_type(self.backend_type())
            .set_library("observe_bridge")
            .set_function(self.entry_point())
            .enable_spi_access()
    }
}

/// Registers the launcher; called from `_PG_init`.
pub fn register_launcher() {
    Role::Launcher
        .builder()
        .set_restart_time(Some(Duration::from_secs(5)))
        .load();
}

/// Starts a scheduler or runner of a database; `None` when max_worker_processes is used up.
///
/// `slot` is the runner's place in the database's slot. The caller is told when the process starts and ends.
pub fn start(role: Role, database: pg_sys::Oid, slot: usize) -> Option<DynamicBackgroundWorker> {
    let argument = u64::from(database.to_u32()) << 32 | slot.min(MAX_RUNNERS) as u64;
    role.builder()
        // The parent starts another when it is needed: a restart by the postmaster could hit a dropped database.
        .set_restart_time(None)
        .set_argument(Some(pg_sys::Datum::from(argument as usize)))
        .set_notify_pid(shmem::my_pid())
        .load_dynamic()
        .ok()
}

/// Whether a worker that was started has ended.
pub fn stopped(worker: &DynamicBackgroundWorker) -> bool {
    matches!(
        worker.pid(),
        Err(BackgroundWorkerStatus::Stopped | BackgroundWorkerStatus::PostmasterDied)
    )
}

/// Undoes the packing of [`start`]: (database, slot).
pub fn unpack(argument: pg_sys::Datum) -> (pg_sys::Oid, usize) {
    let value = argument.value() as u64;
    (pg_sys::Oid::from((value >> 32) as u32), (value & 0xFFFF_FFFF) as usize)
}

/// The server's own handlers, declared bare: pgrx's bindings wrap every call in a guard that has no place in a handler.
mod handlers {
    unsafe extern "C-unwind" {
        pub fn die(signal: i32);
        pub fn StatementCancelHandler(signal: i32);
        pub fn SignalHandlerForConfigReload(signal: i32);
    }
}

/// Installs the signal handlers a worker needs and lets signals in. Only a runner has anything to cancel.
pub fn install_signals(role: Role) {
    // SAFETY: once, at process start. `die` sets ProcDiePending, so that every CHECK_FOR_INTERRUPTS ends the process;
    // pgrx's own SIGTERM handler does not.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        use pg_sys::pqsignal;
        #[cfg(feature = "pg18")]
        use pg_sys::pqsignal_be as pqsignal;
        pqsignal(libc::SIGTERM, Some(handlers::die));
        if role == Role::Runner {
            pqsignal(libc::SIGINT, Some(handlers::StatementCancelHandler));
        } else {
            libc::signal(libc::SIGINT, libc::SIG_IGN);
        }
        pqsignal(libc::SIGHUP, Some(handlers::SignalHandlerForConfigReload));
        pg_sys::BackgroundWorkerUnblockSignals();
    }
}

/// Connects to a database as the bootstrap superuser; `None` connects to none (shared catalogs only).
pub fn connect(database: Option<pg_sys::Oid>) {
    // SAFETY: once, at process start, after the signal handlers are in place. Fails with FATAL.
    unsafe {
        match database {
            Some(oid) => pg_sys::BackgroundWorkerInitializeConnectionByOid(oid, pg_sys::InvalidOid, 0),
            None => pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0),
        }
    }
    // A worker is a superuser in databases of other people: nothing that ALTER DATABASE or ALTER ROLE can set may lead
    // it to their objects, or stop it halfway.
    for (name, value) in [
        (c"search_path", c"pg_catalog, pg_temp"),
        (c"default_transaction_read_only", c"off"),
        (c"default_transaction_deferrable", c"off"),
        (c"statement_timeout", c"0"),
        (c"lock_timeout", c"0"),
        (c"idle_in_transaction_session_timeout", c"0"),
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        (c"transaction_timeout", c"0"),
    ] {
        // SAFETY: NUL-terminated literals, after the connection is made.
        unsafe {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            )
        };
    }
}

/// Reads the configuration again if a SIGHUP asked for it. For worker processes only.
pub fn reload_if_asked() {
    // SAFETY: ConfigReloadPending is set by the SIGHUP handler of this process; ProcessConfigFile is called from the
    // main loop, outside any transaction.
    unsafe {
        if (&raw const pg_sys::ConfigReloadPending).read_volatile() != 0 {
            (&raw mut pg_sys::ConfigReloadPending).write_volatile(0);
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

/// Sets application_name in pg_stat_activity.
pub fn report_name(name: &str) {
    if let Ok(name) = CString::new(name) {
        // SAFETY: the text is copied.
        unsafe { pg_sys::pgstat_report_appname(name.as_ptr()) };
    }
}

/// Ends every worker of a database but this process, and waits until they are gone or patience is.
pub fn end_workers(database: pg_sys::Oid, patience: Duration) {
    let begun = Instant::now();
    let me = shmem::my_pid();
    loop {
        let pids: Vec<i32> = shmem::with(|r| {
            r.slot(database)
                .map(|s| s.pids().filter(|p| *p != me).collect())
                .unwrap_or_default()
        })
        .unwrap_or_default();
        if pids.is_empty() || begun.elapsed() > patience {
            return;
        }
        for pid in pids {
            // SAFETY: a signal to one of our own workers, which takes itself out of the slot before it ends.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
        latch::wait(Duration::from_millis(10), -1);
    }
}

/// Ends a worker for good: exit status 0 tells the postmaster not to start it again.
pub fn leave() -> ! {
    // SAFETY: outside any transaction.
    unsafe { pg_sys::proc_exit(0) }
}
