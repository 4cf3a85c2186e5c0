//! Contiguous windows as one batch: one fetch, every window by itself in the ledger; and how many run at once.

use blackbox::bridge::{CLOCK, add_mock, add_openobserve, assert_minutes, bridge, clock, count, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Fault, OpenObserve, Scope};
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, T0, literal, minutes};
use blackbox::wait::wait_until;
use blackbox::workers::PATIENCE;

/// What a claim took: windows and the length of the whole, minutes.
fn claim(db: &mut Session, arguments: &str) -> (i64, i64) {
    let row = db
        .rows(&format!(
            "SELECT count(*), coalesce(extract(epoch FROM max(window_to) - min(window_from))::bigint / 60, 0)
               FROM etl_claim(pg_backend_pid(){arguments})"
        ))
        .swap_remove(0);
    (row[0].parse().expect("a number"), row[1].parse().expect("a number"))
}

/// The tenants whose windows were claimed, one claim after the other, until there is nothing left to claim.
fn claimed_tenants(db: &mut Session, arguments: &str) -> Vec<String> {
    let mut tenants = Vec::new();
    loop {
        let claimed = db.column(&format!(
            "SELECT t.code FROM etl_claim(pg_backend_pid(){arguments}) c JOIN dim_tenant t USING (tenant_id)"
        ));
        if claimed.is_empty() {
            return tenants;
        }
        tenants.extend(claimed);
    }
}

/// Tenants t1, t2, ... with a mock source and one window each.
fn tenants(db: &mut Session, n: i64) {
    db.exec("CREATE SERVER mock FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'mock')");
    db.exec(&format!(
        "INSERT INTO dim_tenant (code) SELECT 't' || n FROM generate_series(1, {n}) AS n;
         SELECT etl_source_add(code, 'oo-agg', 'mock', '{{}}') FROM dim_tenant WHERE code LIKE 't%';
         SELECT etl_enqueue('oo-agg', code, {}, {}) FROM dim_tenant WHERE code LIKE 't%'",
        literal(T0),
        literal(T0 + MINUTE)
    ));
}

#[test]
fn a_backlog_is_fetched_as_one_range_and_each_window_has_its_own_success() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(20));
    let mut db = bridge(&cluster, "backlog");
    add_openobserve(&mut db, &oo);
    db.exec("UPDATE etl_job SET concurrency = 1 WHERE name = 'oo-agg'");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let one = oo.requests();
    enqueue(&mut db, T0 + MINUTE, 19);
    run(&mut db);
    assert!(
        oo.requests() - one < 3 * one,
        "{} requests for nineteen windows, {one} for one",
        oo.requests() - one
    );
    assert_minutes(&mut db, 20);
    assert_eq!(
        db.rows("SELECT status, attempt, count(*), count(DISTINCT batch_id), bool_and((stats #>> '{records,logs}')::int > 0)
                   FROM etl_job_run WHERE job = 'oo-agg' GROUP BY 1, 2"),
        [["success", "1", "20", "2", "t"]]
    );
}

#[test]
fn a_claim_takes_what_is_contiguous_and_leaves_a_share_to_others() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "contiguous");
    add_mock(&mut db);
    db.exec("UPDATE etl_job SET concurrency = 8 WHERE name = 'oo-agg'");
    enqueue(&mut db, T0, 5);
    enqueue(&mut db, T0 + 6 * MINUTE, 100);
    clock(&mut db, "2026-01-05 13:00:00+00");
    // With eight to share them, five minutes are not divided, and a gap ends the batch.
    assert_eq!(claim(&mut db, ""), (5, 5));
    assert_eq!(claim(&mut db, ""), (60, 60), "as many as etl_job.batch says");
    assert_eq!(claim(&mut db, ""), (5, 5), "an eighth of what is left");
    assert_eq!(claim(&mut db, ", max_windows => 2"), (2, 2));
    db.exec("UPDATE etl_job SET batch = 1 WHERE name = 'oo-agg'");
    assert_eq!(claim(&mut db, ""), (1, 1));
    assert_eq!(
        db.int("SELECT count(*) FROM etl_job_run r WHERE status = 'running' AND batch_id <> (SELECT max(l.run_id) FROM etl_job_run l WHERE l.batch_id = r.batch_id)"),
        0,
        "a batch is named after its last window"
    );
}

