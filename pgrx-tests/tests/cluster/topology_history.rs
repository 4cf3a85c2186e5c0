//! Random histories of snapshots: the intervals replay to what was loaded, at every instant.

use blackbox::bridge::bridge;
use blackbox::cluster::Cluster;
use blackbox::session::Session;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;

const SOURCES: usize = 2;
/// Minutes that a history lasts.
const MINUTES: u32 = 12;

/// (source, destination, relation)
type Key = (u8, u8, u8);
/// What a source declares: edges with their properties, the first of `SAID_TWICE` being said by one element, the others by
/// two that say a part each.
type Snapshot = BTreeMap<Key, u8>;
const SAID_TWICE: u8 = 2;

/// A snapshot of a source, so many minutes after the one before.
#[derive(Clone, Debug)]
struct Load {
    source: usize,
    after: u32,
    edges: Snapshot,
}

fn history() -> impl Strategy<Value = Vec<Load>> {
    let edges = prop::collection::btree_map((0..3u8, 0..3u8, 0..2u8), 0..2 * SAID_TWICE, 0..8);
    let load = (0..SOURCES, 0..3u32, edges).prop_map(|(source, after, edges)| Load { source, after, edges });
    prop::collection::vec(load, 1..10)
}

fn instant(minute: u32) -> String {
    format!("2026-01-05 10:{minute:02}Z")
}

