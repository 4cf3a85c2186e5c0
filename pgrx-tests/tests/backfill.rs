//! Backfills, step by step: ranges, slices, policies, pause, cancel, resume. Nothing runs by itself here.

use blackbox::bridge::{CLOCK, add_mock, add_openobserve, assert_minutes, bridge, clock, count, run};
use blackbox::cluster::{Cluster, output};
use blackbox::openobserve::{Fault, OpenObserve, Scope};
use blackbox::session::{NULL, Session};
use blackbox::telemetry::{CALLS, LOGS, POINTS, minutes};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A job with windows of an hour that nothing schedules and nothing runs.
fn idle_job(db: &mut Session) {
    db.exec("INSERT INTO etl_job (name, run_interval, align, command) VALUES ('roll', '0', '1 h', 'SELECT 1')");
}

/// `etl_backfill` with these arguments after job and tenant; its number.
#[track_caller]
fn begin(db: &mut Session, job: &str, arguments: &str) -> i64 {
    db.int(&format!("SELECT etl_backfill('{job}', 'default', {arguments})"))
}

/// The slices of a backfill: from and to in UTC.
fn slices(db: &mut Session, id: i64) -> Vec<Vec<String>> {
    db.rows(&format!(
        "SELECT to_char(slice_from AT TIME ZONE 'UTC', 'YY-MM-DD HH24:MI'), to_char(slice_to AT TIME ZONE 'UTC', 'YY-MM-DD HH24:MI')
           FROM etl_backfill_slice WHERE backfill_id = {id} ORDER BY slice_no"
    ))
}

/// (state, slices, slices_done, slices_failed, windows, windows_done, windows_failed, rows)
fn progress(db: &mut Session, id: i64) -> Vec<String> {
    let sql = format!(
        "SELECT state, slices, slices_done, slices_failed, windows, windows_done, windows_failed, rows
           FROM etl_backfill_progress WHERE backfill_id = {id}"
    );
    db.rows(&sql).swap_remove(0)
}

/// Minutes (of the hour) or hours (of the day) at which windows with a condition start, in order.
fn starts(db: &mut Session, field: &str, condition: &str) -> Vec<String> {
    db.column(&format!(
        "SELECT extract({field} FROM window_from AT TIME ZONE 'UTC')::int FROM etl_job_run WHERE {condition} ORDER BY window_from"
    ))
}

/// Marks windows of the idle job as a runner would that has nothing to do.
fn finish(db: &mut Session, condition: &str, status: &str) {
    db.exec(&format!(
        "UPDATE etl_job_run SET status = '{status}', attempt = attempt + 1, started_at = etl_now(), finished_at = etl_now(),
                stats = CASE WHEN '{status}' = 'success' THEN '{{\"rows\": 7}}'::jsonb END,
                error = CASE WHEN '{status}' = 'failed' THEN '{{\"message\": \"boom\"}}'::jsonb END
          WHERE job = 'roll' AND status = 'queued' AND priority < 20 AND {condition}"
    ));
}

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
fn two_who_feed_at_once_do_not_wait_for_each_other() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "twice");
    idle_job(&mut db);
    begin(&mut db, "roll", "'2026-01-05 00:00Z', '2026-01-05 06:00Z', '2 h'");
    finish(&mut db, "true", "success");
    let mut other = cluster.session("twice");
    other.exec("SET statement_timeout = '20 s'");
    db.exec("BEGIN");
    assert_eq!(db.int("SELECT etl_backfill_feed()"), 2);
    assert_eq!(other.int("SELECT etl_backfill_feed()"), 0);
    db.exec("COMMIT");
    assert_eq!(other.int("SELECT etl_backfill_feed()"), 0);
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run"), 4);
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

