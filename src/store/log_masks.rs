//! `log_mask`: masks and ignored words of tenants, compiled once and kept in the process.

use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use engine::patterns::{Masker, Rule, RuleError, RuleKind};
use pgrx::prelude::*;
use std::cell::RefCell;
use std::collections::HashMap;

/// Tenants whose compiled rules are kept at most: a megabyte or two each, at the worst.
const MAX_TENANTS: usize = 50;

thread_local! {
    /// The rules from which a tenant's masker was made: as long as the table says the same, it is used again.
    static COMPILED: RefCell<HashMap<i64, (Vec<Rule>, Masker)>> = RefCell::default();
}

/// The masker of a tenant as of now. The rules are read every time, which costs one look into an index, and compiled only if
/// they have changed: so no process ever uses others than those its transaction sees.
///
/// # Errors
/// Rules that cannot be compiled, which only a table with its triggers disabled can hold. To go on without them would
/// give lines other fingerprints.
pub fn masker(tenant: i64) -> Result<Masker> {
    let rules = read(tenant)?;
    if rules.is_empty() {
        return Ok(Masker::new());
    }
    COMPILED.with_borrow_mut(|compiled| {
        if let Some((of, masker)) = compiled.get(&tenant)
            && *of == rules
        {
            return Ok(masker.clone());
        }
        let masker = Masker::with_rules(&rules).map_err(refused)?;
        if compiled.len() >= MAX_TENANTS {
            compiled.clear();
        }
        compiled.insert(tenant, (rules, masker.clone()));
        Ok(masker)
    })
}

/// Checks one rule that is about to be stored.
///
/// # Errors
/// What is wrong with it.
pub fn check(kind: &str, pattern: &str, replacement: Option<&str>) -> Result<()> {
    rule(0, kind, pattern.to_owned(), replacement.map(str::to_owned))?
        .check()
        .map_err(refused)
}

/// Checks the stored rules of a tenant together, those for all tenants included; `None`: these alone.
///
/// # Errors
/// They are too many or too large.
pub fn check_all(tenant: Option<i64>) -> Result<()> {
    // No tenant has the number 0 or below.
    Masker::with_rules(&read(tenant.unwrap_or(0))?)
        .map(drop)
        .map_err(refused)
}

fn read(tenant: i64) -> Result<Vec<Rule>> {
    sql::select(
        "SELECT priority, kind, pattern, replacement FROM log_mask
          WHERE enabled AND (tenant_id = $1 OR tenant_id IS NULL) ORDER BY priority, kind, pattern, replacement",
        &[tenant.into()],
        |rows| {
            rows.into_iter()
                .map(|row| {
                    let kind: &str = required(row.get(2)?, "kind")?;
                    let pattern = required(row.get(3)?, "pattern")?;
                    rule(required(row.get(1)?, "priority")?, kind, pattern, row.get(4)?)
                })
                .collect()
        },
    )
}

fn rule(priority: i32, kind: &str, text: String, shown: Option<String>) -> Result<Rule> {
    let kind = RuleKind::from_name(kind).ok_or_else(|| {
        Error::invalid(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("there is no kind of mask \"{kind}\""),
            "kind is mask (a regular expression) or ignore (a word).",
        )
    })?;
    Ok(Rule {
        priority,
        kind,
        text,
        shown,
    })
}

fn refused(error: RuleError) -> Error {
    let sqlstate = match error {
        RuleError::Syntax(..) => PgSqlErrorCode::ERRCODE_INVALID_REGULAR_EXPRESSION,
        RuleError::TooBig(_) | RuleError::TooMany(_) | RuleError::TooLong(_) => {
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED
        }
        RuleError::MatchesNothing(_) | RuleError::Name(_) => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
    };
    Error::invalid(sqlstate, error.to_string(), error.hint())
}
