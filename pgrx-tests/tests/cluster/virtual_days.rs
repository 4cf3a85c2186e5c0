//! Days of ticks in seconds: a tick each simulated minute, while an operator does what operators do. Whatever that is,
//! the windows of each (job, tenant) stay contiguous: no instant is left out, none is there twice.

use blackbox::bridge::bridge;
use blackbox::cluster::Cluster;
use blackbox::session::Session;
use blackbox::wait::wait_until;
use blackbox::workers::PATIENCE;

/// Midnight, when the first tick is.
const START: &str = "2026-01-05 00:00:00+00";

/// A database with three tenants whose oo-agg is planned each minute and whose retention every five.
fn scene(cluster: &Cluster, name: &str) -> Session {
    let mut db = bridge(cluster, name);
    db.exec(&format!(
        "SET observe_bridge.clock = '{START}';
         INSERT INTO dim_tenant (code) VALUES ('second'), ('third');
         UPDATE etl_job SET lookback = '1 h' WHERE name = 'oo-agg';
         CREATE SERVER mock FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'mock');
         SELECT etl_source_add(tenant => code, job => 'oo-agg', server => 'mock', options => '{{}}') FROM dim_tenant;
         UPDATE etl_job SET run_interval = '5 min', align = '5 min', delay = '1 min', lookback = '30 min' WHERE name = 'retention'"
    ));
    db
}

/// Ticks each minute of `[from, from + minutes)`, `from` in minutes after [`START`]; how many windows were enqueued.
#[track_caller]
fn tick(db: &mut Session, from: i64, minutes: i64) -> i64 {
    db.exec(&format!(
        "DO $$
         DECLARE
             enqueued bigint := 0;
         BEGIN
             FOR minute IN {from} .. {from} + {minutes} - 1 LOOP
                 PERFORM set_config('observe_bridge.clock', (timestamptz '{START}' + minute * interval '1 min')::text, false);
                 enqueued := enqueued + etl_tick();
             END LOOP;
             PERFORM set_config('test.enqueued', enqueued::text, false);
         END $$"
    ));
    db.int("SELECT current_setting('test.enqueued')")
}

/// Checks the ledger of a job: windows of every tenant touch their neighbours, have one of these lengths, start at a
/// multiple of their length, and reach from `from` to `to` (minutes after [`START`]).
#[track_caller]
fn assert_contiguous(db: &mut Session, job: &str, lengths: &[&str], from: i64, to: i64) {
    let tenants = db.rows(&format!(
        "SELECT tenant_id, count(*) FILTER (WHERE before <> window_from),
                count(*) FILTER (WHERE extract(epoch FROM window_from)::bigint % extract(epoch FROM window_to - window_from)::bigint <> 0),
                count(*) FILTER (WHERE window_to - window_from <> ALL ('{{{}}}'::interval[])),
                extract(epoch FROM min(window_from) - '{START}')::bigint / 60, extract(epoch FROM max(window_to) - '{START}')::bigint / 60
           FROM (SELECT *, lag(window_to) OVER (PARTITION BY tenant_id ORDER BY window_from, window_to) AS before
                   FROM etl_job_run WHERE job = '{job}') w
          GROUP BY tenant_id ORDER BY tenant_id",
        lengths.join(",")
    ));
    assert_eq!(tenants.len(), 3, "tenants with windows of {job}");
    for tenant in tenants {
        assert_eq!(
            tenant[1..],
            [
                "0".to_string(),
                "0".to_string(),
                "0".to_string(),
                from.to_string(),
                to.to_string()
            ],
            "{job} of tenant {}: gaps or overlaps, unaligned, of another length, start, end",
            tenant[0]
        );
    }
}

const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;

#[test]
fn three_days_of_everything_leave_no_gap_and_nothing_twice() {
    let cluster = Cluster::without_workers();
    let mut db = scene(&cluster, "three_days");
    let mut enqueued = tick(&mut db, 0, 6 * HOUR);
    assert_contiguous(&mut db, "oo-agg", &["1 min"], -65, 6 * HOUR - 3);
    assert_contiguous(&mut db, "retention", &["5 min"], -35, 6 * HOUR - 5);

    // A tenant is switched off for two hours, a job paused for one, for one tenant and for all.
    db.exec("UPDATE dim_tenant SET enabled = false WHERE code = 'second'");
    enqueued += tick(&mut db, 6 * HOUR, 2 * HOUR);
    db.exec("UPDATE dim_tenant SET enabled = true WHERE code = 'second'; SELECT etl_pause('oo-agg'), etl_pause('retention', 'third')");
    enqueued += tick(&mut db, 8 * HOUR, HOUR);
    let newest =
        "SELECT extract(epoch FROM max(window_to) - '2026-01-05 00:00:00+00')::bigint / 60 FROM etl_job_run WHERE ";
    assert_eq!(
        db.int(&format!("{newest} job = 'oo-agg'")),
        8 * HOUR - 3,
        "the paused job"
    );
    assert_eq!(
        db.int(&format!("{newest} job = 'retention' AND tenant_id = 3")),
        8 * HOUR - 5,
        "the paused tenant"
    );
    db.exec("SELECT etl_resume('oo-agg'), etl_resume('retention', 'third')");
    enqueued += tick(&mut db, 9 * HOUR, 15 * HOUR);
    assert_contiguous(&mut db, "oo-agg", &["1 min"], -65, DAY - 3);
    assert_contiguous(&mut db, "retention", &["5 min"], -35, DAY - 5);

    // Nobody ticks for nine hours.
    enqueued += tick(&mut db, DAY + 9 * HOUR, 6 * HOUR);
    assert_contiguous(&mut db, "oo-agg", &["1 min"], -65, DAY + 15 * HOUR - 3);

    // The clock goes back by two hours, and comes again.
    assert_eq!(
        tick(&mut db, DAY + 13 * HOUR, 2 * HOUR),
        0,
        "an hour that comes twice is planned once"
    );
    enqueued += tick(&mut db, DAY + 15 * HOUR, 9 * HOUR);
    assert_contiguous(&mut db, "oo-agg", &["1 min"], -65, 2 * DAY - 3);
    assert_contiguous(&mut db, "retention", &["5 min"], -35, 2 * DAY - 5);

    enqueued += tick(&mut db, 2 * DAY, DAY);
    assert_contiguous(&mut db, "oo-agg", &["1 min"], -65, 3 * DAY - 3);
    assert_contiguous(&mut db, "retention", &["5 min"], -35, 3 * DAY - 5);
    // What the ticks said they enqueued is what is there.
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run"), enqueued);
}

