//! What is known of a thing, as attributes: what the rules ([`super::rules`]) look at.
//!
//! Names follow OpenTelemetry's semantic conventions; `.` and `_` are the same, since OpenObserve writes `_`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::declared::database;
use super::{Resource, part, resource};
use crate::record::Identity;

/// Attributes by name. A thing has few of them, so they are looked through one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(String, String)>);

impl Attributes {
    /// The value of an attribute, unless it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| same_name(known, name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Adds an attribute. Of two with one name the first counts.
    pub fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// What a URN says; the parts are decoded. Empty for URNs of a form that is not known.
    ///
    /// ```
    /// let of = engine::urn::attributes::Attributes::of_urn("urn:k8s:deployment:shop/cart");
    /// assert_eq!((of.get("k8s.namespace.name"), of.get("k8s.deployment.name")), (Some("shop"), Some("cart")));
    /// ```
    pub fn of_urn(urn: &str) -> Attributes {
        let mut out = Attributes::default();
        let Some((scheme, below)) = urn.strip_prefix("urn:").and_then(|rest| rest.split_once(':')) else {
            return out;
        };
        match scheme {
            "svc" => out.decoded("service.name", below),
            "host" => out.decoded("host.name", below),
            "db" => {
                let (system, rest) = below.split_once(':').unwrap_or((below, ""));
                let (cluster, name) = rest.split_once('/').unwrap_or((rest, ""));
                out.decoded("db.system", system);
                out.decoded("db.cluster", cluster);
                out.decoded("db.name", name);
            }
            "queue" => {
                let (system, rest) = below.split_once(':').unwrap_or((below, ""));
                let (cluster, name) = rest.split_once('/').unwrap_or(("", rest));
                out.decoded("messaging.system", system);
                out.decoded("messaging.cluster", cluster);
                out.decoded("messaging.destination.name", name);
            }
            "k8s" => {
                let (kind, object) = below.split_once(':').unwrap_or((below, ""));
                let (namespace, name) = object.split_once('/').unwrap_or(("", object));
                let kind = if kind == "svc" { "service" } else { kind };
                out.decoded("k8s.kind", kind);
                out.decoded("k8s.namespace.name", namespace);
                out.decoded(&format!("k8s.{kind}.name"), name);
            }
            "aws" | "aliyun" => {
                out.decoded("cloud.provider", scheme);
                out.decoded("cloud.resource_id", below);
            }
            _ => {}
        }
        out
    }

    /// The URN of these attributes where no rule applies, the most telling first. The inverse of
    /// [`Attributes::of_urn`]; OpenTelemetry's other names for the parts of a database are known, too.
    pub fn to_urn(&self) -> String {
        let get = |name: &str| self.get(name);
        if let (Some(namespace), Some((kind, name))) = (get("k8s.namespace.name"), self.kubernetes_object()) {
            let kind = if kind == "service" {
                "svc".to_owned()
            } else {
                part(kind)
            };
            return format!("urn:k8s:{kind}:{}/{}", part(namespace), part(name));
        }
        let first = |names: &[&str]| names.iter().find_map(|name| get(name));
        let system = first(&["db.system", "db.system.name"]);
        let cluster = first(&["db.cluster", "server.address", "net.peer.name"]);
        if let (Some(system), Some(cluster)) = (system, cluster) {
            let name = first(&["db.name", "db.namespace"]);
            return name
                .and_then(|name| database(system, cluster, name))
                .unwrap_or_else(|| {
                    let name = name.map_or_else(String::new, |name| format!("/{}", part(name)));
                    format!("urn:db:{}:{}{name}", part(system), part(cluster))
                });
        }
        if let (Some(system), Some(name)) = (get("messaging.system"), get("messaging.destination.name")) {
            let cluster = get("messaging.cluster").map_or_else(String::new, |cluster| part(cluster) + "/");
            return format!("urn:queue:{}:{cluster}{}", part(system), part(name));
        }
        if let (Some(provider), Some(id)) = (get("cloud.provider"), get("cloud.resource_id")) {
            return format!("urn:{}:{}", part(provider), part(id));
        }
        self.record().urn
    }

