//! The invented system that is observed: services, the hosts they run on, and who calls whom. A function of the seed
//! and the number of services, the same at all times.

use super::MockConfig;
use super::rng::{Purpose, Rng};

/// What a service does, which decides what it logs and how it talks to its stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Takes requests from outside.
    Edge,
    /// Keeps data in a database or a cache.
    Store,
    /// Moves money.
    Money,
    /// Works off a queue.
    Async,
}

/// One service.
pub(super) struct Service {
    pub(super) name: String,
    pub(super) class: Class,
    pub(super) host: String,
    /// Indices of the services it calls, all greater than its own: calls never go in circles.
    pub(super) callees: Vec<usize>,
    /// Typical time of a request in the service itself, microseconds.
    pub(super) own_us: f64,
    /// In how many of 1000 requests it fails by itself.
    pub(super) error_per_mille: u64,
    /// Writes severities as `error` instead of `ERROR`.
    pub(super) lower_case: bool,
}

/// All services of a configuration.
pub(super) struct Fleet {
    pub(super) services: Vec<Service>,
    pub(super) hosts: Vec<String>,
    /// The first `entries` services take the requests from outside.
    pub(super) entries: usize,
}

const NAMES: [(&str, Class); 40] = [
    ("frontend", Class::Edge),
    ("api-gateway", Class::Edge),
    ("checkout", Class::Money),
    ("cart", Class::Store),
    ("product-catalog", Class::Store),
    ("recommendation", Class::Store),
    ("payment", Class::Money),
    ("shipping", Class::Async),
    ("inventory", Class::Store),
    ("currency", Class::Money),
    ("email", Class::Async),
    ("accounting", Class::Async),
    ("mobile-bff", Class::Edge),
    ("search", Class::Store),
    ("session", Class::Store),
    ("auth", Class::Edge),
    ("ad-selector", Class::Store),
    ("quote", Class::Money),
    ("fraud-check", Class::Money),
    ("review", Class::Store),
    ("wishlist", Class::Store),
    ("order-history", Class::Store),
    ("invoice", Class::Money),
    ("tax", Class::Money),
    ("discount", Class::Money),
    ("loyalty", Class::Store),
    ("image-provider", Class::Edge),
    ("feature-flags", Class::Store),
    ("notification", Class::Async),
    ("warehouse", Class::Async),
    ("returns", Class::Async),
    ("refund", Class::Money),
    ("pricing", Class::Money),
    ("geo-lookup", Class::Store),
    ("translation", Class::Store),
    ("chat-support", Class::Edge),
    ("export", Class::Async),
    ("reporting", Class::Async),
    ("audit-trail", Class::Async),
    ("ledger", Class::Money),
];

/// Names are used again with these suffixes when a fleet has more services than names.
const SUFFIXES: [&str; 5] = ["", "-eu", "-us", "-ap", "-batch"];

/// The largest fleet there are names for.
pub(super) const MAX_SERVICES: u32 = (NAMES.len() * SUFFIXES.len()) as u32;

impl Fleet {
    /// The fleet of `cfg`. Costs time linear in the number of services.
    pub(super) fn new(cfg: &MockConfig) -> Fleet {
        let count = cfg.services.clamp(2, MAX_SERVICES) as usize;
        let hosts: Vec<String> = (1..=count.div_ceil(3)).map(|n| format!("node-{n:02}")).collect();
        let names = SUFFIXES
            .iter()
            .flat_map(|suffix| NAMES.iter().map(move |(name, class)| (name, suffix, *class)));
        let mut services: Vec<Service> = (0u64..)
            .zip(names.take(count))
            .map(|(index, (name, suffix, class))| {
                let mut rng = Rng::new(cfg.seed, Purpose::Service, 0, index);
                Service {
                    name: format!("{name}{suffix}"),
                    class,
                    host: hosts.get(rng.index(hosts.len())).cloned().unwrap_or_default(),
                    callees: Vec::new(),
                    own_us: 400.0 + 15_000.0 * rng.unit() * rng.unit(),
                    error_per_mille: rng.between(10, 40),
                    lower_case: rng.chance(300),
                }
            })
            .collect();
        let entries = (count / 6).clamp(1, 8);
        for (caller, callee) in calls(cfg.seed, count, entries) {
            if let Some(service) = services.get_mut(caller)
                && !service.callees.contains(&callee)
            {
                service.callees.push(callee);
            }
        }
        Fleet {
            services,
            hosts,
            entries,
        }
    }
}

/// The edges (caller, callee) of the call graph: every service that is no entry has a caller, every entry a callee.
fn calls(seed: u64, count: usize, entries: usize) -> Vec<(usize, usize)> {
    let mut edges: Vec<(usize, usize)> = (0..entries).map(|entry| (entry, entries + entry)).collect();
    for callee in entries..count {
        let mut rng = Rng::new(seed, Purpose::Calls, 0, callee as u64);
        // A caller from the whole range above gives shallow, bushy trees, as real systems have.
        let nearest = (callee - entries) / 3;
        edges.push((nearest + rng.index(callee - nearest), callee));
        if rng.chance(500) {
            edges.push((rng.index(callee), callee));
        }
    }
    edges.retain(|(caller, callee)| caller < callee && *callee < count);
    edges
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fleet_is_an_acyclic_graph_reached_from_its_entries() {
        for services in 2..=MAX_SERVICES {
            for seed in 0..3 {
                let fleet = Fleet::new(&MockConfig {
                    seed,
                    services,
                    ..MockConfig::default()
                });
                assert_eq!(fleet.services.len(), services as usize);
                let names: BTreeSet<&str> = fleet.services.iter().map(|s| s.name.as_str()).collect();
                assert_eq!(names.len(), services as usize);
                let mut reached: BTreeSet<usize> = (0..fleet.entries).collect();
                for (index, service) in fleet.services.iter().enumerate() {
                    assert!(reached.contains(&index), "{} of {services} has no caller", service.name);
                    assert!(service.callees.iter().all(|c| *c > index && *c < services as usize));
                    assert!(index >= fleet.entries || !service.callees.is_empty());
                    assert!(fleet.hosts.contains(&service.host));
                    reached.extend(&service.callees);
                }
            }
        }
    }
}