#[test]
fn a_window_that_cannot_be_done_ends_up_alone_and_only_it_fails() {
    const WINDOWS: i64 = 40;
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(WINDOWS));
    let mut db = bridge(&cluster, "poisoned");
    add_openobserve(&mut db, &oo);
    let bad = literal(T0 + 17 * MINUTE);
    db.exec(&format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON metric_1m FOR EACH ROW WHEN (NEW.bucket = {bad}) EXECUTE FUNCTION refuse()"
    ));
    enqueue(&mut db, T0, WINDOWS);
    for day in 6..16 {
        run(&mut db);
        clock(&mut db, &format!("2026-01-{day:02} 00:00:00+00"));
    }
    assert_eq!(
        db.rows(&format!(
            "SELECT status, window_from = {bad}, error ->> 'message', count(*) FROM etl_job_run WHERE job = 'oo-agg' GROUP BY 1, 2, 3 ORDER BY 1"
        )),
        [["failed", "t", "not this one", "1"], ["success", "f", "<null>", "39"]]
    );
    // Its four attempts were made alone.
    db.exec("DROP TRIGGER refuse ON metric_1m");
    assert_eq!(
        db.int("SELECT count(*) FROM etl_job_run r WHERE status = 'failed' AND etl_retry(r.run_id)"),
        1
    );
    run(&mut db);
    assert_minutes(&mut db, WINDOWS);
}

#[test]
fn what_may_run_only_once_is_not_taken_up_after_its_worker_died() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "once");
    add_mock(&mut db);
    db.exec("UPDATE etl_job SET max_attempts = 1 WHERE name = 'oo-agg'");
    enqueue(&mut db, T0, 3);
    assert_eq!(claim(&mut db, ""), (3, 3));
    let rescue = "SELECT etl_rescue(batch_id) FROM etl_job_run WHERE status = 'running' AND run_id = batch_id";
    assert!(db.is(rescue));
    assert_eq!(count(&mut db, "oo-agg", "failed"), 3);
    run(&mut db);
    assert_eq!(
        db.column("SELECT DISTINCT attempt FROM etl_job_run WHERE job = 'oo-agg'"),
        ["1"],
        "nobody asked for it"
    );
    db.exec("SELECT etl_retry(run_id) FROM etl_job_run WHERE job = 'oo-agg'");
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 3);
}

#[test]
fn a_cancelled_window_takes_the_others_of_its_batch_along_only_for_a_moment() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(5));
    let mut db = bridge(&cluster, "one_of_five");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 5);
    oo.fail(Scope::Searches, Fault::Hang);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut runner = cluster.session("one_of_five");
            clock(&mut runner, CLOCK);
            // The cancel ends the call.
            let _ = runner.try_rows("CALL etl_run()");
        });
        wait_until("the fetch hangs", PATIENCE, || oo.stuck() > 0);
        assert_eq!(count(&mut db, "oo-agg", "running"), 5);
        let third = format!(
            "SELECT etl_cancel(run_id) FROM etl_job_run WHERE window_from = {}",
            literal(T0 + 2 * MINUTE)
        );
        assert!(db.is(&third));
        wait_until("nothing runs", PATIENCE, || count(&mut db, "oo-agg", "running") == 0);
        oo.heal();
    });
    assert_eq!(count(&mut db, "oo-agg", "cancelled"), 1);
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 4);
    assert_minutes(&mut db, 4);
    assert_eq!(
        db.int("SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg' AND error IS NOT NULL AND status = 'success'"),
        0
    );
}

#[test]
fn runs_are_capped_by_job_by_tenant_and_over_all() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "caps");
    tenants(&mut db, 4);
    db.exec("SELECT etl_enqueue('retention', code, etl_now() - interval '3 h', etl_now() - interval '2 h') FROM dim_tenant WHERE code LIKE 't%'");
    db.exec("BEGIN; UPDATE etl_job SET max_running = 3 WHERE name = 'oo-agg'");
    claimed_tenants(&mut db, "");
    assert_eq!(count(&mut db, "oo-agg", "running"), 3);
    assert_eq!(
        count(&mut db, "retention", "running"),
        4,
        "another job is not concerned"
    );
    db.exec("ROLLBACK; BEGIN; UPDATE dim_tenant SET max_running = 1 WHERE code = 't2'");
    assert_eq!(claimed_tenants(&mut db, "").iter().filter(|t| *t == "t2").count(), 1);
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run WHERE status = 'running'"), 7);
    db.exec("ROLLBACK");
    cluster.set("observe_bridge.max_running", "5");
    wait_until("the setting is there", PATIENCE, || {
        db.text("SELECT current_setting('observe_bridge.max_running', true)") == "5"
    });
    assert_eq!(claimed_tenants(&mut db, "").len(), 5);
}

