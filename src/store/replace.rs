//! The rows of a range of time made those that are wanted: deleted and written anew, so that what vanished from the
//! source vanishes here, too. Where they are there already, as after a replay that found nothing new, nothing is written.

use crate::backend::clock::to_timestamptz;
use crate::backend::sql::{self, required};
use crate::error::Result;
use crate::store::CHUNK;
use engine::window::Window;
use pgrx::datum::DatumWithOid;

/// The statements of one table. In all of them $1 is the tenant, the range is from $2 to before $3, and from $4 on there
/// is an array for each column.
pub struct Statements {
    /// One row: how many rows the range has, and whether they are just those of the arrays.
    pub present: &'static str,
    /// Knows only the range.
    pub delete: &'static str,
    /// Adds the rows of the arrays.
    pub insert: &'static str,
}

/// Parameters of the range.
const RANGE: usize = 3;

/// Replaces the rows that a tenant has in a range. `columns` gives the arrays of some of the rows.
pub fn replace<'a, R>(
    table: &Statements,
    tenant: i64,
    range: Window,
    rows: &'a [R],
    columns: impl Fn(&'a [R]) -> Result<Vec<DatumWithOid<'a>>>,
) -> Result<()> {
    let (first, rest) = rows.split_at(rows.len().min(CHUNK));
    let mut arguments: Vec<DatumWithOid<'a>> = vec![
        tenant.into(),
        to_timestamptz(range.from)?.into(),
        to_timestamptz(range.to)?.into(),
    ];
    arguments.extend(columns(first)?);
    let (n, same) = sql::select(table.present, &arguments, |rows| {
        let row = rows.first();
        let n: i64 = required(row.get(1)?, "n")?;
        Ok((n, row.get(2)?.unwrap_or(false)))
    })?;
    if n > 0 {
        if same && rest.is_empty() {
            return Ok(());
        }
        sql::execute(table.delete, arguments.get(..RANGE).unwrap_or_default())?;
    }
    if !first.is_empty() {
        sql::execute(table.insert, &arguments)?;
    }
    for chunk in rest.chunks(CHUNK) {
        arguments.truncate(RANGE);
        arguments.extend(columns(chunk)?);
        sql::execute(table.insert, &arguments)?;
    }
    Ok(())
}
