//! A SQL job does what its owner may do, whoever runs it, and leaves nothing behind for the next one.

use blackbox::bridge::{count, run};
use blackbox::cluster::Cluster;
use blackbox::rollup::{SOURCE_RANGE, app, event, job, work};
use blackbox::session::Session;
use blackbox::wait::wait_until;
use blackbox::workers::PATIENCE;

/// Who says what, for functions that must not do it as anybody else.
const SPY: &str = "
    CREATE ROLE op LOGIN IN ROLE observe_bridge_operator; CREATE ROLE other LOGIN IN ROLE observe_bridge_operator;
    GRANT CREATE ON SCHEMA public TO op, other;
    CREATE TABLE public.seen (what text, who text, super boolean);
    GRANT ALL ON public.seen TO PUBLIC;
    CREATE FUNCTION public.note(what text) RETURNS bigint LANGUAGE sql AS
        $$ INSERT INTO public.seen SELECT what, current_user, rolsuper FROM pg_roles WHERE rolname = current_user RETURNING 1 $$;";

fn spy(cluster: &Cluster, name: &str) -> (Session, Session) {
    let mut db = app(cluster, name);
    db.exec(SPY);
    let op = cluster.session_as("op", name);
    (db, op)
}

/// A function of `op` with this body, as the job `usage`.
#[track_caller]
fn op_job(op: &mut Session, body: &str) {
    op.exec(&format!(
        "CREATE OR REPLACE FUNCTION public.f(tenant_id bigint, window_from timestamptz, window_to timestamptz) RETURNS bigint
             LANGUAGE plpgsql AS $f$ BEGIN {body}; RETURN 1; END $f$"
    ));
    op.exec("SELECT etl_job_create('usage', 'f', '1 hour', lookback => '1 hour', max_attempts => 1)");
}

/// The error of the only run.
fn error(db: &mut Session) -> String {
    db.text("SELECT coalesce(error::text, 'none') FROM etl_job_run WHERE job = 'usage'")
}

#[test]
fn a_job_runs_as_the_role_that_created_it() {
    let cluster = Cluster::without_workers();
    let (mut db, mut op) = spy(&cluster, "owned");
    op.exec(
        "CREATE FUNCTION public.later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.note('deferred'); RETURN NULL; END $$;
         CREATE TABLE public.work (x int);
         CREATE CONSTRAINT TRIGGER later AFTER INSERT ON public.work DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.later()",
    );
    op_job(
        &mut op,
        "PERFORM public.note('function');
         INSERT INTO public.work VALUES (1);
         EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT public.note(''held cursor'')'",
    );
    // A superuser runs it, and must not lend it his rights.
    work(&mut db);
    assert_eq!(error(&mut db), "none");
    assert_eq!(
        db.rows("SELECT what, who, super FROM public.seen ORDER BY what"),
        [["deferred", "op", "f"], ["function", "op", "f"]],
        "each as its owner; what would run at commit, as somebody else, not at all"
    );
}

#[test]
fn what_a_deferred_trigger_defers_again_runs_as_the_owner_too() {
    let cluster = Cluster::without_workers();
    let (mut db, mut op) = spy(&cluster, "twice");
    op.exec(
        "CREATE TABLE public.work (x int);
         CREATE TABLE public.more (x int);
         CREATE FUNCTION public.again() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN SET CONSTRAINTS ALL DEFERRED; INSERT INTO public.more VALUES (1); RETURN NULL; END $$;
         CREATE FUNCTION public.later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.note('deferred twice'); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER again AFTER INSERT ON public.work DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.again();
         CREATE CONSTRAINT TRIGGER later AFTER INSERT ON public.more DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.later()",
    );
    op_job(&mut op, "INSERT INTO public.work VALUES (1)");
    work(&mut db);
    assert_eq!(error(&mut db), "none");
    assert_eq!(
        db.rows("SELECT what, who, super FROM public.seen"),
        [["deferred twice", "op", "f"]]
    );
}

#[test]
fn a_job_leaves_nothing_in_the_session_of_another_role() {
    let cluster = Cluster::without_workers();
    let (mut db, mut op) = spy(&cluster, "guest");
    op_job(&mut op, "EXECUTE 'PREPARE trap AS SELECT public.note(''trap'')'");
    work(&mut db);
    assert_eq!(error(&mut db), "none");
    assert_eq!(
        db.int("SELECT count(*) FROM pg_prepared_statements WHERE name = 'trap'"),
        0
    );

    op.exec(
        "CREATE OR REPLACE FUNCTION public.f(tenant_id bigint, window_from timestamptz, window_to timestamptz) RETURNS bigint
             LANGUAGE plpgsql AS $f$ BEGIN EXECUTE 'CREATE TEMP VIEW accounts AS SELECT public.note(''trap'') AS x'; RETURN 1; END $f$",
    );
    db.exec("SELECT etl_enqueue('usage', 'default', window_from, window_to) FROM etl_job_run WHERE job = 'usage'");
    work(&mut db);
    assert!(error(&mut db).contains("temporary objects"));
    assert_eq!(db.int("SELECT count(*) FROM pg_class WHERE relname = 'accounts'"), 0);
}

