//! Nobody gets further through the extension than his rights, and the extension takes nothing from others.

use blackbox::bridge::{bridge, enqueue};
use blackbox::cluster::Cluster;
use blackbox::telemetry::T0;
use blackbox::wait::wait_until;
use blackbox::workers::PATIENCE;

/// Operators for `oid = oid` and `name = name` that tell who used them.
const TRAP: &str = "
    CREATE FUNCTION trap.eq(oid, oid) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO trap.sprung SELECT current_user; RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
    CREATE OPERATOR trap.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = trap.eq);
    CREATE FUNCTION trap.eq(name, name) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO trap.sprung SELECT current_user; RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
    CREATE OPERATOR trap.= (LEFTARG = name, RIGHTARG = name, FUNCTION = trap.eq);";

/// What makes the extension's schema look like `trap` to whoever compares oids with it, and what then would be called.
const DECOY: &str = "
    CREATE FUNCTION trap.eq(oid, oid) RETURNS boolean LANGUAGE sql AS $$
        SELECT $1 OPERATOR(pg_catalog.=) 'trap'::pg_catalog.regnamespace::pg_catalog.oid $$;
    CREATE OPERATOR trap.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = trap.eq);
    CREATE TABLE trap.etl_job_run AS SELECT 1::bigint AS batch_id, 'running' AS status;
    GRANT SELECT ON trap.etl_job_run TO PUBLIC;
    CREATE FUNCTION trap.etl_rescue(bigint) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO trap.sprung SELECT current_user; RETURN true; END $$;";

#[test]
fn an_operator_cannot_lead_the_owner_to_objects_of_his_own() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "trapped");
    db.exec("CREATE ROLE op LOGIN IN ROLE observe_bridge_operator; CREATE SCHEMA trap AUTHORIZATION op");
    let mut op = cluster.session_as("op", "trapped");
    op.exec("CREATE TABLE trap.sprung (who text); GRANT INSERT ON trap.sprung TO PUBLIC");
    op.exec(DECOY);
    op.exec("SET search_path = trap, pg_catalog, public");
    // Whether it raises does not matter, only what it ran.
    let _ = op.try_rows("CALL public.etl_run()");
    assert_eq!(
        db.column("SELECT who FROM trap.sprung"),
        Vec::<String>::new(),
        "a function of the operator was run in the owner's name"
    );
}

#[test]
fn the_search_path_of_a_database_leads_no_worker_to_its_objects() {
    let mut cluster = Cluster::with_workers();
    let mut db = cluster.database("trapped");
    db.exec("CREATE SCHEMA trap; CREATE TABLE trap.sprung (who text)");
    db.exec(TRAP);
    db.exec("ALTER DATABASE trapped SET search_path = trap, pg_catalog, public");
    db.exec("CREATE EXTENSION observe_bridge SCHEMA public");
    drop(db);
    cluster.restart();
    let mut db = cluster.session("trapped");
    db.exec("SET search_path = pg_catalog, public");
    wait_until("the scheduler has planned", PATIENCE, || {
        db.int("SELECT count(*) FROM etl_job_run WHERE status = 'success'") > 0
    });
    assert_eq!(db.int("SELECT count(*) FROM trap.sprung"), 0);
}

#[test]
fn an_operator_cannot_finish_what_he_did_not_run() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "fenced");
    db.exec("CREATE ROLE op LOGIN IN ROLE observe_bridge_operator");
    let mut op = cluster.session_as("op", "fenced");
    for call in [
        "SELECT etl_claim(1)",
        "SELECT etl_finish_success('{1}', '{1}', '{}')",
        "SELECT etl_finish_failure('{1}', '{1}', '{}', false)",
        "SELECT etl_rescue(1)",
    ] {
        assert_eq!(op.refused(call).sqlstate, "42501", "{call}");
    }
}

