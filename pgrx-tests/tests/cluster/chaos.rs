//! Crashes at every step of a window's way. All of it needs a library with fault points and passes without.
//!
//! `make chaos` runs the random rounds: `OBSERVE_BRIDGE_CHAOS_ROUNDS` of them, from `OBSERVE_BRIDGE_CHAOS_SEED` where one
//! is to be repeated.

use blackbox::bridge::{add_openobserve, assert_minutes, bridge, clock, enqueue, run};
use blackbox::chaos::{Chaos, Kill, standing};
use blackbox::cluster::Cluster;
use blackbox::fault::{self, Closed, Point};
use blackbox::openobserve::OpenObserve;
use blackbox::session::{Session, SqlError};
use blackbox::telemetry::{T0, minutes};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::thread::JoinHandle;

const DATABASE: &str = "steps";

#[test]
fn kill_9_at_each_fault_point_loses_nothing_and_doubles_nothing() {
    let mut chaos = Chaos::start();
    if !fault::built_in(&mut chaos.session()) {
        return;
    }
    for point in Point::ALL {
        println!("{point:?}");
        chaos.round(point, Kill::Stopped);
    }
}

/// A database without workers whose only window `CALL etl_run()` works on; `None` without fault points.
fn one_window(cluster: &Cluster, oo: &OpenObserve) -> Option<Session> {
    let mut db = bridge(cluster, DATABASE);
    if !fault::built_in(&mut db) {
        return None;
    }
    add_openobserve(&mut db, oo);
    Some(db)
}

/// The library is loaded, but no worker runs anything.
fn idle_cluster() -> Cluster {
    Cluster::start(&[
        "shared_preload_libraries = 'observe_bridge'",
        "observe_bridge.enabled = off",
    ])
}

/// The points a run passes, each with a day of its own.
fn points_of_a_run() -> impl Iterator<Item = (i32, Point)> {
    let of_a_run = |point: &Point| !matches!(point, Point::TickBeforeCommit | Point::RescueBeforeCommit);
    (6..).zip(Point::ALL.into_iter().filter(of_a_run))
}

/// Calls `etl_run()` on this day, in a session of its own.
fn call(cluster: &Cluster, day: i32) -> JoinHandle<Result<Vec<Vec<String>>, SqlError>> {
    let mut caller = cluster.session(DATABASE);
    clock(&mut caller, &format!("2026-01-{day:02} 00:00:00+00"));
    std::thread::spawn(move || caller.try_rows("CALL etl_run()"))
}

#[test]
fn a_call_that_is_cancelled_at_a_fault_point_gives_its_window_back() {
    let (cluster, oo) = (idle_cluster(), OpenObserve::serve(minutes(1)));
    let Some(mut db) = one_window(&cluster, &oo) else {
        return;
    };
    for (day, point) in points_of_a_run() {
        enqueue(&mut db, T0, 1);
        let mut closed = Closed::close(&cluster, DATABASE, point);
        let calling = call(&cluster, day);
        let stopped = standing(&mut closed);
        db.exec(&format!("SELECT pg_cancel_backend({stopped})"));
        let refusal = calling.join().expect("an answer").expect_err("a cancelled call");
        assert_eq!(refusal.sqlstate, "57014", "{point:?}: {refusal}");
        drop(closed);
        let ended = matches!(point, Point::Committed | Point::Released);
        let status = db.text("SELECT status FROM etl_job_run WHERE job = 'oo-agg'");
        assert_eq!(status, if ended { "success" } else { "queued" }, "{point:?}");
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'userlock'";
        assert_eq!(db.int(locks), 0, "{point:?}");
        clock(&mut db, &format!("2026-01-{day:02} 01:00:00+00"));
        run(&mut db);
        assert_minutes(&mut db, 1);
    }
}

#[test]
fn nobody_takes_a_window_from_a_process_that_lives_wherever_it_stands() {
    let (cluster, oo) = (idle_cluster(), OpenObserve::serve(minutes(1)));
    let Some(mut db) = one_window(&cluster, &oo) else {
        return;
    };
    for (day, point) in points_of_a_run() {
        // Before its claim is committed, others wait for it; after its end there is nothing to take.
        if matches!(point, Point::ClaimedBeforeCommit | Point::Committed | Point::Released) {
            continue;
        }
        enqueue(&mut db, T0, 1);
        let run_row = "SELECT attempt, status = 'running' FROM etl_job_run WHERE job = 'oo-agg'";
        let before = db.rows(run_row).swap_remove(0);
        let mut closed = Closed::close(&cluster, DATABASE, point);
        let calling = call(&cluster, day);
        standing(&mut closed);
        let standing_there = db.rows(run_row);
        clock(&mut db, &format!("2026-01-{day:02} 12:00:00+00"));
        // This looks for orphans, too.
        run(&mut db);
        assert_eq!(db.rows(run_row), standing_there, "{point:?}");
        drop(closed);
        calling.join().expect("an answer").expect("a call that goes on");
        let attempt: i64 = before[0].parse().expect("a number");
        let once = [(attempt + 1).to_string(), "f".to_string()];
        assert_eq!(db.rows(run_row), [once], "{point:?}: one attempt, ended");
        assert_minutes(&mut db, 1);
    }
}

#[test]
fn random_crashes_lose_nothing_and_double_nothing() {
    let Some(rounds) = setting::<u64>("OBSERVE_BRIDGE_CHAOS_ROUNDS") else {
        println!("skipped: OBSERVE_BRIDGE_CHAOS_ROUNDS says how many rounds; `make chaos` runs 200");
        return;
    };
    let seed = setting("OBSERVE_BRIDGE_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut chaos = Chaos::start();
    assert!(
        fault::built_in(&mut chaos.session()),
        "the rounds need a library with fault points"
    );
    let (mut points, mut kills) = (BTreeMap::new(), BTreeMap::new());
    for round in 1..=rounds {
        let point = Point::ALL[random.usize(..Point::ALL.len())];
        let kill = Kill::ALL[random.usize(..Kill::ALL.len())];
        println!("round {round}: {kill} at {point:?}");
        chaos.round(point, kill);
        *points.entry(point).or_insert(0) += 1;
        *kills.entry(kill).or_insert(0) += 1;
    }
    println!("{rounds} rounds, {} windows, seed {seed}", chaos.due());
    println!("  kills: {}", list(kills.iter().map(|(kill, n)| format!("{n} {kill}"))));
    println!(
        "  points: {}",
        list(points.iter().map(|(point, n)| format!("{n} {point:?}")))
    );
    println!("  0 lost, 0 double");
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// A number from the environment; `None` when it is not set.
fn setting<T: FromStr<Err: Display>>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}
