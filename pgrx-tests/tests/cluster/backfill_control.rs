//! What an operator does to a backfill: pause, resume, cancel, and retry of what failed.

use blackbox::backfill::{begin, finish, idle_job, progress, starts};
use blackbox::bridge::{add_mock, add_openobserve, assert_minutes, bridge, count, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Fault, OpenObserve, Scope};
use blackbox::telemetry::minutes;

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
