//! `CALL etl_ensure_current()`: a SQL job brought up to its source in the calling session, for migrations.

use crate::api::run::{as_duration, can_run};
use crate::backend::clock;
use crate::backend::session;
use crate::error::{Error, Result, or_raise};
use crate::jobs::catch_up::{self, Outcome, Request};
use pgrx::AnyElement;
use pgrx::prelude::*;
use std::ffi::CStr;

/// Brings a SQL job up to its source, month by month; commits after each call of its function.
#[pg_extern(sql = "
CREATE PROCEDURE etl_ensure_current(
    job text, tenant text, max_lag interval DEFAULT '1 hour', sleep_between_slices interval DEFAULT '0',
    INOUT skipped text DEFAULT NULL, INOUT slices bigint DEFAULT NULL, INOUT rows bigint DEFAULT NULL,
    INOUT \"from\" timestamptz DEFAULT NULL, INOUT \"to\" timestamptz DEFAULT NULL, INOUT watermark_stamped boolean DEFAULT NULL)
    LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
")]
fn etl_ensure_current(
    job: Option<&str>,
    tenant: Option<&str>,
    max_lag: Option<Interval>,
    sleep_between_slices: Option<Interval>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Option<AnyElement> {
    or_raise(can_run("etl_ensure_current", fcinfo));
    let request = Request {
        job: job.unwrap_or_default().to_string(),
        tenant: tenant.unwrap_or_default().to_string(),
        max_lag,
        pause: sleep_between_slices.as_ref().map(as_duration).unwrap_or_default(),
        lock_timeout: lock_timeout(),
    };
    let outcome = or_raise(session::in_procedure(|session| catch_up::run(session, &request)));
    or_raise(row(&outcome, fcinfo))
}

/// The caller's `lock_timeout`, as text.
fn lock_timeout() -> String {
    // SAFETY: a setting of the server's own; the text is copied at once.
    unsafe {
        let value = pg_sys::GetConfigOption(c"lock_timeout".as_ptr(), true, false);
        if value.is_null() {
            return "0".into();
        }
        CStr::from_ptr(value).to_string_lossy().into_owned()
    }
}

/// The row of the procedure's INOUT parameters.
fn row(outcome: &Outcome, fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<AnyElement>> {
    let at = |us: Option<i64>| us.map(clock::to_timestamptz).transpose();
    let values = [
        outcome.skipped.into_datum(),
        outcome.slices.into_datum(),
        outcome.rows.into_datum(),
        at(outcome.range.map(|r| r.from))?.into_datum(),
        at(outcome.range.map(|r| r.to))?.into_datum(),
        outcome.stamped.into_datum(),
    ];
    let mut nulls = values.map(|v| v.is_none());
    let mut values = values.map(|v| v.unwrap_or(pg_sys::Datum::from(0usize)));
    // SAFETY: the result type is the row of the INOUT parameters, which are those six; the tuple is made in the memory
    // of the CALL, behind the last commit.
    unsafe {
        let mut description = std::ptr::null_mut();
        let class = pg_sys::get_call_result_type(fcinfo, std::ptr::null_mut(), &mut description);
        if class != pg_sys::TypeFuncClass::TYPEFUNC_COMPOSITE || (*description).natts as usize != values.len() {
            return Err(Error::Internal(
                "etl_ensure_current() was declared with other parameters".into(),
            ));
        }
        let description = pg_sys::BlessTupleDesc(description);
        let tuple = pg_sys::heap_form_tuple(description, values.as_mut_ptr(), nulls.as_mut_ptr());
        let datum = pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data);
        Ok(AnyElement::from_polymorphic_datum(datum, false, pg_sys::RECORDOID))
    }
}
