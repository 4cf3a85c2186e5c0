//! Uniform resource names: what a record is about, as one stable text.
//!
//! `urn:svc:<name>` is a service, `urn:host:<name>` a host. Whatever is not `[A-Za-z0-9._-]` is percent-encoded
//! (RFC 3986, upper-case hex of the UTF-8 bytes), so a URN is ASCII and reads back to exactly the name it came from.
//!
//! All URNs are made here: of telemetry in this file, of declared things in [`declared`], by the tenants' own rules in
//! [`rules`]. docs/urns.md says which thing has which name.

pub mod attributes;
pub mod declared;
pub mod rules;

mod template;

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use xxhash_rust::xxh3::xxh3_64;

use crate::record::{Identity, Peer};
use crate::text::{cut, without_nul};

/// `Resource::kind` of a service.
pub const SERVICE: &str = "service";
/// `Resource::kind` of a host.
pub const HOST: &str = "host";
/// The service of a record that names neither service nor host.
pub const UNKNOWN_SERVICE: &str = "unknown";

/// Longest name in bytes; [`clean_name`] shortens what is longer. Names end up in B-tree keys, whose rows Postgres
/// limits to about 2,700 bytes, and percent-encoding may triple a name.
pub const MAX_NAME_BYTES: usize = 256;

const SERVICE_PREFIX: &str = "urn:svc:";
const HOST_PREFIX: &str = "urn:host:";
const TOPOLOGY_PREFIX: &str = "urn:topo:";
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

/// A row of `dim_resource`, without the ids that only the database knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    pub urn: String,
    /// The bare name, as the source wrote it.
    pub name: String,
    /// [`SERVICE`], [`HOST`], or what [`describe`] says.
    pub kind: Cow<'static, str>,
}

impl Resource {
    /// The service of this name. The name is cleaned first.
    pub fn service(name: &str) -> Resource {
        Resource::build(SERVICE_PREFIX, SERVICE, name)
    }

    /// The host of this name. The name is cleaned first.
    pub fn host(name: &str) -> Resource {
        Resource::build(HOST_PREFIX, HOST, name)
    }

    /// The resource of any URN, with kind and name as [`describe`] has them.
    pub fn of_urn(urn: &str) -> Resource {
        let (kind, name) = describe(urn);
        Resource {
            urn: without_nul(urn).into_owned(),
            name,
            kind: kind.into(),
        }
    }

    fn build(prefix: &str, kind: &'static str, name: &str) -> Resource {
        let name = clean_name(name);
        let mut urn = String::with_capacity(prefix.len() + name.len());
        urn.push_str(prefix);
        urn.extend(utf8_percent_encode(&name, ENCODED));
        Resource {
            urn,
            name: name.into_owned(),
            kind: kind.into(),
        }
    }
}

/// Which name decides what a record is about. Borrows; [`resource`] makes the URN of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    Service(&'a str),
    Host(&'a str),
}

/// The rule: a record belongs to its service, else to its host, else to the service [`UNKNOWN_SERVICE`]. An empty
/// name counts as none.
pub fn named(identity: Identity<'_>) -> Named<'_> {
    let service = identity.service.filter(|name| !name.is_empty());
    let host = identity.host.filter(|name| !name.is_empty());
    match (service, host) {
        (Some(service), _) => Named::Service(service),
        (None, Some(host)) => Named::Host(host),
        (None, None) => Named::Service(UNKNOWN_SERVICE),
    }
}

/// The resource of a record.
///
/// ```
/// use engine::{record::Identity, urn};
/// let r = urn::resource(Identity { service: Some("cart api"), host: Some("n1") });
/// assert_eq!((r.urn.as_str(), r.name.as_str(), &*r.kind), ("urn:svc:cart%20api", "cart api", "service"));
/// ```
pub fn resource(identity: Identity<'_>) -> Resource {
    match named(identity) {
        Named::Service(name) => Resource::service(name),
        Named::Host(name) => Resource::host(name),
    }
}

/// The inverse of [`resource`]. `None` for a URN of another kind, or one that [`resource`] would not have written.
pub fn parse(urn: &str) -> Option<Resource> {
    let (encoded, build): (&str, fn(&str) -> Resource) = if let Some(rest) = urn.strip_prefix(SERVICE_PREFIX) {
        (rest, Resource::service)
    } else {
        (urn.strip_prefix(HOST_PREFIX)?, Resource::host)
    };
    let name = percent_decode_str(encoded).decode_utf8().ok()?;
    let resource = build(&name);
    (resource.urn == urn && !resource.name.is_empty()).then_some(resource)
}

/// The protocol that an engine's or system's name stands for (`aurora-postgresql` and `postgresql` are `postgres`).
/// `None` where it is none of the relational ones that go by several names.
pub fn protocol(engine: &str) -> Option<&'static str> {
    const PROTOCOLS: [(&str, &str); 6] = [
        ("postgres", "postgres"),
        ("mysql", "mysql"),
        ("mariadb", "mysql"),
        ("sqlserver", "sqlserver"),
        ("mssql", "sqlserver"),
        ("oracle", "oracle"),
    ];
    let engine = engine.to_ascii_lowercase();
    let known = PROTOCOLS.iter().find(|(part, _)| engine.contains(part));
    known.map(|(_, protocol)| *protocol)
}

