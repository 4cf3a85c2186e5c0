//! `CALL etl_ensure_current()`: a job brought up to its source by whoever must not go on without it.

use blackbox::bridge::{CLOCK, clock, count, run};
use blackbox::cluster::Cluster;
use blackbox::rollup::{app, assert_exact, event, job, watermark, work};
use blackbox::session::{NULL, Session, SqlError};
use blackbox::wait::wait_until;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const ENSURE: &str = "CALL etl_ensure_current('usage', 'default')";

/// The answer of the procedure: skipped, slices, rows, watermark_stamped.
#[track_caller]
fn ensure(db: &mut Session) -> [String; 4] {
    brief(db.try_rows(ENSURE))
}

#[track_caller]
fn brief(answer: Result<Vec<Vec<String>>, SqlError>) -> [String; 4] {
    match answer.as_deref() {
        Ok([row]) => [0, 1, 2, 5].map(|i| row[i].clone()),
        other => panic!("one row was expected, not {other:?}"),
    }
}

/// A hundred and twenty days of events before the clock's day, three a day.
#[track_caller]
fn history(db: &mut Session) {
    db.exec(
        "INSERT INTO app.events (at, amount)
         SELECT timestamptz '2026-01-05 10:30+00' - n * interval '8 hours', n FROM generate_series(0, 360) n",
    );
}

/// Runs a statement in another session of the database, with the tests' clock, while `meanwhile` goes on.
fn beside<T>(
    cluster: &Cluster,
    name: &str,
    before: &str,
    statement: &str,
    meanwhile: impl FnOnce() -> T,
) -> (Result<Vec<Vec<String>>, SqlError>, T) {
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let mut session = cluster.session(name);
            clock(&mut session, CLOCK);
            session.exec(before);
            session.try_rows(statement)
        });
        let done = meanwhile();
        (caller.join().expect("the session"), done)
    })
}

/// Waits until another session waits for a lock.
fn wait_for_a_lock(db: &mut Session) {
    wait_until("a session waits for a lock", PATIENCE, || {
        db.int("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1
    });
}

/// Lets the job's function wait for advisory lock 99 where a condition on its $2 and $3 holds, and takes that lock.
fn hold(cluster: &Cluster, name: &str, condition: &str) -> Session {
    let mut holder = cluster.session(name);
    holder.exec(&format!(
        "ALTER FUNCTION app.rollup RENAME TO rollup_now;
         CREATE FUNCTION app.rollup(bigint, timestamptz, timestamptz) RETURNS bigint LANGUAGE plpgsql AS
             $$ BEGIN
                 IF {condition} THEN PERFORM pg_advisory_xact_lock(99); END IF;
                 RETURN app.rollup_now($1, $2, $3);
             END $$;
         SELECT pg_advisory_lock(99)"
    ));
    holder
}

#[test]
fn history_is_done_by_calendar_months_of_utc() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "months");
    history(&mut db);
    job(&mut db, "");
    db.exec("SET TimeZone = 'Asia/Tokyo'");
    let row = db.rows(ENSURE).swap_remove(0);
    db.exec("SET TimeZone = 'UTC'");
    assert_eq!(row[0], NULL);
    assert_eq!([&row[1], &row[2], &row[5]], ["5", "361", "t"]);
    assert_eq!([&row[3], &row[4]], ["2025-09-07 19:00:00+09", "2026-01-05 20:00:00+09"]);
    assert_eq!(
        db.rows("SELECT window_from::text, window_to::text FROM app.calls ORDER BY 1"),
        [
            ["2025-09-07 10:00:00+00", "2025-10-01 00:00:00+00"],
            ["2025-10-01 00:00:00+00", "2025-11-01 00:00:00+00"],
            ["2025-11-01 00:00:00+00", "2025-12-01 00:00:00+00"],
            ["2025-12-01 00:00:00+00", "2026-01-01 00:00:00+00"],
            ["2026-01-01 00:00:00+00", "2026-01-05 11:00:00+00"]
        ]
    );
    assert_exact(&mut db);
    assert_eq!(watermark(&mut db), "2026-01-05 11:00:00");
    db.exec("SELECT etl_guard('usage', 'default', '0')");
    assert_eq!(ensure(&mut db), ["within_threshold", "0", "0", "f"]);
    // What the schedule plans has run.
    work(&mut db);
    assert_eq!(db.int("SELECT count(*) FROM app.calls"), 5);
}

