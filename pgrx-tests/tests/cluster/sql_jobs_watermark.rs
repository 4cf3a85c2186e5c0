//! How far a SQL job has come: watermark, guard, coverage, and changes of what was processed already.

use blackbox::bridge::{CLOCK, clock, count, run};
use blackbox::cluster::Cluster;
use blackbox::rollup::{app, assert_exact, event, job, watermark, work};
use blackbox::session::Session;

/// Says that the hour of a time of 2026-01-05 changed.
#[track_caller]
fn invalidate(db: &mut Session, time: &str) {
    db.exec(&format!(
        "SELECT etl_invalidate('usage', 'default', '2026-01-05 {time}:00+00', '2026-01-05 {time}:00+00')"
    ));
}

/// Sets the status of the window that begins at an hour of 2026-01-05.
#[track_caller]
fn set(db: &mut Session, hour: u32, status: &str) {
    db.exec(&format!(
        "UPDATE etl_job_run SET status = '{status}', finished_at = etl_now() WHERE job = 'usage' AND window_from = '2026-01-05 {hour:02}:00+00'"
    ));
}

#[test]
fn the_watermark_ends_where_the_first_window_has_not_succeeded() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "prefix");
    job(&mut db, ", lookback => '5 hours'");
    assert_eq!(watermark(&mut db), "none");
    db.exec("SELECT etl_tick()");
    assert_eq!(watermark(&mut db), "none", "nothing has succeeded");
    run(&mut db);
    assert_eq!(watermark(&mut db), "2026-01-05 11:00:00");
    for status in ["queued", "running", "failed", "cancelled"] {
        set(&mut db, 8, status);
        assert_eq!(watermark(&mut db), "2026-01-05 08:00:00", "{status}");
    }
    set(&mut db, 6, "failed");
    assert_eq!(watermark(&mut db), "2026-01-05 06:00:00", "the first of all");
    set(&mut db, 6, "success");
    set(&mut db, 8, "success");
    assert_eq!(watermark(&mut db), "2026-01-05 11:00:00");
    db.exec("DELETE FROM etl_job_run WHERE window_from = '2026-01-05 09:00+00'");
    assert_eq!(watermark(&mut db), "2026-01-05 09:00:00", "a hole");
}

#[test]
fn retention_of_the_ledger_never_takes_the_watermark_back() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "retained");
    // 2000 windows, of which retention leaves the newest 1000.
    job(&mut db, ", lookback => '2000 hours'");
    db.exec("SELECT etl_tick(); UPDATE etl_job_run SET status = 'success', finished_at = etl_now()");
    let before = watermark(&mut db);
    db.exec("SELECT etl_retention_run(1, etl_now())");
    assert_eq!(watermark(&mut db), before);
    // One that was queued again and failed.
    db.exec("UPDATE etl_job_run SET finished_at = '2025-06-01', status = CASE window_from WHEN '2025-11-20 00:00+00' THEN 'failed' ELSE status END");
    assert_eq!(watermark(&mut db), "2025-11-20 00:00:00");
    db.exec("SELECT etl_retention_run(1, etl_now())");
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run WHERE job = 'usage'"), 1000);
    assert_eq!(
        watermark(&mut db),
        "2025-11-20 00:00:00",
        "a window whose failure was forgotten is not taken for done"
    );
    db.exec("SELECT etl_enqueue('usage', 'default', '2025-11-20 00:00+00', '2025-11-20 01:00+00')");
    run(&mut db);
    assert_eq!(watermark(&mut db), before);
    db.exec("SELECT etl_retention_run(1, etl_now())");
    assert_eq!(watermark(&mut db), before);
    assert_eq!(
        db.int("SELECT count(*) FROM etl_coverage WHERE job = 'usage'"),
        1,
        "one range while nothing is missing"
    );
    // And on it goes.
    clock(&mut db, "2026-01-05 13:00:00+00");
    work(&mut db);
    assert_eq!(watermark(&mut db), "2026-01-05 13:00:00");
}

