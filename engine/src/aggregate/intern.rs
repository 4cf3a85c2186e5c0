//! Names as small numbers, so that hot keys are fixed-size and a record allocates nothing once its names are known.

use std::borrow::Cow;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::record::Identity;
use crate::urn::{Named, Resource, UNKNOWN_SERVICE, clean_name, named};

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

/// The number of a resource: twice that of its name, plus 1 for a host. Even numbers are services.
pub(super) type ResourceId = u32;

/// Services and hosts. They are numbered apart, since a service and a host may share a name.
#[derive(Default)]
pub(super) struct Resources {
    services: Interner,
    hosts: Interner,
}

/// How the numbers of one [`Resources`] translate to those of another.
pub(super) struct ResourceMap {
    services: Vec<u32>,
    hosts: Vec<u32>,
}

impl Resources {
    pub(super) fn of(&mut self, identity: Identity<'_>) -> ResourceId {
        match named(identity) {
            Named::Service(name) => self.services.intern(name) * 2,
            Named::Host(name) => self.hosts.intern(name) * 2 + 1,
        }
    }

    /// The service of a span; no name, or an empty one, is the unknown service.
    pub(super) fn service(&mut self, name: Option<&str>) -> ResourceId {
        self.services
            .intern(name.filter(|name| !name.is_empty()).unwrap_or(UNKNOWN_SERVICE))
            * 2
    }

    pub(super) fn name(&self, id: ResourceId) -> &str {
        let names = if id.is_multiple_of(2) {
            &self.services
        } else {
            &self.hosts
        };
        names.get(id / 2)
    }

    /// More than the largest number given out.
    pub(super) fn bound(&self) -> usize {
        2 * self.services.names().len().max(self.hosts.names().len())
    }

    pub(super) fn resource(&self, id: ResourceId) -> Resource {
        if id.is_multiple_of(2) {
            Resource::service(self.name(id))
        } else {
            Resource::host(self.name(id))
        }
    }

    pub(super) fn absorb(&mut self, other: &Resources) -> ResourceMap {
        ResourceMap {
            services: self.services.absorb(&other.services),
            hosts: self.hosts.absorb(&other.hosts),
        }
    }
}

impl ResourceMap {
    pub(super) fn map(&self, id: ResourceId) -> ResourceId {
        let names = if id.is_multiple_of(2) {
            &self.services
        } else {
            &self.hosts
        };
        names.get(id as usize / 2).copied().unwrap_or_default() * 2 + id % 2
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
}
