//! Which windows there are, and when they are due. Nothing runs by itself here: the tests choose the time.

use blackbox::bridge::{add_mock, bridge, clock, count, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::session::{NULL, Session};
use blackbox::telemetry::{MINUTE, T0, literal};

/// (windows, gaps or overlaps between neighbours, first start, last end) of oo-agg, times in UTC.
fn windows(db: &mut Session) -> Vec<String> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE before <> window_from),
                      to_char(min(window_from) AT TIME ZONE 'UTC', 'MM-DD HH24:MI'), to_char(max(window_to) AT TIME ZONE 'UTC', 'MM-DD HH24:MI')
                 FROM (SELECT *, lag(window_to) OVER (ORDER BY window_from) AS before FROM etl_job_run WHERE job = 'oo-agg') w";
    db.rows(sql).swap_remove(0)
}

#[test]
fn a_tick_enqueues_every_due_window_once() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "tick");
    add_mock(&mut db);
    db.exec("INSERT INTO etl_job_tenant (job, tenant_id, lookback) VALUES ('oo-agg', 1, '1 h')");
    clock(&mut db, "2026-01-05 10:07:30+00");
    // upper = floor(now - 2 min) = 10:05; the first bucket of five minutes is whole.
    assert!(db.int("SELECT etl_tick()") >= 60);
    assert_eq!(windows(&mut db), ["60", "0", "01-05 09:05", "01-05 10:05"]);
    assert_eq!(db.int("SELECT etl_tick()"), 0);
    clock(&mut db, "2026-01-05 10:12:00+00");
    db.exec("SELECT etl_tick()");
    assert_eq!(windows(&mut db), ["65", "0", "01-05 09:05", "01-05 10:10"]);
}

#[test]
fn ticks_follow_their_argument() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "argument");
    add_mock(&mut db);
    db.exec("INSERT INTO etl_job_tenant (job, tenant_id, lookback) VALUES ('oo-agg', 1, '10 min')");
    db.exec("SELECT etl_tick('2026-01-05 10:02:00+00')");
    db.exec("SELECT etl_tick('2026-01-05 10:03:00+00')");
    assert_eq!(windows(&mut db), ["11", "0", "01-05 09:50", "01-05 10:01"]);
}

#[test]
fn a_clock_that_goes_back_does_nothing() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "back");
    add_mock(&mut db);
    db.exec("SELECT etl_tick()");
    let before = windows(&mut db);
    clock(&mut db, "2026-01-01 00:00:00+00");
    assert_eq!(db.int("SELECT etl_tick()"), 0);
    assert_eq!(windows(&mut db), before);
}

#[test]
fn a_pruned_history_opens_no_gap() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "pruned");
    add_mock(&mut db);
    db.exec("SELECT etl_tick(); DELETE FROM etl_job_run r WHERE EXISTS (SELECT FROM etl_job_run n WHERE n.job = r.job AND n.window_from > r.window_from)");
    assert_eq!(
        db.int("SELECT etl_tick()"),
        0,
        "what was enqueued once is not enqueued again"
    );
    db.exec("DELETE FROM etl_cursor");
    assert!(db.int("SELECT etl_tick()") > 0, "deleting the cursor starts anew");
}

#[test]
fn an_emptied_ledger_starts_anew_at_the_lookback() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "emptied");
    add_mock(&mut db);
    db.exec("SELECT etl_tick()");
    // Ten days later, with two hours to look back.
    clock(&mut db, "2026-01-15 11:00:00+00");
    db.exec(
        "UPDATE etl_job SET lookback = '2 hours' WHERE name = 'oo-agg'; DELETE FROM etl_job_run WHERE job = 'oo-agg'",
    );
    db.exec("SELECT etl_tick()");
    let expected = ["123", "0", "01-15 08:55", "01-15 10:58"];
    let found = windows(&mut db);
    assert_eq!(found, expected);
    // Another job's windows do not count.
    db.exec("TRUNCATE etl_job_run");
    assert_eq!(db.int("SELECT count(*) FROM etl_cursor"), 0);
}

#[test]
fn after_a_change_of_align_windows_begin_at_its_multiples_and_leave_no_gap() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "realigned");
    add_mock(&mut db);
    db.exec("UPDATE etl_job SET lookback = '10 min' WHERE name = 'oo-agg'; SELECT etl_tick()");
    db.exec("UPDATE etl_job SET align = '5 min', run_interval = '5 min' WHERE name = 'oo-agg'");
    clock(&mut db, "2026-01-05 11:12:00+00");
    db.exec("SELECT etl_tick()");
    assert_eq!(
        db.column(
            "SELECT to_char(window_from AT TIME ZONE 'UTC', 'HH24:MI') FROM etl_job_run
                    WHERE job = 'oo-agg' AND window_to - window_from = '5 min' ORDER BY window_from"
        ),
        ["10:55", "11:00", "11:05"],
        "10:58 was reached"
    );
    db.exec("UPDATE etl_job SET align = '1 min', run_interval = '1 min' WHERE name = 'oo-agg'");
    clock(&mut db, "2026-01-05 11:14:00+00");
    assert_eq!(db.int("SELECT etl_tick()"), 2);
    assert_eq!(
        db.text("SELECT to_char(min(window_from) AT TIME ZONE 'UTC', 'HH24:MI') FROM etl_job_run
                  WHERE job = 'oo-agg' AND window_to - window_from = '1 min' AND window_from >= '2026-01-05 11:05:00+00'"),
        "11:10"
    );
}

