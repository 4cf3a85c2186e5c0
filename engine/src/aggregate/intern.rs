//! Names as small numbers, so that hot keys are fixed-size and a record allocates nothing once its names are known.

use std::borrow::Cow;

use hashbrown::{HashMap, HashTable};
use xxhash_rust::xxh3::xxh3_64;

use crate::record::{Identity, Peer};
use crate::urn::{self, Named, Resource, UNKNOWN_SERVICE, clean_name, named};

/// Gives each distinct cleaned name (see [`clean_name`]) a number, counting from 0.
#[derive(Default)]
pub(super) struct Interner {
    names: Vec<Box<str>>,
    table: HashTable<u32>,
    /// The last answer: records of one name often follow each other.
    last: u32,
}

impl Interner {
    pub(super) fn intern(&mut self, name: &str) -> u32 {
        if self.names.get(self.last as usize).is_some_and(|last| **last == *name) {
            return self.last;
        }
        self.last = self.find(name).unwrap_or_else(|| match clean_name(name) {
            // Only what is stored clean can be found, so a name that needs cleaning always comes here.
            Cow::Owned(clean) => self.find(&clean).unwrap_or_else(|| self.add(&clean)),
            Cow::Borrowed(clean) => self.add(clean),
        });
        self.last
    }

    pub(super) fn get(&self, id: u32) -> &str {
        self.names
            .get(id as usize)
            .map(|name| name.as_ref())
            .unwrap_or_default()
    }

    pub(super) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Takes over the names of `other`; answers the new number of each of its numbers.
    pub(super) fn absorb(&mut self, other: &Interner) -> Vec<u32> {
        other.names.iter().map(|name| self.intern(name)).collect()
    }

    fn find(&self, name: &str) -> Option<u32> {
        self.table
            .find(xxh3_64(name.as_bytes()), |id| self.get(*id) == name)
            .copied()
    }

    fn add(&mut self, name: &str) -> u32 {
        let id = self.names.len() as u32;
        self.names.push(name.into());
        let names = &self.names;
        let hash = |id: &u32| {
            names
                .get(*id as usize)
                .map(|name| xxh3_64(name.as_bytes()))
                .unwrap_or_default()
        };
        self.table.insert_unique(xxh3_64(name.as_bytes()), id, hash);
        id
    }
}

/// The number of a resource: [`KINDS`] times that of its name among those of its kind, plus the kind.
pub(super) type ResourceId = u32;

const KINDS: u32 = 3;
const SERVICE: u32 = 0;
const HOST: u32 = 1;
const PEER: u32 = 2;

/// Services, hosts and whatever else is called. They are numbered apart, since a service and a host may share a name.
#[derive(Default)]
pub(super) struct Resources {
    services: Interner,
    hosts: Interner,
    peers: Peers,
}

/// How the numbers of one [`Resources`] translate to those of another.
pub(super) struct ResourceMap {
    services: Vec<u32>,
    hosts: Vec<u32>,
    peers: Vec<u32>,
}

impl Resources {
    pub(super) fn of(&mut self, identity: Identity<'_>) -> ResourceId {
        match named(identity) {
            Named::Service(name) => self.services.intern(name) * KINDS + SERVICE,
            Named::Host(name) => self.hosts.intern(name) * KINDS + HOST,
        }
    }

    /// The service of a span; no name, or an empty one, is the unknown service.
    pub(super) fn service(&mut self, name: Option<&str>) -> ResourceId {
        let name = name.filter(|name| !name.is_empty()).unwrap_or(UNKNOWN_SERVICE);
        self.services.intern(name) * KINDS + SERVICE
    }

    /// Whom a span calls.
    pub(super) fn peer(&mut self, peer: Peer<'_>) -> ResourceId {
        match peer {
            Peer::Service(name) => self.service(Some(name)),
            Peer::Database { .. } | Peer::Queue { .. } => self.peers.intern(peer) * KINDS + PEER,
        }
    }

    /// The name of a service.
    pub(super) fn name(&self, service: ResourceId) -> &str {
        self.services.get(service / KINDS)
    }

    /// More than the largest number given out.
    pub(super) fn bound(&self) -> usize {
        let names = self.services.names().len().max(self.hosts.names().len());
        KINDS as usize * names.max(self.peers.resources.len())
    }

    pub(super) fn resource(&self, id: ResourceId) -> Resource {
        match id % KINDS {
            SERVICE => Resource::service(self.services.get(id / KINDS)),
            HOST => Resource::host(self.hosts.get(id / KINDS)),
            _ => self.peers.get(id / KINDS),
        }
    }