#[test]
fn a_job_cannot_become_somebody_else() {
    let cluster = Cluster::without_workers();
    let (mut db, mut op) = spy(&cluster, "roles");
    for statement in [
        "SET ROLE postgres",
        "RESET ROLE",
        "SET SESSION AUTHORIZATION postgres",
        "RESET SESSION AUTHORIZATION",
    ] {
        op_job(&mut op, &format!("{statement}; PERFORM public.note('escaped')"));
        work(&mut db);
        assert!(error(&mut db).contains("42501"), "{statement}: {}", error(&mut db));
        op.exec("SELECT etl_job_drop('usage')");
    }
    assert_eq!(db.int("SELECT count(*) FROM public.seen"), 0);
    assert_eq!(db.text("SELECT current_user"), "postgres");
}

#[test]
fn nobody_puts_a_temporary_table_in_the_way_of_a_job() {
    let cluster = Cluster::without_workers();
    let (mut db, mut op) = spy(&cluster, "temporary");
    op.exec("SET search_path = pg_temp, public; CREATE TABLE public.work (x int)");
    op_job(&mut op, "INSERT INTO work VALUES (1)");
    // Whoever works the queue has a table of that name, which would see the job's rows and run a trigger in its name.
    let mut other = cluster.session_as("other", "temporary");
    blackbox::bridge::clock(&mut other, blackbox::bridge::CLOCK);
    other.exec("CREATE TEMP TABLE work (x int); GRANT ALL ON work TO PUBLIC");
    other.exec(
        "CREATE FUNCTION public.trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.note('trapped'); RETURN NEW; END $$;
         CREATE TRIGGER trap BEFORE INSERT ON work FOR EACH ROW EXECUTE FUNCTION public.trap()",
    );
    db.exec("SELECT etl_tick()");
    run(&mut other);
    assert_eq!(error(&mut db), "none");
    assert_eq!(
        db.rows("SELECT (SELECT count(*) FROM public.work), (SELECT count(*) FROM public.seen)"),
        [["1", "0"]]
    );
    let refusal = db.refused("UPDATE etl_job SET search_path = 'pg_temp, public' WHERE name = 'usage'");
    assert_eq!(refusal.sqlstate, "23514", "{refusal}");
}

#[test]
fn a_job_belongs_to_its_owner() {
    let cluster = Cluster::without_workers();
    let (mut db, mut op) = spy(&cluster, "belongs");
    op_job(&mut op, "NULL");
    let mut other = cluster.session_as("other", "belongs");
    for statement in [
        "SELECT etl_job_alter('usage', command => 'SELECT 1')",
        "SELECT etl_job_alter('usage', source_range => 'SELECT now(), now()')",
        "SELECT etl_job_alter('usage', lock_key => 1)",
        "UPDATE etl_job SET search_path = 'other' WHERE name = 'usage'",
        "SELECT etl_job_drop('usage')",
    ] {
        assert_eq!(other.refused(statement).sqlstate, "42501", "{statement}");
    }
    // When it runs is an operator's business.
    other.exec("SELECT etl_job_alter('usage', enabled => false, delay => '1 min')");
    db.exec("CREATE ROLE nobody LOGIN");
    let mut nobody = cluster.session_as("nobody", "belongs");
    for statement in [
        "SELECT etl_job_create('x', 'SELECT 1', '1 hour')",
        "SELECT etl_watermark('usage', 'default')",
        "SELECT etl_guard('usage', 'default')",
        "SELECT etl_source_range('usage', 'default')",
        "SELECT etl_invalidate('usage', 'default', now(), now())",
        "CALL etl_ensure_current('usage', 'default')",
    ] {
        assert_eq!(nobody.refused(statement).sqlstate, "42501", "{statement}");
    }
    for statement in [
        "SELECT etl_invalidations_apply()",
        "SELECT etl_stamp('usage', 1, NULL, now())",
        "SELECT etl_coverage_change('usage', 1, '{}')",
        "INSERT INTO etl_coverage VALUES ('usage', 1, now() - interval '1 year', now())",
    ] {
        assert_eq!(other.refused(statement).sqlstate, "42501", "{statement}");
    }
}