    /// The resource of a record with these attributes, and of what has no attribute that says more.
    pub fn record(&self) -> Resource {
        resource(Identity {
            service: self.get("service.name").or_else(|| self.get("peer.service")),
            host: self.get("host.name"),
        })
    }

    /// Kind and name of a Kubernetes object: of the attribute `k8s.<kind>.name`.
    fn kubernetes_object(&self) -> Option<(&str, &str)> {
        let named = |kind: &'static str| Some((kind, self.get(&format!("k8s.{kind}.name"))?));
        match self.get("k8s.kind") {
            Some(kind) => Some((kind, self.get(&format!("k8s.{kind}.name"))?)),
            None => ["service", "deployment", "statefulset"].into_iter().find_map(named),
        }
    }

    fn decoded(&mut self, name: &str, value: &str) {
        let value: Cow<'_, str> = percent_decode_str(value).decode_utf8_lossy();
        if !value.is_empty() {
            self.push(name, &value);
        }
    }
}

/// Whether two spellings name one attribute.
fn same_name(a: &str, b: &str) -> bool {
    let dot = |c: u8| if c == b'_' { b'.' } else { c };
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| dot(a) == dot(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urns_say_what_they_name() {
        for (urn, name, value) in [
            ("urn:svc:cart%20api", "service_name", Some("cart api")),
            ("urn:host:n1", "host.name", Some("n1")),
            ("urn:db:postgres:main/shop", "db.cluster", Some("main")),
            ("urn:queue:kafka:orders", "messaging.destination.name", Some("orders")),
            ("urn:queue:kafka:k1/orders", "messaging.cluster", Some("k1")),
            ("urn:k8s:svc:shop/cart", "k8s.service.name", Some("cart")),
            ("urn:k8s:persistentvolume:v1", "k8s.namespace.name", None),
            ("urn:aws:arn%3Aaws", "cloud.resource_id", Some("arn:aws")),
            ("urn:topo:a/b", "service.name", None),
            ("no urn", "service.name", None),
        ] {
            assert_eq!(Attributes::of_urn(urn).get(name), value, "{urn}");
        }
    }

    #[test]
    fn urns_of_known_forms_read_back() {
        for urn in [
            "urn:svc:cart%20api",
            "urn:host:n1",
            "urn:db:postgres:main/shop",
            "urn:queue:kafka:orders",
            "urn:queue:kafka:k1/orders",
            "urn:k8s:svc:shop/cart",
            "urn:k8s:configmap:shop/a",
            "urn:aws:arn%3Aaws%3Ards%3Ax",
        ] {
            assert_eq!(Attributes::of_urn(urn).to_urn(), urn);
        }
        assert_eq!(Attributes::default().to_urn(), "urn:svc:unknown");
        let mut span = Attributes::default();
        for (name, value) in [
            ("db.system.name", "postgresql"),
            ("server.address", "pg"),
            ("db.namespace", "shop"),
        ] {
            span.push(name, value);
        }
        assert_eq!(span.to_urn(), "urn:db:postgres:pg/shop");
    }

    proptest! {
        #[test]
        fn a_record_is_named_as_the_engine_names_it(service in proptest::option::of(".{0,300}"), host in proptest::option::of(".{0,9}")) {
            let mut of = Attributes::default();
            if let Some(service) = &service {
                of.push("service_name", service);
            }
            if let Some(host) = &host {
                of.push("host.name", host);
            }
            let identity = Identity { service: service.as_deref(), host: host.as_deref() };
            prop_assert_eq!(of.record(), resource(identity));
            prop_assert_eq!(of.to_urn(), of.record().urn);
        }

        #[test]
        fn any_text_can_be_asked(urn in "(urn:)?(svc|k8s|db|queue|aws)?:.{0,30}") {
            let _ = Attributes::of_urn(&urn).to_urn();
        }
    }
}