#[test]
fn an_error_inside_plpgsql_is_recorded_by_call_etl_run() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "raising");
    db.exec(
        "CREATE OR REPLACE FUNCTION etl_retention_run(tenant_id bigint, at timestamptz) RETURNS jsonb LANGUAGE plpgsql
             AS $$ BEGIN RAISE EXCEPTION 'out of luck' USING DETAIL = 'the detail', HINT = 'the hint'; END $$;
         SELECT etl_enqueue('retention', 'default', etl_now() - interval '2 hours', etl_now() - interval '1 hour')",
    );
    db.exec("CALL etl_run()");
    let error = db.json("SELECT error FROM etl_job_run WHERE job = 'retention' AND error IS NOT NULL LIMIT 1");
    assert_eq!(
        (&error["sqlstate"], &error["message"], &error["detail"], &error["hint"]),
        (
            &"P0001".into(),
            &"out of luck".into(),
            &"the detail".into(),
            &"the hint".into()
        )
    );
    assert_eq!(db.int("SELECT count(*) FROM etl_job_run WHERE status = 'running'"), 0);
    assert_eq!(
        db.int("SELECT count(*) FROM pg_locks WHERE locktype = 'userlock'"),
        0,
        "the lock of the run was not given back"
    );
}

#[test]
fn preloading_leaves_the_errors_of_other_commands_whole() {
    let cluster = Cluster::with_workers();
    let mut db = cluster.database("plain");
    db.exec(
        "CREATE TABLE t (a int); INSERT INTO t VALUES (-1); CREATE TABLE seen (name text, context text);
         DO $$ DECLARE n text; c text; BEGIN
             EXECUTE 'ALTER TABLE t ADD CONSTRAINT positive CHECK (a > 0)';
         EXCEPTION WHEN check_violation THEN
             GET STACKED DIAGNOSTICS n = CONSTRAINT_NAME, c = PG_EXCEPTION_CONTEXT;
             INSERT INTO seen VALUES (n, c);
         END $$",
    );
    assert_eq!(db.text("SELECT name FROM seen"), "positive");
    assert!(
        db.text("SELECT context FROM seen")
            .contains("ALTER TABLE t ADD CONSTRAINT")
    );
    // A rename, like that of a database, but of a table.
    db.exec(
        "TRUNCATE seen;
         CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql
             AS $$ BEGIN RAISE EXCEPTION 'no' USING CONSTRAINT = 'mine'; END $$;
         CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION refuse();
         DO $$ DECLARE n text; BEGIN
             EXECUTE 'ALTER TABLE t RENAME TO u';
         EXCEPTION WHEN raise_exception THEN
             GET STACKED DIAGNOSTICS n = CONSTRAINT_NAME;
             INSERT INTO seen VALUES (n);
         END $$",
    );
    assert_eq!(db.text("SELECT name FROM seen"), "mine");
}

#[test]
fn windows_of_a_future_tick_wait_for_their_time() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "future");
    db.exec("CREATE SERVER mock FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'mock')");
    db.exec(
        "INSERT INTO etl_job_tenant (job, tenant_id, lookback) SELECT 'oo-agg', tenant_id, '5 minutes' FROM dim_tenant",
    );
    db.exec("SELECT etl_source_add('default', 'oo-agg', 'mock')");
    assert!(db.int("SELECT etl_tick(etl_now())") > 0);
    assert!(db.int("SELECT etl_tick(etl_now() + interval '30 minutes')") >= 30);
    db.exec("CALL etl_run()");
    assert_eq!(
        db.int("SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg' AND status = 'success' AND window_to > etl_now() - interval '2 minutes'"),
        0,
        "a window was run before its delay had passed"
    );
    assert!(db.int("SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg' AND status = 'success'") > 0);
}

#[test]
fn a_source_belongs_to_who_added_it() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "owned");
    db.exec(
        "CREATE ROLE op LOGIN IN ROLE observe_bridge_operator; CREATE ROLE victim LOGIN;
         GRANT victim TO op WITH INHERIT FALSE, SET FALSE;
         CREATE SERVER mock FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'mock');
         GRANT USAGE ON FOREIGN SERVER mock TO op, victim",
    );
    let mut op = cluster.session_as("op", "owned");
    let refused = op.refused(
        "INSERT INTO etl_source (tenant_id, job, server, owner) SELECT tenant_id, 'oo-agg', 'mock', 'victim' FROM dim_tenant",
    );
    assert_eq!(refused.sqlstate, "42501");
    op.exec("SELECT etl_source_add('default', 'oo-agg', 'mock')");
    assert_eq!(db.text("SELECT owner::text FROM etl_source"), "op");
    assert!(enqueue(&mut db, T0, 1) > 0);
}
