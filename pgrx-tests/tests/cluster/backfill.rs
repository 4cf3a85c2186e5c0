//! Backfills, step by step: ranges, slices, policies. Nothing runs by itself here.

use blackbox::backfill::{begin, finish, idle_job, progress, slices, starts};
use blackbox::bridge::{add_mock, add_openobserve, assert_minutes, bridge, count, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::OpenObserve;
use blackbox::session::NULL;
use blackbox::telemetry::{CALLS, LOGS, POINTS, minutes};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[test]
fn slices_are_calendar_months_in_utc() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "months");
    idle_job(&mut db);
    db.exec("SET TimeZone = 'America/New_York'");
    let id = begin(
        &mut db,
        "roll",
        "'2025-10-15 05:30Z', '2026-01-02 03:15Z', dry_run => true",
    );
    assert_eq!(
        slices(&mut db, id),
        [
            ["25-10-15 05:00", "25-11-01 00:00"],
            ["25-11-01 00:00", "25-12-01 00:00"],
            ["25-12-01 00:00", "26-01-01 00:00"],
            ["26-01-01 00:00", "26-01-02 04:00"],
        ]
    );
    let id = begin(
        &mut db,
        "roll",
        "'2025-02-28 00:00Z', '2025-07-01 00:00Z', '3 months', dry_run => true",
    );
    assert_eq!(
        slices(&mut db, id),
        [
            ["25-02-28 00:00", "25-04-01 00:00"],
            ["25-04-01 00:00", "25-07-01 00:00"]
        ]
    );
    let id = begin(
        &mut db,
        "roll",
        "'2024-12-31 23:00Z', '2025-02-01 00:00Z', '1 year', dry_run => true",
    );
    assert_eq!(
        slices(&mut db, id),
        [
            ["24-12-31 23:00", "25-01-01 00:00"],
            ["25-01-01 00:00", "25-02-01 00:00"]
        ]
    );
    // Before the epoch, too.
    let id = begin(
        &mut db,
        "roll",
        "'1969-12-31 23:00Z', '1970-01-01 01:00Z', '5 months', dry_run => true",
    );
    assert_eq!(
        slices(&mut db, id),
        [
            ["69-12-31 23:00", "70-01-01 00:00"],
            ["70-01-01 00:00", "70-01-01 01:00"]
        ]
    );
    let id = begin(
        &mut db,
        "roll",
        "'2026-01-01 20:00Z', '2026-01-02 05:00Z', '6 hours', dry_run => true",
    );
    assert_eq!(
        slices(&mut db, id),
        [
            ["26-01-01 20:00", "26-01-02 00:00"],
            ["26-01-02 00:00", "26-01-02 05:00"],
        ]
    );
}

#[test]
fn a_month_that_begins_within_a_window_leaves_it_to_the_month_before() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "weeks");
    db.exec("INSERT INTO etl_job (name, run_interval, align, command) VALUES ('weekly', '0', '7 days', 'SELECT 1')");
    let id = begin(
        &mut db,
        "weekly",
        "'2025-10-01 00:00Z', '2025-12-01 00:00Z', dry_run => true",
    );
    let found = slices(&mut db, id);
    // Weeks begin on Thursdays: the epoch was one.
    assert_eq!(
        found,
        [
            ["25-09-25 00:00", "25-10-02 00:00"],
            ["25-10-02 00:00", "25-11-06 00:00"],
            ["25-11-06 00:00", "25-12-04 00:00"],
        ]
    );
}

#[test]
fn a_backfill_ends_where_windows_are_due() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "due");
    add_mock(&mut db);
    // 11:00 less two minutes of delay.
    let id = begin(&mut db, "oo-agg", "'2026-01-05 10:50Z', '2026-01-07'");
    assert_eq!(slices(&mut db, id), [["26-01-05 10:50", "26-01-05 10:58"]]);
    assert_eq!(count(&mut db, "oo-agg", "queued"), 8);
    assert_eq!(
        db.column("SELECT DISTINCT origin || priority FROM etl_job_run"),
        ["backfill10"]
    );
}

