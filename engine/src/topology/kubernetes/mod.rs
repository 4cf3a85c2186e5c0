//! Kubernetes: manifests (YAML of any number of documents, JSON, lists) and `kubectl get -o json`.
//!
//! Identifiers are `Kind/namespace/name`, `Kind/name` where the kind has no namespace.

mod endpoints;
mod object;
mod read;
mod structure;

use object::{Index, Object};

use super::{Edge, Extracted, Identity, Role, TopologyError, names};

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
    let mut identities = Vec::new();
    let mut budget = endpoints::MAX_ENVIRONMENT_BYTES;
    for object in &objects {
        structure::edges(object, &index, &mut edges);
        // Of an object that comes twice the last counts.
        if index.get(object.id()).is_some_and(|last| std::ptr::eq(last, object)) {
            identities.extend(known_as(object));
        }
        endpoints::edges(object, &index, &mut budget, &mut edges, &mut unresolved)?;
        if edges.len().max(unresolved.len()) > MAX_EDGES {
            return Err(TopologyError::Limit {
                what: "edges",
                limit: MAX_EDGES,
            });
        }
    }
    Ok(Extracted::new(edges, unresolved).known_as(identities))
}

/// What else a Node or a Service is known as.
fn known_as(object: &Object) -> impl Iterator<Item = Identity> {
    let role = if object.kind == "Node" {
        Role::Node
    } else {
        Role::Service
    };
    object.known_as.iter().map(move |known_as| Identity {
        thing: object.id().to_string(),
        urn: Some(names::kubernetes(
            &object.kind,
            object.namespace.as_deref(),
            &object.name,
        )),
        role,
        known_as: known_as.clone(),
    })
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
    fn nodes_and_services_are_known_by_what_their_cloud_made() {
        let list = r#"{"kind": "List", "items": [
            {"kind": "Node", "metadata": {"name": "n1"}, "spec": {"providerID": "aws:///eu-west-1a/i-0"}},
            {"kind": "Node", "metadata": {"name": "n1"}, "spec": {"providerID": "aws:///eu-west-1a/i-1"}, "status": {"addresses": [
                {"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "n1"}]}},
            {"kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"type": "LoadBalancer"},
             "status": {"loadBalancer": {"ingress": [{"hostname": "L-1.elb.example.com"}, {"ip": "203.0.113.1"}]}}},
            {"kind": "Service", "metadata": {"name": "cart", "namespace": "shop"}, "status": {"loadBalancer": {}}},
            {"kind": "Service", "metadata": {"name": "odd", "namespace": "shop"}, "status": [{"loadBalancer": 1}]}]}"#;
        let found = edges(list, "shop").unwrap();
        let of = |known: &Identity| {
            format!(
                "{} {} {}",
                known.urn.as_deref().unwrap_or("-"),
                known.role.name(),
                known.known_as
            )
        };
        assert_eq!(
            found.identities.iter().map(of).collect::<Vec<_>>(),
            [
                "urn:host:n1 node urn:aws:i-1",
                "urn:host:n1 node urn:host:10.0.0.1",
                "urn:host:n1 node urn:host:n1",
                "urn:k8s:svc:shop/web service urn:balancer:203.0.113.1",
                "urn:k8s:svc:shop/web service urn:balancer:l-1.elb.example.com",
            ]
        );
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
