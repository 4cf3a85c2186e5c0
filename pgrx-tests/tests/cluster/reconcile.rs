//! Late data: what comes to a source, or goes, after its windows were read.

use blackbox::bridge::{add_openobserve, assert_minutes, bridge, clock, enqueue, run};
use blackbox::cluster::{Cluster, signal};
use blackbox::fault::{Closed, Point, built_in};
use blackbox::openobserve::{Dataset, Fault, OpenObserve, Scope, Store};
use blackbox::places::{Place, Way};
use blackbox::session::Session;
use blackbox::telemetry::{LOGS, MINUTE, T0, log, minutes};
use blackbox::wait::wait_until;
use blackbox::workers::PATIENCE;

/// The windows of the tests: ten minutes from [`T0`], 10:00, on.
const WINDOWS: i64 = 10;

/// A database whose windows were read two minutes after their end, and the server they came from.
fn scene(cluster: &Cluster, name: &str) -> (Session, OpenObserve) {
    let oo = OpenObserve::serve(minutes(WINDOWS));
    let mut db = bridge(cluster, name);
    clock(&mut db, "2026-01-05 09:50:00+00");
    add_openobserve(&mut db, &oo);
    clock(&mut db, "2026-01-05 10:12:00+00");
    enqueue(&mut db, T0, WINDOWS);
    run(&mut db);
    assert_minutes(&mut db, WINDOWS);
    (db, oo)
}

/// [`minutes`] with `more` lines in the minutes that are named.
fn with_lines(minutes_with_more: &[i64], more: i64) -> Store {
    let mut store = minutes(WINDOWS);
    for minute in minutes_with_more {
        for n in 0..more {
            let at = T0 + minute * MINUTE + 1_000 + n;
            store.add(Dataset::Logs, "default", log(at, "web", "INFO", "late line"));
        }
    }
    store
}

/// Lets `reconcile` run at this time, and then what it queued.
#[track_caller]
fn reconcile(db: &mut Session, at: &str) {
    clock(db, at);
    db.exec("SELECT etl_enqueue('reconcile', 'default', etl_now() - interval '5 min', etl_now())");
    run(db);
    assert_eq!(
        db.column("SELECT error FROM etl_job_run WHERE job = 'reconcile' AND status <> 'success'"),
        [""; 0],
        "reconcile never fails for its sources"
    );
}

/// Attempts of each window, in the order of time.
#[track_caller]
fn attempts(db: &mut Session) -> Vec<i64> {
    let found = db.column(
        "SELECT attempt FROM etl_job_run WHERE job = 'oo-agg' AND window_from >= '2026-01-05 10:00Z' ORDER BY window_from",
    );
    found.iter().map(|n| n.parse().expect("a number")).collect()
}

/// [`attempts`] in which these windows ran twice and the others once.
fn twice(windows: &[usize]) -> Vec<i64> {
    (0..WINDOWS as usize)
        .map(|i| 1 + i64::from(windows.contains(&i)))
        .collect()
}

#[track_caller]
fn lines(db: &mut Session) -> i64 {
    db.int("SELECT sum(count_total) FROM log_pattern_5m")
}

