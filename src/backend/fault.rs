//! Fault points: named places on the way of a run and of the scheduler where a test stops a process, to kill it there.
//!
//! Only builds with the feature `fault-points` stop anywhere; in all others [`point`] compiles to nothing. A test build
//! says so by the read-only setting `observe_bridge.fault_points`, which no other build has.
//!
//! At a point the process takes the advisory lock (1329743440, number of the point) of its database in share mode and
//! gives it back at once. So a session that holds it exclusively, by `SELECT pg_advisory_lock(1329743440, number)`, stops
//! every process that comes there, and sees it wait in `pg_locks`. The wait serves interrupts.

/// The places. The numbers are what tests lock; they are repeated in `pgrx-tests/src/fault.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Point {
    /// In the transaction of the claim: the row says running, the lock of the run is held.
    ClaimedBeforeCommit = 1,
    /// The claim is committed, nothing else has begun.
    Claimed = 2,
    /// It is known what to fetch.
    Planned = 3,
    /// Everything is fetched and aggregated; no transaction is open.
    Fetched = 4,
    /// In the transaction that writes, before its first row.
    Writing = 5,
    /// All rows are written, the ledger does not know yet.
    Written = 6,
    /// The ledger says success, the commit is to come.
    FinishedBeforeCommit = 7,
    /// The end of the run is committed, its lock is still held.
    Committed = 8,
    /// The lock of the run is given back.
    Released = 9,
    /// In the scheduler's transaction, which has enqueued windows.
    TickBeforeCommit = 10,
    /// In the transaction that took a run from a dead worker.
    RescueBeforeCommit = 11,
}

/// Nothing: this is not a test build.
///
/// # Errors
/// None.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn point(_: Point) -> crate::error::Result<()> {
    Ok(())
}

#[cfg(feature = "fault-points")]
pub use stopping::{announce, point};

#[cfg(feature = "fault-points")]
mod stopping {
    use super::Point;
    use crate::backend::session::Session;
    use crate::error::Result;
    use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, pg_sys};

    /// First key of the advisory locks: "OBFP" in ASCII. Our own, as far as that is possible: these keys are everybody's.
    const CLASS: u32 = 1_329_743_440;

    static FAULT_POINTS: GucSetting<bool> = GucSetting::<bool>::new(true);

    /// Registers the setting that tells a test build; called once, from `_PG_init`.
    pub fn announce() {
        GucRegistry::define_bool_guc(
            c"observe_bridge.fault_points",
            c"This is a test build: its processes stop where tests ask them to.",
            c"",
            &FAULT_POINTS,
            GucContext::Internal,
            GucFlags::default(),
        );
    }

    /// Stops here while a session holds the lock of the point exclusively.
    ///
    /// # Errors
    /// None of its own: a cancel raises, inside a transaction, or is returned, outside of one.
    pub fn point(point: Point) -> Result<()> {
        // SAFETY: reads the state of this process.
        if unsafe { pg_sys::IsTransactionState() } {
            pass(point);
            return Ok(());
        }
        Session::Worker.bare_transaction(|| {
            pass(point);
            Ok(())
        })
    }

    fn pass(point: Point) {
        let tag = pg_sys::LOCKTAG {
            // SAFETY: MyDatabaseId is set before any point is reached.
            locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
            locktag_field2: CLASS,
            locktag_field3: point as u32,
            // Two keys of four bytes, as SET_LOCKTAG_ADVISORY of lockfuncs.c has it.
            locktag_field4: 2,
            locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
            locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
        };
        // SAFETY: `tag` outlives the calls; on the main thread, in a transaction. An error in the wait leaves nothing held.
        unsafe {
            pg_sys::LockAcquire(&tag, pg_sys::ShareLock as i32, true, false);
            pg_sys::LockRelease(&tag, pg_sys::ShareLock as i32, true);
        }
    }
}
