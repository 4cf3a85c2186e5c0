//! Random histories of what sources say their things are known as, in random orders of loads: what is joined at an instant
//! is what the sources had said by then, as a plain model joins it.

use blackbox::bridge::bridge;
use blackbox::cluster::Cluster;
use blackbox::session::Session;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

const SOURCES: usize = 3;
/// Minutes that a history lasts.
const MINUTES: u32 = 8;
const ROLES: [&str; 5] = ["instance", "node", "host", "balancer", "service"];
/// Things with rows of their own; machines are known by their URNs, too.
const MACHINES: [&str; 5] = ["urn:aws:i-1", "urn:aws:i-2", "urn:host:a", "urn:host:b", "urn:host:c"];
const OTHERS: [&str; 4] = ["urn:aws:arn1", "urn:aws:arn2", "urn:svc:x", "urn:svc:y"];
/// What things are known as, beside the URNs of machines.
const ADDRESSES: [&str; 2] = ["urn:host:10.0.0.1", "urn:host:10.0.0.2"];
const FRONTS: [&str; 2] = ["urn:balancer:f1", "urn:balancer:f2"];

/// Thing, role, name.
type Identity = (&'static str, &'static str, &'static str);
type Snapshot = BTreeSet<Identity>;

fn identity() -> impl Strategy<Value = Identity> {
    let names: Vec<&'static str> = MACHINES.into_iter().chain(ADDRESSES).collect();
    let machine = (0..MACHINES.len(), 0..3usize, 0..names.len())
        .prop_map(move |(thing, role, name)| (MACHINES[thing], ROLES[role], names[name]));
    let front = (0..OTHERS.len(), 0..FRONTS.len()).prop_map(|(thing, name)| {
        let role = if thing < 2 { "balancer" } else { "service" };
        (OTHERS[thing], role, FRONTS[name])
    });
    prop_oneof![3 => machine, 1 => front]
}

/// A source says all of this, so many minutes after the load before.
#[derive(Clone, Debug)]
struct Load {
    source: usize,
    after: u32,
    said: Snapshot,
}

fn history() -> impl Strategy<Value = Vec<Load>> {
    let said = prop::collection::btree_set(identity(), 0..5);
    let load = (0..SOURCES, 0..2u32, said).prop_map(|(source, after, said)| Load { source, after, said });
    prop::collection::vec(load, 1..9)
}

fn instant(minute: u32) -> String {
    format!("2026-01-05 10:{minute:02}Z")
}

fn load(db: &mut Session, source: usize, minute: u32, said: &Snapshot) {
    let all: Vec<String> = said
        .iter()
        .map(|(thing, role, name)| format!(r#"{{"urn":"{thing}","role":"{role}","known_as":"{name}"}}"#))
        .collect();
    db.exec(&format!(
        "SELECT topo_load('default', '{source}', '[]', '{}', identities => '[{}]')",
        instant(minute),
        all.join(",")
    ));
}

fn joins(db: &mut Session, minute: u32) -> BTreeSet<String> {
    let found = db.column(&format!(
        "SELECT src_urn || ' ' || relation || ' ' || dst_urn FROM topology_joins('default', '{}')",
        instant(minute)
    ));
    found.into_iter().collect()
}

/// What follows from all that is said, by the words of docs/urns.md.
fn model(said: &Snapshot) -> BTreeSet<String> {
    let mut roles: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut claims: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (thing, role, name) in said
        .iter()
        .filter(|(_, role, _)| !matches!(*role, "balancer" | "service"))
    {
        roles.entry(thing).or_default().insert(role);
        claims.entry(name).or_default().insert(thing);
    }
    for (name, things) in &mut claims {
        if MACHINES.contains(name) {
            things.insert(name);
            if name.starts_with("urn:aws:i-") {
                roles.entry(name).or_default().insert("instance");
            }
        }
    }
    let no_roles = BTreeSet::new();
    let of = |thing: &str| roles.get(thing).unwrap_or(&no_roles);
    let mut beside: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for things in claims.values() {
        let alone = |role: &&str| things.iter().filter(|thing| of(thing).contains(*role)).count() <= 1;
        if ROLES.iter().all(alone) {
            for thing in things {
                let others = things.iter().filter(|other| *other != thing);
                beside.entry(thing).or_default().extend(others);
            }
        }
    }
    let torn = |thing: &str| {
        ROLES
            .iter()
            .any(|role| beside[thing].iter().filter(|other| of(other).contains(role)).count() > 1)
    };
    let mut joined = BTreeSet::new();
    for (thing, others) in &beside {
        for other in others
            .iter()
            .filter(|other| thing < *other && !torn(thing) && !torn(other))
        {
            joined.insert(format!("{thing} SAME_AS {other}"));
        }
    }
    for front in FRONTS {
        let at = |wanted: &str| -> BTreeSet<&str> {
            said.iter()
                .filter(|(_, role, name)| *role == wanted && *name == front)
                .map(|(thing, ..)| *thing)
                .collect()
        };
        let (balancers, services) = (at("balancer"), at("service"));
        if let (1, 1, Some(balancer), Some(service)) =
            (balancers.len(), services.len(), balancers.first(), services.first())
        {
            joined.insert(format!("{balancer} ROUTES_TO {service}"));
        }
    }
    joined
}

fn replays(db: &mut Session, history: &[Load]) -> Result<(), TestCaseError> {
    db.exec("TRUNCATE topo_identity_time, topo_edge_time, topo_source_state");
    let mut truth: Vec<BTreeMap<u32, Snapshot>> = vec![BTreeMap::new(); SOURCES];
    let mut minute = 0;
    for step in history {
        minute = (minute + step.after).min(MINUTES - 1);
        load(db, step.source, minute, &step.said);
        truth[step.source].insert(minute, step.said.clone());
    }
    let said = |minute: u32| -> Snapshot {
        let of = |source: &BTreeMap<u32, Snapshot>| source.range(..=minute).next_back().map(|(_, said)| said.clone());
        truth.iter().filter_map(of).flatten().collect()
    };
    for minute in 0..MINUTES {
        prop_assert_eq!(joins(db, minute), model(&said(minute)), "at {}", minute);
    }
    // What is around one thing is told without looking at all the others.
    let differ = db.column(&format!(
        "SELECT r.urn FROM dim_resource r
          WHERE ARRAY(SELECT j::text FROM topo_joins(1, '{0}') AS j WHERE r.resource_id IN (j.src_resource_id, j.dst_resource_id) ORDER BY 1)
             <> ARRAY(SELECT j::text FROM topo_joins(1, '{0}', ARRAY[r.resource_id]) AS j ORDER BY 1)",
        instant(MINUTES - 1)
    ));
    prop_assert!(differ.is_empty(), "around {differ:?}");
    // The newest of each source, in another order of sources.
    let now = joins(db, MINUTES - 1);
    db.exec("TRUNCATE topo_identity_time, topo_source_state");
    for source in (0..SOURCES).rev() {
        if let Some(said) = truth[source].values().next_back() {
            load(db, source, minute, said);
        }
    }
    prop_assert_eq!(&joins(db, MINUTES - 1), &now, "in another order");
    // Changes are what differs between two instants, whichever rows say so.
    let changed = db.int(&format!(
        "SELECT count(*) FROM topology_diff('default', '{}', '{}') WHERE relation IN ('SAME_AS', 'ROUTES_TO') AND change <> 'changed'",
        "2026-01-05 09:00Z",
        instant(MINUTES - 1)
    ));
    prop_assert_eq!(usize::try_from(changed).ok(), Some(now.len()));
    Ok(())
}

#[test]
fn what_is_joined_follows_from_what_was_said_and_from_nothing_else() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "joins");
    for thing in MACHINES.into_iter().chain(OTHERS) {
        db.exec(&format!(
            "INSERT INTO dim_resource (tenant_id, urn, type, name) VALUES (1, '{thing}', topo_urn_type('{thing}'), topo_urn_name('{thing}'))"
        ));
    }
    let db = RefCell::new(db);
    let mut runner = TestRunner::new(Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&history(), |history| replays(&mut db.borrow_mut(), &history));
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
