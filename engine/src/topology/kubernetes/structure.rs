//! Edges that fields and selectors state.

use super::edge;
use super::object::{Id, Index, Object};
use crate::topology::{Class, Edge, Evidence, relation};

pub fn edges(object: &Object, index: &Index<'_>, edges: &mut Vec<Edge>) {
    for (kind, name) in &object.owners {
        edges.push(edge(
            object,
            relation::OWNED_BY,
            object.refers(kind, name),
            field("metadata.ownerReferences"),
        ));
    }
    for target in index.selected(object) {
        edges.push(edge(
            object,
            relation::SELECTS,
            target.id(),
            Evidence::at(Class::Selector, "spec.selector"),
        ));
    }
    if let Some(host) = &object.external_name {
        let mut alias = Edge::new(
            object.id().to_string(),
            relation::ALIASES,
            host,
            field("spec.externalName"),
        );
        alias.src_urn = Some(crate::topology::names::kubernetes(
            "Service",
            object.namespace.as_deref(),
            &object.name,
        ));
        edges.push(alias);
    }
    for (namespace, name) in &object.backends {
        let namespace = namespace.as_deref().or(object.namespace.as_deref());
        let service = Id {
            kind: "Service",
            namespace,
            name,
        };
        let mut evidence = field("backend");
        evidence.dangling = index.get(service).is_none();
        edges.push(edge(object, relation::ROUTES, service, evidence));
    }
    if let Some(volume) = &object.volume {
        edges.push(edge(
            object,
            relation::USES,
            object.refers("PersistentVolume", volume),
            field("spec.volumeName"),
        ));
    }
    // Endpoints tell only of Services without a selector; the others are found by their labels.
    if let Some(name) = &object.service
        && let Some(service) = index.service(object.namespace.as_deref(), name)
        && service.selector.is_empty()
    {
        for pod in &object.endpoints {
            edges.push(edge(
                service,
                relation::SELECTS,
                object.refers("Pod", pod),
                field("endpoints"),
            ));
        }
    }
    let Some(pod) = &object.pod else {
        return;
    };
    if let Some(node) = &pod.node {
        edges.push(edge(
            object,
            relation::RUNS_ON,
            object.refers("Node", node),
            field("spec.nodeName"),
        ));
    }
    if let Some(account) = &pod.service_account {
        edges.push(edge(
            object,
            relation::USES,
            object.refers("ServiceAccount", account),
            field("serviceAccountName"),
        ));
    }
    for (kind, name, place) in &pod.uses {
        edges.push(edge(object, relation::USES, object.refers(kind, name), field(place)));
    }
}

fn field(place: &str) -> Evidence {
    Evidence::at(Class::Field, place)
}
