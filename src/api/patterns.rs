//! `log_template()` and `log_fingerprint()`: the pure stage of pattern mining, from SQL.

use crate::api::tenant::tenant_id;
use crate::error::{Result, or_raise};
use crate::store::log_masks;
use engine::patterns::{Masker, Scratch};
use pgrx::prelude::*;
use std::cell::RefCell;

thread_local! {
    static MASKER: RefCell<(Masker, Scratch)> = RefCell::new((Masker::new(), Scratch::default()));
}

fn template(message: &str) -> String {
    MASKER.with_borrow(|(masker, _)| masker.template(message))
}

fn fingerprint(message: &str) -> i64 {
    MASKER.with_borrow_mut(|(masker, scratch)| masker.fingerprint(message, scratch) as i64)
}

/// The line with `<*>` for what varies.
#[pg_extern(immutable, parallel_safe, strict, name = "log_template")]
fn log_template(message: &str) -> String {
    template(message)
}

/// The 64 bits of the line's fingerprint, as a signed number.
#[pg_extern(immutable, parallel_safe, strict, name = "log_fingerprint")]
fn log_fingerprint(message: &str) -> i64 {
    fingerprint(message)
}

/// As `log_template(message)`, with the masks of a tenant.
#[pg_extern(stable, strict, name = "log_template")]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn log_template_tenant(message: &str, tenant: &str) -> String {
    or_raise(masker(tenant)).template(message)
}

/// As `log_fingerprint(message)`, with the masks of a tenant.
#[pg_extern(stable, strict, name = "log_fingerprint")]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn log_fingerprint_tenant(message: &str, tenant: &str) -> i64 {
    or_raise(masker(tenant)).fingerprint(message, &mut Scratch::default()) as i64
}

fn masker(tenant: &str) -> Result<Masker> {
    log_masks::masker(tenant_id(tenant)?)
}
