//! Fifty tenants, one of them with thirty days to catch up: nobody else notices, and the backlog gets smaller all the same.

use blackbox::bridge::clock;
use blackbox::cluster::Cluster;
use blackbox::session::Session;
use blackbox::wait::wait_until;
use blackbox::workers::PATIENCE;

const TENANTS: i64 = 50;
/// Thirty days of minutes.
const BACKLOG: i64 = 30 * 24 * 60;
/// What `etl_status.lag` of oo-agg stays under: delay + 2 x align.
const BOUND: &str = "4 min";
/// Simulated minutes.
const MINUTES: i64 = 5;
/// Claims, where they are counted.
const CLAIMS: i64 = 48;

/// When the first live window begins, it is two minutes before this; until then there is only the backlog.
const START: &str = "2026-01-05 11:02:00+00";

/// A database with the tenants, each with a small source; tenant 1 has the backlog. The clock stands at [`START`].
fn scene(cluster: &Cluster) -> Session {
    let mut db = cluster.database("fair");
    clock(&mut db, START);
    db.exec(&format!(
        "CREATE EXTENSION observe_bridge;
         UPDATE etl_job SET lookback = '0' WHERE name = 'oo-agg';
         UPDATE etl_job SET run_interval = '0' WHERE name IN ('retention', 'reconcile');
         CREATE SERVER mock FOREIGN DATA WRAPPER observe_bridge
             OPTIONS (kind 'mock', logs_per_minute '2', metrics_per_minute '1', spans_per_minute '2');
         INSERT INTO dim_tenant (code) SELECT 'tenant ' || n FROM generate_series(2, {TENANTS}) n;
         SELECT etl_source_add(tenant => code, job => 'oo-agg', server => 'mock', options => '{{}}') FROM dim_tenant;
         SELECT etl_tick();
         SELECT etl_enqueue('oo-agg', 'default', timestamptz '2026-01-05 10:00:00+00' - {BACKLOG} * interval '1 min', '2026-01-05 10:00:00+00')"
    ));
    db
}

/// Windows of the backlog that are done.
fn caught_up(db: &mut Session) -> i64 {
    db.int("SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg' AND tenant_id = 1 AND priority = 10 AND status = 'success'")
}

#[test]
fn a_backlog_of_thirty_days_holds_up_no_other_tenant() {
    let cluster = Cluster::start(&[
        "shared_preload_libraries = 'observe_bridge'",
        &format!("observe_bridge.clock = '{START}'"),
    ]);
    let mut db = scene(&cluster);
    let mut before = caught_up(&mut db);
    for minute in 1..=MINUTES {
        let now = format!("2026-01-05 11:{:02}:00+00", 2 + minute);
        cluster.set_clock(&now);
        clock(&mut db, &now);
        wait_until("the live windows of all tenants are done", PATIENCE, || {
            let late = "SELECT count(*) FROM etl_status WHERE job = 'oo-agg' AND tenant <> 'default' AND lag >= ";
            assert_eq!(
                db.int(&format!("{late} '{BOUND}'")),
                0,
                "tenants that are late in minute {minute}"
            );
            let live = "SELECT count(*) FROM etl_job_run
                         WHERE job = 'oo-agg' AND status = 'success' AND window_from >= '2026-01-05 11:00:00+00'";
            db.int(live) == TENANTS * minute
        });
        let done = caught_up(&mut db);
        assert!(done > before, "the backlog stands still in minute {minute}");
        assert!(done < BACKLOG, "there is no backlog any more: this shows nothing");
        before = done;
    }
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run WHERE status = 'failed'"), 0);
}

#[test]
fn a_share_of_the_claims_serves_the_backlog() {
    let cluster = Cluster::without_workers();
    let mut db = scene(&cluster);
    // More live windows than these runs can do: the backlog would wait for ever without its share, one claim in eight.
    clock(&mut db, "2026-01-05 11:05:00+00");
    assert_eq!(db.int("SELECT etl_tick()"), 3 * TENANTS);
    // One at a time, so that no claim takes more than a window.
    for _ in 0..CLAIMS {
        db.exec("CALL etl_run(1)");
    }
    let live = db.column(
        "SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg' AND status = 'success' AND priority = 0 GROUP BY tenant_id",
    );
    // The other half are dependents of these.
    assert!(live.len() >= 20, "{} tenants were served", live.len());
    assert!(
        live.iter().all(|n| n == "1"),
        "no tenant is served twice before all were served once: {live:?}"
    );
    let backlog = caught_up(&mut db);
    assert!(backlog >= CLAIMS / 8 - 1, "{backlog} windows of the backlog");
}