#[test]
fn a_pause_keeps_queued_windows_and_a_resume_goes_on() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "paused");
    add_mock(&mut db);
    let id = begin(&mut db, "oo-agg", "'2026-01-05 10:00Z', '2026-01-05 10:06Z', '3 min'");
    assert!(db.is(&format!("SELECT etl_backfill_pause({id})")));
    assert!(
        !db.is(&format!("SELECT etl_backfill_pause({id})")),
        "it is paused already"
    );
    run(&mut db);
    assert_eq!(progress(&mut db, id), ["paused", "2", "0", "0", "6", "0", "0", "0"]);
    // A window whose attempt failed meanwhile is kept as well.
    db.exec("UPDATE etl_job_run SET priority = 10 WHERE job = 'oo-agg' AND extract(minute FROM window_from) = 1");
    db.exec("SELECT etl_backfill_feed()");
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 0);
    // But what an operator asks for runs.
    db.exec("SELECT etl_retry(run_id) FROM etl_job_run WHERE job = 'oo-agg' AND extract(minute FROM window_from) = 2");
    db.exec("SELECT etl_enqueue('oo-agg', 'default', '2026-01-05 10:00Z', '2026-01-05 10:01Z')");
    run(&mut db);
    assert_eq!(
        starts(&mut db, "minute", "job = 'oo-agg' AND status = 'success'"),
        ["0", "2"]
    );

    assert!(db.is(&format!("SELECT etl_backfill_resume({id})")));
    assert!(!db.is(&format!("SELECT etl_backfill_resume({id})")), "it runs already");
    run(&mut db);
    assert_eq!(progress(&mut db, id)[0], "done");
    assert_eq!(
        db.rows("SELECT count(*), max(attempt) FROM etl_job_run WHERE job = 'oo-agg'"),
        [["6", "1"]]
    );
}

#[test]
fn a_cancelled_backfill_leaves_windows_as_they_were() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "cancelled");
    idle_job(&mut db);
    db.exec("SELECT etl_enqueue('roll', 'default', '2026-01-05 00:00Z', '2026-01-05 02:00Z')");
    finish(
        &mut db,
        "extract(hour FROM window_from AT TIME ZONE 'UTC') = 0",
        "failed",
    );
    finish(&mut db, "true", "success");
    let id = begin(
        &mut db,
        "roll",
        "'2026-01-05 00:00Z', '2026-01-05 08:00Z', '4 h', 'all'",
    );
    db.exec("UPDATE etl_job_run SET status = 'success' WHERE extract(hour FROM window_from AT TIME ZONE 'UTC') = 3");
    assert!(db.is(&format!("SELECT etl_backfill_cancel({id})")));
    assert!(!db.is(&format!("SELECT etl_backfill_cancel({id})")));
    assert_eq!(
        db.column("SELECT status FROM etl_job_run ORDER BY window_from"),
        ["failed", "success", "cancelled", "success"]
    );
    assert_eq!(
        db.column(
            "SELECT stats ->> 'rows' FROM etl_job_run WHERE extract(hour FROM window_from AT TIME ZONE 'UTC') = 1"
        ),
        ["7"]
    );
    assert_eq!(
        db.column("SELECT state FROM etl_backfill_slice ORDER BY slice_no"),
        ["cancelled", "cancelled"]
    );
    assert_eq!(progress(&mut db, id), ["cancelled", "2", "0", "0", "1", "1", "0", "0"]);
    assert_eq!(db.int("SELECT etl_backfill_feed()"), 0);
    assert!(!db.is(&format!("SELECT etl_backfill_resume({id})")));
}

#[test]
fn dependents_of_what_ran_before_a_cancel_run() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "dependents");
    idle_job(&mut db);
    db.exec("SELECT etl_enqueue('roll', 'default', '2026-01-05 00:00Z', '2026-01-05 08:00Z')");
    finish(&mut db, "true", "success");
    db.exec(
        "INSERT INTO etl_job (name, run_interval, align, command, after) VALUES ('down', '0', '2 h', 'SELECT 1', '{roll}')",
    );
    let id = begin(
        &mut db,
        "roll",
        "'2026-01-05 00:00Z', '2026-01-05 08:00Z', reprocess => 'all'",
    );
    // 02:00 ran anew, and its dependent waits for 03:00.
    db.exec("UPDATE etl_job_run SET status = 'success' WHERE extract(hour FROM window_from AT TIME ZONE 'UTC') = 2");
    db.exec(&format!("SELECT etl_backfill_cancel({id})"));
    assert!(starts(&mut db, "hour", "job = 'down' AND status = 'queued'").contains(&"2".to_string()));
}