#[test]
fn windows_across_the_first_of_a_month_are_not_left_out() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "weeks");
    history(&mut db);
    job(&mut db, "");
    db.exec("SELECT etl_job_alter('usage', run_interval => '7 days', align => '7 days')");
    assert_eq!(ensure(&mut db)[3], "t");
    assert_eq!(
        db.int("SELECT count(*) FROM etl_job_run WHERE job = 'usage' AND status <> 'success'"),
        0
    );
    assert_eq!(
        db.int(
            "SELECT count(*) FROM app.events e WHERE e.at < etl_upper('usage', 1)
                 AND NOT EXISTS (SELECT FROM app.calls c WHERE c.window_from <= e.at AND c.window_to > e.at)"
        ),
        0,
        "every event lies in a window that was called"
    );
    db.exec("SELECT etl_guard('usage', 'default')");
}

#[test]
fn it_says_why_there_is_nothing_to_do() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "nothing");
    assert_eq!(ensure(&mut db), ["state_missing", "0", "0", "f"]);
    job(&mut db, ", lookback => '40 hours'");
    assert_eq!(ensure(&mut db), ["source_empty", "0", "0", "t"]);
    assert_eq!(watermark(&mut db), "2026-01-05 11:00:00");
    work(&mut db);
    assert_eq!(
        count(&mut db, "usage", "success"),
        0,
        "an empty history is not worked through"
    );
    clock(&mut db, "2026-01-05 13:10:00+00");
    event(&mut db, "11:20");
    work(&mut db);
    assert_exact(&mut db);
    db.exec("SELECT etl_guard('usage', 'default', '0')");
    // Windows that have not run are not claimed to have.
    clock(&mut db, "2026-01-05 14:00:00+00");
    event(&mut db, "13:50");
    assert_eq!(ensure(&mut db), ["within_threshold", "0", "0", "f"]);
    assert_eq!(watermark(&mut db), "2026-01-05 13:00:00");
    for (arguments, sqlstate) in [
        ("'usage', 'nobody'", "42704"),
        ("'retention', 'default'", "42704"),
        ("'usage', 'default', '-1 h'", "22023"),
    ] {
        assert_eq!(
            db.refused(&format!("CALL etl_ensure_current({arguments})")).sqlstate,
            sqlstate,
            "{arguments}"
        );
    }
    db.exec("BEGIN");
    let refusal = db.refused(ENSURE);
    assert!(
        refusal.message.contains("transaction") && !refusal.hint.is_empty(),
        "{refusal}"
    );
}

#[test]
fn an_error_reaches_the_caller_and_what_was_done_stays_done() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "failing");
    history(&mut db);
    db.exec(
        "ALTER FUNCTION app.rollup RENAME TO rollup_all;
         CREATE FUNCTION app.rollup(bigint, timestamptz, timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
         BEGIN
             IF $2 >= '2025-11-01 00:00+00' THEN
                 RAISE EXCEPTION 'no luck' USING ERRCODE = 'ZX001', DETAIL = 'the detail', HINT = 'the hint';
             END IF;
             RETURN app.rollup_all($1, $2, $3);
         END $$",
    );
    job(&mut db, "");
    let error = db.refused(ENSURE);
    assert_eq!(
        [error.sqlstate, error.message, error.detail, error.hint],
        ["ZX001", "no luck", "the detail", "the hint"]
    );
    assert_eq!(watermark(&mut db), "2025-11-01 00:00:00");
    assert_eq!(
        db.text("SELECT DISTINCT error ->> 'sqlstate' FROM etl_job_run WHERE job = 'usage' AND error IS NOT NULL"),
        "ZX001"
    );
    assert_eq!(count(&mut db, "usage", "running"), 0);
    assert_eq!(db.int("SELECT count(*) FROM pg_locks WHERE locktype = 'userlock'"), 0);
    db.exec("CREATE OR REPLACE FUNCTION app.rollup(bigint, timestamptz, timestamptz) RETURNS bigint LANGUAGE sql AS 'SELECT app.rollup_all($1, $2, $3)'");
    assert_eq!(ensure(&mut db)[1], "3", "only the months that were left");
    assert_eq!(db.int("SELECT count(*) FROM app.calls"), 5);
    assert_exact(&mut db);
}

#[test]
fn it_waits_for_the_lock_of_older_callers() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "locked");
    event(&mut db, "08:10");
    job(&mut db, ", lock_key => 4246");
    let mut cron = cluster.session("locked");
    cron.exec("SELECT pg_advisory_lock(4246)");
    db.exec("SET lock_timeout = '100 ms'");
    assert_eq!(db.refused(ENSURE).sqlstate, "55P03", "no longer than the caller allows");
    assert_eq!(count(&mut db, "usage", "running"), 0);
    assert_eq!(db.int("SELECT count(*) FROM app.calls"), 0);
    let (answer, ()) = beside(&cluster, "locked", "SELECT 1", ENSURE, || {
        wait_for_a_lock(&mut db);
        cron.exec("SELECT pg_advisory_unlock(4246)");
    });
    assert_eq!(brief(answer), [NULL, "1", "1", "t"]);
    assert_exact(&mut db);
}

