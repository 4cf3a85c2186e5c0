//! pg_cron as the driver, where the library is not preloaded: it ticks, and calls `etl_run()`.

use blackbox::bridge::{add_mock, count};
use blackbox::cluster::Cluster;
use blackbox::wait::wait_until;
use std::time::Duration;

/// Windows are planned and run by pg_cron alone; `mode` is how pg_cron runs its commands.
#[track_caller]
fn pg_cron_drives(mode: &str) {
    let cluster = Cluster::start(&[
        "shared_preload_libraries = 'pg_cron'",
        "cron.database_name = 'driven'",
        "observe_bridge.clock = '2026-01-05 11:00:00+00'",
        mode,
    ]);
    let mut db = cluster.database("driven");
    db.exec("CREATE EXTENSION pg_cron; CREATE EXTENSION observe_bridge");
    db.exec("UPDATE etl_job SET lookback = '5 min' WHERE name = 'oo-agg'");
    add_mock(&mut db);
    assert_eq!(
        db.text("SELECT status FROM observe_bridge_setup() WHERE component = 'pg_cron'"),
        "ready"
    );
    db.exec("SELECT cron.schedule('tick', '1 seconds', 'SELECT etl_tick()')");
    db.exec("SELECT cron.schedule('run', '1 seconds', 'CALL etl_run()')");
    // 10:50 to 10:58: five minutes before 10:58, whole buckets.
    wait_until("pg_cron has run the windows", Duration::from_secs(60), || {
        let failed = db.column("SELECT return_message FROM cron.job_run_details WHERE status = 'failed'");
        assert_eq!(failed, [""; 0]);
        count(&mut db, "oo-agg", "success") == 8
    });
    assert_eq!(db.int("SELECT sum(sample_count) FROM metric_1m"), 8 * 500);
}

#[test]
fn pg_cron_drives_over_connections() {
    pg_cron_drives("cron.host = '127.0.0.1'");
}

#[test]
fn pg_cron_drives_in_background_workers() {
    pg_cron_drives("cron.use_background_workers = on");
}