#[test]
fn a_restored_backfill_goes_on() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "dumped");
    add_mock(&mut db);
    let id = begin(&mut db, "oo-agg", "'2026-01-05 10:00Z', '2026-01-05 10:06Z', '2 min'");
    begin(
        &mut db,
        "oo-agg",
        "'2026-01-05 10:00Z', '2026-01-05 10:06Z', dry_run => true",
    );
    db.exec("CALL etl_run(2)");
    let file = cluster.make_folder("dump").join("backfill.dump");
    output(
        cluster
            .program("pg_dump")
            .args(["-Fc", "-d", "dumped", "-f"])
            .arg(&file),
    );
    let mut db = cluster.database("restored");
    let mut restore = cluster.program("pg_restore");
    output(
        restore
            .env("PGOPTIONS", "-c observe_bridge.restoring=on")
            .args(["--exit-on-error", "-d", "restored"])
            .arg(&file),
    );
    clock(&mut db, CLOCK);
    run(&mut db);
    assert_eq!(progress(&mut db, id)[0], "done");
    assert_eq!(
        db.int("SELECT count(*) FROM etl_backfill"),
        1,
        "what is over is not dumped"
    );
    let next = begin(&mut db, "oo-agg", "'2026-01-05 10:00Z', '2026-01-05 10:01Z'");
    assert!(next > id + 1, "numbers are not given twice");
}

#[test]
fn what_others_asked_for_outlives_a_cancelled_backfill() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "asked");
    add_mock(&mut db);
    db.exec("UPDATE etl_job SET lookback = '10 min' WHERE name = 'oo-agg'");
    let id = begin(&mut db, "oo-agg", "'2026-01-05 10:30Z', '2026-01-05 10:58Z'");
    // Enqueued by hand, by the schedule (from 10:45 on); and one that the schedule comes to only after the cancel.
    assert_eq!(
        db.int("SELECT etl_enqueue('oo-agg', 'default', '2026-01-05 10:31Z', '2026-01-05 10:32Z')"),
        1
    );
    db.exec("SELECT etl_tick('2026-01-05 10:55Z')");
    db.exec(&format!("SELECT etl_backfill_cancel({id})"));
    let queued = starts(&mut db, "minute", "job = 'oo-agg' AND status = 'queued'");
    assert_eq!(queued.first().map(String::as_str), Some("31"));
    assert_eq!(queued.len(), 1 + 53 - 40);
    db.exec("SELECT etl_tick()");
    assert_eq!(
        starts(&mut db, "minute", "job = 'oo-agg' AND status = 'queued'").len(),
        1 + 58 - 40
    );
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 1 + 58 - 40);
}

#[test]
fn a_backfill_with_failed_windows_runs_only_those_when_resumed() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "failed");
    let oo = OpenObserve::serve(minutes(6));
    add_openobserve(&mut db, &oo);
    db.exec("SELECT etl_pause('age-refresh')");
    let id = begin(&mut db, "oo-agg", "'2026-01-05 10:00Z', '2026-01-05 10:06Z', '2 min'");
    db.exec("CALL etl_run(2)");
    db.exec("SELECT etl_backfill_feed()");
    // Credentials are refused: that is permanent.
    oo.fail(Scope::All, Fault::Status(401, None));
    db.exec("CALL etl_run(2)");
    oo.heal();
    run(&mut db);
    assert_eq!(&progress(&mut db, id)[..7], ["failed", "3", "2", "1", "6", "4", "2"]);
    assert!(db.is("SELECT last_error ->> 'message' IS NOT NULL FROM etl_backfill_progress"));
    assert!(db.is(&format!("SELECT etl_backfill_resume({id})")));
    assert_eq!(
        starts(&mut db, "minute", "status = 'queued' AND job = 'oo-agg'"),
        ["2", "3"]
    );
    assert_eq!(&progress(&mut db, id)[..7], ["running", "3", "2", "0", "6", "4", "0"]);
    run(&mut db);
    assert_eq!(&progress(&mut db, id)[..7], ["done", "3", "3", "0", "6", "6", "0"]);
    assert_eq!(
        db.column("SELECT attempt FROM etl_job_run WHERE job = 'oo-agg' ORDER BY window_from"),
        ["1", "1", "2", "2", "1", "1"]
    );
    assert_eq!(
        db.text("SELECT coalesce(last_error::text, 'none') FROM etl_backfill_progress"),
        "none"
    );
    assert_minutes(&mut db, 6);
}

