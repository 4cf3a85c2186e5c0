//! Statements with kept plans. Texts are unqualified: the caller has pinned search_path.

use crate::error::{Error, Result};
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use pgrx::spi::{OwnedPreparedStatement, SpiClient, SpiTupleTable};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

thread_local! {
    // One plan a statement and process: parsing and planning cost more than most of our statements.
    static PLANS: RefCell<HashMap<&'static str, Rc<OwnedPreparedStatement>>> = RefCell::new(HashMap::new());
}

fn plan(client: &SpiClient<'_>, sql: &'static str, args: &[DatumWithOid<'_>]) -> Result<Rc<OwnedPreparedStatement>> {
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(sql).cloned()) {
        return Ok(plan);
    }
    let types: Vec<PgOid> = args.iter().map(|a| PgOid::from(a.oid())).collect();
    let plan = Rc::new(client.prepare_mut(sql, &types)?.keep());
    PLANS.with_borrow_mut(|plans| plans.insert(sql, plan.clone()));
    Ok(plan)
}

/// Runs a statement that may write, and hands its rows to `read`.
pub fn update<T>(
    sql: &'static str,
    args: &[DatumWithOid<'_>],
    read: impl FnOnce(SpiTupleTable<'_>) -> Result<T>,
) -> Result<T> {
    Spi::connect_mut(|client| {
        let plan = plan(client, sql, args)?;
        read(client.update(&*plan, None, args)?)
    })
}

/// Runs a statement that may write and returns the number of rows it touched.
pub fn execute(sql: &'static str, args: &[DatumWithOid<'_>]) -> Result<usize> {
    update(sql, args, |rows| Ok(rows.len()))
}

/// Runs a statement that only reads, on a fresh snapshot; unlike [`update`] it burns no transaction id.
pub fn select<T>(
    sql: &'static str,
    args: &[DatumWithOid<'_>],
    read: impl FnOnce(SpiTupleTable<'_>) -> Result<T>,
) -> Result<T> {
    Spi::connect(|client| {
        let plan = plan(client, sql, args)?;
        read(client.select(&*plan, None, args)?)
    })
}

/// A column that the statement never leaves null.
pub fn required<T>(value: Option<T>, column: &str) -> Result<T> {
    value.ok_or_else(|| Error::Internal(format!("column {column} is null")))
}