#[test]
fn a_ledger_that_was_emptied_starts_anew() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "emptied");
    job(&mut db, ", lookback => '3 hours'");
    work(&mut db);
    db.exec("SELECT etl_retention_run(1, etl_now())");
    db.exec("DELETE FROM etl_job_run WHERE job = 'usage'");
    assert_eq!(watermark(&mut db), "none");
    db.exec("SELECT etl_tick()");
    assert_eq!(count(&mut db, "usage", "queued"), 3);
}

#[test]
fn the_guard_raises_while_history_is_missing_or_too_old() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "guarded");
    job(&mut db, ", lookback => '2 hours'");
    let guard = "SELECT etl_guard('usage', 'default', '1 hour')";
    db.exec(guard);
    event(&mut db, "10:50");
    event(&mut db, "11:10");
    let refusal = db.refused(guard);
    assert_eq!(refusal.sqlstate, "55000");
    assert!(
        refusal.hint.contains("etl_ensure_current('usage', 'default')") && refusal.hint.contains("etl_backfill"),
        "{refusal}"
    );
    assert!(refusal.detail.contains("2026-01-05 11:10:00+00"), "{refusal}");
    work(&mut db);
    db.exec(guard);
    // The window of 11 is not due: it cannot be demanded, however long the lag.
    db.exec("SELECT etl_guard('usage', 'default', '0')");
    clock(&mut db, "2026-01-05 14:30:00+00");
    db.exec("INSERT INTO app.events (at) VALUES ('2026-01-05 14:20+00')");
    assert!(db.refused(guard).detail.contains("lag 03:20:00"));
    db.exec("SELECT etl_guard('usage', 'default', '4 hours')");
    work(&mut db);
    db.exec(guard);
    // Events older than anything that ever ran.
    event(&mut db, "03:10");
    assert!(
        db.refused("SELECT etl_guard('usage', 'default', '100 years')")
            .detail
            .contains("has not succeeded")
    );
    db.exec("SELECT etl_enqueue('usage', 'default', '2026-01-05 03:00+00', '2026-01-05 09:00+00')");
    run(&mut db);
    db.exec(guard);
    invalidate(&mut db, "05:10");
    assert!(db.refused(guard).detail.contains("watermark 2026-01-05 05:00:00+00"));
    work(&mut db);
    db.exec(guard);
    assert_exact(&mut db);
}

#[test]
fn a_job_without_a_source_is_guarded_by_what_is_due() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "sourceless");
    db.exec("SELECT etl_job_create('usage', 'app.rollup', '1 hour', lookback => '2 hours')");
    let guard = "SELECT etl_guard('usage', 'default')";
    assert_eq!(db.refused(guard).sqlstate, "55000");
    work(&mut db);
    db.exec(guard);
    clock(&mut db, "2026-01-05 12:00:00+00");
    db.exec(guard);
    clock(&mut db, "2026-01-05 13:00:00+00");
    assert!(db.refused(guard).detail.contains("due up to 2026-01-05 13:00:00+00"));
    for max_lag in ["NULL", "'-1 s'"] {
        assert_eq!(
            db.refused(&format!("SELECT etl_guard('usage', 'default', {max_lag})"))
                .sqlstate,
            "22023"
        );
    }
}

#[test]
fn a_change_that_commits_late_is_not_lost() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "late");
    job(&mut db, ", lookback => '3 hours'");
    event(&mut db, "08:10");
    let mut writer = cluster.session("late");
    clock(&mut writer, CLOCK);
    writer.exec("BEGIN");
    event(&mut writer, "08:20");
    invalidate(&mut writer, "08:20");
    for hour in 12..15 {
        work(&mut db);
        clock(&mut db, &format!("2026-01-05 {hour}:00:00+00"));
    }
    assert_eq!(db.int("SELECT events FROM app.hourly"), 1);
    writer.exec("COMMIT");
    assert_eq!(watermark(&mut db), "2026-01-05 08:00:00", "known at once");
    work(&mut db);
    assert_exact(&mut db);
    assert_eq!(watermark(&mut db), "2026-01-05 14:00:00");
}