#[test]
fn buckets_do_not_depend_on_the_time_zone_of_the_session() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "zone");
    add_mock(&mut db);
    db.exec("SET TimeZone = 'Asia/Kathmandu'");
    clock(&mut db, "2026-01-05 10:07:30+00");
    db.exec("SELECT etl_tick()");
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg' AND extract(epoch FROM window_from)::bigint % 60 <> 0"), 0);
    assert_eq!(
        db.int("SELECT extract(epoch FROM min(window_from))::bigint % 300 FROM etl_job_run WHERE job = 'oo-agg'"),
        0
    );
}

#[test]
fn a_tenant_without_a_source_has_no_windows() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "idle");
    db.exec("SELECT etl_tick()");
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg'"), 0);
}

#[test]
fn enqueue_aligns_outward_and_splits() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "split");
    let queued = db.int("SELECT etl_enqueue('oo-agg', 'default', '2026-01-05 10:00:30Z', '2026-01-05 10:03:10Z')");
    assert_eq!(queued, 4);
    assert_eq!(windows(&mut db), ["4", "0", "01-05 10:00", "01-05 10:04"]);
    assert_eq!(enqueue(&mut db, T0, 4), 0, "what is queued already is left alone");
}

#[test]
fn enqueue_says_what_is_wrong() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "wrong");
    for (arguments, said) in [
        ("'nope', 'default', now() - interval '1 h', now()", "nope"),
        ("'oo-agg', 'nobody', now() - interval '1 h', now()", "nobody"),
        ("'oo-agg', 'default', now(), now()", "empty"),
        ("'oo-agg', 'default', now(), now() - interval '1 h'", "empty"),
        ("'oo-agg', 'default', NULL, now()", "two finite times"),
        ("'oo-agg', 'default', '-infinity', now()", "two finite times"),
        ("'oo-agg', 'default', '1900-01-01', now()", "windows of job"),
        (
            "'oo-agg', 'default', now() - interval '1 h', now(), '[]'",
            "JSON object",
        ),
    ] {
        let refusal = db.refused(&format!("SELECT etl_enqueue({arguments})"));
        assert!(
            refusal.message.contains(said) && !refusal.hint.is_empty(),
            "{arguments}: {refusal}"
        );
    }
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run"), 0);
}

#[test]
fn windows_of_the_future_wait_for_their_end_and_delay() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "future");
    add_mock(&mut db);
    clock(&mut db, "2026-01-05 10:00:10+00");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    clock(&mut db, "2026-01-05 10:02:59+00");
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "queued"), 1);
    clock(&mut db, "2026-01-05 10:03:00+00");
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 1);
}

#[test]
fn the_lag_is_the_age_of_the_oldest_unfinished_window() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "lag");
    add_mock(&mut db);
    enqueue(&mut db, T0, 3);
    let status = |db: &mut Session| {
        let sql = "SELECT extract(epoch FROM lag)::bigint, queued, running, failed, circuit,
                          extract(epoch FROM last_window_to)::bigint FROM etl_status WHERE job = 'oo-agg'";
        db.rows(sql).swap_remove(0)
    };
    // The clock stands an hour after T0; the first window ended a minute after it.
    assert_eq!(status(&mut db), [&(59 * 60).to_string(), "3", "0", "0", "closed", NULL]);
    let metrics = db.text("SELECT etl_metrics()");
    let lag = metrics
        .lines()
        .find(|l| l.starts_with("observe_bridge_window_lag_seconds{job=\"oo-agg\""));
    let lag: Option<f64> = lag.and_then(|l| l.rsplit(' ').next()).and_then(|v| v.parse().ok());
    assert_eq!(lag, Some(3540.0), "{metrics}");
    run(&mut db);
    let end = (T0 + 3 * MINUTE) / 1_000_000;
    assert_eq!(status(&mut db), ["0", "0", "0", "0", "closed", &end.to_string()]);
}

#[test]
fn literal_times_are_what_they_say() {
    let cluster = Cluster::without_workers();
    let mut db = cluster.session("postgres");
    assert!(db.is(&format!("SELECT {} = '2026-01-05 10:00:00+00'", literal(T0))));
}
