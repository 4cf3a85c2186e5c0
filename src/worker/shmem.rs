//! What the processes of one cluster tell each other: one slot a database that has the extension.
//!
//! Nothing here is needed for correctness (the ledger and its locks are); it is how a commit wakes a scheduler, how
//! DROP DATABASE finds the workers in its way, and what `etl_worker_status()` shows.

use crate::guc::MAX_RUNNERS;
use pgrx::prelude::*;
use pgrx::{PGRXSharedMemory, PgLwLock, pg_shmem_init};
use std::sync::OnceLock;

/// Databases with workers in one cluster.
pub const MAX_DATABASES: usize = 64;
/// Bytes kept of the last error's text.
const ERROR_BYTES: usize = 240;

/// State of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotState {
    Free = 0,
    /// A scheduler shall run there; the launcher starts it.
    Wanted = 1,
    /// DROP DATABASE or another command needs the database empty; `blocker` is the backend that runs it.
    Blocked = 2,
}

/// The workers of one database.
#[derive(Clone, Copy)]
pub struct Slot {
    pub database: pg_sys::Oid,
    pub state: SlotState,
    pub blocker: i32,
    /// 0 while none runs.
    pub scheduler: i32,
    /// 0 where none runs.
    pub runners: [i32; MAX_RUNNERS],
    /// One bit a runner: it waits for work.
    pub idle: u32,
    /// Workers that could not be started because max_worker_processes was used up, since the last that could.
    pub starved: u32,
    error: [u8; ERROR_BYTES],
    error_len: u16,
}

impl Slot {
    const FREE: Slot = Slot {
        database: pg_sys::InvalidOid,
        state: SlotState::Free,
        blocker: 0,
        scheduler: 0,
        runners: [0; MAX_RUNNERS],
        idle: 0,
        starved: 0,
        error: [0; ERROR_BYTES],
        error_len: 0,
    };

    /// Text of the last error of a worker of this database.
    pub fn error(&self) -> Option<String> {
        let bytes = &self.error[..usize::from(self.error_len).min(ERROR_BYTES)];
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
    }

    fn set_error(&mut self, text: &str) {
        let mut end = text.len().min(ERROR_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.error[..end].copy_from_slice(&text.as_bytes()[..end]);
        self.error_len = end as u16;
    }

    /// All processes of the slot.
    pub fn pids(&self) -> impl Iterator<Item = i32> + '_ {
        std::iter::once(self.scheduler).chain(self.runners).filter(|p| *p != 0)
    }
}

/// The whole of the shared state.
#[derive(Clone, Copy)]
pub struct Registry {
    pub launcher: i32,
    pub slots: [Slot; MAX_DATABASES],
}

// SAFETY: plain numbers and byte arrays, no pointers; guarded by the LWLock it is wrapped in.
unsafe impl PGRXSharedMemory for Registry {}

impl Registry {
    const EMPTY: Registry = Registry {
        launcher: 0,
        slots: [Slot::FREE; MAX_DATABASES],
    };

    /// The slot of a database, if it has one.
    pub fn slot(&mut self, database: pg_sys::Oid) -> Option<&mut Slot> {
        self.slots
            .iter_mut()
            .find(|s| s.state != SlotState::Free && s.database == database)
    }

    /// The slot of a database, made if there is room.
    pub fn slot_or_new(&mut self, database: pg_sys::Oid) -> Option<&mut Slot> {
        let at = self
            .slots
            .iter()
            .position(|s| s.state != SlotState::Free && s.database == database)
            .or_else(|| self.slots.iter().position(|s| s.state == SlotState::Free))?;
        let slot = &mut self.slots[at];
        if slot.state == SlotState::Free {
            *slot = Slot {
                database,
                state: SlotState::Wanted,
                ..Slot::FREE
            };
        }
        Some(slot)
    }
}

// SAFETY: the only lock of this name in the cluster.
static REGISTRY: PgLwLock<Registry> = unsafe { PgLwLock::new(c"observe_bridge") };
static PRELOADED: OnceLock<()> = OnceLock::new();

/// Asks for the shared memory; called from `_PG_init` while shared libraries are preloaded.
pub fn request() {
    pg_shmem_init!(REGISTRY = Registry::EMPTY);
    let _ = PRELOADED.set(());
}

/// Whether the library was preloaded, so that there are workers and shared memory.
pub fn preloaded() -> bool {
    PRELOADED.get().is_some()
}

/// Runs `f` on the shared state; `None` when the library was not preloaded. `f` must not raise.
pub fn with<T>(f: impl FnOnce(&mut Registry) -> T) -> Option<T> {
    preloaded().then(|| f(&mut REGISTRY.exclusive()))
}

