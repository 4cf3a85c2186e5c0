//! Objects out of text. Each object is reduced to what counts before the next one is read.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::object::{Labels, Object, Pod, Variable, is_cluster_kind};
use crate::topology::json::{self, MAX_TREE_BYTES, list_at, str_at};
use crate::topology::yaml::{Documents, Tags};
use crate::topology::{Reason, TopologyError, Unresolved, identity, is_id, names};

const FORMAT: &str = "Kubernetes JSON";
/// Longest value of a ConfigMap that is kept: it is looked at only where a variable takes it over.
const MAX_DATA_BYTES: usize = 4096;

/// All objects, and those that could not be read.
pub fn objects(text: &str, namespace: &str) -> Result<(Vec<Object>, Vec<Unresolved>), TopologyError> {
    let mut reader = Reader {
        namespace,
        objects: Vec::new(),
        unresolved: Vec::new(),
    };
    // No string of JSON has a line of its own: such a line separates documents of YAML, of which JSON is a part.
    let separated = text.lines().any(|line| line.trim_end() == "---");
    if text.trim_start().starts_with(['{', '[']) && !separated {
        // `kubectl` prints one document; a stream of them is read as well.
        for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
            reader.json(document.map_err(|error| json::syntax(&error, FORMAT))?)?;
        }
    } else {
        if text.len() > MAX_TREE_BYTES {
            return Err(TopologyError::Limit {
                what: "bytes",
                limit: MAX_TREE_BYTES,
            });
        }
        for document in Documents::new(text, Tags::Ignore).split_items() {
            reader.value(&document?, "");
        }
    }
    Ok((reader.objects, reader.unresolved))
}

#[derive(Default, Deserialize)]
struct List<'a> {
    kind: Option<String>,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

struct Reader<'n> {
    namespace: &'n str,
    objects: Vec<Object>,
    unresolved: Vec<Unresolved>,
}

impl Reader<'_> {
    /// A document: the items of a list one by one, so that a large list needs no tree of values.
    fn json(&mut self, document: &RawValue) -> Result<(), TopologyError> {
        let (items, kind): (Vec<&RawValue>, String) = if document.get().starts_with('[') {
            (json::parse(document.get(), FORMAT)?, String::new())
        } else {
            let list: List = json::parse(document.get(), FORMAT).unwrap_or_default();
            match (list.kind, list.items) {
                (Some(kind), Some(items)) if kind.ends_with("List") => (items, kind),
                _ => (vec![document], String::new()),
            }
        };
        for item in items {
            self.value(
                &json::parse(item.get(), FORMAT)?,
                kind.strip_suffix("List").unwrap_or_default(),
            );
        }
        Ok(())
    }

    /// An object or a list. Items of a `PodList` need not say that they are Pods. Parsers limit the depth to 128.
    fn value(&mut self, value: &Value, item_kind: &str) {
        let kind = str_at(value, "kind").unwrap_or(item_kind);
        if let (Some(of), Some(items)) = (kind.strip_suffix("List"), value.get("items").and_then(Value::as_array)) {
            items.iter().for_each(|item| self.value(item, of));
            return;
        }
        let metadata = value.get("metadata").unwrap_or(&Value::Null);
        let name = name_at(metadata, "name");
        if !is_id(kind) || !name.as_deref().is_some_and(is_id) {
            // Empty documents are common; an object with only a generateName is known after it was made.
            if value.is_object() {
                let made = metadata.get("generateName").is_some();
                let (src, missing) = if is_id(kind) {
                    (kind, "metadata.name")
                } else {
                    ("object", "kind")
                };
                self.unresolved.push(Unresolved {
                    src: src.to_owned(),
                    reference: missing.to_owned(),
                    reason: if made { Reason::Runtime } else { Reason::Broken },
                    at: None,
                });
            }
            return;
        }
        let namespace = name_at(metadata, "namespace").unwrap_or_else(|| self.namespace.to_owned());
        let mut object = Object {
            kind: kind.to_owned(),
            namespace: Some(namespace).filter(|_| !is_cluster_kind(kind)),
            name: name.unwrap_or_default(),
            owners: list_at(metadata, "ownerReferences")
                .iter()
                .filter_map(|owner| Some((name_at(owner, "kind")?, name_at(owner, "name")?)))
                .collect(),
            ..Object::default()
        };
        fill(&mut object, value, metadata);
        self.objects.push(object);
    }
}

