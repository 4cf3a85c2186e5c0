//! The Apache AGE graph `ops`: `(:Resource)-[:CALLS]->(:Resource)`, the calls of the last ten minutes, and on demand
//! `(:Resource)-[:STRUCT]->(:Resource)`, what is declared.
//!
//! The graph is a projection of `service_call_5m` and `topo_edge_time`. A refresh compares both sides in SQL
//! ([`diff`]); few changes are written as cypher ([`cypher`]), many as SQL on the tables of the labels ([`set_based`]):
//! the result is the same. A vertex is there as long as an edge of any label needs it ([`leaving`]).

mod age;
mod cypher;
mod diff;
mod leaving;
mod set_based;
mod structure;

pub use age::{Presence, ensure, presence};

use crate::backend::clock::to_timestamptz;
use crate::backend::locks::{self, Kind};
use crate::error::Result;
use diff::Extent;
use set_based::Written;
use structure::Structure;

/// An edge is active while its newest bucket starts no longer ago than this (microseconds).
const ACTIVE_US: i64 = 600_000_000;

/// What a refresh did. `edges*` are calls; `structure` is there if the tenant has declared edges in the graph, or had.
#[derive(Debug, Default, serde::Serialize)]
pub struct Refreshed {
    pub vertices_created: usize,
    pub vertices_updated: usize,
    pub vertices_deleted: usize,
    pub edges_created: usize,
    pub edges_updated: usize,
    pub edges_deleted: usize,
    pub edges: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structure: Option<Structure>,
}

/// Makes the graph's edges of one tenant those of `service_call_5m` at `now` (UTC microseconds), and those of
/// `topo_edge_time` if it wants them. The graph must be there. Doing it twice changes nothing.
pub fn refresh(tenant: i64, now: i64) -> Result<Refreshed> {
    // Before looking: who holds it may be about to write what seems to be missing.
    locks::acquire(Kind::Graph, 0);
    let since = to_timestamptz(now - ACTIVE_US)?;
    age::within(|| {
        let vertices = match age::linear(|| diff::read_vertices(tenant, since))? {
            Extent::Few(changes) => {
                cypher::write_vertices(&changes)?;
                Written::of(&changes)
            }
            Extent::Many => {
                age::linear(|| set_based::write_vertices(diff::CALL_ENDS, &diff::parameters(tenant, since)))?
            }
        };
        let (wanted, extent) = age::linear(|| diff::read_edges(tenant, since))?;
        let edges = match extent {
            Extent::Few(changes) => {
                cypher::write_edges(&changes)?;
                Written::of(&changes)
            }
            Extent::Many => age::linear(|| set_based::write_edges(tenant, since))?,
        };
        let structure = age::linear(|| structure::refresh(tenant))?;
        // Vertices come with edges, so they only leave with edges.
        let lost = edges.deleted + structure.as_ref().map_or(0, |s| s.edges_deleted);
        let vertices_deleted = match lost {
            0 => 0,
            _ => age::linear(|| leaving::vertices(Some(tenant)))?,
        };
        Ok(Refreshed {
            vertices_created: vertices.created,
            vertices_updated: vertices.set,
            vertices_deleted,
            edges_created: edges.created,
            edges_updated: edges.set,
            edges_deleted: edges.deleted,
            edges: wanted,
            structure,
        })
    })
}

/// Deletes the calls of every tenant that have not been seen for ten minutes and what is left of tenants that are gone;
/// by the clock, whatever upstream does.
pub fn expire(now: i64) -> Result<()> {
    // Before looking: a refresh may be about to renew what seems to have expired.
    locks::acquire(Kind::Graph, 0);
    age::within(|| {
        age::linear(|| {
            if leaving::edges(now)? > 0 {
                leaving::vertices(None)?;
            }
            Ok(())
        })
    })
}