/// Records the last error of this database's workers.
pub fn set_error(text: &str) {
    with(|r| {
        if let Some(slot) = r.slot(my_database()) {
            slot.set_error(text);
        }
    });
}

/// Records whether a worker of a database could be started, for `etl_worker_status()`.
pub fn count_start(database: pg_sys::Oid, started: bool) {
    with(|r| {
        if let Some(slot) = r.slot(database) {
            slot.starved = if started { 0 } else { slot.starved.saturating_add(1) };
        }
    });
}

/// The database this process is connected to.
pub fn my_database() -> pg_sys::Oid {
    // SAFETY: set once at connect.
    unsafe { pg_sys::MyDatabaseId }
}

/// This process.
pub fn my_pid() -> i32 {
    // SAFETY: set at process start.
    unsafe { pg_sys::MyProcPid }
}

/// Sets the latch of a backend or worker; a pid that is gone is ignored.
pub fn wake(pid: i32) {
    if pid == 0 {
        return;
    }
    // SAFETY: BackendPidGetProc gives null or an entry of the shared PGPROC array, which never goes away; setting the
    // latch of a process that has ended meanwhile is harmless.
    unsafe {
        let proc = pg_sys::BackendPidGetProc(pid);
        if !proc.is_null() {
            pg_sys::SetLatch(&mut (*proc).procLatch);
        }
    }
}

/// Says whether the runner of a place waits for work. A wake-up that misses it, because it is just about to wait, is made
/// up for by the scheduler's next look.
pub fn set_idle(place: usize, idle: bool) {
    with(|r| {
        if let Some(slot) = r.slot(my_database()) {
            let bit = 1 << place;
            slot.idle = if idle { slot.idle | bit } else { slot.idle & !bit };
        }
    });
}

/// Gives the slot of a database back, unless somebody blocks it.
pub fn free(database: pg_sys::Oid) {
    with(|r| {
        if let Some(slot) = r.slot(database).filter(|s| s.state == SlotState::Wanted) {
            slot.state = SlotState::Free;
        }
    });
}

/// Asks for a scheduler in a database; the launcher sees it at its next look.
pub fn want(database: pg_sys::Oid) {
    with(|r| {
        r.slot_or_new(database);
    });
}

/// As [`want`], at once.
pub fn probe(database: pg_sys::Oid) {
    want(database);
    wake(with(|r| r.launcher).unwrap_or(0));
}

/// Wakes this database's scheduler, or has the launcher start one.
pub fn wake_scheduler() {
    let target = with(|r| {
        let launcher = r.launcher;
        match r.slot_or_new(my_database()) {
            Some(slot) if slot.scheduler != 0 => slot.scheduler,
            _ => launcher,
        }
    });
    wake(target.unwrap_or(0));
}

/// Enters this process into its place and takes it out again when it ends, however it ends.
///
/// False when it must not run: its database is blocked, or another living process has its place (a scheduler or
/// launcher that was started again does not know the children of the one before).
pub fn enroll(role: crate::worker::process::Role, slot: usize) -> bool {
    use crate::worker::process::Role;
    let pid = my_pid();
    let entered = with(|r| {
        let place = match role {
            Role::Launcher => Some(&mut r.launcher),
            Role::Scheduler => r
                .slot_or_new(my_database())
                .filter(|s| s.state == SlotState::Wanted)
                .map(|s| &mut s.scheduler),
            Role::Runner => r
                .slot(my_database())
                .filter(|s| s.state == SlotState::Wanted)
                .and_then(|s| {
                    s.idle &= !(1 << slot);
                    s.runners.get_mut(slot)
                }),
        };
        match place {
            Some(place) if *place == 0 || !alive(*place) => {
                *place = pid;
                true
            }
            _ => false,
        }
    });
    if entered != Some(true) {
        return false;
    }
    // SAFETY: a plain function; runs in this process while shared memory is still attached.
    unsafe { pg_sys::before_shmem_exit(Some(discharge), pg_sys::Datum::from(0usize)) };
    true
}

/// Whether a process is one of this cluster's backends or workers.
pub fn alive(pid: i32) -> bool {
    // SAFETY: looks into shared memory only.
    unsafe { !pg_sys::BackendPidGetProc(pid).is_null() }
}

/// Takes this process out of the registry and tells the launcher.
#[pg_guard]
unsafe extern "C-unwind" fn discharge(_code: i32, _arg: pg_sys::Datum) {
    let pid = my_pid();
    let launcher = with(|r| {
        for slot in &mut r.slots {
            if slot.scheduler == pid {
                slot.scheduler = 0;
            }
            slot.runners.iter_mut().filter(|p| **p == pid).for_each(|p| *p = 0);
        }
        if r.launcher == pid {
            r.launcher = 0;
        }
        r.launcher
    });
    wake(launcher.unwrap_or(0));
}
