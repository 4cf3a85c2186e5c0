//! Application edges: environment variables that name a Service.

use hashbrown::HashMap;

use super::edge;
use super::object::{Id, Index, Object, Variable, selects};
use crate::topology::endpoint::{self, Endpoint};
use crate::topology::{Class, Edge, Evidence, Reason, TopologyError, Unresolved, place, relation};

/// Longest value after `$(NAME)` is filled in; the kernel takes no more than 128 kB either.
const MAX_VALUE_BYTES: usize = 64 << 10;

/// Most bytes of all variables together, with what they take over from ConfigMaps and from each other.
pub const MAX_ENVIRONMENT_BYTES: usize = 256 << 20;

/// `DEPENDS_ON` edges of a workload. A name that clearly is a Service's, but of none in the input, gives an edge marked
/// `dangling`; a workload that names the Service in front of itself gives none. Hosts outside of the cluster are reported.
///
/// # Errors
/// [`TopologyError::Limit`] when `budget`, the bytes that are left, is used up.
pub fn edges(
    object: &Object,
    index: &Index<'_>,
    budget: &mut usize,
    edges: &mut Vec<Edge>,
    unresolved: &mut Vec<Unresolved>,
) -> Result<(), TopologyError> {
    for variables in object.pod.iter().flat_map(|pod| &pod.containers) {
        let mut environment = HashMap::new();
        for (name, value) in flatten(variables, object, index) {
            let value = expand(value, &environment);
            *budget = budget.checked_sub(value.len() + 1).ok_or(TopologyError::Limit {
                what: "bytes of environment variables",
                limit: MAX_ENVIRONMENT_BYTES,
            })?;
            for endpoint in endpoint::find(name, &value) {
                let Some((service, found)) = service(&endpoint, object, index) else {
                    if endpoint.explicit && endpoint.host.contains('.') {
                        unresolved.push(Unresolved {
                            src: object.id().to_string(),
                            reference: endpoint.host,
                            reason: Reason::External,
                            at: Some(place(&format!("env.{name}"))),
                        });
                    }
                    continue;
                };
                if found.is_some_and(|service| selects(service, object)) {
                    continue;
                }
                let mut evidence = Evidence::at(Class::Literal, &format!("env.{name}"));
                evidence.dangling = found.is_none();
                evidence
                    .props
                    .extend(endpoint.port.map(|port| ("port", port.to_string())));
                edges.push(edge(object, relation::DEPENDS_ON, service, evidence));
            }
            environment.insert(name, value);
        }
    }
    Ok(())
}

/// The variables of a container with what ConfigMaps of the input say, in order of definition.
fn flatten<'o>(
    variables: &'o [Variable],
    object: &'o Object,
    index: &Index<'o>,
) -> impl Iterator<Item = (&'o str, &'o str)> {
    let data = move |map: &'o str| index.get(object.refers("ConfigMap", map)).map(|map| &map.data);
    variables.iter().flat_map(move |variable| {
        let (one, all) = match variable {
            Variable::Value { name, value } => (Some((name.as_str(), value.as_str())), None),
            Variable::Key { name, map, key } => (
                data(map)
                    .and_then(|data| data.get(key))
                    .map(|value| (name.as_str(), value.as_str())),
                None,
            ),
            Variable::All { map } => (None, data(map)),
        };
        one.into_iter().chain(
            all.into_iter()
                .flatten()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        )
    })
}

/// Fills in `$(NAME)` of variables defined before; `$$(NAME)` stays, and so does what is not defined.
fn expand(value: &str, environment: &HashMap<&str, String>) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        let (before, dollar) = rest.split_at(at);
        expanded.push_str(before);
        if let Some(after) = dollar.strip_prefix("$$") {
            expanded.push('$');
            rest = after;
            continue;
        }
        let inside = dollar.strip_prefix("$(").and_then(|inside| inside.split_once(')'));
        match inside.and_then(|(name, after)| Some((environment.get(name)?, after))) {
            Some((known, after)) => {
                expanded.push_str(known);
                rest = after;
            }
            None => {
                expanded.push('$');
                rest = dollar.get(1..).unwrap_or_default();
            }
        }
        if expanded.len() > MAX_VALUE_BYTES {
            return expanded;
        }
    }
    expanded.push_str(rest);
    expanded
}

/// The Service that a host names, seen from an object's namespace, and the Service itself if the input has it.
fn service<'e>(endpoint: &'e Endpoint, object: &'e Object, index: &Index<'e>) -> Option<(Id<'e>, Option<&'e Object>)> {
    let own = object.namespace.as_deref();
    let labels: Vec<&str> = endpoint.host.split('.').collect();
    let id = |name, namespace| Id {
        kind: "Service",
        namespace,
        name,
    };
    let (certain, candidates): (bool, Vec<Id<'e>>) = match labels.as_slice() {
        [name] => (endpoint.explicit, vec![id(name, own)]),
        // `service.namespace`, or `pod.service` of a headless Service; anything else is a name of the outside.
        [name, namespace] => (false, vec![id(name, Some(namespace)), id(namespace, own)]),
        [name, namespace, "svc", ..] => (true, vec![id(name, Some(namespace))]),
        [_, name, namespace, "svc", ..] => (true, vec![id(name, Some(namespace))]),
        _ => return None,
    };
    let found = candidates.iter().find_map(|&id| Some((id, Some(index.get(id)?))));
    found.or_else(|| candidates.first().filter(|_| certain).map(|&id| (id, None)))
}