#[test]
fn overlapping_backfills_share_the_windows() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "shared");
    let oo = OpenObserve::serve(minutes(9));
    add_openobserve(&mut db, &oo);
    let first = begin(&mut db, "oo-agg", "'2026-01-05 10:00Z', '2026-01-05 10:06Z'");
    let second = begin(&mut db, "oo-agg", "'2026-01-05 10:03Z', '2026-01-05 10:09Z'");
    assert_eq!(progress(&mut db, second)[4], "3", "the others are the first one's");
    // The second awaits the windows of the first in its range.
    db.exec("UPDATE etl_job_run SET status = 'success' WHERE backfill_id = 2; SELECT etl_backfill_feed()");
    assert_eq!(progress(&mut db, second)[0], "running");
    db.exec("UPDATE etl_job_run SET status = 'queued' WHERE backfill_id = 2");
    run(&mut db);
    assert_eq!(progress(&mut db, first)[0], "done");
    assert_eq!(progress(&mut db, second)[0], "done");
    assert_eq!(
        db.rows("SELECT count(*), max(attempt) FROM etl_job_run WHERE job = 'oo-agg'"),
        [["9", "1"]]
    );
    assert_minutes(&mut db, 9);
}

#[test]
fn a_backfill_takes_over_what_a_paused_one_holds() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "takeover");
    add_mock(&mut db);
    let first = begin(&mut db, "oo-agg", "'2026-01-05 10:00Z', '2026-01-05 10:04Z'");
    db.exec(&format!("SELECT etl_backfill_pause({first})"));
    let second = begin(&mut db, "oo-agg", "'2026-01-05 10:02Z', '2026-01-05 10:05Z'");
    run(&mut db);
    assert_eq!(&progress(&mut db, second)[..7], ["done", "1", "1", "0", "3", "3", "0"]);
    assert_eq!(
        starts(&mut db, "minute", "status = 'queued' AND job = 'oo-agg'"),
        ["0", "1"]
    );
    db.exec(&format!("SELECT etl_backfill_resume({first})"));
    run(&mut db);
    assert_eq!(progress(&mut db, first)[0], "done");
    assert_eq!(
        db.rows("SELECT count(*), max(attempt) FROM etl_job_run WHERE job = 'oo-agg'"),
        [["5", "1"]]
    );
}

#[test]
fn live_windows_go_before_a_backfill() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "live");
    add_mock(&mut db);
    db.exec("UPDATE etl_job SET lookback = '5 min', batch = 1 WHERE name = 'oo-agg'");
    begin(&mut db, "oo-agg", "'2026-01-05 10:00Z', '2026-01-05 10:05Z'");
    db.exec("SELECT etl_tick()");
    db.exec("CALL etl_run(2)");
    assert_eq!(
        db.column("SELECT DISTINCT origin FROM etl_job_run WHERE status = 'success' AND job = 'oo-agg'"),
        ["schedule"]
    );
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "queued"), 0);
}

#[test]
fn a_backfill_waits_for_its_job_and_ends_with_it() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "job");
    idle_job(&mut db);
    db.exec("SELECT etl_pause('roll', 'default')");
    let id = begin(&mut db, "roll", "'2026-01-05 00:00Z', '2026-01-05 04:00Z', '2 h'");
    assert_eq!(progress(&mut db, id), ["running", "2", "0", "0", "4", "0", "0", "0"]);
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run"), 0);
    db.exec("SELECT etl_resume('roll', 'default')");
    assert_eq!(db.int("SELECT etl_backfill_feed()"), 2);
    db.exec("SELECT etl_job_drop('roll')");
    assert_eq!(db.int("SELECT count(*) FROM etl_backfill_progress"), 0);
    // Those that are part of the extension leave their history behind.
    add_mock(&mut db);
    let id = begin(&mut db, "oo-agg", "'2026-01-05 00:00Z', '2026-01-05 04:00Z', '2 h'");
    db.exec("DELETE FROM etl_job WHERE name = 'oo-agg'; SELECT etl_backfill_feed()");
    assert_eq!(progress(&mut db, id)[0], "cancelled");
    assert_eq!(db.column("SELECT DISTINCT status FROM etl_job_run"), ["cancelled"]);
}

