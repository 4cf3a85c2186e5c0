//! A server that is away for a while: retries, the breaker, its probes. No window is lost, however long it takes.

use blackbox::bridge::{add_openobserve, assert_minutes, assert_nothing_written, bridge, clock, count, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Fault, OpenObserve, Scope};
use blackbox::session::Session;
use blackbox::telemetry::{T0, minutes};
use blackbox::wait::wait_until;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn an_outage_opens_the_breaker_and_loses_no_window() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(5));
    let mut db = bridge(&cluster, "outage");
    add_openobserve(&mut db, &oo);
    oo.fail(Scope::All, Fault::Status(503, None));
    enqueue(&mut db, T0, 5);
    run(&mut db);
    // Three windows were tried, then the breaker opened; none has failed, all wait.
    let state = |db: &mut Session| {
        db.rows("SELECT circuit, queued, failed FROM etl_status WHERE job = 'oo-agg'")
            .swap_remove(0)
    };
    assert_eq!(state(&mut db), ["open", "5", "0"]);
    let asked = oo.requests();
    run(&mut db);
    assert_eq!(oo.requests(), asked, "an open breaker spares the server");

    // A day of probes later.
    for hour in 0..24 {
        clock(&mut db, &format!("2026-01-06 {hour:02}:00:00+00"));
        run(&mut db);
        assert_eq!(state(&mut db), ["open", "5", "0"], "after {hour} hours");
    }
    assert_nothing_written(&mut db);
    oo.heal();
    clock(&mut db, "2026-01-07 00:00:00+00");
    run(&mut db);
    assert_eq!(state(&mut db), ["closed", "0", "0"]);
    assert_eq!(count(&mut db, "oo-agg", "success"), 5);
    assert_minutes(&mut db, 5);
}

#[test]
fn retries_wait_two_seconds_and_twice_as_long_each_time() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "backoff");
    add_openobserve(&mut db, &oo);
    oo.fail(Scope::All, Fault::Status(500, None));
    enqueue(&mut db, T0, 1);
    for expected in [2.0, 4.0, 8.0, 16.0] {
        run(&mut db);
        let wait =
            "SELECT extract(epoch FROM next_attempt_at - etl_now())::float8 FROM etl_job_run WHERE job = 'oo-agg'";
        let seconds: f64 = db.text(wait).parse().expect("seconds");
        assert!(
            (expected * 0.875..=expected * 1.125).contains(&seconds),
            "{seconds} s instead of about {expected}"
        );
        let next = db.text("SELECT to_char(next_attempt_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"+00\"') FROM etl_job_run WHERE job = 'oo-agg'");
        clock(&mut db, &next);
    }
}

#[test]
fn a_probe_in_half_open_state_is_alone() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(4));
    let mut db = bridge(&cluster, "probe");
    add_openobserve(&mut db, &oo);
    oo.fail(Scope::All, Fault::Status(503, None));
    enqueue(&mut db, T0, 4);
    run(&mut db);
    oo.heal();
    oo.fail(Scope::Searches, Fault::Hang);
    std::thread::scope(|scope| {
        let probing = scope.spawn(|| {
            let mut probe = cluster.session("probe");
            clock(&mut probe, "2026-01-06 00:00:00+00");
            run(&mut probe);
        });
        wait_until("the probe hangs", PATIENCE, || oo.stuck() > 0);
        clock(&mut db, "2026-01-06 00:00:00+00");
        assert_eq!(
            db.text("SELECT circuit FROM etl_status WHERE job = 'oo-agg'"),
            "half_open"
        );
        run(&mut db);
        assert_eq!(
            count(&mut db, "oo-agg", "running"),
            1,
            "nobody else goes near the server"
        );
        oo.heal();
        probing.join().expect("the probe ends");
    });
    clock(&mut db, "2026-01-07 00:00:00+00");
    run(&mut db);
    assert_minutes(&mut db, 4);
}
