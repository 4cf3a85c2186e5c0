//! The scheduler's clock: the database's, or the fixed instant of `observe_bridge.clock` in tests.

use crate::error::{Error, Result};
use crate::guc;
use pgrx::prelude::*;
use std::ffi::CString;

/// Microseconds between 1970-01-01 and PostgreSQL's epoch, 2000-01-01.
const PG_EPOCH_US: i64 = 946_684_800_000_000;

/// Now, in UTC microseconds since the Unix epoch.
pub fn now() -> Result<i64> {
    let text = guc::clock();
    if text.is_empty() {
        // SAFETY: reads the system clock, no preconditions.
        return Ok(unsafe { pg_sys::GetCurrentTimestamp() } + PG_EPOCH_US);
    }
    let text = CString::new(text).map_err(|e| Error::Internal(e.to_string()))?;
    // SAFETY: timestamptz_in takes (cstring, oid, int4) and raises on text it cannot read.
    let datum = unsafe {
        pgrx::direct_function_call_as_datum(
            pg_sys::timestamptz_in,
            &[
                Some(pg_sys::Datum::from(text.as_ptr())),
                Some(pg_sys::InvalidOid.into()),
                Some((-1i32).into()),
            ],
        )
    };
    datum
        .map(|d| d.value() as i64 + PG_EPOCH_US)
        .ok_or_else(|| Error::Internal("timestamptz_in gave null".into()))
}

/// A PostgreSQL `timestamptz` of UTC microseconds since the Unix epoch.
pub fn to_timestamptz(us: i64) -> Result<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(us - PG_EPOCH_US)
        .map_err(|_| Error::Internal(format!("{us} is not a timestamp PostgreSQL can hold")))
}

/// UTC microseconds since the Unix epoch of a finite `timestamptz`.
pub fn from_timestamptz(t: TimestampWithTimeZone) -> i64 {
    i64::from(t) + PG_EPOCH_US
}