#[test]
fn backfills_go_with_their_tenant_and_with_retention() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "gone");
    idle_job(&mut db);
    db.exec("INSERT INTO dim_tenant (code) VALUES ('other')");
    db.exec("SELECT etl_backfill('roll', 'other', '2026-01-05 00:00Z', '2026-01-05 04:00Z')");
    assert_eq!(db.json("SELECT etl_tenant_drop('other')")["etl_backfill"], 1);
    let id = begin(&mut db, "roll", "'2026-01-05 00:00Z', '2026-01-05 04:00Z'");
    let dry = begin(
        &mut db,
        "roll",
        "'2026-01-05 00:00Z', '2026-01-05 04:00Z', dry_run => true",
    );
    clock(&mut db, "2026-03-05 11:00:00+00");
    db.exec("SELECT etl_retention_run(1, etl_now())");
    assert_eq!(
        db.column("SELECT backfill_id FROM etl_backfill_slice"),
        [id.to_string()],
        "{dry} is old and has ended"
    );
}

#[test]
fn an_operator_backfills_and_a_reader_looks() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "roles");
    idle_job(&mut db);
    db.exec(
        "CREATE ROLE olga LOGIN IN ROLE observe_bridge_operator; CREATE ROLE rita LOGIN IN ROLE observe_bridge_reader",
    );
    let mut olga = cluster.session_as("olga", "roles");
    let id = begin(&mut olga, "roll", "'2026-01-05 00:00Z', '2026-01-05 04:00Z'");
    let mut rita = cluster.session_as("rita", "roles");
    assert_eq!(progress(&mut rita, id)[0], "running");
    assert_eq!(rita.text("SELECT created_by FROM etl_backfill"), "olga");
    assert!(rita.text("SELECT etl_metrics()").contains(
        "observe_bridge_backfill_windows{job=\"roll\",tenant=\"default\",backfill=\"1\",status=\"remaining\"} 4"
    ));
    for function in ["pause", "resume", "cancel"] {
        assert_eq!(
            rita.refused(&format!("SELECT etl_backfill_{function}({id})")).sqlstate,
            "42501"
        );
        assert!(olga.is(&format!("SELECT etl_backfill_{function}({id})")));
    }
    assert_eq!(olga.refused("SELECT etl_backfill_feed()").sqlstate, "42501");
}

#[test]
fn failed_windows_of_a_range_are_retried_at_once() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "retried");
    idle_job(&mut db);
    db.exec("INSERT INTO dim_tenant (code) VALUES ('other')");
    for tenant in ["default", "other"] {
        db.exec(&format!(
            "SELECT etl_enqueue('roll', '{tenant}', '2026-01-05 00:00Z', '2026-01-05 04:00Z')"
        ));
    }
    finish(
        &mut db,
        "extract(hour FROM window_from AT TIME ZONE 'UTC') = 3",
        "success",
    );
    finish(&mut db, "true", "failed");
    db.exec(
        "INSERT INTO etl_job_circuit (job, tenant_id, state, next_probe_at) VALUES ('roll', 1, 'open', 'infinity')",
    );
    // Those that overlap the range: 01:00 and 02:00.
    assert_eq!(
        db.int("SELECT etl_retry('roll', 'default', '2026-01-05 01:30Z', '2026-01-05 03:30Z')"),
        2
    );
    assert_eq!(starts(&mut db, "hour", "status = 'queued'"), ["1", "2"]);
    assert_eq!(
        db.rows("SELECT DISTINCT max_attempts - attempt, priority FROM etl_job_run WHERE status = 'queued'"),
        [["4", "5"]]
    );
    assert!(db.is("SELECT next_probe_at <= etl_now() FROM etl_job_circuit"));
    assert_eq!(db.int("SELECT etl_retry('roll', NULL)"), 4, "all tenants, all times");
    assert_eq!(db.int("SELECT etl_retry('roll', NULL)"), 0);
    for (arguments, said) in [
        ("'nope', NULL", "nope"),
        ("'roll', 'nobody'", "nobody"),
        ("'roll', NULL, '2026-01-05', '2026-01-05'", "empty"),
        ("'roll', NULL, NULL, NULL", "empty"),
    ] {
        let refusal = db.refused(&format!("SELECT etl_retry({arguments})"));
        assert!(refusal.message.contains(said) && !refusal.hint.is_empty(), "{refusal}");
    }
}