#[test]
fn etl_backfill_says_what_is_wrong() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "wrong");
    db.exec("SET TimeZone = 'UTC'");
    for (arguments, said) in [
        ("'nope', 'default', '2026-01-01', '2026-01-02'", "job \"nope\""),
        ("'oo-agg', 'nobody', '2026-01-01', '2026-01-02'", "nobody"),
        ("'oo-agg', 'default'", "not known"),
        ("'oo-agg', 'default', '2026-01-01'", "not known"),
        ("'oo-agg', 'default', '-infinity', '2026-01-02'", "two finite times"),
        ("'oo-agg', 'default', '0044-03-15 BC', '2026-01-02'", "two finite times"),
        ("'oo-agg', 'default', '2026-01-02', '2026-01-02'", "empty"),
        (
            "'oo-agg', 'default', '2026-01-05 11:00', '2026-01-06'",
            "no window of the range is due",
        ),
        (
            "'oo-agg', 'default', '2026-01-01', '2026-01-02', '90 s'",
            "whole windows",
        ),
        (
            "'oo-agg', 'default', '2026-01-01', '2026-01-02', '0'",
            "a slice cannot be",
        ),
        (
            "'oo-agg', 'default', '2026-01-01', '2026-01-02', NULL",
            "a slice cannot be",
        ),
        (
            "'oo-agg', 'default', '2026-01-01', '2026-01-02', '-1 month'",
            "a slice cannot be",
        ),
        (
            "'oo-agg', 'default', '2026-01-01', '2026-01-02', '1 month 2 h'",
            "a slice cannot be",
        ),
        (
            "'oo-agg', 'default', '2026-01-01', '2026-01-02', 'infinity'",
            "a slice cannot be",
        ),
        ("'oo-agg', 'default', '1900-01-01', '2026-01-02', '1 min'", "slices of"),
        ("'oo-agg', 'default', '1900-01-01', '2026-01-02', '10 years'", "windows"),
        (
            "'oo-agg', 'default', '2026-01-01', '2026-01-02', reprocess => 'some'",
            "\"some\"",
        ),
        (
            "'oo-agg', 'default', '2026-01-01', '2026-01-02', reprocess => NULL",
            "reprocess",
        ),
        (
            "'age-refresh', 'default', '2026-01-01', '2026-01-02'",
            "cannot be backfilled",
        ),
        (
            "'retention', 'default', '2026-01-01', '2026-01-02'",
            "cannot be backfilled",
        ),
    ] {
        let refusal = db.refused(&format!("SELECT etl_backfill({arguments})"));
        assert!(
            refusal.message.contains(said) && !refusal.hint.is_empty(),
            "{arguments}: {refusal}"
        );
    }
    for function in ["pause", "resume", "cancel"] {
        for id in ["4711", "NULL"] {
            let refusal = db.refused(&format!("SELECT etl_backfill_{function}({id})"));
            assert_eq!(refusal.sqlstate, "42704", "{refusal}");
            assert!(!refusal.hint.is_empty());
        }
    }
    assert_eq!(
        db.int("SELECT (SELECT count(*) FROM etl_backfill) + (SELECT count(*) FROM etl_job_run)"),
        0
    );
}

#[test]
fn slices_follow_each_other_to_the_end() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "follow");
    let oo = OpenObserve::serve(minutes(7));
    add_openobserve(&mut db, &oo);
    let id = begin(&mut db, "oo-agg", "'2026-01-05 10:00Z', '2026-01-05 10:07Z', '3 min'");
    assert_eq!(
        starts(&mut db, "minute", "job = 'oo-agg'"),
        ["0", "1", "2"],
        "one slice at a time"
    );
    assert_eq!(progress(&mut db, id), ["running", "3", "0", "0", "7", "0", "0", "0"]);
    run(&mut db);
    let records = (7 * (LOGS + POINTS + 2 * CALLS)).to_string();
    assert_eq!(progress(&mut db, id), ["done", "3", "3", "0", "7", "7", "0", &records]);
    assert_minutes(&mut db, 7);
    assert_eq!(
        db.rows("SELECT finished_at IS NOT NULL, eta, last_error FROM etl_backfill_progress"),
        [["t", NULL, NULL]]
    );
    // Nothing is missing any more.
    let again = begin(&mut db, "oo-agg", "'2026-01-05 10:00Z', '2026-01-05 10:07Z', '3 min'");
    assert_eq!(progress(&mut db, again), ["done", "3", "3", "0", "0", "0", "0", "0"]);
    assert_eq!(count(&mut db, "oo-agg", "queued"), 0);
}

