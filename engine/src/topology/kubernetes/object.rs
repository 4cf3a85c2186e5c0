//! What counts of an object, and an index over all of them.

use std::collections::BTreeMap;
use std::fmt;

use hashbrown::HashMap;

/// Kinds without a namespace that others refer to.
const CLUSTER_KINDS: [&str; 8] = [
    "Node",
    "PersistentVolume",
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "StorageClass",
    "IngressClass",
    "CustomResourceDefinition",
];

pub type Labels = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub struct Object {
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
    /// Owners: kind and name.
    pub owners: Vec<(String, String)>,
    /// Labels of the Pods it makes; of a Pod its own.
    pub pod_labels: Option<Labels>,
    pub pod: Option<Pod>,
    /// Of a Service.
    pub selector: Labels,
    pub external_name: Option<String>,
    /// Of an Ingress or a route: namespace (own if absent) and name of Services.
    pub backends: Vec<(Option<String>, String)>,
    /// Of Endpoints and EndpointSlices: their Service and the Pods.
    pub service: Option<String>,
    pub endpoints: Vec<String>,
    /// Of a PersistentVolumeClaim.
    pub volume: Option<String>,
    /// Of a ConfigMap.
    pub data: Labels,
    /// Of a Node and a Service: what else it is known as.
    pub known_as: Vec<String>,
}

/// The parts of a Pod specification that name other objects.
#[derive(Debug, Default)]
pub struct Pod {
    pub node: Option<String>,
    pub service_account: Option<String>,
    /// Kind and name of configuration, secrets and volumes, with the place.
    pub uses: Vec<(&'static str, String, &'static str)>,
    pub containers: Vec<Vec<Variable>>,
}

/// An environment variable, in the order of the manifest.
#[derive(Debug)]
pub enum Variable {
    Value {
        name: String,
        value: String,
    },
    /// From one key of a ConfigMap.
    Key {
        name: String,
        map: String,
        key: String,
    },
    /// All keys of a ConfigMap. A prefix is left out: it does not change how a name ends, which is all that counts.
    All {
        map: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id<'o> {
    pub kind: &'o str,
    pub namespace: Option<&'o str>,
    pub name: &'o str,
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

/// Whether objects of this kind have no namespace.
pub fn is_cluster_kind(kind: &str) -> bool {
    CLUSTER_KINDS.contains(&kind)
}

impl Object {
    pub fn id(&self) -> Id<'_> {
        Id {
            kind: &self.kind,
            namespace: self.namespace.as_deref(),
            name: &self.name,
        }
    }

    /// The identifier of another object, as this one refers to it.
    pub fn refers<'o>(&'o self, kind: &'o str, name: &'o str) -> Id<'o> {
        let namespace = if is_cluster_kind(kind) {
            None
        } else {
            self.namespace.as_deref()
        };
        Id { kind, namespace, name }
    }
}

/// Finds objects by identifier, and Pods and workloads by label.
pub struct Index<'o> {
    by_id: HashMap<Id<'o>, &'o Object>,
    by_label: HashMap<(Option<&'o str>, &'o str, &'o str), Vec<&'o Object>>,
}

impl<'o> Index<'o> {
    pub fn new(objects: &'o [Object]) -> Index<'o> {
        let mut index = Index {
            by_id: HashMap::new(),
            by_label: HashMap::new(),
        };
        for object in objects {
            index.by_id.insert(object.id(), object);
        }
        // Of an object that comes twice the last counts, as with `kubectl apply`.
        for object in index.by_id.values() {
            for (key, value) in object.pod_labels.iter().flatten() {
                index
                    .by_label
                    .entry((object.namespace.as_deref(), key, value))
                    .or_default()
                    .push(object);
            }
        }
        index
    }

    pub fn get(&self, id: Id<'_>) -> Option<&'o Object> {
        self.by_id.get(&id).copied()
    }

    pub fn service(&self, namespace: Option<&str>, name: &str) -> Option<&'o Object> {
        self.get(Id {
            kind: "Service",
            namespace,
            name,
        })
    }

    /// The Pods and workloads that a Service selects: by all pairs of its selector, in its namespace.
    pub fn selected<'i>(&'i self, service: &'i Object) -> impl Iterator<Item = &'o Object> + use<'i, 'o> {
        let pairs = service.selector.iter();
        let candidates = pairs.map(|(key, value)| {
            self.by_label
                .get(&(service.namespace.as_deref(), key.as_str(), value.as_str()))
        });
        let fewest = candidates
            .map(|found| found.map_or(&[] as &[&Object], Vec::as_slice))
            .min_by_key(|found| found.len());
        fewest
            .unwrap_or_default()
            .iter()
            .copied()
            .filter(|object| selects(service, object))
    }
}

/// Whether a Service's selector matches an object. An empty selector matches nothing: its endpoints are made by hand.
pub fn selects(service: &Object, object: &Object) -> bool {
    let Some(labels) = &object.pod_labels else {
        return false;
    };
    !service.selector.is_empty()
        && service.namespace == object.namespace
        && service
            .selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
}