#[test]
fn a_changed_align_leaves_no_instant_out() {
    let cluster = Cluster::without_workers();
    let mut db = scene(&cluster, "align");
    tick(&mut db, 0, 17);
    // Planned are the minutes up to 14: the next window of five minutes starts at 10.
    db.exec("UPDATE etl_job SET align = '5 min', run_interval = '5 min' WHERE name = 'oo-agg'");
    tick(&mut db, 17, 20);
    let five = "SELECT extract(epoch FROM min(window_from) - '2026-01-05 00:00:00+00')::bigint / 60
                  FROM etl_job_run WHERE job = 'oo-agg' AND window_to - window_from = '5 min'";
    assert_eq!(db.int(five), 10);
    db.exec("UPDATE etl_job SET align = '1 min', run_interval = '1 min' WHERE name = 'oo-agg'");
    tick(&mut db, 37, 30);
    let wrong = db.rows(
        "SELECT tenant_id, window_from, window_to,
                window_from > reached AS gap,
                window_from < of_this_length AS twice,
                extract(epoch FROM window_from)::bigint % extract(epoch FROM window_to - window_from)::bigint <> 0 AS unaligned
           FROM (SELECT *, max(window_to) OVER (PARTITION BY tenant_id ORDER BY window_from, window_to DESC
                                                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached,
                        lag(window_to) OVER (PARTITION BY tenant_id, window_to - window_from ORDER BY window_from) AS of_this_length
                   FROM etl_job_run WHERE job = 'oo-agg') w
          WHERE window_from > reached OR window_from < of_this_length
             OR extract(epoch FROM window_from)::bigint % extract(epoch FROM window_to - window_from)::bigint <> 0",
    );
    assert!(wrong.is_empty(), "{wrong:?}");
    let ends = "SELECT DISTINCT extract(epoch FROM max(window_to) - '2026-01-05 00:00:00+00')::bigint / 60
                  FROM etl_job_run WHERE job = 'oo-agg' GROUP BY tenant_id";
    assert_eq!(db.column(ends), ["64"]);
}

#[test]
fn a_job_whose_ledger_is_deleted_starts_anew() {
    let cluster = Cluster::without_workers();
    let mut db = scene(&cluster, "anew");
    tick(&mut db, 0, 3 * HOUR);
    db.exec("DELETE FROM etl_job_run WHERE job = 'oo-agg'");
    tick(&mut db, 3 * HOUR, HOUR);
    // The first tick after is that of minute 180: 180 - 2 - 60, down to a whole bucket.
    assert_contiguous(&mut db, "oo-agg", &["1 min"], 115, 4 * HOUR - 3);
    assert_contiguous(&mut db, "retention", &["5 min"], -35, 4 * HOUR - 5);
}

#[test]
fn two_ticks_at_once_plan_each_window_once() {
    let cluster = Cluster::without_workers();
    let mut db = scene(&cluster, "twice");
    // The first tick of all, which makes the cursors, and a later one, which moves them.
    for minute in [0, 30] {
        let now = format!("SET observe_bridge.clock = '2026-01-05 00:{minute:02}:00+00'");
        db.exec(&now);
        db.exec("BEGIN");
        assert!(db.int("SELECT etl_tick()") > 0);
        let mut other = cluster.session("twice");
        other.exec(&now);
        let pid = other.pid();
        let waiting = std::thread::spawn(move || other.int("SELECT etl_tick()"));
        wait_until("the other tick waits", PATIENCE, || {
            db.is(&format!(
                "SELECT count(*) > 0 FROM pg_locks WHERE pid = {pid} AND NOT granted"
            ))
        });
        db.exec("COMMIT");
        assert_eq!(waiting.join().expect("an answer"), 0, "in minute {minute}");
    }
    assert_contiguous(&mut db, "oo-agg", &["1 min"], -65, 28);
    assert_contiguous(&mut db, "retention", &["5 min"], -35, 25);
}
