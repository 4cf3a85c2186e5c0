//! Backfills of SQL jobs: the range of their source, a slice in one call, and what changes meanwhile.

use blackbox::bridge::run;
use blackbox::cluster::Cluster;
use blackbox::rollup::{app, assert_exact, event, job, watermark};
use blackbox::session::Session;

/// The calls of the function: from and to in UTC, in the order in which they were made.
fn calls(db: &mut Session) -> Vec<Vec<String>> {
    db.rows(
        "SELECT to_char(window_from AT TIME ZONE 'UTC', 'MM-DD HH24:MI'), to_char(window_to AT TIME ZONE 'UTC', 'MM-DD HH24:MI')
           FROM app.calls ORDER BY called_at",
    )
}

/// The state of the backfill made last.
fn state(db: &mut Session) -> String {
    db.text("SELECT state FROM etl_backfill_progress ORDER BY backfill_id DESC LIMIT 1")
}

#[test]
fn a_slice_of_a_sql_job_is_one_call_and_the_range_is_that_of_its_source() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "monthly");
    job(&mut db, "");
    let refusal = db.refused("SELECT etl_backfill('usage', 'default')");
    assert!(
        refusal.message.contains("empty") && !refusal.hint.is_empty(),
        "{refusal}"
    );
    db.exec("INSERT INTO app.events (at) SELECT generate_series('2025-11-30 21:30Z', '2026-01-05 09:30Z', interval '7 hours')");
    event(&mut db, "10:00");
    db.exec("SET TimeZone = 'Asia/Tokyo'");
    db.exec("SELECT etl_backfill('usage', 'default')");
    run(&mut db);
    assert_eq!(
        calls(&mut db),
        [
            ["11-30 21:00", "12-01 00:00"],
            ["12-01 00:00", "01-01 00:00"],
            ["01-01 00:00", "01-05 11:00"]
        ]
    );
    assert_exact(&mut db);
    assert_eq!(
        db.rows("SELECT state, windows_done, rows = (SELECT count(*) FROM app.hourly) FROM etl_backfill_progress"),
        [["done".to_string(), (3 + 31 * 24 + 4 * 24 + 11).to_string(), "t".into()]]
    );
    assert_eq!(watermark(&mut db), "2026-01-05 11:00:00");
    // One end given, the other from the source.
    db.exec("SELECT etl_backfill('usage', 'default', \"from\" => '2026-01-05 08:00Z', reprocess => 'all')");
    run(&mut db);
    assert_eq!(calls(&mut db)[3..], [["01-05 08:00", "01-05 11:00"]]);
}

#[test]
fn what_is_invalidated_while_a_backfill_has_it_runs_whatever_becomes_of_that() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "invalidated");
    job(&mut db, "");
    event(&mut db, "08:10");
    db.exec("SELECT etl_backfill('usage', 'default', '2026-01-05 08:00Z', '2026-01-05 10:00Z')");
    run(&mut db);
    db.exec("SELECT etl_backfill('usage', 'default', '2026-01-05 08:00Z', '2026-01-05 10:00Z', reprocess => 'all')");
    event(&mut db, "08:20");
    db.exec("SELECT etl_invalidate('usage', 'default', '2026-01-05 08:20Z', '2026-01-05 08:21Z')");
    db.exec("SELECT etl_tick(); SELECT etl_backfill_cancel(2)");
    assert_eq!(state(&mut db), "cancelled");
    run(&mut db);
    assert_exact(&mut db);
    assert_eq!(
        db.column("SELECT status || attempt FROM etl_job_run WHERE job = 'usage' AND window_from < '2026-01-05 10:00Z' ORDER BY window_from"),
        ["success2", "success1"]
    );
}

#[test]
fn what_was_forgotten_is_not_missing() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "forgotten");
    job(&mut db, "");
    db.exec("INSERT INTO etl_coverage VALUES ('usage', 1, '2026-01-05 02:00Z', '2026-01-05 05:00Z')");
    for (policy, expected) in [("missing", 5), ("failed", 0), ("all", 8)] {
        db.exec(&format!(
            "SELECT etl_backfill('usage', 'default', '2026-01-05 00:00Z', '2026-01-05 08:00Z', '2 h', '{policy}', dry_run => true)"
        ));
        assert_eq!(
            db.int("SELECT windows FROM etl_backfill_progress ORDER BY backfill_id DESC LIMIT 1"),
            expected,
            "{policy}"
        );
    }
}

#[test]
fn a_window_that_cannot_be_done_fails_alone() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "poisoned");
    job(&mut db, ", max_attempts => 1");
    db.exec(
        "ALTER TABLE app.hourly ADD CHECK (amount < 1000);
         INSERT INTO app.events (at, amount) SELECT g, CASE WHEN g = '2026-01-05 03:00Z' THEN 5000 ELSE 1 END
         FROM generate_series('2026-01-05 00:00Z', '2026-01-05 07:00Z', interval '1 hour') g",
    );
    db.exec("SELECT etl_backfill('usage', 'default', \"to\" => '2026-01-05 08:00Z')");
    run(&mut db);
    assert_eq!(
        db.rows("SELECT state, windows_done, windows_failed, last_error ->> 'sqlstate' FROM etl_backfill_progress"),
        [["failed", "7", "1", "23514"]]
    );
    db.exec("UPDATE app.events SET amount = 5 WHERE amount = 5000");
    let before = calls(&mut db).len();
    db.exec("SELECT etl_backfill_resume(1)");
    run(&mut db);
    assert_eq!(state(&mut db), "done");
    assert_eq!(calls(&mut db)[before..], [["01-05 03:00", "01-05 04:00"]]);
}
