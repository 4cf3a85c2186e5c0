//! Edges as `topo_load` takes them: a JSON array, written as they come.

use crate::backend::json::replace_nul;
use crate::error::{Error, Result};
use engine::topology::{Edge, Evidence};
use engine::urn;
use serde::Serialize;
use serde_json::Value;

/// Longest name of an end that `topo_load` takes, bytes.
pub(super) const MAX_END: usize = 2000;
/// How JSON writes the character that PostgreSQL's texts cannot hold.
const NUL: &str = "\\u0000";

/// A growing array of edges.
#[derive(Debug)]
pub struct Edges {
    /// Always a whole array.
    json: String,
    /// Edges in it.
    pub count: u64,
    /// Edges with an end whose name is too long to be a key.
    pub too_long: u64,
}

#[derive(Serialize)]
struct Loaded<'a> {
    src: String,
    dst: String,
    relation: &'a str,
    props: &'a Evidence,
}

impl Edges {
    pub fn new() -> Self {
        Edges {
            json: "[]".to_string(),
            count: 0,
            too_long: 0,
        }
    }

    /// Adds what was found, but for edges within one thing. A name without a URN belongs to `scope`.
    ///
    /// # Errors
    /// `Internal`, if an edge cannot be written as JSON.
    pub fn add(&mut self, found: Vec<Edge>, scope: &str) -> Result<()> {
        for edge in found.into_iter().filter(|edge| !edge.is_within_one_thing()) {
            let src = end(edge.src_urn, edge.src, scope);
            let dst = end(edge.dst_urn, edge.dst, scope);
            if src.len().max(dst.len()) > MAX_END {
                self.too_long += 1;
                continue;
            }
            let internal = |e: serde_json::Error| Error::Internal(e.to_string());
            let mut json = serde_json::to_string(&Loaded {
                src,
                dst,
                relation: edge.relation,
                props: &edge.evidence,
            })
            .map_err(internal)?;
            if json.contains(NUL) {
                let mut value: Value = serde_json::from_str(&json).map_err(internal)?;
                replace_nul(&mut value);
                json = value.to_string();
            }
            // Between the brackets.
            self.json.pop();
            if self.count > 0 {
                self.json.push(',');
            }
            self.json.push_str(&json);
            self.json.push(']');
            self.count += 1;
        }
        Ok(())
    }

    /// The array.
    pub fn json(&self) -> &str {
        &self.json
    }
}

/// The URN of an end.
pub(super) fn end(urn: Option<String>, id: String, scope: &str) -> String {
    match urn {
        Some(urn) => urn,
        None if id.starts_with("urn:") => id,
        None => urn::in_source(scope, &id),
    }
}