/// The resource that a client or producer span calls. A database is `urn:db:<protocol>:<address>/<name>`, where a part
/// that is not known is left out (`urn:db:redis:cache-1`, without both `urn:db:redis:redis`); a queue `urn:queue:<system>:<destination>`.
///
/// ```
/// use engine::{record::Peer, urn};
/// let orders = Peer::Database { system: "postgresql", address: Some("pg-main"), name: Some("orders") };
/// assert_eq!(urn::peer(orders).urn, "urn:db:postgres:pg-main/orders");
/// ```
pub fn peer(peer: Peer<'_>) -> Resource {
    let encoded = |name: &str| utf8_percent_encode(&clean_name(name), ENCODED).to_string();
    match peer {
        Peer::Service(name) => Resource::service(name),
        Peer::Queue { system, destination } => {
            Resource::of_urn(&format!("urn:queue:{}:{}", encoded(system), encoded(destination)))
        }
        Peer::Database { system, address, name } => {
            let protocol = match protocol(system) {
                Some(protocol) => protocol.to_owned(),
                None => encoded(&system.to_ascii_lowercase()),
            };
            // Where a database has no name of its own, some write the address in its place.
            let name = name.filter(|name| address != Some(*name));
            let mut parts: Vec<String> = address.into_iter().chain(name).map(encoded).collect();
            if parts.is_empty() {
                parts.push(protocol.clone());
            }
            Resource::of_urn(&format!("urn:db:{protocol}:{}", parts.join("/")))
        }
    }
}

/// The URN of something that has a name only within one source of topology: `urn:topo:<source>/<identifier>`.
///
/// ```
/// assert_eq!(engine::urn::in_source("shop", "aws_vpc.main[0]"), "urn:topo:shop/aws_vpc.main%5B0%5D");
/// ```
pub fn in_source(source: &str, identifier: &str) -> String {
    format!("{TOPOLOGY_PREFIX}{}/{}", part(source), part(identifier))
}

/// One part of a URN: the name cleaned, then percent-encoded.
fn part(name: &str) -> String {
    utf8_percent_encode(&clean_name(name), ENCODED).to_string()
}

/// Kinds of Kubernetes objects whose name is a service's in traces: Services, and the workloads that run one.
const CALLERS: [&str; 8] = [
    "svc",
    "deployment",
    "statefulset",
    "daemonset",
    "replicaset",
    "job",
    "cronjob",
    "pod",
];

/// The URN under which calls would show a resource: of workloads and Services of Kubernetes the service of that name;
/// services, hosts, databases and queues as they are. `None` for what calls nobody.
///
/// ```
/// use engine::urn::caller;
/// assert_eq!(caller("urn:k8s:deployment:shop/cart").as_deref(), Some("urn:svc:cart"));
/// assert_eq!(caller("urn:k8s:configmap:shop/cart"), None);
/// ```
pub fn caller(urn: &str) -> Option<Cow<'_, str>> {
    let (first, below) = urn.strip_prefix("urn:")?.split_once(':')?;
    match (first, below.split_once(':')) {
        ("svc" | "host" | "db" | "queue", _) => Some(Cow::Borrowed(urn)),
        // The name is encoded already.
        ("k8s", Some((kind, object))) if CALLERS.contains(&kind) => {
            let name = object.rsplit('/').next().filter(|name| !name.is_empty())?;
            Some(Cow::Owned(format!("{SERVICE_PREFIX}{name}")))
        }
        _ => None,
    }
}

/// What `dim_resource` says of any URN: its kind and its bare name. [`SERVICE`] and [`HOST`]; of Kubernetes objects
/// and databases the two first parts (`k8s:svc`, `db:postgres`); of all others the first one.
///
/// ```
/// use engine::urn::describe;
/// assert_eq!(describe("urn:k8s:svc:shop/cart"), ("k8s:svc".to_owned(), "cart".to_owned()));
/// assert_eq!(describe("urn:svc:cart%20api"), ("service".to_owned(), "cart api".to_owned()));
/// ```
pub fn describe(urn: &str) -> (String, String) {
    if let Some(known) = parse(urn) {
        return (known.kind.into_owned(), known.name);
    }
    let urn = without_nul(urn);
    let rest = urn.strip_prefix("urn:").unwrap_or(&urn);
    let (first, below) = match rest.split_once(':') {
        Some((first, below)) if !first.is_empty() => (first, below),
        _ => ("unknown", rest),
    };
    let (kind, name) = match (first, below.split_once(':')) {
        ("k8s", Some((kind, object))) => (format!("k8s:{kind}"), object.rsplit('/').next().unwrap_or(object)),
        ("db", Some((protocol, database))) => (format!("db:{protocol}"), database),
        ("topo", _) => ("topo".to_owned(), below.split_once('/').map_or(below, |(_, name)| name)),
        _ => (first.to_owned(), below.rsplit(':').next().unwrap_or(below)),
    };
    let decoded = percent_decode_str(name).decode_utf8_lossy();
    let name = without_nul(&decoded);
    (
        kind,
        if name.is_empty() {
            urn.to_string()
        } else {
            name.into_owned()
        },
    )
}