#[test]
fn a_change_during_a_run_makes_it_run_again() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "meanwhile");
    job(&mut db, ", lookback => '1 hour'");
    event(&mut db, "10:10");
    work(&mut db);
    // The run has read and not yet committed when the change does: its row is locked by nobody, its data are old.
    set(&mut db, 10, "running");
    event(&mut db, "10:20");
    invalidate(&mut db, "10:20");
    db.exec("SELECT etl_tick()");
    assert!(db.is("SELECT requeue FROM etl_job_run WHERE job = 'usage'"));
    assert_eq!(count(&mut db, "usage", "running"), 1);
    set(&mut db, 10, "queued");
    run(&mut db);
    assert_exact(&mut db);
}

#[test]
fn an_invalidation_queues_what_it_must_and_no_more() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "queued");
    job(&mut db, ", lookback => '3 hours', max_attempts => 1");
    work(&mut db);
    set(&mut db, 9, "failed");
    set(&mut db, 10, "cancelled");
    for time in ["08:10", "08:50", "09:10", "10:59", "11:30"] {
        invalidate(&mut db, time);
        invalidate(&mut db, time);
    }
    // Two of 08, one each of the others, whatever the statements: each transaction has its own.
    assert_eq!(db.int("SELECT count(*) FROM etl_invalidation"), 10);
    db.exec("SELECT etl_tick()");
    assert_eq!(db.int("SELECT count(*) FROM etl_invalidation"), 0);
    assert_eq!(
        db.rows("SELECT extract(hour FROM window_from AT TIME ZONE 'UTC'), status, origin, attempt, max_attempts FROM etl_job_run WHERE job = 'usage' ORDER BY 1"),
        [
            ["8", "queued", "invalidation", "1", "2"],
            ["9", "queued", "invalidation", "1", "2"],
            ["10", "queued", "invalidation", "1", "2"]
        ],
        "the window of 11 is left to the schedule; attempt, the fencing token, does not go back"
    );
    // Before the first window there ever was.
    invalidate(&mut db, "03:10");
    db.exec("SELECT etl_tick()");
    assert_eq!(count(&mut db, "usage", "queued"), 4);
    run(&mut db);
    assert_eq!(count(&mut db, "usage", "success"), 4);
}

#[test]
fn an_invalidation_of_a_paused_job_is_kept() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "paused");
    job(&mut db, ", lookback => '3 hours'");
    event(&mut db, "08:10");
    work(&mut db);
    db.exec("SELECT etl_pause('usage'); UPDATE dim_tenant SET enabled = false");
    event(&mut db, "08:20");
    invalidate(&mut db, "08:20");
    clock(&mut db, "2026-02-05 11:00:00+00");
    work(&mut db);
    db.exec("SELECT etl_retention_run(1, etl_now())");
    assert_eq!(db.int("SELECT events FROM app.hourly"), 1);
    assert_eq!(watermark(&mut db), "2026-01-05 08:00:00");
    db.exec("SELECT etl_resume('usage'); UPDATE dim_tenant SET enabled = true");
    work(&mut db);
    assert_exact(&mut db);
}

