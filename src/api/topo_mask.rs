//! `topo_mask_props()` and `topo_mask_end()`: edges without the secrets that somebody put into them.

use engine::patterns::{mask_json, mask_secrets};
use pgrx::prelude::*;
use serde_json::Value;

/// What has a user and a password, if any, before its host.
const AUTHORITY: &str = "://";

/// What cannot be read: a value that no properties have.
const UNREADABLE: &str = "null";

/// Properties of an edge without secrets; NULL where they have none, `null` where they cannot be read: they nest more than
/// 100 levels deep, or hold a number that no double holds. Which edge that is says `topo_edges_check()`.
#[pg_extern(immutable, parallel_safe, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_mask_props(props: &str) -> Option<String> {
    match serde_json::from_str::<Value>(props) {
        Ok(mut value) => mask_json(&mut value).then(|| value.to_string()),
        Err(_) => Some(UNREADABLE.to_owned()),
    }
}

/// An end of an edge: user and password of a URL are hidden.
#[pg_extern(immutable, parallel_safe, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_mask_end(identifier: &str) -> String {
    match identifier.contains(AUTHORITY) {
        true => mask_secrets(identifier).into_owned(),
        false => identifier.to_owned(),
    }
}