#[test]
fn what_comes_late_comes_in_and_the_rest_is_left_alone() {
    let cluster = Cluster::without_workers();
    let (mut db, oo) = scene(&cluster, "late");
    let requests = oo.requests();
    reconcile(&mut db, "2026-01-05 10:15:00+00");
    assert_eq!(oo.requests(), requests, "nothing is due: nobody is asked");

    // The last window ended at 10:10; at 10:27 all had their first check but those of the last.
    oo.replace(with_lines(&[2, 5], 3));
    reconcile(&mut db, "2026-01-05 10:20:00+00");
    assert_eq!(attempts(&mut db), twice(&[2]), "only windows whose time has come");
    reconcile(&mut db, "2026-01-05 10:27:00+00");
    assert_eq!(attempts(&mut db), twice(&[2, 5]));
    assert_eq!(lines(&mut db), WINDOWS * LOGS + 6);
    let status = db.rows("SELECT late_windows, late_records FROM etl_status WHERE job = 'oo-agg'");
    assert_eq!(status, [["2", "6"]]);
    let metrics = db.text("SELECT etl_metrics()");
    for line in [
        "observe_bridge_late_records_total{job=\"oo-agg\",tenant=\"default\"} 6\n",
        "observe_bridge_late_windows_total{job=\"oo-agg\",tenant=\"default\"} 2\n",
        "observe_bridge_reconcile_checked_windows_total{job=\"oo-agg\",tenant=\"default\"} 10\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }

    // A check is made once: what comes between the two waits for the second.
    oo.replace(with_lines(&[2, 5, 7], 4));
    let requests = oo.requests();
    reconcile(&mut db, "2026-01-06 06:00:00+00");
    assert_eq!(oo.requests(), requests);
    reconcile(&mut db, "2026-01-06 10:30:00+00");
    assert_eq!(lines(&mut db), WINDOWS * LOGS + 12);
    assert_eq!(attempts(&mut db), [1, 1, 3, 1, 1, 3, 1, 2, 1, 1]);
    oo.replace(minutes(WINDOWS));
    reconcile(&mut db, "2026-01-07 10:30:00+00");
    assert_eq!(lines(&mut db), WINDOWS * LOGS + 12, "no third check");
}

#[test]
fn what_vanishes_goes_and_streams_that_appear_count() {
    let cluster = Cluster::without_workers();
    let (mut db, oo) = scene(&cluster, "vanish");
    let mut store = minutes(WINDOWS - 1);
    store.add(
        Dataset::Logs,
        "another",
        log(T0, "web", "INFO", "a stream that was not there"),
    );
    oo.replace(store);
    reconcile(&mut db, "2026-01-05 10:30:00+00");
    assert_eq!(attempts(&mut db), twice(&[0, 9]));
    assert_eq!(lines(&mut db), (WINDOWS - 1) * LOGS + 1);
    let late = db.rows("SELECT extract(minute FROM window_from), late, vanished > 0 FROM etl_late_window ORDER BY 1");
    assert_eq!(late, [["0", "1", "f"], ["9", "0", "t"]]);
}

#[test]
fn refused_records_are_no_difference_and_what_stays_different_does_not_loop() {
    let cluster = Cluster::without_workers();
    let mut store = minutes(WINDOWS);
    // One that is refused for itself, and one that cannot even say when it was.
    store.add(Dataset::Logs, "default", log(T0, "web", "INFO", "x").with("body", None));
    let lost = log(T0 + 5 * MINUTE, "web", "INFO", "x").with("_timestamp", Some("when?".into()));
    store.add(Dataset::Logs, "default", lost);
    let oo = OpenObserve::serve(store);
    let mut db = bridge(&cluster, "refused");
    clock(&mut db, "2026-01-05 09:50:00+00");
    add_openobserve(&mut db, &oo);
    clock(&mut db, "2026-01-05 10:12:00+00");
    enqueue(&mut db, T0, WINDOWS);
    run(&mut db);
    reconcile(&mut db, "2026-01-05 10:30:00+00");
    reconcile(&mut db, "2026-01-06 10:30:00+00");
    reconcile(&mut db, "2026-01-06 10:40:00+00");
    assert_eq!(attempts(&mut db), twice(&[]));
    assert_eq!(db.int("SELECT sum(checked_windows) FROM etl_reconcile"), 2 * WINDOWS);
}

/// Locators have such a name with another character in its place.
#[test]
fn a_stream_with_a_nul_in_its_name_is_no_difference() {
    let cluster = Cluster::without_workers();
    let with = |lines: i64| {
        let mut store = minutes(WINDOWS);
        for n in 0..lines {
            let line = log(T0 + 3 * MINUTE + n, "web", "INFO", "of an odd stream");
            store.add(Dataset::Logs, "o\u{0}dd", line);
        }
        store
    };
    let oo = OpenObserve::serve(with(4));
    let mut db = bridge(&cluster, "nul");
    clock(&mut db, "2026-01-05 09:50:00+00");
    add_openobserve(&mut db, &oo);
    clock(&mut db, "2026-01-05 10:12:00+00");
    enqueue(&mut db, T0, WINDOWS);
    run(&mut db);
    assert_eq!(lines(&mut db), WINDOWS * LOGS + 4);
    reconcile(&mut db, "2026-01-05 10:30:00+00");
    assert_eq!(attempts(&mut db), twice(&[]));
    // What comes late to it comes in.
    oo.replace(with(6));
    reconcile(&mut db, "2026-01-06 10:30:00+00");
    assert_eq!(attempts(&mut db), twice(&[3]));
    assert_eq!(lines(&mut db), WINDOWS * LOGS + 6);
    assert_eq!(db.rows("SELECT late, vanished FROM etl_late_window"), [["2", "0"]]);
}

#[test]
fn a_source_that_is_down_is_checked_later_and_stops_no_other() {
    let cluster = Cluster::without_workers();
    let (mut db, mut oo) = scene(&cluster, "down");
    clock(&mut db, "2026-01-05 10:13:00+00");
    db.exec(
        "CREATE SERVER mock FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'mock', logs_per_minute '3');
         SELECT etl_source_add(tenant => 'default', job => 'oo-agg', server => 'mock', options => '{\"logs\":[\"default\"]}')",
    );
    // From now on both are read; windows of before are not compared with the new one.
    enqueue(&mut db, T0 + 8 * MINUTE, 2);
    run(&mut db);
    oo.replace(with_lines(&[1], 1));
    oo.close();
    reconcile(&mut db, "2026-01-05 10:30:00+00");
    let failing = "SELECT s.server, c.checked_windows, c.error ->> 'sqlstate' FROM etl_reconcile c JOIN etl_source s USING (source_id)
                    WHERE recheck = '15 min' ORDER BY 1";
    assert_eq!(db.rows(failing), [["mock", "2", "<null>"], ["oo", "0", "08001"]]);
    assert!(
        db.text("SELECT etl_metrics()")
            .contains("observe_bridge_reconcile_failing_sources{job=\"oo-agg\",tenant=\"default\"} 1\n")
    );
    oo.open();
    reconcile(&mut db, "2026-01-05 12:00:00+00");
    assert_eq!(db.rows(failing), [["mock", "2", "<null>"], ["oo", "10", "<null>"]]);
    assert_eq!(attempts(&mut db)[..3], [1, 2, 1]);
    // Partial answers are no counts.
    oo.fail(Scope::Searches, Fault::Partial);
    oo.replace(minutes(WINDOWS));
    reconcile(&mut db, "2026-01-06 10:30:00+00");
    assert_eq!(attempts(&mut db)[..3], [1, 2, 1]);
    oo.heal();
    reconcile(&mut db, "2026-01-06 10:35:00+00");
    assert_eq!(attempts(&mut db)[..3], [1, 3, 1]);
}

#[test]
fn windows_that_were_read_late_and_sources_that_were_changed_or_off_need_no_check() {
    let cluster = Cluster::without_workers();
    let (mut db, oo) = scene(&cluster, "needless");
    // Read again at 10:40: the first check of windows 0 to 4 is due before that.
    clock(&mut db, "2026-01-05 10:40:00+00");
    enqueue(&mut db, T0, 5);
    run(&mut db);
    let requests = oo.requests();
    db.exec("UPDATE etl_source SET enabled = false");
    clock(&mut db, "2026-01-05 10:41:00+00");
    db.exec("SELECT etl_enqueue('reconcile', 'default', etl_now() - interval '5 min', etl_now())");
    run(&mut db);
    assert_eq!(oo.requests(), requests);
    db.exec("UPDATE etl_source SET enabled = true");
    oo.replace(with_lines(&[0, 8], 1));
    reconcile(&mut db, "2026-01-05 10:46:00+00");
    assert_eq!(
        oo.requests(),
        requests,
        "all were read before the source was switched on again"
    );
    assert_eq!(attempts(&mut db), twice(&[0, 1, 2, 3, 4]));
    // As are those that a backfill reads.
    clock(&mut db, "2026-01-08 10:00:00+00");
    enqueue(&mut db, T0, WINDOWS);
    run(&mut db);
    let requests = oo.requests();
    oo.replace(minutes(WINDOWS));
    reconcile(&mut db, "2026-01-08 10:30:00+00");
    assert_eq!(oo.requests(), requests);
}

#[test]
fn the_times_of_checks_are_the_jobs_and_the_tenants() {
    let cluster = Cluster::without_workers();
    let (mut db, oo) = scene(&cluster, "times");
    db.exec("UPDATE etl_job SET recheck = '{1 h}' WHERE name = 'oo-agg'");
    oo.replace(with_lines(&[3], 1));
    reconcile(&mut db, "2026-01-05 10:50:00+00");
    assert_eq!(attempts(&mut db), twice(&[]));
    db.exec("INSERT INTO etl_job_tenant (job, tenant_id, recheck) VALUES ('oo-agg', 1, '{5 min, 40 min}')");
    reconcile(&mut db, "2026-01-05 10:51:00+00");
    assert_eq!(attempts(&mut db), twice(&[3]));
    db.exec("UPDATE etl_job_tenant SET recheck = '{}'");
    oo.replace(with_lines(&[4], 1));
    reconcile(&mut db, "2026-01-06 10:51:00+00");
    assert_eq!(attempts(&mut db), twice(&[3]), "none: no checks");
    for wrong in ["{1 s}", "{NULL}", "{1 year}"] {
        let e = db.refused(&format!("UPDATE etl_job SET recheck = '{wrong}' WHERE name = 'oo-agg'"));
        assert_eq!(e.sqlstate, "23514", "{wrong}");
    }
}

/// Each time in the list has a memory of its own, whatever else comes and goes.
#[test]
fn a_list_of_checks_that_changes_loses_none_and_repeats_none() {
    let cluster = Cluster::without_workers();
    let (mut db, oo) = scene(&cluster, "changed");
    // All windows have their first check, which is the only one to be made by now.
    reconcile(&mut db, "2026-01-05 10:30:00+00");
    oo.replace(with_lines(&[3], 1));
    // Shorter: the second check is the first of the list now. Longer and in another order: it stays the same check.
    db.exec("UPDATE etl_job SET recheck = '{24 h}' WHERE name = 'oo-agg'");
    reconcile(&mut db, "2026-01-06 10:05:00+00");
    assert_eq!(attempts(&mut db), twice(&[3]), "due at 10:04");
    db.exec("UPDATE etl_job SET recheck = '{48 h, 1 day, 900 s, 24 h}' WHERE name = 'oo-agg'");
    oo.replace(with_lines(&[1, 6], 1));
    let (first, requests) = (attempts(&mut db), oo.requests());
    reconcile(&mut db, "2026-01-06 10:06:00+00");
    assert_eq!(attempts(&mut db), first, "windows up to 10:05 had both");
    assert!(oo.requests() - requests < 10, "nor are they asked for");
    reconcile(&mut db, "2026-01-06 10:30:00+00");
    assert_eq!(attempts(&mut db)[5..], [1, 2, 1, 1, 1]);
    reconcile(&mut db, "2026-01-07 10:30:00+00");
    // With 24 hours gone, the first of the list is the one that is left.
    assert_eq!(attempts(&mut db)[..5], [1, 2, 1, 3, 1]);
    let checks = db.rows("SELECT recheck, checked_windows FROM etl_reconcile ORDER BY recheck");
    assert_eq!(checks, [["00:15:00", "10"], ["24:00:00", "10"], ["48:00:00", "10"]]);
    // What is no longer in the list fails no more.
    db.exec("UPDATE etl_reconcile SET error = '{}' WHERE recheck = '15 min'; UPDATE etl_job SET recheck = '{24 h}' WHERE name = 'oo-agg'");
    let failing = "observe_bridge_reconcile_failing_sources{job=\"oo-agg\",tenant=\"default\"} 0\n";
    assert!(db.text("SELECT etl_metrics()").contains(failing));
}

#[test]
fn locators_are_kept_for_as_long_as_a_check_needs_them() {
    let cluster = Cluster::without_workers();
    let (mut db, oo) = scene(&cluster, "kept");
    db.exec("UPDATE etl_retention SET keep = '1 day' WHERE table_name = 'oo_locator'");
    let retention = |db: &mut Session, at: &str| {
        clock(db, at);
        db.exec(&format!("SELECT etl_retention_run(1, '{at}')"));
        db.int("SELECT count(*) FROM oo_locator")
    };
    let all = db.int("SELECT count(*) FROM oo_locator");
    assert_eq!(retention(&mut db, "2026-01-06 10:28:00+00"), all);
    reconcile(&mut db, "2026-01-06 10:30:00+00");
    assert_eq!(attempts(&mut db), twice(&[]), "no window seems to hold nothing");
    assert!(oo.requests() > 0);
    assert_eq!(retention(&mut db, "2026-01-09 10:00:00+00"), 0);
    db.exec("UPDATE etl_retention SET keep = 'infinity' WHERE table_name = 'oo_locator'");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert!(retention(&mut db, "2027-01-09 10:00:00+00") > 0, "for ever");
}

/// Objects tell what is late by themselves, wherever they lie; a place that was emptied says nothing.
#[test]
fn objects_that_come_late_come_in_whatever_they_are() {
    let cluster = Cluster::without_workers();
    for way in Way::ALL {
        let place = Place::new(&cluster, way);
        let mut db = bridge(&cluster, way.name());
        clock(&mut db, "2026-01-05 09:50:00+00");
        (0..WINDOWS).for_each(|minute| place.put(minute, 0, 4));
        place.add_to(&mut db);
        clock(&mut db, "2026-01-05 10:12:00+00");
        enqueue(&mut db, T0, WINDOWS);
        run(&mut db);
        assert_eq!(lines(&mut db), 4 * WINDOWS, "{way:?}");
        place.put(2, 10, 3);
        reconcile(&mut db, "2026-01-05 10:30:00+00");
        assert_eq!(attempts(&mut db), twice(&[2]), "{way:?}");
        assert_eq!(lines(&mut db), 4 * WINDOWS + 3, "{way:?}");
        assert_eq!(
            db.rows("SELECT late, vanished FROM etl_late_window"),
            [["3", "0"]],
            "{way:?}"
        );

        place.clear();
        place.put(40, 0, 1);
        reconcile(&mut db, "2026-01-06 10:30:00+00");
        assert_eq!(attempts(&mut db), twice(&[2]), "{way:?}");
        assert_eq!(lines(&mut db), 4 * WINDOWS + 3, "{way:?}: what was read stays");
        let said = db.json("SELECT error FROM etl_reconcile WHERE error IS NOT NULL");
        assert!(
            said["message"]
                .as_str()
                .is_some_and(|m| m.contains("none of the 43 records")),
            "{way:?}: {said}"
        );
        assert!(
            said["hint"].as_str().is_some_and(|h| h.contains("recheck")),
            "{way:?}: {said}"
        );
    }
}

#[test]
fn what_was_compared_outlives_a_restore() {
    let cluster = Cluster::without_workers();
    let (mut db, oo) = scene(&cluster, "old");
    oo.replace(with_lines(&[2, 5], 3));
    reconcile(&mut db, "2026-01-05 10:30:00+00");
    let state = "SELECT source_id, recheck, checked_to, checked_windows, late_windows, late_records, vanished_records FROM etl_reconcile ORDER BY 1, 2";
    let (before, counted) = (db.rows(state), lines(&mut db));
    assert_eq!(counted, WINDOWS * LOGS + 6);
    let mut db = cluster.copy("old", "new");
    db.exec("SELECT observe_bridge_setup()");
    assert_eq!(db.rows(state), before);
    let requests = oo.requests();
    reconcile(&mut db, "2026-01-05 10:35:00+00");
    assert_eq!(
        (oo.requests(), lines(&mut db)),
        (requests, counted),
        "no check is made twice"
    );
    // The second check knows what was read before the restore.
    oo.replace(with_lines(&[2, 5, 7], 3));
    reconcile(&mut db, "2026-01-06 10:30:00+00");
    assert_eq!(lines(&mut db), counted + 3);
    let mut ran = twice(&[2, 5]);
    ran[7] = 2;
    assert_eq!(attempts(&mut db), ran, "only the window that differs ran");
}

/// Another place has other records: they say nothing about what was read before.
#[test]
fn a_server_that_leads_elsewhere_is_not_compared_with_what_was_read() {
    let cluster = Cluster::without_workers();
    let (mut db, oo) = scene(&cluster, "moved");
    let other = OpenObserve::serve(minutes(3));
    let lead = |db: &mut Session, to: &OpenObserve| {
        db.exec(&format!("ALTER SERVER oo OPTIONS (SET endpoint '{}')", to.endpoint()))
    };
    // Nobody has looked at the server since the source was added.
    clock(&mut db, "2026-01-05 10:29:00+00");
    lead(&mut db, &other);
    let (requests, asked) = (oo.requests(), other.requests());
    reconcile(&mut db, "2026-01-05 10:30:00+00");
    assert_eq!(
        (oo.requests(), other.requests()),
        (requests, asked),
        "nothing can be compared"
    );
    // What is read from there is compared with it.
    enqueue(&mut db, T0 + 20 * MINUTE, 1);
    run(&mut db);
    let mut store = minutes(3);
    store.add(
        Dataset::Logs,
        "default",
        log(T0 + 20 * MINUTE + 1, "web", "INFO", "late line"),
    );
    other.replace(store);
    reconcile(&mut db, "2026-01-05 10:50:00+00");
    let mut expected = twice(&[]);
    expected.push(2);
    assert_eq!(attempts(&mut db), expected);
    assert_eq!(lines(&mut db), WINDOWS * LOGS + 1);
}

#[test]
fn a_killed_process_loses_no_check() {
    let mut cluster = Cluster::without_workers();
    let (mut db, oo) = scene(&cluster, "killed");
    if !built_in(&mut db) {
        return;
    }
    oo.replace(with_lines(&[2, 5], 3));
    clock(&mut db, "2026-01-05 10:30:00+00");
    db.exec("SELECT etl_enqueue('reconcile', 'default', etl_now() - interval '5 min', etl_now())");
    let points = [Point::Fetched, Point::Written, Point::FinishedBeforeCommit];
    for (i, point) in points.into_iter().enumerate() {
        let at = format!("2026-01-05 10:{}0:00+00", 3 + i);
        let mut closed = Closed::close(&cluster, "killed", point);
        let mut runner = cluster.session("killed");
        clock(&mut runner, &at);
        std::thread::scope(|scope| {
            let killed = scope.spawn(move || runner.try_rows("CALL etl_run()").is_err());
            let mut stopped = Vec::new();
            wait_until("the run stops there", PATIENCE, || {
                stopped = closed.stopped();
                !stopped.is_empty()
            });
            signal(stopped[0], libc::SIGKILL);
            assert!(killed.join().expect("an answer"), "{point:?}");
        });
        // With the killed process all sessions go, a moment later.
        wait_until("the server restarts", PATIENCE, || closed.is_lost());
        cluster.wait_for_connections();
        db = cluster.session("killed");
        // It is queued again, and waits for a moment.
        clock(&mut db, &at);
        run(&mut db);
    }
    reconcile(&mut db, "2026-01-05 16:00:00+00");
    assert_eq!(lines(&mut db), WINDOWS * LOGS + 6);
    assert_eq!(attempts(&mut db), twice(&[2, 5]));
    assert_eq!(db.int("SELECT sum(late_windows) FROM etl_reconcile"), 2);
}