#[test]
fn an_invalidation_says_what_is_wrong_with_it() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "wrong");
    job(&mut db, "");
    for (arguments, sqlstate) in [
        ("'usage', 'default', NULL, now()", "22023"),
        ("'usage', 'default', now(), 'infinity'", "22023"),
        ("'usage', 'default', now(), now() - interval '1 h'", "22023"),
        ("'nobody', 'default', now(), now()", "42704"),
        ("'usage', 'nobody', now(), now()", "42704"),
    ] {
        let refusal = db.refused(&format!("SELECT etl_invalidate({arguments})"));
        assert_eq!(refusal.sqlstate, sqlstate, "{arguments}: {refusal}");
        assert!(!refusal.hint.is_empty(), "{refusal}");
    }
    // Ends that are borders of windows.
    db.exec("SELECT etl_invalidate('usage', 'default', '2026-01-05 08:00+00', '2026-01-05 10:00+00')");
    assert_eq!(
        db.rows("SELECT window_from AT TIME ZONE 'UTC', window_to AT TIME ZONE 'UTC' FROM etl_invalidation"),
        [["2026-01-05 08:00:00", "2026-01-05 10:00:00"]]
    );
}

#[test]
fn two_ticks_take_an_invalidation_once_and_none_is_dropped_between() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "drained");
    job(&mut db, ", lookback => '3 hours'");
    work(&mut db);
    let mut writer = cluster.session("drained");
    writer.exec("BEGIN");
    invalidate(&mut writer, "09:10");
    invalidate(&mut db, "08:10");
    let mut first = cluster.session("drained");
    clock(&mut first, CLOCK);
    first.exec("BEGIN; SELECT etl_tick()");
    // It committed after the first tick looked, and before that ends.
    writer.exec("COMMIT");
    first.exec("COMMIT");
    assert_eq!(count(&mut db, "usage", "queued"), 1);
    db.exec("SELECT etl_tick()");
    assert_eq!(count(&mut db, "usage", "queued"), 2);
    assert_eq!(db.int("SELECT count(*) FROM etl_invalidation"), 0);
}

#[test]
fn a_tick_with_nothing_to_do_takes_no_transaction_id() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "idle");
    job(&mut db, ", lookback => '1 hour'");
    work(&mut db);
    db.exec("SELECT etl_tick()");
    let before = db.int("SELECT txid_snapshot_xmax(txid_current_snapshot())");
    for _ in 0..5 {
        db.exec("SELECT etl_tick()");
        db.exec("SELECT etl_watermark('usage', 'default')");
    }
    assert_eq!(db.int("SELECT txid_snapshot_xmax(txid_current_snapshot())"), before);
}

#[test]
fn a_restored_database_has_the_same_watermark() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "old");
    job(&mut db, ", lookback => '6 hours'");
    work(&mut db);
    db.exec("SELECT etl_retention_run(1, etl_now())");
    clock(&mut db, "2026-01-05 13:00:00+00");
    work(&mut db);
    event(&mut db, "09:10");
    invalidate(&mut db, "09:10");
    assert_eq!(db.int("SELECT count(*) FROM etl_coverage WHERE job = 'usage'"), 1);
    let mut restored = cluster.copy("old", "restored");
    clock(&mut restored, "2026-01-05 13:00:00+00");
    assert_eq!(
        watermark(&mut restored),
        "2026-01-05 09:00:00",
        "the invalidation is there too"
    );
    work(&mut restored);
    assert_eq!(
        watermark(&mut restored),
        "2026-01-05 13:00:00",
        "neither a hole nor history is missing"
    );
    assert_exact(&mut restored);
    restored.exec("SELECT etl_guard('usage', 'default')");
}

#[test]
fn windows_that_a_paused_backfill_holds_are_not_done() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "held");
    job(&mut db, ", lookback => '6 hours'");
    event(&mut db, "06:10");
    event(&mut db, "10:10");
    work(&mut db);
    db.exec("SELECT etl_backfill_pause(etl_backfill('usage', 'default', '2026-01-05 07:00+00', '2026-01-05 09:00+00', reprocess => 'all'))");
    assert_eq!(watermark(&mut db), "2026-01-05 07:00:00");
    db.exec("CALL etl_ensure_current('usage', 'default')");
    assert_eq!(watermark(&mut db), "2026-01-05 11:00:00");
}
