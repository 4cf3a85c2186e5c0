//! What else a declared thing is known as: addresses, DNS names, the ids of clouds. No edge is made of it here. Two
//! things of different inputs that are known as one are joined where both are stored.

use std::net::IpAddr;

use serde::Serialize;

use super::names;

/// Most names kept of one thing; machines have a few.
const MAX_NAMES: usize = 64;
/// Longest DNS name.
const MAX_DNS_BYTES: usize = 253;

/// One name of one thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Identifier of the source format, as edges have it.
    pub thing: String,
    /// The thing's `urn:` name, where the input says enough to build it.
    pub urn: Option<String>,
    pub role: Role,
    /// The URN of what the thing is, too: `urn:host:<address or name>`, `urn:aws:i-...`, `urn:balancer:<address>`.
    pub known_as: String,
}

/// As what an input speaks of a thing. One machine has at most one thing of each role, and so has one address of a load
/// balancer: two show that the name tells them not apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A virtual machine of a cloud.
    Instance,
    /// A Node of Kubernetes.
    Node,
    /// A host of an inventory.
    Host,
    /// A load balancer.
    Balancer,
    /// A Service of Kubernetes that a load balancer was made for.
    Service,
}

impl Role {
    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Role::Instance => "instance",
            Role::Node => "node",
            Role::Host => "host",
            Role::Balancer => "balancer",
            Role::Service => "service",
        }
    }
}

/// Sorts, drops repeats, and keeps a bounded number of names for each thing.
pub fn tidy(mut identities: Vec<Identity>) -> Vec<Identity> {
    identities.sort_unstable();
    identities.dedup();
    let mut kept = 0;
    let mut last: Option<(String, Role)> = None;
    identities.retain(|identity| {
        let same = last
            .as_ref()
            .is_some_and(|(thing, role)| *thing == identity.thing && *role == identity.role);
        if !same {
            last = Some((identity.thing.clone(), identity.role));
            kept = 0;
        }
        kept += 1;
        kept <= MAX_NAMES
    });
    identities
}

/// The machine at an address or of a DNS name. `None` for what names no other machine, such as `localhost`.
pub fn machine_at(text: &str) -> Option<String> {
    address(text).map(|address| names::host(&address))
}

/// The machine of a DNS name, and the same by the first label of the name, which is what the machine calls itself.
pub fn machine_called(text: &str) -> impl Iterator<Item = String> {
    let whole = address(text).filter(|name| name.parse::<IpAddr>().is_err());
    let label = whole
        .as_deref()
        .and_then(|name| name.split_once('.'))
        .map(|(label, _)| names::host(label));
    whole.map(|name| names::host(&name)).into_iter().chain(label)
}

/// The load balancer at an address or of a DNS name.
pub fn balancer_at(text: &str) -> Option<String> {
    address(text).map(|address| names::balancer(&address.to_ascii_lowercase()))
}

/// The cloud's instance that `spec.providerID` of a Node names. `None` for clouds that nothing else here speaks of, and
/// for Nodes that are no instances.
pub fn provider_id(id: &str) -> Option<String> {
    // Aliyun's have no scheme in most clusters: `eu-central-1.i-...`.
    let (scheme, rest) = id.split_once("://").unwrap_or(("alicloud", id));
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    let last = *parts.last()?;
    match (scheme, parts.as_slice()) {
        ("aws", [_] | [_, _]) => names::aws(last).filter(|_| last.starts_with("i-")),
        ("alicloud", [_]) => {
            let (_, instance) = last.split_once('.')?;
            names::aliyun(instance).filter(|_| instance.starts_with("i-"))
        }
        ("gce", [_, _, _]) => Some(names::instance("gce", &parts.join("/"))),
        // Azure compares ids without case, and writes them in several.
        ("azure", _) => Some(names::instance("azure", &parts.join("/").to_ascii_lowercase())),
        ("digitalocean" | "hcloud", [_]) => Some(names::instance(scheme, last)),
        ("openstack", [_] | [_, _]) => Some(names::instance(scheme, last)),
        _ => None,
    }
}

