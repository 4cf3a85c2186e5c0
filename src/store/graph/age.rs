//! Apache AGE as the rest of the graph uses it: its library, its type, statements that name its objects.

use crate::backend::settings::scoped;
use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use pgrx::spi::SpiTupleTable;
use std::ffi::CString;

/// What there is to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Ready,
    /// AGE is installed; the graph is not there, or not whole.
    NoGraph,
    NoAge,
}

/// Whether AGE and the graph are there. A graph that came out of a dump is not: its catalog names oids of the former
/// database.
pub fn presence() -> Result<Presence> {
    let installed = sql::select("SELECT count(*) FROM pg_extension WHERE extname = 'age'", &[], |rows| {
        Ok(rows.first().get_one::<i64>()? == Some(1))
    })?;
    if !installed {
        return Ok(Presence::NoAge);
    }
    let whole = fresh(
        "SELECT count(*) FROM ag_catalog.ag_graph g JOIN pg_namespace n ON n.oid = g.graphid AND n.nspname = 'ops'
          WHERE g.name = 'ops' AND to_regclass('ops.\"Resource\"') IS NOT NULL
            AND to_regclass('ops.\"CALLS\"') IS NOT NULL AND to_regclass('ops.\"STRUCT\"') IS NOT NULL",
        &[],
        |rows| Ok(rows.first().get_one::<i64>()? == Some(1)),
    )?;
    Ok(if whole { Presence::Ready } else { Presence::NoGraph })
}

/// As [`presence`], but creates a graph that is missing: AGE may have been installed after this extension, and inside
/// CREATE EXTENSION its labels cannot always be made.
pub fn ensure() -> Result<Presence> {
    match presence()? {
        Presence::NoGraph => {
            sql::update("SELECT observe_bridge_setup()", &[], |_| Ok(()))?;
            presence()
        }
        found => Ok(found),
    }
}

/// Runs `body` with AGE's library loaded and its schema on the search_path.
pub(super) fn within<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    // Any C function of AGE loads its library; LOAD itself is for superusers.
    fresh("SELECT ag_catalog.agtype_build_map() IS NULL", &[], |_| Ok(()))?;
    let path: String = sql::select("SELECT current_setting('search_path')", &[], |rows| {
        required(rows.first().get_one()?, "search_path")
    })?;
    // Numbers pass through text on their way into cypher: all their digits.
    scoped(
        &[
            (c"search_path", &format!("{path}, ag_catalog")),
            (c"extra_float_digits", "1"),
        ],
        body,
    )
}

/// Runs `body` so that statements over the tables of labels take linear time: nothing is known about the values inside
/// `properties`, and a nested loop that was planned for a handful of rows would be quadratic in all others. Lookups in
/// an index are written as LATERAL, which stays a loop.
pub(super) fn linear<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    scoped(
        &[(c"enable_nestloop", "off"), (c"jit", "off"), (c"work_mem", "64MB")],
        body,
    )
}

/// A reading statement whose plan is not kept: tables of the graph may be empty now and large the next time, and
/// cypher's plans hold the state of one execution.
pub(super) fn fresh<T>(
    statement: &str,
    args: &[DatumWithOid<'_>],
    read: impl FnOnce(SpiTupleTable<'_>) -> Result<T>,
) -> Result<T> {
    Spi::connect(|client| {
        let plan = client.prepare_mut(
            statement,
            &args.iter().map(|a| PgOid::from(a.oid())).collect::<Vec<_>>(),
        )?;
        read(client.select(&plan, None, args)?)
    })
}

/// As [`fresh`], for a statement that writes.
pub(super) fn write<T>(
    statement: &str,
    args: &[DatumWithOid<'_>],
    read: impl FnOnce(SpiTupleTable<'_>) -> Result<T>,
) -> Result<T> {
    Spi::connect_mut(|client| read(client.update(statement, None, args)?))
}

/// A count, of which a statement has one row and several columns.
pub(super) fn counts<const N: usize>(rows: SpiTupleTable<'_>) -> Result<[usize; N]> {
    let row = rows.first();
    let mut found = [0; N];
    for (n, column) in found.iter_mut().zip(1..) {
        let count: i64 = required(row.get(column)?, "count")?;
        *n = usize::try_from(count).unwrap_or(0);
    }
    Ok(found)
}

/// A value of AGE's type from its text, as `cypher()` wants its parameters.
pub(super) fn agtype(text: String) -> Result<DatumWithOid<'static>> {
    let oid: pg_sys::Oid = fresh("SELECT 'ag_catalog.agtype'::regtype::oid", &[], |rows| {
        required(rows.first().get_one()?, "agtype")
    })?;
    let text = CString::new(text).map_err(|e| Error::Internal(e.to_string()))?;
    // SAFETY: the type exists; its input function reads the NUL-terminated text and raises on what it cannot read. The
    // datum lives in the current memory context, that is at least as long as the statement.
    unsafe {
        let (mut input, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        pg_sys::getTypeInputInfo(oid, &mut input, &mut parameter);
        let datum = pg_sys::OidInputFunctionCall(input, text.as_ptr().cast_mut(), parameter, -1);
        Ok(DatumWithOid::new(datum, oid))
    }
}