#[test]
fn an_open_transaction_about_one_tenant_holds_up_no_other() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "open");
    tenants(&mut db, 3);
    run(&mut db);
    let mut operator = cluster.session("open");
    operator.exec("BEGIN; SELECT FROM etl_turn u JOIN dim_tenant t USING (tenant_id) WHERE t.code = 't2' AND u.job = 'oo-agg' FOR UPDATE");
    db.exec("UPDATE etl_job SET enabled = name = 'oo-agg'");
    db.exec(&format!(
        "SELECT etl_enqueue('oo-agg', code, {}, {}) FROM dim_tenant WHERE code LIKE 't%'",
        literal(T0 + MINUTE),
        literal(T0 + 2 * MINUTE)
    ));
    db.exec("SET lock_timeout = '10 s'");
    let mut claimed = claimed_tenants(&mut db, "");
    claimed.sort();
    assert_eq!(claimed, ["t1", "t3"]);
    operator.exec("COMMIT");
    assert_eq!(claimed_tenants(&mut db, ""), ["t2"]);
}

#[test]
fn intervals_that_no_time_can_bear_are_refused() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "bounds");
    for change in [
        "UPDATE etl_job SET delay = '3000000 days' WHERE name = 'oo-agg'",
        "UPDATE etl_job SET run_interval = '200000000 days' WHERE name = 'oo-agg'",
        "UPDATE etl_job SET align = '1000 days', run_interval = '1000 days' WHERE name = 'oo-agg'",
        "INSERT INTO etl_job_tenant (job, tenant_id, delay) VALUES ('retention', 1, '3000000 days')",
    ] {
        assert_eq!(db.refused(change).sqlstate, "23514", "{change}");
    }
    // The longest that are allowed do not stop the tick either.
    add_mock(&mut db);
    db.exec("UPDATE etl_job SET align = '366 days', run_interval = '1098 days', lookback = '36500 days', delay = '36500 days' WHERE name = 'oo-agg'");
    db.exec("SELECT etl_tick()");
}

#[test]
fn runners_prefer_the_tenants_of_their_place_and_still_serve_all() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "affinity");
    tenants(&mut db, 12);
    let mine = "(hashint8extended(tenant_id, 0) & 9223372036854775807) % 3 = 1";
    db.exec("BEGIN");
    let first = db.column("SELECT t.code FROM etl_claim(1, 1, 3) JOIN dim_tenant t USING (tenant_id)");
    let head: Vec<String> = db.column("SELECT code FROM dim_tenant WHERE code LIKE 't%' ORDER BY tenant_id LIMIT 3");
    let preferred = db.column(&format!(
        "SELECT code FROM (SELECT * FROM dim_tenant WHERE code LIKE 't%' ORDER BY tenant_id LIMIT 3) next WHERE {mine}"
    ));
    assert!(
        head.contains(&first[0]),
        "only those that are next anyway: {first:?} of {head:?}"
    );
    assert!(
        preferred.is_empty() || preferred.contains(&first[0]),
        "{first:?} instead of one of {preferred:?}"
    );
    db.exec("ROLLBACK");
    assert_eq!(claimed_tenants(&mut db, ", 1, 3").len(), 12, "nobody is left out");
}

#[test]
fn a_shard_owns_its_tenants_and_the_shards_together_own_all() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "shards");
    tenants(&mut db, 24);
    let owned = |db: &mut Session, shard: &str| {
        cluster.set("observe_bridge.tenant_shard", shard);
        wait_until("the setting is there", PATIENCE, || {
            db.text("SELECT current_setting('observe_bridge.tenant_shard', true)") == shard
        });
        db.column("SELECT tenant FROM etl_job_effective WHERE job = 'oo-agg' AND enabled ORDER BY tenant")
    };
    let all = owned(&mut db, "");
    assert_eq!(all.len(), 24);
    let mut together = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let part = owned(&mut db, shard);
        assert!(!part.is_empty() && part.len() < 24, "{shard}: {part:?}");
        together.extend(part);
    }
    together.sort();
    assert_eq!(together, all, "each tenant has one owner");
    // Only owned tenants are planned and claimed.
    let part = owned(&mut db, "2/3");
    let mut claimed = claimed_tenants(&mut db, "");
    claimed.sort();
    assert_eq!(claimed, part);
    db.exec("SELECT etl_tick()");
    assert_eq!(
        db.column("SELECT DISTINCT t.code FROM etl_cursor c JOIN dim_tenant t USING (tenant_id) WHERE job = 'oo-agg' ORDER BY 1"),
        part
    );
    for bad in ["0/3", "4/3", "1", "a/b", "1/2/3", "1/0", "-1/3"] {
        let error = db.refused(&format!("ALTER SYSTEM SET observe_bridge.tenant_shard = '{bad}'"));
        assert_eq!(
            (error.sqlstate.as_str(), error.hint.contains("2/8")),
            ("22023", true),
            "{bad}: {error}"
        );
    }
}
