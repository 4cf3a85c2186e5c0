//! What the table `log_mask` needs of the engine, and `log_patterns_remask()`.

use crate::api::tenant::tenant_id;
use crate::backend::locks::{self, Kind};
use crate::error::{Result, or_raise};
use crate::store::{classes, log_masks, remask};
use pgrx::prelude::*;

/// Raises where a mask cannot be used; for the trigger of `log_mask`.
#[pg_extern(stable)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn log_mask_check(kind: &str, pattern: &str, replacement: Option<&str>) {
    or_raise(log_masks::check(kind, pattern, replacement));
}

/// Raises where the masks of a tenant are too many or too large together; for the trigger of `log_mask`.
#[pg_extern(stable)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn log_masks_check(tenant_id: Option<i64>) {
    or_raise(log_masks::check_all(tenant_id));
}

/// Bridges the patterns of a tenant from other masks to today's; returns how many fingerprints of other masks there are.
///
/// Writes facts, hence SECURITY DEFINER; what it writes follows from what is stored.
#[pg_extern(volatile, strict, security_definer)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn log_patterns_remask(tenant: &str) -> i64 {
    or_raise(remasked(tenant))
}

fn remasked(tenant: &str) -> Result<i64> {
    let tenant = tenant_id(tenant)?;
    locks::acquire(Kind::Patterns, tenant);
    let masker = log_masks::masker(tenant)?;
    let bridged = remask::all(tenant, &masker)?;
    classes::refresh(tenant, &masker)?;
    Ok(i64::try_from(bridged).unwrap_or(i64::MAX))
}
