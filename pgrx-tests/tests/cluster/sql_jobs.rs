//! SQL jobs: how they are defined, run, retried, stopped, changed and dropped.

use blackbox::bridge::{CLOCK, clock, count, run};
use blackbox::cluster::Cluster;
use blackbox::rollup::{app, assert_exact, event, job, work};
use blackbox::session::Session;
use blackbox::wait::wait_until;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// The error of the only run that has one.
fn failure(db: &mut Session) -> serde_json::Value {
    db.json("SELECT error FROM etl_job_run WHERE job = 'usage' AND error IS NOT NULL")
}

#[test]
fn a_function_becomes_a_job() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "job");
    for at in ["08:10", "09:20", "09:50", "10:59"] {
        event(&mut db, at);
    }
    job(&mut db, ", lookback => '3 hours'");
    work(&mut db);
    assert_exact(&mut db);
    assert_eq!(count(&mut db, "usage", "success"), 3);
    assert_eq!(
        db.column("SELECT stats ->> 'rows' FROM etl_job_run WHERE job = 'usage'"),
        ["1", "1", "1"]
    );
}

#[test]
fn a_command_is_a_function_by_any_name_or_a_statement() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "commands");
    db.exec(
        "CREATE FUNCTION app.\"Odd name\"(bigint, timestamptz, timestamptz) RETURNS integer LANGUAGE sql AS 'SELECT 7';
         SET search_path = app, public",
    );
    for (command, stored, rows) in [
        ("rollup", "app.rollup", "0"),
        ("app.rollup", "app.rollup", "0"),
        ("\"app\".\"rollup\"", "app.rollup", "0"),
        (
            "app.rollup(bigint, timestamptz, timestamp with time zone)",
            "app.rollup",
            "0",
        ),
        ("\"Odd name\"", "app.\"Odd name\"", "7"),
        (
            "SELECT count(*) + 5 FROM events WHERE tenant_id = $1 AND at >= $2 AND at < $3;",
            "SELECT count(*) + 5 FROM events WHERE tenant_id = $1 AND at >= $2 AND at < $3",
            "5",
        ),
        ("SELECT 2.0", "SELECT 2.0", "2"),
        ("SELECT NULL::bigint", "SELECT NULL::bigint", "0"),
    ] {
        db.exec(&format!(
            "SELECT etl_job_create('j', $c${command}$c$, '1 hour', lookback => '1 hour')"
        ));
        assert_eq!(db.text("SELECT command FROM etl_job WHERE name = 'j'"), stored);
        work(&mut db);
        assert_eq!(
            db.text("SELECT stats ->> 'rows' FROM etl_job_run WHERE job = 'j'"),
            rows,
            "{command}"
        );
        db.exec("SELECT etl_job_drop('j')");
    }
}