fn json(edges: &Snapshot, reversed: bool) -> String {
    let mut all: Vec<String> = edges
        .iter()
        .flat_map(|((src, dst, relation), props)| {
            let element = |props: String| {
                format!(
                    r#"{{"src":"urn:svc:{src}","dst":"urn:svc:{dst}","relation":"{relation}","props":{{{props}}}}}"#
                )
            };
            let first = element(format!(r#""v":{}"#, props % SAID_TWICE));
            let second = (*props >= SAID_TWICE).then(|| element(format!(r#""too":{SAID_TWICE}"#)));
            [Some(first), second]
        })
        .flatten()
        .collect();
    if reversed {
        all.reverse();
    }
    format!("[{}]", all.join(","))
}

fn load(db: &mut Session, source: usize, minute: u32, edges: &Snapshot, reversed: bool) -> [usize; 3] {
    let row = db
        .rows(&format!(
            "SELECT * FROM topo_load('default', '{source}', '{}', '{}', force => true)",
            json(edges, reversed),
            instant(minute)
        ))
        .remove(0);
    [0, 1, 2].map(|i| row[i].parse().expect("a count"))
}

/// Edges of an instant with their properties, as text.
fn at(db: &mut Session, minute: u32) -> Vec<String> {
    let mut found = db.column(&format!(
        "SELECT format('%s %s %s %s %s', source, substr(src_urn, 9), substr(dst_urn, 9), relation,
                       (props ->> 'v')::int + coalesce((props ->> 'too')::int, 0))
           FROM topology_at('default', '{}')",
        instant(minute)
    ));
    found.sort();
    found
}

fn described(source: usize, edges: &Snapshot) -> impl Iterator<Item = String> {
    edges
        .iter()
        .map(move |((src, dst, relation), props)| format!("{source} {src} {dst} {relation} {props}"))
}

/// Where the rows are and who wrote them: equal as long as nothing is written.
fn versions(db: &mut Session) -> Vec<Vec<String>> {
    db.rows("SELECT ctid, xmin, source, valid FROM topo_edge_time ORDER BY ctid")
}

/// What each source said last, by minute.
#[derive(Default)]
struct Truth(Vec<BTreeMap<u32, Snapshot>>);

impl Truth {
    fn of(&self, source: usize, minute: u32) -> Snapshot {
        let said = self.0[source].range(..=minute).next_back();
        said.map(|(_, edges)| edges.clone()).unwrap_or_default()
    }

    fn all(&self, minute: u32) -> Vec<String> {
        let mut all: Vec<String> = (0..SOURCES)
            .flat_map(|source| described(source, &self.of(source, minute)).collect::<Vec<_>>())
            .collect();
        all.sort();
        all
    }
}

fn replays(db: &mut Session, history: &[Load]) -> Result<(), TestCaseError> {
    db.exec("TRUNCATE topo_edge_time, topo_source_state");
    let mut truth = Truth(vec![BTreeMap::new(); SOURCES]);
    let mut minute = 0;
    for step in history {
        minute = (minute + step.after).min(MINUTES - 1);
        let before = truth.of(step.source, minute);
        let same = step
            .edges
            .iter()
            .filter(|(key, props)| before.get(key) == Some(props))
            .count();
        let rows = versions(db);
        let counts = load(db, step.source, minute, &step.edges, false);
        prop_assert_eq!(counts, [step.edges.len() - same, before.len() - same, same]);
        if step.edges == before {
            prop_assert_eq!(versions(db), rows, "an unchanged load writes nothing");
        }
        truth.0[step.source].insert(minute, step.edges.clone());
        // Once more, in another order, and again as it was.
        let rows = versions(db);
        for reversed in [true, false] {
            prop_assert_eq!(
                load(db, step.source, minute, &step.edges, reversed),
                [0, 0, step.edges.len()]
            );
        }
        prop_assert_eq!(versions(db), rows, "a replay writes nothing");
    }
    for minute in 0..MINUTES {
        prop_assert_eq!(at(db, minute), truth.all(minute), "at {}", minute);
    }
    let broken = db.rows(
        "SELECT a.*, b.* FROM topo_edge_time a JOIN topo_edge_time b USING (tenant_id, src_resource_id, dst_resource_id, relation, source)
          WHERE a.ctid < b.ctid AND a.valid && b.valid OR a.valid -|- b.valid AND a.props = b.props",
    );
    prop_assert!(broken.is_empty(), "overlaps, or one interval in two pieces: {broken:?}");
    for (t1, t2) in [(0, minute), (minute, 0), (minute / 2, minute), (minute / 3, minute / 2)] {
        differences(db, &truth, t1, t2)?;
    }
    Ok(())
}

/// `topology_diff` says what the snapshots say.
fn differences(db: &mut Session, truth: &Truth, t1: u32, t2: u32) -> Result<(), TestCaseError> {
    let mut expected = Vec::new();
    for source in 0..SOURCES {
        let (old, new) = (truth.of(source, t1), truth.of(source, t2));
        let mut say = |change: &str, (src, dst, relation): &Key| {
            expected.push(format!("{change} {source} {src} {dst} {relation}"))
        };
        for (key, props) in &old {
            match new.get(key) {
                None => say("closed", key),
                Some(now) if now != props => say("changed", key),
                Some(_) => {}
            }
        }
        new.keys()
            .filter(|key| !old.contains_key(key))
            .for_each(|key| say("opened", key));
    }
    expected.sort();
    let mut found = db.column(&format!(
        "SELECT format('%s %s %s %s %s', change, source, substr(src_urn, 9), substr(dst_urn, 9), relation)
           FROM topology_diff('default', '{}', '{}')",
        instant(t1),
        instant(t2)
    ));
    found.sort();
    prop_assert_eq!(found, expected, "from {} to {}", t1, t2);
    Ok(())
}

#[test]
fn intervals_replay_to_the_snapshots() {
    let cluster = Cluster::without_workers();
    let db = RefCell::new(bridge(&cluster, "history"));
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

/// Whoever writes: loads by another program, corrections by hand.
#[test]
fn intervals_of_one_edge_cannot_overlap() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "overlap");
    let row = |source: &str, valid: &str| {
        format!(
            "INSERT INTO topo_edge_time (tenant_id, src_resource_id, dst_resource_id, relation, source, valid)
             VALUES (1, 1, 2, 'DEPENDS_ON', '{source}', '{valid}')"
        )
    };
    db.exec(&row("a", "[2026-01-05 10:00Z, 2026-01-05 11:00Z)"));
    for valid in [
        "[2026-01-05 10:59Z, 2026-01-05 12:00Z)",
        "[2026-01-05 09:00Z, 2026-01-05 10:01Z)",
        "[2026-01-05 10:10Z, 2026-01-05 10:20Z)",
        "[2026-01-05 09:00Z,)",
        "(,)",
    ] {
        assert_eq!(db.refused(&row("a", valid)).sqlstate, "23P01", "{valid}");
    }
    assert_eq!(db.refused(&row("a", "empty")).sqlstate, "23514");
    db.exec(&row("a", "[2026-01-05 11:00Z,)"));
    db.exec(&row("b", "[2026-01-05 10:30Z,)"));
    assert_eq!(db.int("SELECT count(*) FROM topo_edge_time"), 3);
}
