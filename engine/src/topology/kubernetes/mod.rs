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
    let (objects, mut unresolved) = read::objects(text, namespace)?;
    let index = Index::new(&objects);
    let mut edges = Vec::new();
    let mut budget = endpoints::MAX_ENVIRONMENT_BYTES;
    for object in &objects {
        structure::edges(object, &index, &mut edges);
        endpoints::edges(object, &index, &mut budget, &mut edges, &mut unresolved)?;
        if edges.len().max(unresolved.len()) > MAX_EDGES {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: &str) -> Extracted {
        edges(
            &format!("kind: Pod\napiVersion: v1\nmetadata: {{name: web}}\nspec:\n{spec}"),
            "shop",
        )
        .unwrap()
    }

    #[test]
    fn hosts_outside_of_the_cluster_are_reported() {
        let found = pod(r#"
  containers:
  - env:
    - {name: DATABASE_URL, value: "postgres://u:hunter2@x.eu-1.rds.amazonaws.com:5432/shop"}
    - {name: COPY_URL, value: "$(DATABASE_URL)"}
    - {name: CACHE_HOST, value: cache.example.com}
    - {name: OLD_URL, value: "postgres://first.last:12/hunter2@pg.example.com/shop"}
    - {name: DB_URL, value: "postgres://u:p@hunter2.x/y@pg.example.com/shop"}
    - {name: OWN_URL, value: "http://cart.shop.svc.cluster.local/"}
    - {name: NOTE, value: "example.org"}
    - {name: ADDRESS, value: "10.0.0.1:80"}
"#);
        let lost = found.unresolved.iter();
        let told = lost.map(|u| {
            format!(
                "{} {} {:?} {}",
                u.src,
                u.reference,
                u.reason,
                u.at.as_deref().unwrap_or("-")
            )
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "Pod/shop/web cache.example.com External env.CACHE_HOST",
                "Pod/shop/web x.eu-1.rds.amazonaws.com External env.COPY_URL",
                "Pod/shop/web x.eu-1.rds.amazonaws.com External env.DATABASE_URL",
            ]
        );
        assert_eq!(found.edges.len(), 1);
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    }
}
