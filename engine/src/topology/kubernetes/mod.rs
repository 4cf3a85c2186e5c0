//! Kubernetes: manifests (YAML of any number of documents, JSON, lists) and `kubectl get -o json`.
//!
//! Identifiers are `Kind/namespace/name`, `Kind/name` where the kind has no namespace.

mod endpoints;
mod object;
mod read;
mod structure;

use object::{Index, Object};

use super::{Edge, Extracted, TopologyError, names};

/// Most edges of one input.
const MAX_EDGES: usize = 500_000;

/// All edges between the objects of an input; objects that name no namespace are in `namespace`.
///
/// # Errors
/// [`TopologyError::Syntax`], [`TopologyError::Limit`].
pub fn edges(text: &str, namespace: &str) -> Result<Extracted, TopologyError> {
    let (objects, unresolved) = read::objects(text, namespace)?;
    let index = Index::new(&objects);
    let mut edges = Vec::new();
    let mut budget = endpoints::MAX_ENVIRONMENT_BYTES;
    for object in &objects {
        structure::edges(object, &index, &mut edges);
        endpoints::edges(object, &index, &mut budget, &mut edges)?;
        if edges.len() > MAX_EDGES {
            return Err(TopologyError::Limit {
                what: "edges",
                limit: MAX_EDGES,
            });
        }
    }
    Ok(Extracted::new(edges, unresolved))
}

/// An edge between objects, with their URNs.
fn edge(src: &Object, relation: &'static str, dst: object::Id<'_>, evidence: super::Evidence) -> Edge {
    let mut edge = Edge::new(src.id().to_string(), relation, dst.to_string(), evidence);
    edge.src_urn = Some(names::kubernetes(&src.kind, src.namespace.as_deref(), &src.name));
    edge.dst_urn = Some(names::kubernetes(dst.kind, dst.namespace, dst.name));
    edge
}