#[test]
fn what_is_wrong_with_a_definition_is_said_at_once() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "definitions");
    db.exec(
        "CREATE FUNCTION app.words(bigint, timestamptz, timestamptz) RETURNS text LANGUAGE sql AS $$SELECT 'x'$$;
         CREATE FUNCTION app.short(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 1';
         CREATE FUNCTION app.many(bigint, timestamptz, timestamptz) RETURNS SETOF bigint LANGUAGE sql AS 'SELECT 1';",
    );
    for (arguments, sqlstate, said) in [
        ("'j', 'app.nothing', '1 hour'", "42883", "app.nothing"),
        (
            "'j', 'app.short', '1 hour'",
            "42883",
            "app.short(bigint) returns bigint",
        ),
        ("'j', 'app.words', '1 hour'", "42804", "text"),
        ("'j', 'app.many', '1 hour'", "42804", "setof bigint"),
        ("'j', 'app.rollup(integer)', '1 hour'", "42804", "integer"),
        ("'j', 'SELECT 1; SELECT 2', '1 hour'", "42601", "one statement"),
        (
            "'j', 'SELECT $1, $2', '1 hour'",
            "42804",
            "bigint, timestamp with time zone",
        ),
        ("'j', 'SELEC 1', '1 hour'", "42601", "SELEC"),
        ("'j', '', '1 hour'", "22023", "command"),
        ("'', 'app.rollup', '1 hour'", "22023", "name"),
        ("'j', 'app.rollup', '1 month'", "22023", "months"),
        ("'j', 'app.rollup', '1 hour', '7 min'", "22023", "not a multiple"),
        ("'j', 'app.rollup', '0'", "22023", "align"),
        ("'j', 'app.rollup', '-1 hour'", "22023", "run_interval"),
        ("'j', 'app.rollup', NULL", "22023", "run_interval"),
        ("'j', 'app.rollup', '1 hour', after => '{nobody}'", "42704", "nobody"),
        ("'j', 'app.rollup', '1 hour', after => '{j}'", "22023", "after itself"),
        (
            "'j', 'app.rollup', '1 hour', source_range => 'SELECT 1'",
            "42804",
            "integer",
        ),
        (
            "'j', 'app.rollup', '1 hour', source_range => 'TRUNCATE app.events'",
            "42601",
            "SELECT",
        ),
        (
            "'j', 'app.rollup', '1 hour', source_range => 'SELECT min(a), max(b) FROM gone'",
            "42P01",
            "gone",
        ),
        ("'j', 'app.rollup', '1 hour', timeout => '0'", "22023", "timeout"),
        (
            "'j', 'app.rollup', '1 hour', max_attempts => 0",
            "22023",
            "max_attempts",
        ),
        ("'j', 'app.rollup', '1 hour', lock_key => 0", "22023", "lock_key"),
        ("'retention', 'app.rollup', '1 hour'", "42710", "exists"),
    ] {
        let refusal = db.refused(&format!("SELECT etl_job_create({arguments})"));
        assert_eq!(refusal.sqlstate, sqlstate, "{arguments}: {refusal}");
        assert!(format!("{refusal}").contains(said), "{arguments}: {refusal}");
        // Of the parser's own errors the position says more than a hint could.
        assert!(
            !refusal.hint.is_empty() || ["42P01", "42601"].contains(&sqlstate),
            "{arguments}: {refusal}"
        );
    }
    assert_eq!(db.int("SELECT count(*) FROM etl_job WHERE kind = 'sql'"), 0);
}

#[test]
fn a_change_leaves_alone_what_it_does_not_name() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "alter");
    job(&mut db, ", lookback => '3 hours', lock_key => 7");
    let all = "SELECT to_jsonb(j) - 'enabled' FROM etl_job j WHERE name = 'usage'";
    let before = db.json(all);
    db.exec("SELECT etl_job_alter('usage')");
    db.exec("SELECT etl_job_alter('usage', enabled => false)");
    assert_eq!(db.json(all), before);
    assert!(!db.is("SELECT enabled FROM etl_job WHERE name = 'usage'"));
    db.exec("SELECT etl_job_create('second', 'SELECT 1', '1 hour', after => '{usage}')");
    let refusal = db.refused("SELECT etl_job_alter('usage', after => '{second}')");
    assert!(refusal.message.contains("after itself"), "{refusal}");
    db.exec("SELECT etl_job_alter('second', after => '{}'); SELECT etl_job_alter('usage', lock_key => 0, source_range => '', delay => '5 min')");
    assert_eq!(
        db.rows("SELECT lock_key IS NULL, source_range IS NULL, delay, command FROM etl_job WHERE name = 'usage'"),
        [["t", "t", "00:05:00", "app.rollup"]]
    );
    for (statement, sqlstate) in [
        ("SELECT etl_job_alter('nobody', enabled => true)", "42704"),
        ("SELECT etl_job_alter('retention', command => 'SELECT 1')", "42809"),
        ("SELECT etl_job_alter('usage', align => '7 min')", "22023"),
        ("SELECT etl_job_alter('usage', command => 'app.nothing')", "42883"),
    ] {
        assert_eq!(db.refused(statement).sqlstate, sqlstate, "{statement}");
    }
}

#[test]
fn windows_stay_contiguous_when_align_changes() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "realigned");
    job(&mut db, ", lookback => '4 hours'");
    for hour in [7, 8, 9] {
        event(&mut db, &format!("{hour:02}:30"));
    }
    work(&mut db);
    db.exec("SELECT etl_job_alter('usage', run_interval => '2 hours', align => '2 hours')");
    clock(&mut db, "2026-01-05 16:30:00+00");
    event(&mut db, "13:30");
    work(&mut db);
    assert_eq!(count(&mut db, "usage", "queued"), 0);
    assert_exact(&mut db);
    assert_eq!(blackbox::rollup::watermark(&mut db), "2026-01-05 16:00:00");
}

