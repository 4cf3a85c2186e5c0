//! Backfills beside others: other backfills, the schedule, jobs, tenants and roles that come and go, a restore.

use blackbox::backfill::{begin, finish, idle_job, progress, starts};
use blackbox::bridge::{CLOCK, add_mock, add_openobserve, assert_minutes, bridge, clock, count, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::OpenObserve;
use blackbox::telemetry::minutes;

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
    let mut db = cluster.copy("dumped", "restored");
    clock(&mut db, CLOCK);
    run(&mut db);
    assert_eq!(progress(&mut db, id)[..7], ["done", "3", "3", "0", "6", "6", "0"]);
    let runs = "SELECT count(*), max(attempt) FROM etl_job_run WHERE job = 'oo-agg' AND status = 'success'";
    assert_eq!(db.rows(runs), [["6", "1"]]);
    assert_eq!(
        db.int("SELECT count(*) FROM etl_backfill"),
        1,
        "what is over is not dumped"
    );
    let next = begin(&mut db, "oo-agg", "'2026-01-05 10:00Z', '2026-01-05 10:01Z'");
    assert!(next > id + 1, "numbers are not given twice");
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