/// A name that the database can keep: no NUL, at most [`MAX_NAME_BYTES`] bytes. A longer name keeps its head and gets
/// `~` and 16 hex digits of the xxh3-64 of the whole, so different names stay different. Cleaning twice changes nothing.
pub fn clean_name(name: &str) -> Cow<'_, str> {
    let clean = without_nul(name);
    if clean.len() <= MAX_NAME_BYTES {
        return clean;
    }
    let head = cut(&clean, MAX_NAME_BYTES - 17);
    Cow::Owned(format!("{head}~{:016x}", xxh3_64(clean.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id<'a>(service: Option<&'a str>, host: Option<&'a str>) -> Identity<'a> {
        Identity { service, host }
    }

    #[test]
    fn service_wins_over_host_and_nothing_is_unknown() {
        assert_eq!(resource(id(Some("a"), Some("h"))).urn, "urn:svc:a");
        assert_eq!(resource(id(None, Some("h.example.com"))).urn, "urn:host:h.example.com");
        assert_eq!(resource(id(Some(""), Some("h"))).kind, HOST);
        assert_eq!(resource(id(Some(""), Some(""))).urn, "urn:svc:unknown");
        assert_eq!(resource(id(None, None)).name, "unknown");
    }

    #[test]
    fn odd_characters_are_encoded() {
        assert_eq!(resource(id(Some("a/b:c%é"), None)).urn, "urn:svc:a%2Fb%3Ac%25%C3%A9");
        assert_eq!(resource(id(Some("a\0b"), None)).name, "a\u{FFFD}b");
    }

    #[test]
    fn foreign_urns_are_refused() {
        for bad in [
            "",
            "urn:svc:",
            "urn:host:",
            "urn:db:postgres:a/b",
            "urn:svc:a b",
            "urn:svc:%ff",
            "urn:svc:%2f",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn long_names_are_shortened_and_stay_apart() {
        let (a, b) = ("é".repeat(5000) + "a", "é".repeat(5000) + "b");
        assert!(clean_name(&a).len() <= MAX_NAME_BYTES && clean_name(&a) != clean_name(&b));
        assert!(Resource::service(&a).urn.len() < 1000);
    }

    #[test]
    fn every_urn_has_a_kind_and_a_name() {
        for (urn, kind, name) in [
            ("urn:host:n1", HOST, "n1"),
            ("urn:k8s:persistentvolume:a%2Fb", "k8s:persistentvolume", "a/b"),
            ("urn:db:postgres:main/shop", "db:postgres", "main/shop"),
            ("urn:aws:arn%3Aaws%3Ards%3Ax", "aws", "arn:aws:rds:x"),
            ("urn:pulumi:dev::shop::aws:ec2/vpc:Vpc::main", "pulumi", "main"),
            (
                "urn:topo:shop/module.a%5B%22b%2Fc%22%5D.vpc",
                "topo",
                "module.a[\"b/c\"].vpc",
            ),
            ("urn:aws:a%00b", "aws", "a\u{FFFD}b"),
            ("urn:", "unknown", "urn:"),
            ("urn:x:", "x", "urn:x:"),
        ] {
            assert_eq!(describe(urn), (kind.to_owned(), name.to_owned()), "{urn}");
        }
    }

    proptest! {
        #[test]
        fn urns_read_back(name in ".{1,300}", host in any::<bool>()) {
            let r = if host { Resource::host(&name) } else { Resource::service(&name) };
            prop_assert!(r.urn.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-%:".contains(&b)));
            prop_assert_eq!(clean_name(&r.name), r.name.as_str());
            prop_assert_eq!(parse(&r.urn), Some(r));
        }

        #[test]
        fn parse_never_panics(text in "(urn:(svc|host):)?.{0,40}") {
            let _ = parse(&text);
            let (kind, name) = describe(&text);
            prop_assert!(!kind.is_empty() && !kind.contains('\0') && !name.contains('\0'));
            prop_assert!(text.is_empty() || !name.is_empty());
        }
    }
}