/// An address in its usual spelling, or a DNS name without the last dot. `None` for what is neither, and for what every
/// machine has.
fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        let link_local = match ip {
            IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        return (!ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast() && !link_local)
            .then(|| ip.to_string());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let local = name
        .split('.')
        .next()
        .is_some_and(|first| first.eq_ignore_ascii_case("localhost"));
    // `10.0.0` and `1234` are numbers that somebody cut off.
    let number = last.bytes().all(|b| b.is_ascii_digit());
    (name.len() <= MAX_DNS_BYTES && name.split('.').all(label) && !local && !number).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_providers_name_the_instances_of_their_clouds() {
        for (id, expected) in [
            ("aws:///eu-west-1a/i-0abc", Some("urn:aws:i-0abc")),
            ("aws:///i-0abc", Some("urn:aws:i-0abc")),
            (
                "aws:///eu-west-1a/1f2e/fargate-ip-10-0-0-1.eu-west-1.compute.internal",
                None,
            ),
            ("eu-central-1.i-bp1", Some("urn:aliyun:i-bp1")),
            ("alicloud://eu-central-1.i-bp1", Some("urn:aliyun:i-bp1")),
            ("alicloud://eu-central-1.x", None),
            ("gce://p/europe-west1-b/n-1", Some("urn:gce:p%2Feurope-west1-b%2Fn-1")),
            ("gce://p/n-1", None),
            (
                "azure:///subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/N",
                Some(
                    "urn:azure:subscriptions%2Fs%2Fresourcegroups%2Fg%2Fproviders%2Fmicrosoft.compute%2Fvirtualmachines%2Fn",
                ),
            ),
            ("hcloud://123", Some("urn:hcloud:123")),
            ("openstack:///f0-1", Some("urn:openstack:f0-1")),
            ("openstack://region/f0-1", Some("urn:openstack:f0-1")),
            ("kind://docker/kind/kind-control-plane", None),
            ("k3s://node-1", None),
            ("", None),
            ("aws://", None),
        ] {
            assert_eq!(provider_id(id).as_deref(), expected, "{id}");
        }
    }

    #[test]
    fn only_what_names_another_machine_is_an_address() {
        for (text, expected) in [
            ("10.0.0.1", Some("urn:host:10.0.0.1")),
            ("2001:DB8:0::1", Some("urn:host:2001%3Adb8%3A%3A1")),
            ("[2001:db8::1]", Some("urn:host:2001%3Adb8%3A%3A1")),
            ("db-1.example.com.", Some("urn:host:db-1.example.com")),
            ("web_1", Some("urn:host:web_1")),
            ("127.0.0.1", None),
            ("0.0.0.0", None),
            ("169.254.1.1", None),
            ("fe80::1", None),
            ("localhost", None),
            ("localhost.localdomain", None),
            ("10.0.0", None),
            ("a b", None),
            ("a..b", None),
            ("{{ x }}", None),
            ("", None),
        ] {
            assert_eq!(machine_at(text).as_deref(), expected, "{text}");
        }
        let called = |text| machine_called(text).collect::<Vec<_>>();
        assert_eq!(
            called("ip-10-0-0-1.ec2.internal"),
            ["urn:host:ip-10-0-0-1.ec2.internal", "urn:host:ip-10-0-0-1"]
        );
        assert_eq!(called("node-1"), ["urn:host:node-1"]);
        assert_eq!(called("10.0.0.1"), Vec::<String>::new());
        assert_eq!(
            balancer_at("Front-1.ELB.example.com").as_deref(),
            Some("urn:balancer:front-1.elb.example.com")
        );
    }

    #[test]
    fn a_thing_has_a_bounded_number_of_names() {
        let one = |thing: &str, i: usize| Identity {
            thing: thing.to_owned(),
            urn: None,
            role: Role::Instance,
            known_as: format!("urn:host:{i}"),
        };
        let all = (0..200).map(|i| one("a", i % 100)).chain([one("b", 1), one("b", 1)]);
        let kept = tidy(all.collect());
        assert_eq!(kept.len(), MAX_NAMES + 1);
        assert_eq!(kept.iter().filter(|identity| identity.thing == "b").count(), 1);
    }
}