#[test]
fn it_waits_for_windows_that_run_elsewhere() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "elsewhere");
    event(&mut db, "08:10");
    event(&mut db, "10:10");
    job(&mut db, ", lookback => '1 hour'");
    db.exec("SELECT etl_tick()");
    let mut holder = hold(&cluster, "elsewhere", "$2 = '2026-01-05 10:00+00'");
    let (answer, ()) = beside(&cluster, "elsewhere", "SELECT 1", "CALL etl_run()", || {
        wait_for_a_lock(&mut db);
        // Two hours are left to this one; then it waits for the run of the other.
        let (answer, ()) = beside(&cluster, "elsewhere", "SELECT 1", ENSURE, || {
            wait_until("it waits for the run", PATIENCE, || {
                db.int("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'userlock'") == 1
            });
            assert_eq!(count(&mut db, "usage", "success"), 2);
            holder.exec("SELECT pg_advisory_unlock(99)");
        });
        assert_eq!(brief(answer), [NULL, "1", "1", "t"]);
        assert_eq!(count(&mut db, "usage", "success"), 3, "it does not end before all have");
    });
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(db.int("SELECT count(*) FROM app.calls"), 2, "no window was run twice");
    assert_exact(&mut db);
    assert_eq!(db.int("SELECT max(attempt) FROM etl_job_run WHERE job = 'usage'"), 1);
}

#[test]
fn what_arrives_during_the_walk_is_not_lost() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "meanwhile");
    history(&mut db);
    job(&mut db, "");
    let mut holder = hold(&cluster, "meanwhile", "true");
    let (answer, ()) = beside(&cluster, "meanwhile", "SELECT 1", ENSURE, || {
        wait_for_a_lock(&mut db);
        // In a month that is still to come, and after the end that was fixed at the beginning.
        db.exec("INSERT INTO app.events (at) VALUES ('2025-12-24 18:00+00'), ('2026-01-05 11:30+00')");
        holder.exec("SELECT pg_advisory_unlock(99)");
    });
    assert_eq!(brief(answer)[3], "t");
    assert_eq!(
        watermark(&mut db),
        "2026-01-05 11:00:00",
        "no further than the end that was fixed at the beginning"
    );
    assert_exact(&mut db);
    clock(&mut db, "2026-01-05 12:00:00+00");
    work(&mut db);
    assert_exact(&mut db);
}

#[test]
fn a_cancel_ends_it_in_a_slice_and_between_two() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "cancelled");
    history(&mut db);
    job(&mut db, "");
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE 'CALL%'";
    let mut holder = hold(&cluster, "cancelled", "true");
    let (answer, ()) = beside(&cluster, "cancelled", "SELECT 1", ENSURE, || {
        wait_for_a_lock(&mut db);
        assert_eq!(db.int(cancel), 1);
    });
    assert_eq!(answer.expect_err("a cancel").sqlstate, "57014");
    assert_eq!(count(&mut db, "usage", "running"), 0);
    assert_eq!(
        count(&mut db, "usage", "failed"),
        0,
        "it says nothing about the windows"
    );
    holder.exec("SELECT pg_advisory_unlock(99)");
    let slow = "CALL etl_ensure_current('usage', 'default', sleep_between_slices => '1 hour')";
    let (answer, ()) = beside(&cluster, "cancelled", "SELECT 1", slow, || {
        wait_until("a slice is done", PATIENCE, || {
            db.int("SELECT count(*) FROM app.calls") == 1
        });
        wait_until("it sleeps", PATIENCE, || {
            db.int("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL%' AND wait_event_type = 'Extension' AND backend_xmin IS NULL AND backend_xid IS NULL") == 1
        });
        db.int(cancel);
    });
    assert_eq!(answer.expect_err("a cancel").sqlstate, "57014");
    assert_eq!(ensure(&mut db)[1], "4");
    assert_exact(&mut db);
}

#[test]
fn two_callers_do_each_window_once() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "both");
    history(&mut db);
    job(&mut db, ", concurrency => 4");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut caller = cluster.session("both");
                clock(&mut caller, CLOCK);
                caller.exec(ENSURE);
            });
        }
        run(&mut db);
    });
    assert_exact(&mut db);
    assert_eq!(db.int("SELECT count(*) FROM app.calls"), 5);
    assert_eq!(db.int("SELECT max(attempt) FROM etl_job_run WHERE job = 'usage'"), 1);
    assert_eq!(db.int("SELECT count(*) FROM etl_coverage WHERE job = 'usage'"), 1);
}