fn fill(object: &mut Object, value: &Value, metadata: &Value) {
    let spec = value.get("spec").unwrap_or(&Value::Null);
    match object.kind.as_str() {
        "Pod" => {
            object.pod_labels = Some(labels(metadata.get("labels")));
            object.pod = Some(pod(spec));
        }
        "Service" => {
            object.external_name =
                name_at(spec, "externalName").filter(|_| str_at(spec, "type") == Some("ExternalName"));
            if str_at(spec, "type") != Some("ExternalName") {
                object.selector = labels(spec.get("selector"));
                object.known_as = balancers(value);
            }
        }
        "Node" => object.known_as = machines(object, spec, value),
        "Ingress" => object.backends = ingress(spec),
        "ConfigMap" => {
            object.data = labels(value.get("data"));
            object.data.retain(|_, value| value.len() <= MAX_DATA_BYTES);
        }
        "PersistentVolumeClaim" => object.volume = name_at(spec, "volumeName"),
        "EndpointSlice" => {
            let of = metadata
                .get("labels")
                .and_then(|labels| name_at(labels, "kubernetes.io/service-name"));
            object.service = of;
            object.endpoints = pods(list_at(value, "endpoints").iter());
        }
        "Endpoints" => {
            object.service = Some(object.name.clone());
            object.endpoints = pods(
                list_at(value, "subsets")
                    .iter()
                    .flat_map(|subset| list_at(subset, "addresses")),
            );
        }
        kind if kind.ends_with("Route") => object.backends = route(spec),
        _ => {
            // CronJob: spec.jobTemplate.spec.template; the other workloads: spec.template.
            let job = spec.get("jobTemplate").and_then(|job| job.get("spec"));
            if let Some(template) = job.unwrap_or(spec).get("template")
                && let Some(inner) = template.get("spec")
            {
                object.pod_labels = Some(labels(
                    template.get("metadata").and_then(|metadata| metadata.get("labels")),
                ));
                object.pod = Some(pod(inner));
            }
        }
    }
}

/// Strings, and what JSON writes without quotes.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A name at a field: neither empty nor longer than any name.
fn name_at(value: &Value, field: &str) -> Option<String> {
    value.get(field).and_then(text).filter(|text| is_id(text))
}

fn labels(value: Option<&Value>) -> Labels {
    let fields = value.and_then(Value::as_object).into_iter().flatten();
    fields
        .filter_map(|(key, value)| Some((key.clone(), text(value)?)))
        .collect()
}

fn pods<'v>(endpoints: impl Iterator<Item = &'v Value>) -> Vec<String> {
    endpoints
        .filter_map(|endpoint| endpoint.get("targetRef"))
        .filter(|target| str_at(target, "kind") == Some("Pod"))
        .filter_map(|target| name_at(target, "name"))
        .collect()
}

/// The machine that a Node is: by its name, by the id that its cloud gave it, and by its addresses.
fn machines(node: &Object, spec: &Value, value: &Value) -> Vec<String> {
    let addresses = value
        .get("status")
        .map_or(&[] as &[Value], |status| list_at(status, "addresses"));
    let known = addresses.iter().filter_map(|address| str_at(address, "address"));
    std::iter::once(names::host(&node.name))
        .chain(str_at(spec, "providerID").and_then(identity::provider_id))
        .chain(known.filter_map(identity::machine_at))
        .collect()
}