#[test]
fn a_drop_takes_everything_of_the_job_along_and_nothing_that_is_in_use() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "dropped");
    job(&mut db, ", lookback => '3 hours'");
    db.exec("SELECT etl_job_create('second', 'SELECT 1', '1 hour', after => '{usage}')");
    event(&mut db, "08:10");
    work(&mut db);
    db.exec("SELECT etl_invalidate('usage', 'default', '2026-01-05 08:00+00', '2026-01-05 08:00+00')");
    assert_eq!(db.refused("SELECT etl_job_drop('retention')").sqlstate, "42809");
    let refusal = db.refused("SELECT etl_job_drop('usage')");
    assert!(
        refusal.message.contains("\"second\"") && refusal.sqlstate == "2BP01",
        "{refusal}"
    );
    db.exec("SELECT etl_job_drop('second')");
    db.exec("UPDATE etl_job_run SET status = 'running' WHERE job = 'usage' AND window_from = '2026-01-05 08:00+00'");
    assert_eq!(db.refused("SELECT etl_job_drop('usage')").sqlstate, "55006");
    db.exec("UPDATE etl_job_run SET status = 'queued' WHERE status = 'running'");
    db.exec("SELECT etl_job_drop('usage')");
    for table in [
        "etl_job_run",
        "etl_cursor",
        "etl_turn",
        "etl_job_circuit",
        "etl_coverage",
        "etl_invalidation",
    ] {
        assert_eq!(
            db.int(&format!("SELECT count(*) FROM {table} WHERE job = 'usage'")),
            0,
            "{table}"
        );
    }
    assert_eq!(db.int("SELECT count(*) FROM app.hourly"), 1, "what it wrote stays");
}

#[test]
fn an_error_of_the_function_is_recorded_retried_and_then_final() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "failing");
    db.exec(
        "CREATE FUNCTION app.fail(bigint, timestamptz, timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO app.hourly VALUES ($1, $2);
             RAISE EXCEPTION 'no luck' USING ERRCODE = 'ZX001', DETAIL = 'the detail', HINT = 'the hint';
         END $$",
    );
    db.exec("SELECT etl_job_create('usage', 'app.fail', '1 hour', lookback => '1 hour', max_attempts => 2)");
    work(&mut db);
    let error = failure(&mut db);
    assert_eq!(
        ["sqlstate", "message", "detail", "hint"].map(|k| error[k].as_str().unwrap_or_default()),
        ["ZX001", "no luck", "the detail", "the hint"]
    );
    assert_eq!(count(&mut db, "usage", "queued"), 1, "it is tried again");
    assert_eq!(
        db.int("SELECT count(*) FROM app.hourly"),
        0,
        "what a failed run wrote is gone"
    );
    clock(&mut db, "2026-01-05 11:30:00+00");
    run(&mut db);
    assert_eq!(count(&mut db, "usage", "failed"), 1);
    assert_eq!(db.int("SELECT attempt FROM etl_job_run WHERE job = 'usage'"), 2);
}

#[test]
fn what_needs_somebody_to_act_fails_at_once() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "permanent");
    for (nth, (before, sqlstate)) in [
        ("ALTER FUNCTION app.rollup RENAME TO gone", "42883"),
        ("ALTER FUNCTION app.gone RENAME TO rollup; REVOKE ALL ON app.hourly FROM app_owner", "42501"),
        ("REVOKE observe_bridge_operator FROM app_owner; REASSIGN OWNED BY app_owner TO postgres; DROP OWNED BY app_owner; DROP ROLE app_owner", "42704"),
    ]
    .into_iter()
    .enumerate()
    {
        if nth == 0 {
            db.exec("CREATE ROLE app_owner IN ROLE observe_bridge_operator; GRANT USAGE ON SCHEMA app TO app_owner; GRANT ALL ON ALL TABLES IN SCHEMA app TO app_owner");
            db.exec("SET ROLE app_owner");
            db.exec("SELECT etl_job_create('usage', 'app.rollup', '1 hour')");
            db.exec("RESET ROLE");
        }
        db.exec(before);
        db.exec("DELETE FROM etl_job_run; SELECT etl_enqueue('usage', 'default', '2026-01-05 09:00+00', '2026-01-05 10:00+00')");
        run(&mut db);
        assert_eq!(count(&mut db, "usage", "failed"), 1, "{before}");
        let error = failure(&mut db);
        assert_eq!((error["sqlstate"].as_str(), db.int("SELECT attempt FROM etl_job_run")), (Some(sqlstate), 1), "{error}");
    }
    assert!(
        failure(&mut db)["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("owner"))
    );
}

