//! Runs that are cancelled, killed or asked for again: each window ends as it should, exactly once.

use blackbox::bridge::{
    CLOCK, add_mock, add_openobserve, assert_minutes, assert_nothing_written, bridge, clock, count, enqueue, run,
};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Fault, OpenObserve, Scope};
use blackbox::session::Session;
use blackbox::telemetry::{T0, minutes};
use blackbox::wait::wait_until;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// The only run of oo-agg.
fn the_run(db: &mut Session) -> i64 {
    db.int("SELECT run_id FROM etl_job_run WHERE job = 'oo-agg'")
}

#[test]
fn a_queued_run_can_be_cancelled_and_retried() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "cancelled");
    add_mock(&mut db);
    enqueue(&mut db, T0, 1);
    let id = the_run(&mut db);
    assert!(db.is(&format!("SELECT etl_cancel({id})")));
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "cancelled"), 1);
    assert!(!db.is(&format!("SELECT etl_cancel({id})")), "it has ended already");
    assert!(db.is(&format!("SELECT etl_retry({id})")));
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 1);
    assert!(db.refused("SELECT etl_cancel(0)").message.contains("does not exist"));
}

#[test]
fn a_running_fetch_can_be_cancelled() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "stopped");
    add_openobserve(&mut db, &oo);
    oo.fail(Scope::Searches, Fault::Hang);
    enqueue(&mut db, T0, 1);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let mut runner = cluster.session("stopped");
            clock(&mut runner, CLOCK);
            // Whether the call goes on to the next window or ends with the cancelled one is its own affair.
            let _ = runner.try_rows("CALL etl_run()");
        });
        wait_until("the fetch hangs", PATIENCE, || oo.stuck() > 0);
        let id = the_run(&mut db);
        assert!(db.is(&format!("SELECT etl_cancel({id})")));
        wait_until("the run is cancelled", Duration::from_secs(5), || {
            count(&mut db, "oo-agg", "cancelled") == 1
        });
        oo.heal();
        running.join().expect("the runner goes on");
    });
    assert_nothing_written(&mut db);
}

#[test]
fn a_cancelled_session_gives_its_run_back() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "returned");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    // More often than a window may fail: being cancelled is not its failure.
    for round in 1..=5 {
        oo.fail(Scope::Searches, Fault::Hang);
        let mut runner = cluster.session("returned");
        clock(&mut runner, &format!("2026-01-05 {}:00:00+00", 11 + round));
        let pid = runner.pid();
        std::thread::scope(|scope| {
            let refused = scope.spawn(move || runner.refused("CALL etl_run()"));
            wait_until("the fetch hangs", PATIENCE, || oo.stuck() > 0);
            db.exec(&format!("SELECT pg_cancel_backend({pid})"));
            assert_eq!(refused.join().expect("an answer").sqlstate, "57014");
        });
        oo.heal();
        assert_eq!(count(&mut db, "oo-agg", "queued"), 1, "round {round}");
    }
    assert_nothing_written(&mut db);
    clock(&mut db, "2026-01-06 00:00:00+00");
    run(&mut db);
    assert_eq!(
        db.text("SELECT coalesce(error::text, 'none') FROM etl_job_run WHERE job = 'oo-agg'"),
        "none"
    );
    assert_minutes(&mut db, 1);
}

#[test]
fn a_session_that_is_killed_leaves_its_window_to_the_next() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "orphan");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    oo.fail(Scope::Searches, Fault::Hang);
    let mut runner = cluster.session("orphan");
    clock(&mut runner, CLOCK);
    let pid = runner.pid();
    std::thread::scope(|scope| {
        let killed = scope.spawn(move || runner.refused("CALL etl_run()"));
        wait_until("the fetch hangs", PATIENCE, || oo.stuck() > 0);
        run(&mut db);
        assert_eq!(
            count(&mut db, "oo-agg", "running"),
            1,
            "nobody takes a window from a session that lives"
        );
        db.exec(&format!("SELECT pg_terminate_backend({pid}, 5000)"));
        killed.join().expect("an answer");
    });
    oo.heal();
    run(&mut db);
    clock(&mut db, "2026-01-06 00:00:00+00");
    run(&mut db);
    assert_eq!(
        db.rows("SELECT status, attempt FROM etl_job_run WHERE job = 'oo-agg'"),
        [["success", "2"]]
    );
    assert_minutes(&mut db, 1);
}

#[test]
fn a_window_that_is_asked_for_while_it_runs_runs_again() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "requeued");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    oo.fail(Scope::Searches, Fault::Hang);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let mut runner = cluster.session("requeued");
            clock(&mut runner, CLOCK);
            // A hang that is let go ends as a broken connection: the next attempt is due a little later.
            run(&mut runner);
            clock(&mut runner, "2026-01-06 00:00:00+00");
            run(&mut runner);
        });
        wait_until("the fetch hangs", PATIENCE, || oo.stuck() > 0);
        assert_eq!(enqueue(&mut db, T0, 1), 1);
        oo.heal();
        running.join().expect("the runner goes on");
    });
    assert_eq!(
        db.rows("SELECT status, requeue, attempt >= 2 FROM etl_job_run WHERE job = 'oo-agg'"),
        [["success", "f", "t"]]
    );
    assert_minutes(&mut db, 1);
}
