//! Tenants by their codes.

use crate::backend::sql;
use crate::error::{Error, Result};
use pgrx::prelude::*;

/// The id of the tenant with this code.
///
/// # Errors
/// There is none.
pub fn tenant_id(code: &str) -> Result<i64> {
    let id: Option<i64> = sql::select(
        "SELECT max(tenant_id) FROM dim_tenant WHERE code = $1",
        &[code.into()],
        |rows| Ok(rows.first().get_one()?),
    )?;
    id.ok_or_else(|| {
        Error::invalid(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("tenant \"{code}\" does not exist"),
            "SELECT code FROM dim_tenant lists the tenants.",
        )
    })
}