#[test]
fn a_window_whose_lock_is_taken_waits_and_is_no_success() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "locked");
    event(&mut db, "10:10");
    job(&mut db, ", lookback => '1 hour', lock_key => 4246, max_attempts => 1");
    let mut cron = cluster.session("locked");
    cron.exec("SELECT pg_advisory_lock(4246)");
    for skips in 1..=10 {
        db.exec("UPDATE etl_job_run SET next_attempt_at = NULL");
        work(&mut db);
        assert_eq!(count(&mut db, "usage", "queued"), 1);
        assert_eq!(
            db.json("SELECT stats FROM etl_job_run WHERE job = 'usage'"),
            serde_json::json!({ "outcome": "skipped_locked", "skipped_locked": skips })
        );
    }
    let error = failure(&mut db);
    assert_eq!(error["sqlstate"], "55P03");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("skipped_locked") && m.contains("4246")),
        "{error}"
    );
    assert!(db.is("SELECT next_attempt_at > etl_now() FROM etl_job_run WHERE job = 'usage'"));
    assert_eq!(db.int("SELECT count(*) FROM app.calls"), 0);
    assert!(
        cluster.log().contains("was skipped 10 times in a row"),
        "starvation is said"
    );
    cron.exec("SELECT pg_advisory_unlock(4246)");
    db.exec("UPDATE etl_job_run SET next_attempt_at = NULL");
    work(&mut db);
    assert_eq!(count(&mut db, "usage", "success"), 1, "skips use up no attempt");
    assert_exact(&mut db);
    assert_eq!(db.int("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 0);
}

#[test]
fn a_function_that_takes_too_long_is_stopped() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "slow");
    for (nth, body) in [
        "PERFORM pg_sleep(600)",
        "LOCK TABLE app.hourly",
        // It does not help to look away.
        "BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END",
    ]
    .into_iter()
    .enumerate()
    {
        db.exec(&format!(
            "CREATE OR REPLACE FUNCTION app.slow(bigint, timestamptz, timestamptz) RETURNS bigint LANGUAGE plpgsql AS
                 $$ BEGIN {body}; RETURN 1; END $$"
        ));
        let mut other = cluster.session("slow");
        other.exec("BEGIN; LOCK TABLE app.hourly");
        db.exec(&format!("SELECT etl_job_create('slow{nth}', 'app.slow', '1 hour', lookback => '1 hour', timeout => '200 ms', max_attempts => 1)"));
        work(&mut db);
        let error = db.json(&format!("SELECT error FROM etl_job_run WHERE job = 'slow{nth}'"));
        assert!(
            error["message"].as_str().is_some_and(|m| m.contains("timeout")),
            "{body}: {error}"
        );
        assert_eq!(count(&mut db, &format!("slow{nth}"), "failed"), 1);
        db.exec(&format!("SELECT etl_job_drop('slow{nth}')"));
    }
    assert_eq!(db.int("SELECT 1"), 1, "nothing of the limit is left in the session");
}

#[test]
fn a_running_function_can_be_cancelled() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "cancelled");
    db.exec("CREATE FUNCTION app.slow(bigint, timestamptz, timestamptz) RETURNS bigint LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(600)'");
    db.exec("SELECT etl_job_create('usage', 'app.slow', '1 hour', lookback => '1 hour'); SELECT etl_tick()");
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let mut worker = cluster.session("cancelled");
            clock(&mut worker, CLOCK);
            worker.try_rows("CALL etl_run()")
        });
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        wait_until("the function runs", PATIENCE, || db.int(sleeping) == 1);
        assert!(db.is("SELECT etl_cancel(run_id) FROM etl_job_run WHERE job = 'usage'"));
        assert!(worker.join().expect("the session").is_ok());
    });
    assert_eq!(count(&mut db, "usage", "cancelled"), 1);
}

#[test]
fn two_sessions_call_the_function_once_a_window() {
    let cluster = Cluster::without_workers();
    let mut db = app(&cluster, "shared");
    job(&mut db, ", lookback => '40 hours', concurrency => 4");
    db.exec("SELECT etl_tick()");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut worker = cluster.session("shared");
                clock(&mut worker, CLOCK);
                run(&mut worker);
            });
        }
    });
    run(&mut db);
    assert_eq!(count(&mut db, "usage", "success"), 40);
    assert_eq!(db.int("SELECT count(*) FROM app.calls"), 40);
    assert_eq!(db.int("SELECT count(DISTINCT window_from) FROM app.calls"), 40);
}