#[test]
fn slices_go_from_the_newest_where_that_is_wanted() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "order");
    idle_job(&mut db);
    for (newest_first, expected) in [("false", ["0", "2", "4"]), ("true", ["4", "2", "0"])] {
        let id = begin(
            &mut db,
            "roll",
            &format!("'2026-01-05 00:00Z', '2026-01-05 06:00Z', '2 h', 'all', newest_first => {newest_first}"),
        );
        let mut order = Vec::new();
        while progress(&mut db, id)[0] == "running" {
            order.push(starts(&mut db, "hour", "status = 'queued'").swap_remove(0));
            finish(&mut db, "true", "success");
            db.exec("SELECT etl_backfill_feed()");
        }
        assert_eq!(order, expected);
    }
}

#[test]
fn the_next_slice_is_fed_while_the_last_windows_run_where_several_may() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "overlap");
    idle_job(&mut db);
    let id = begin(&mut db, "roll", "'2026-01-05 00:00Z', '2026-01-05 06:00Z', '2 h'");
    db.exec("UPDATE etl_job_run SET status = 'running'");
    assert_eq!(db.int("SELECT etl_backfill_feed()"), 0, "one at a time");
    db.exec("UPDATE etl_job SET concurrency = 2 WHERE name = 'roll'");
    assert_eq!(db.int("SELECT etl_backfill_feed()"), 2);
    assert_eq!(db.int("SELECT etl_backfill_feed()"), 0, "what is queued goes first");
    db.exec("UPDATE etl_job_run SET status = 'running'");
    assert_eq!(db.int("SELECT etl_backfill_feed()"), 0, "two slices may run, not three");
    db.exec("UPDATE etl_job_run SET status = 'success' WHERE slice_no = 1");
    assert_eq!(db.int("SELECT etl_backfill_feed()"), 2);
    assert_eq!(progress(&mut db, id), ["running", "3", "1", "0", "6", "2", "0", "0"]);
}

#[test]
fn feeding_burns_no_transaction_id_when_there_is_nothing_to_do() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "idle");
    idle_job(&mut db);
    let idle = "BEGIN; SELECT etl_backfill_feed(); SELECT pg_current_xact_id_if_assigned() IS NULL; COMMIT";
    assert!(db.is(idle), "no backfill");
    let id = begin(&mut db, "roll", "'2026-01-05 00:00Z', '2026-01-05 06:00Z', '2 h'");
    assert!(db.is(idle), "windows are queued");
    db.exec("UPDATE etl_job_run SET status = 'running'");
    assert!(db.is(idle), "windows run");
    db.exec(&format!("SELECT etl_backfill_pause({id})"));
    assert!(db.is(idle), "it is paused");
    db.exec(&format!("SELECT etl_backfill_resume({id}); UPDATE etl_job_run SET status = 'success'; UPDATE etl_job SET enabled = false"));
    db.exec("SELECT etl_backfill_feed()");
    assert!(db.is(idle), "the job is off");
    db.exec("UPDATE etl_job SET enabled = true");
    assert!(!db.is(idle), "there is a slice to feed");
}