    pub(super) fn absorb(&mut self, other: &Resources) -> ResourceMap {
        ResourceMap {
            services: self.services.absorb(&other.services),
            hosts: self.hosts.absorb(&other.hosts),
            peers: self.peers.absorb(&other.peers),
        }
    }
}

impl ResourceMap {
    pub(super) fn map(&self, id: ResourceId) -> ResourceId {
        let kind = id % KINDS;
        let new = match kind {
            SERVICE => &self.services,
            HOST => &self.hosts,
            _ => &self.peers,
        };
        new.get((id / KINDS) as usize).copied().unwrap_or_default() * KINDS + kind
    }
}

/// Databases and queues. Peers that are spelled differently may be one resource.
#[derive(Default)]
struct Peers {
    resources: Vec<Resource>,
    by_urn: HashMap<String, u32>,
    /// By what [`spell`] makes of a peer.
    by_spelling: HashMap<String, u32>,
    scratch: String,
}

impl Peers {
    fn intern(&mut self, peer: Peer<'_>) -> u32 {
        self.scratch.clear();
        spell(peer, &mut self.scratch);
        if let Some(id) = self.by_spelling.get(&self.scratch) {
            return *id;
        }
        let id = self.add(urn::peer(peer));
        self.by_spelling.insert(self.scratch.clone(), id);
        id
    }

    fn add(&mut self, resource: Resource) -> u32 {
        let next = self.resources.len() as u32;
        let id = *self.by_urn.entry(resource.urn.clone()).or_insert(next);
        if id == next {
            self.resources.push(resource);
        }
        id
    }

    fn get(&self, id: u32) -> Resource {
        let known = self.resources.get(id as usize).cloned();
        known.unwrap_or_else(|| Resource::service(UNKNOWN_SERVICE))
    }

    fn absorb(&mut self, other: &Peers) -> Vec<u32> {
        other
            .resources
            .iter()
            .map(|resource| self.add(resource.clone()))
            .collect()
    }
}

/// One text for one peer.
fn spell(peer: Peer<'_>, out: &mut String) {
    let parts = match peer {
        Peer::Database { system, address, name } => ["d", system, address.unwrap_or(""), name.unwrap_or("")],
        Peer::Queue { system, destination } => ["q", system, destination, ""],
        Peer::Service(name) => ["s", name, "", ""],
    };
    for part in parts {
        out.push_str(part);
        out.push('\0');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_numbers() {
        let mut names = Interner::default();
        let long = "x".repeat(1000);
        let ids: Vec<u32> = ["a", "b", "a", "a\0", "a\u{FFFD}", &long, &long]
            .iter()
            .map(|n| names.intern(n))
            .collect();
        assert_eq!(ids, [0, 1, 0, 2, 2, 3, 3]);
        assert_eq!(names.get(2), "a\u{FFFD}");
        assert!(names.get(3).len() < 300);
    }

    #[test]
    fn a_service_and_a_host_of_one_name_are_two() {
        let mut a = Resources::default();
        let host = a.of(Identity {
            service: None,
            host: Some("x"),
        });
        let service = a.of(Identity {
            service: Some("x"),
            host: Some("y"),
        });
        assert_ne!(host, service);
        assert_eq!(
            (a.resource(host).urn.as_str(), a.resource(service).urn.as_str()),
            ("urn:host:x", "urn:svc:x")
        );
        let mut b = Resources::default();
        b.service(None);
        let map = b.absorb(&a);
        assert_eq!(b.resource(map.map(host)), a.resource(host));
        assert_eq!(b.resource(map.map(service)), a.resource(service));
    }

    #[test]
    fn one_database_has_one_number_however_it_is_spelled() {
        let database = |system| Peer::Database {
            system,
            address: Some("pg"),
            name: Some("shop"),
        };
        let queue = Peer::Queue {
            system: "kafka",
            destination: "orders",
        };
        let mut a = Resources::default();
        let first = a.peer(database("postgres"));
        assert_eq!(first, a.peer(database("postgresql")));
        let (queue, service) = (a.peer(queue), a.peer(Peer::Service("cart")));
        assert_eq!(service, a.service(Some("cart")));
        let mut b = Resources::default();
        b.peer(database("mysql"));
        let map = b.absorb(&a);
        for id in [first, queue, service] {
            assert_eq!(b.resource(map.map(id)), a.resource(id));
            assert!((map.map(id) as usize) < b.bound());
        }
    }
}
