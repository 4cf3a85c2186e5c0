//! What the functions that define and guard SQL jobs need from the server's own parser, or as the job's owner.

use crate::backend::settings::set_local;
use crate::error::{Error, Result, or_raise};
use crate::jobs::definition;
use pgrx::PgTupleDesc;
use pgrx::prelude::*;
use std::ffi::CString;

/// The types of the columns of one statement with these parameters, without running it; none for one that returns
/// nothing. Raises when it is not one statement, not a SELECT though it must be, or one that cannot be.
#[pg_extern(stable)]
#[search_path(pg_catalog, pg_temp)]
fn etl_statement_types(
    statement: &str,
    parameters: Vec<pg_sys::Oid>,
    path: Vec<String>,
    only_select: bool,
) -> Vec<pg_sys::Oid> {
    or_raise(types(statement, parameters, &path, only_select))
}

fn types(
    statement: &str,
    mut parameters: Vec<pg_sys::Oid>,
    path: &[String],
    only_select: bool,
) -> Result<Vec<pg_sys::Oid>> {
    let text = CString::new(statement).map_err(|e| Error::Internal(e.to_string()))?;
    let path: Vec<String> = path.iter().map(pgrx::spi::quote_identifier).collect();
    Spi::connect(|_| {
        // SAFETY: a level of settings that ends below, or by the abort; strings and types outlive the call, and the
        // plan is read before SPI goes, which frees it.
        unsafe {
            let level = pg_sys::NewGUCNestLevel();
            set_local(c"search_path", &path.join(", "))?;
            let count = i32::try_from(parameters.len()).map_err(|e| Error::Internal(e.to_string()))?;
            let plan = pg_sys::SPI_prepare(text.as_ptr(), count, parameters.as_mut_ptr());
            if plan.is_null() {
                let code = pg_sys::SPI_result;
                return Err(Error::Internal(format!("SPI_prepare failed with {code}")));
            }
            let sources = pg_sys::SPI_plan_get_plan_sources(plan);
            if sources.is_null() || (*sources).length != 1 {
                return Err(Error::invalid(
                    PgSqlErrorCode::ERRCODE_SYNTAX_ERROR,
                    "one statement was expected",
                    "Put several into a function.",
                ));
            }
            let source = pg_sys::list_nth(sources, 0).cast::<pg_sys::CachedPlanSource>();
            if only_select && (*source).commandTag != pg_sys::CommandTag::CMDTAG_SELECT {
                return Err(Error::invalid(
                    PgSqlErrorCode::ERRCODE_SYNTAX_ERROR,
                    "a SELECT was expected",
                    "Write one that only reads.",
                ));
            }
            let types = if (*source).resultDesc.is_null() {
                Vec::new()
            } else {
                PgTupleDesc::from_pg_copy((*source).resultDesc)
                    .iter()
                    .map(|column| column.atttypid)
                    .collect()
            };
            pg_sys::AtEOXact_GUC(true, level);
            Ok(types)
        }
    })
}

/// The first and the last event of a tenant that a job's source_range gives, read as the job's owner; NULL when there
/// are none.
#[pg_extern(volatile, security_definer)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn etl_source_range(
    job: &str,
    tenant: &str,
) -> TableIterator<
    'static,
    (
        name!(min_event, Option<TimestampWithTimeZone>),
        name!(max_event, Option<TimestampWithTimeZone>),
    ),
> {
    let range = or_raise(source_range(job, tenant));
    TableIterator::once((range.map(|r| r.0), range.map(|r| r.1)))
}

fn source_range(job: &str, tenant: &str) -> Result<Option<(TimestampWithTimeZone, TimestampWithTimeZone)>> {
    let tenant_id = crate::backend::sql::select("SELECT etl_tenant_require($1)", &[tenant.into()], |rows| {
        crate::backend::sql::required(rows.first().get_one::<i64>()?, "tenant_id")
    })?;
    definition::load(job)?.source_range(tenant_id)
}