#[test]
fn a_dry_run_counts_and_enqueues_nothing() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "dry");
    idle_job(&mut db);
    db.exec("SELECT etl_enqueue('roll', 'default', '2026-01-05 01:00Z', '2026-01-05 04:00Z')");
    finish(&mut db, "true", "success");
    for (policy, expected) in [
        ("missing", ["1", "0", "2"]),
        ("failed", ["0", "0", "0"]),
        ("all", ["2", "2", "2"]),
    ] {
        let id = begin(
            &mut db,
            "roll",
            &format!("'2026-01-05 00:00Z', '2026-01-05 06:00Z', '2 h', '{policy}', dry_run => true"),
        );
        let sql = format!("SELECT windows FROM etl_backfill_slice WHERE backfill_id = {id} ORDER BY slice_no");
        assert_eq!(db.column(&sql), expected, "{policy}");
        let sum: i64 = expected.iter().map(|n| n.parse::<i64>().expect("a number")).sum();
        assert_eq!(
            progress(&mut db, id),
            ["dry_run", "3", "0", "0", &sum.to_string(), "0", "0", "0"]
        );
        for function in ["pause", "resume", "cancel"] {
            assert!(!db.is(&format!("SELECT etl_backfill_{function}({id})")));
        }
    }
    db.exec("SELECT etl_backfill_feed()");
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run"), 3);
}

/// What a window of a random ledger may be; a number beyond them is no row at all.
const STATUSES: [&str; 5] = ["success", "failed", "cancelled", "queued", "running"];

#[test]
fn a_backfill_runs_exactly_the_windows_its_policy_names() {
    let cluster = Cluster::without_workers();
    let db = std::cell::RefCell::new(bridge(&cluster, "policies"));
    idle_job(&mut db.borrow_mut());
    let ledgers = (
        proptest::collection::vec(0..=STATUSES.len(), 30),
        0..3usize,
        1..9i64,
        0..20i64,
        1..12i64,
        any::<bool>(),
    );
    let mut runner = TestRunner::new(Config {
        cases: 40,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&ledgers, |(ledger, policy, slice, from, length, newest_first)| {
        let db = &mut *db.borrow_mut();
        let policy = ["missing", "failed", "all"][policy];
        db.exec("DELETE FROM etl_backfill; DELETE FROM etl_job_run");
        for (hour, status) in ledger.iter().enumerate() {
            if let Some(status) = STATUSES.get(*status) {
                db.exec(&format!(
                    "INSERT INTO etl_job_run (job, tenant_id, window_from, window_to, status, max_attempts, attempt)
                     SELECT 'roll', 1, f, f + interval '1 h', '{status}', 4, 1 FROM (SELECT '2026-01-03 00:00Z'::timestamptz + {hour} * interval '1 h' AS f) w"
                ));
            }
        }
        let arguments = |dry_run| {
            format!(
                "'2026-01-03 00:00Z'::timestamptz + {from} * interval '1 h', '2026-01-03 00:00Z'::timestamptz + {} * interval '1 h',
                 '{slice} h', '{policy}', newest_first => {newest_first}, dry_run => {dry_run}",
                from + length
            )
        };
        let dry = begin(db, "roll", &arguments(true));
        let id = begin(db, "roll", &arguments(false));
        // What was queued or ran already ends some time; the backfill waits for it.
        while progress(db, id)[0] == "running" {
            db.exec(&format!(
                "UPDATE etl_job_run SET status = 'success', attempt = attempt + 1 WHERE job = 'roll' AND status IN ('queued', 'running') AND backfill_id = {id}"
            ));
            db.exec("SELECT etl_backfill_feed()");
        }
        let ran: Vec<usize> = db
            .column("SELECT (extract(epoch FROM window_from - '2026-01-03 00:00Z') / 3600)::int FROM etl_job_run WHERE backfill_found <> 'other' ORDER BY 1")
            .iter()
            .map(|hour| hour.parse().expect("an hour"))
            .collect();
        let named: Vec<usize> = (0..ledger.len())
            .filter(|hour| (from..from + length).contains(&i64::try_from(*hour).expect("an hour")))
            .filter(|hour| match (policy, STATUSES.get(ledger[*hour])) {
                (_, Some(&"queued" | &"running")) => false,
                ("missing", status) => matches!(status, None | Some(&"cancelled")),
                ("failed", status) => status == Some(&"failed"),
                _ => true,
            })
            .collect();
        prop_assert_eq!(&ran, &named);
        let windows = named.len().to_string();
        prop_assert_eq!(&progress(db, id)[4..7], [windows.clone(), windows.clone(), "0".into()]);
        prop_assert_eq!(&progress(db, dry)[4], &windows);
        Ok(())
    });
    outcome.expect("every ledger");
}
