//! The fault matrix: each fault, at each kind of source, at the first, a middle and the last page. A window may wait and
//! run again by itself, or fail so that somebody sees it; then nothing of it is written. Once the fault is gone, every
//! record is there exactly once. `make faults` prints the table of docs/faults.md.
//!
//! `OBSERVE_BRIDGE_FAULTS` says which faults are tried: `all`, or those with this text in their name; fewer without it.
//! `OBSERVE_BRIDGE_FAULT_TABLES` names a folder for the tables, a file for each kind of source; without it they are printed.

mod cell;
mod fault;
mod kind;
mod message;
mod records;
mod rows;
mod stored;
mod table;
mod wire;

use blackbox::cluster::Cluster;
use cell::{Did, Outcome, Scene};
use fault::{Fault, Target};
use kind::Kind;
use rows::{Row, Then};
use std::path::Path;
use table::Table;
use wire::{Strike, Wire};

/// The deadline of a request, and the one where a fault is to run into it.
const PATIENT: &str = "30s";
const IMPATIENT: &str = "500ms";

/// Whether a fault is to be tried; `always` are those that need no asking for.
fn is_wanted(name: &str, always: bool) -> bool {
    match std::env::var("OBSERVE_BRIDGE_FAULTS") {
        Ok(wanted) => wanted == "all" || name.contains(&wanted),
        Err(_) => always,
    }
}

/// One fault at one place of a kind that is read over a wire.
fn strike(scene: &mut Scene, cluster: &mut Cluster, strike: Strike) -> Outcome {
    let waits = matches!(strike.fault, Fault::Stalled | Fault::Silent | Fault::Drips);
    if waits {
        cluster.set("observe_bridge.http_timeout", IMPATIENT);
    }
    let wire = |scene: &mut Scene, work: &dyn Fn(&mut Wire)| work(scene.wire.as_mut().expect("a wire"));
    let outcome = scene.cell(
        cluster,
        strike.fault == Fault::Killed,
        |scene| wire(scene, &|wire| wire.arm(strike)),
        |scene| wire(scene, &Wire::heal),
    );
    if waits {
        cluster.set("observe_bridge.http_timeout", PATIENT);
    }
    outcome
}

/// The first, a middle and the last of so many requests, each once; of the few faults that need no asking for, the middle.
fn places(requests: usize) -> [Option<usize>; 3] {
    let middle = requests.div_ceil(2);
    if std::env::var("OBSERVE_BRIDGE_FAULTS").is_err() {
        return [None, Some(middle), None];
    }
    [
        Some(1),
        Some(middle).filter(|nth| (2..requests).contains(nth)),
        Some(requests).filter(|nth| *nth > 1),
    ]
}

/// How many requests of a target a window makes.
fn requests(scene: &mut Scene, cluster: &mut Cluster, target: Target) -> usize {
    scene.wire.as_mut().expect("a wire").heal();
    let mut count = 0;
    let outcome = scene.cell(
        cluster,
        false,
        |_| {},
        |scene| {
            count = scene.wire.as_ref().expect("a wire").count(target);
        },
    );
    assert!(outcome.wrong.is_empty(), "without a fault: {outcome:?}");
    count
}

/// Holds what a window did to what it may do. A fault that did not strike proves nothing.
fn judge(outcome: &mut Outcome, then: Then) {
    let as_expected = match (&outcome.did, then) {
        (Did::WentOn, Then::GoesOn | Then::Any) | (Did::Rescued, Then::Rescued) => true,
        (Did::Waited(_), Then::Any) => true,
        (Did::Waited(state), Then::Waits(states)) => states.contains(&state.as_str()),
        (Did::Failed(state), Then::Fails(expected)) => state == expected,
        _ => false,
    };
    if !as_expected {
        outcome.wrong.push(format!("{then:?} was expected"));
    }
}

fn line(scene: &mut Scene, cluster: &mut Cluster, row: &Row, count: usize, table: &mut Table) {
    let mut cells = Vec::new();
    for nth in places(count) {
        let Some(nth) = nth else {
            cells.push(Outcome::none());
            continue;
        };
        let mut outcome = strike(
            scene,
            cluster,
            Strike {
                target: row.target,
                nth,
                fault: row.fault,
            },
        );
        judge(&mut outcome, row.then);
        cells.push(outcome);
    }
    assert!(count > 0, "{:?}: no request for {:?}", scene.kind, row.target);
    table.add(&row.name, cells);
}

/// Works through the rows of a kind and prints its table.
fn matrix(kind: Kind) {
    let mut cluster = Cluster::start(&[
        "shared_preload_libraries = 'timescaledb'",
        // One request after the other: the n-th is always the same.
        "observe_bridge.fetch_concurrency = 1",
        "observe_bridge.http_timeout = '30s'",
    ]);
    let mut scene = Scene::new(kind, &cluster);
    let mut table = Table::new(kind);
    let mut counts: Vec<(Target, usize)> = Vec::new();
    for row in rows::of(kind).iter().filter(|row| is_wanted(&row.name, row.always)) {
        let known = counts.iter().find(|(target, _)| *target == row.target);
        let count = known.map_or_else(|| requests(&mut scene, &mut cluster, row.target), |(_, n)| *n);
        counts.push((row.target, count));
        line(&mut scene, &mut cluster, row, count, &mut table);
    }
    stored::lines(&mut scene, &mut cluster, &mut table);
    let wrong = table.wrong();
    match std::env::var_os("OBSERVE_BRIDGE_FAULT_TABLES") {
        Some(folder) => {
            let name = format!("{}-{}.txt", kind as usize, kind.database());
            std::fs::write(Path::new(&folder).join(name), table.to_string()).expect("the folder");
        }
        None => println!("\n{table}"),
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_fault_of_openobserve_loses_or_doubles_a_record() {
    matrix(Kind::Http);
}

#[test]
fn no_fault_of_its_bucket_loses_or_doubles_a_record() {
    matrix(Kind::Bucket);
}

#[test]
fn no_fault_of_a_lake_of_lines_loses_or_doubles_a_record() {
    matrix(Kind::Lines);
}

#[test]
fn no_fault_of_a_lake_of_columns_loses_or_doubles_a_record() {
    matrix(Kind::Columns);
}

#[test]
fn no_fault_of_files_loses_or_doubles_a_record() {
    matrix(Kind::File);
}