#[test]
fn a_source_range_only_reads_and_as_the_owner() {
    let cluster = Cluster::without_workers();
    let (mut db, mut op) = spy(&cluster, "range");
    db.exec("GRANT USAGE ON SCHEMA app TO op");
    op.exec("SELECT etl_job_create('usage', 'SELECT 1', '1 hour', source_range => 'SELECT now(), now()')");
    // As a superuser sees it there would be events.
    event(&mut db, "09:10");
    db.exec(&format!(
        "UPDATE etl_job SET source_range = '{SOURCE_RANGE}' WHERE name = 'usage'"
    ));
    assert_eq!(db.refused("SELECT etl_guard('usage', 'default')").sqlstate, "42501");
    for (body, sqlstate) in [
        ("INSERT INTO public.seen VALUES ('written')", "25006"),
        (
            "EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT public.note(''held'')'",
            "42501",
        ),
        ("SET ROLE postgres", "42501"),
        ("CREATE TEMP TABLE t (x int)", "25006"),
    ] {
        op.exec(&format!(
            "CREATE OR REPLACE FUNCTION public.sneak() RETURNS timestamptz LANGUAGE plpgsql AS $f$ BEGIN {body}; RETURN now(); END $f$"
        ));
        db.exec("UPDATE etl_job SET source_range = 'SELECT public.sneak(), now()' WHERE name = 'usage'");
        assert_eq!(
            db.refused("SELECT etl_guard('usage', 'default')").sqlstate,
            sqlstate,
            "{body}"
        );
    }
    assert_eq!(db.int("SELECT count(*) FROM public.seen"), 0);
    assert_eq!(db.text("SHOW transaction_read_only"), "off");
}

#[test]
fn settings_of_a_job_end_with_it() {
    let cluster = Cluster::without_workers();
    let (mut db, mut op) = spy(&cluster, "settings");
    op_job(
        &mut op,
        "SET work_mem = '99MB'; PERFORM set_config('search_path', 'nowhere', false); PERFORM set_config('my.own', 'left', false);
         INSERT INTO public.seen VALUES (current_setting('TimeZone'))",
    );
    db.exec("SET my.own = 'kept'; SET TimeZone = 'Asia/Tokyo'");
    let before = db.rows("SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('my.own'), current_setting('TimeZone')");
    work(&mut db);
    assert_eq!(error(&mut db), "none");
    assert_eq!(db.rows("SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('my.own'), current_setting('TimeZone')"), before);
    assert_eq!(
        db.text("SELECT what FROM public.seen"),
        "UTC",
        "windows are in UTC, and so is the job"
    );
}

#[test]
fn a_runner_takes_nothing_of_one_job_to_the_next() {
    let cluster = Cluster::start(&[
        "shared_preload_libraries = 'observe_bridge,timescaledb'",
        "observe_bridge.clock = '2026-01-05 11:00:00+00'",
        "observe_bridge.max_runners = 1",
    ]);
    let (mut db, mut op) = spy(&cluster, "residue");
    op_job(
        &mut op,
        "CREATE TEMP TABLE left_behind AS SELECT 1; PERFORM pg_advisory_lock(77); EXECUTE 'PREPARE mine AS SELECT 1'; SET my.own = 'left'",
    );
    wait_until("the first job has run", PATIENCE, || {
        count(&mut db, "usage", "success") == 1
    });
    let mut other = cluster.session_as("other", "residue");
    other.exec(
        "SELECT etl_job_create('second', $$
             WITH x AS (SELECT to_regclass('pg_temp.left_behind') IS NOT NULL AS temporary,
                               EXISTS (SELECT FROM pg_prepared_statements) AS prepared,
                               coalesce(current_setting('my.own', true), '') <> '' AS setting)
             SELECT temporary::int + 10 * prepared::int + 100 * setting::int FROM x $$, '1 hour', lookback => '1 hour')",
    );
    wait_until("the second job has run", PATIENCE, || {
        count(&mut db, "second", "success") == 1
    });
    assert_eq!(
        db.text("SELECT stats ->> 'rows' FROM etl_job_run WHERE job = 'second'"),
        "0"
    );
    assert_eq!(
        db.int("SELECT count(DISTINCT worker_pid) FROM etl_job_run WHERE job IN ('usage', 'second')"),
        1,
        "one process ran both"
    );
    assert_eq!(db.int("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 0);
    assert_eq!(db.int("SELECT count(*) FROM pg_class WHERE relname = 'left_behind'"), 0);
}

#[test]
fn an_owner_who_lost_his_rights_reads_nothing_more() {
    let cluster = Cluster::without_workers();
    let (mut db, mut op) = spy(&cluster, "revoked");
    db.exec("GRANT USAGE ON SCHEMA app TO op; GRANT ALL ON ALL TABLES IN SCHEMA app TO op");
    op.exec("SELECT etl_job_create('usage', 'app.rollup', '1 hour', lookback => '1 hour')");
    event(&mut db, "10:10");
    db.exec("REVOKE ALL ON app.events FROM op");
    work(&mut db);
    assert!(error(&mut db).contains("42501"), "{}", error(&mut db));
    assert_eq!(count(&mut db, "usage", "failed"), 1);
    assert_eq!(
        db.int("SELECT count(*) FROM app.calls"),
        0,
        "nothing of the failed call stays"
    );
    job_of_superuser_is_safe(&mut db, &cluster);
}

/// An operator cannot slip a command into a job that runs with more rights than his.
fn job_of_superuser_is_safe(db: &mut Session, cluster: &Cluster) {
    db.exec("SELECT etl_job_drop('usage')");
    job(db, "");
    let mut op = cluster.session_as("op", "revoked");
    assert_eq!(
        op.refused("UPDATE etl_job SET command = 'SELECT 1' WHERE name = 'usage'")
            .sqlstate,
        "42501"
    );
}