/// The load balancers that were made for a Service.
fn balancers(value: &Value) -> Vec<String> {
    let made = value.get("status").and_then(|status| status.get("loadBalancer"));
    let addresses = made.map_or(&[] as &[Value], |made| list_at(made, "ingress")).iter();
    addresses
        .flat_map(|address| [str_at(address, "hostname"), str_at(address, "ip")])
        .flatten()
        .filter_map(identity::balancer_at)
        .collect()
}

/// `networking.k8s.io/v1` names `backend.service.name`, `v1beta1` named `backend.serviceName`.
fn ingress(spec: &Value) -> Vec<(Option<String>, String)> {
    let paths = list_at(spec, "rules")
        .iter()
        .filter_map(|rule| rule.get("http"))
        .flat_map(|http| list_at(http, "paths"));
    let backends = paths
        .filter_map(|path| path.get("backend"))
        .chain(spec.get("defaultBackend"))
        .chain(spec.get("backend"));
    backends
        .filter_map(|backend| {
            backend
                .get("service")
                .and_then(|service| name_at(service, "name"))
                .or_else(|| name_at(backend, "serviceName"))
        })
        .map(|name| (None, name))
        .collect()
}

/// Gateway API routes.
fn route(spec: &Value) -> Vec<(Option<String>, String)> {
    let backends = list_at(spec, "rules")
        .iter()
        .flat_map(|rule| list_at(rule, "backendRefs"));
    backends
        .filter(|backend| str_at(backend, "kind").is_none_or(|kind| kind == "Service"))
        .filter_map(|backend| Some((name_at(backend, "namespace"), name_at(backend, "name")?)))
        .collect()
}

/// A Pod specification. Projected volumes are left out: in a running cluster every Pod has one, with the cluster's own
/// certificate and token.
fn pod(spec: &Value) -> Pod {
    let mut pod = Pod {
        node: name_at(spec, "nodeName"),
        service_account: name_at(spec, "serviceAccountName").or_else(|| name_at(spec, "serviceAccount")),
        ..Pod::default()
    };
    let mut uses = |kind, name: Option<String>, place| pod.uses.extend(name.map(|name| (kind, name, place)));
    for volume in list_at(spec, "volumes") {
        for (field, inner, kind) in [
            ("configMap", "name", "ConfigMap"),
            ("secret", "secretName", "Secret"),
            ("persistentVolumeClaim", "claimName", "PersistentVolumeClaim"),
        ] {
            uses(
                kind,
                volume.get(field).and_then(|source| name_at(source, inner)),
                "volumes",
            );
        }
    }
    let containers = list_at(spec, "initContainers")
        .iter()
        .chain(list_at(spec, "containers"));
    for container in containers {
        let mut variables = Vec::new();
        for source in list_at(container, "envFrom") {
            let name = |field: &str| source.get(field).and_then(|source| name_at(source, "name"));
            uses("ConfigMap", name("configMapRef"), "envFrom");
            uses("Secret", name("secretRef"), "envFrom");
            variables.extend(name("configMapRef").map(|map| Variable::All { map }));
        }
        for variable in list_at(container, "env") {
            let Some(name) = name_at(variable, "name") else {
                continue;
            };
            let from = |field: &str| variable.get("valueFrom").and_then(|from| from.get(field));
            uses(
                "ConfigMap",
                from("configMapKeyRef").and_then(|map| name_at(map, "name")),
                "env",
            );
            uses(
                "Secret",
                from("secretKeyRef").and_then(|secret| name_at(secret, "name")),
                "env",
            );
            if let Some(value) = variable.get("value").and_then(text) {
                variables.push(Variable::Value { name, value });
            } else if let Some(map) = from("configMapKeyRef")
                && let (Some(map), Some(key)) = (name_at(map, "name"), name_at(map, "key"))
            {
                variables.push(Variable::Key { name, map, key });
            }
        }
        pod.containers.push(variables);
    }
    pod
}
