//! Heavyweight locks under a tag of our own, so that no user can hold them by accident or on purpose.
//!
//! `pg_locks` shows them with locktype `userlock`: classid and objid hold the high and low half of the key, objsubid
//! the kind.

use pgrx::pg_sys;

/// What is locked. The number is part of the lock's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// The windows of one batch while they are worked on; key = batch_id, held by the session.
    Run = 0x0B01,
    /// Claims are serialised by it, so that concurrency caps are exact; key = 0.
    Claim = 0x0B02,
    /// One 5-minute bucket of one tenant while its rows are recomputed from partials.
    Bucket = 0x0B03,
    /// The one writer of the graph; key = 0.
    Graph = 0x0B04,
    /// New log patterns of a tenant: classes are computed from all of them; key = tenant_id.
    Patterns = 0x0B05,
}

/// Who releases the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Released at the end of the transaction.
    Transaction,
    /// Released by [`release`] or when the process ends; it survives a rollback.
    Session,
}

fn tag(kind: Kind, key: i64) -> pg_sys::LOCKTAG {
    let key = key as u64;
    pg_sys::LOCKTAG {
        // SAFETY: MyDatabaseId is set before any SQL can run.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
        locktag_field2: (key >> 32) as u32,
        locktag_field3: key as u32,
        locktag_field4: kind as u16,
        locktag_type: pg_sys::LockTagType::LOCKTAG_USERLOCK as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    }
}

/// Takes the lock exclusively if it is free (or ours already); never waits.
pub fn try_acquire(kind: Kind, key: i64, scope: Scope) -> bool {
    let tag = tag(kind, key);
    // SAFETY: `tag` outlives the call; LockAcquire copies it. Called on the main thread with a live PGPROC.
    let got = unsafe { pg_sys::LockAcquire(&tag, pg_sys::ExclusiveLock as i32, scope == Scope::Session, true) };
    got != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Takes the lock exclusively, waiting for it; interrupts and deadlocks raise.
pub fn acquire(kind: Kind, key: i64) {
    let tag = tag(kind, key);
    // SAFETY: as in `try_acquire`.
    unsafe { pg_sys::LockAcquire(&tag, pg_sys::ExclusiveLock as i32, false, false) };
}

/// As [`acquire`], together with others who share it.
pub fn acquire_shared(kind: Kind, key: i64) {
    let tag = tag(kind, key);
    // SAFETY: as in `try_acquire`.
    unsafe { pg_sys::LockAcquire(&tag, pg_sys::ShareLock as i32, false, false) };
}

/// Gives a session lock back.
pub fn release(kind: Kind, key: i64) {
    let tag = tag(kind, key);
    // SAFETY: as in `try_acquire`; releasing a lock that is not held only warns.
    unsafe { pg_sys::LockRelease(&tag, pg_sys::ExclusiveLock as i32, true) };
}

/// Whether this process itself holds the lock.
pub fn held_by_me(kind: Kind, key: i64) -> bool {
    let tag = tag(kind, key);
    // SAFETY: looks into the process's own lock table only.
    unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        return pg_sys::LockHeldByMe(&tag, pg_sys::ExclusiveLock as i32);
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        pg_sys::LockHeldByMe(&tag, pg_sys::ExclusiveLock as i32, false)
    }
}

/// Takes a shared lock on the extension itself until the transaction ends, if nobody is dropping it.
///
/// DROP EXTENSION takes this lock exclusively before any other: holding it first means that neither side can deadlock
/// with the other halfway. (ALTER EXTENSION UPDATE takes it shared, so it is not kept away.)
pub fn try_share_extension(extension: pg_sys::Oid) -> bool {
    let tag = pg_sys::LOCKTAG {
        // SAFETY: as in `tag`.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
        locktag_field2: pg_sys::ExtensionRelationId.to_u32(),
        locktag_field3: extension.to_u32(),
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    };
    // SAFETY: as in `try_acquire`.
    let got = unsafe { pg_sys::LockAcquire(&tag, pg_sys::AccessShareLock as i32, false, true) };
    got != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}
