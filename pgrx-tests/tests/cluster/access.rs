//! The surface in SQL: what is documented, who may do what, and how wrong input is refused.

use blackbox::bridge::{add_mock, bridge, count, run};
use blackbox::cluster::Cluster;

#[test]
fn every_object_is_documented() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "documented");
    let silent = db.column(
        "SELECT pg_describe_object(d.classid, d.objid, 0)
           FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'observe_bridge'
          WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
            AND NOT EXISTS (SELECT FROM pg_description c WHERE c.classoid = d.classid AND c.objoid = d.objid AND c.objsubid = 0)
            -- Row types go with their tables.
            AND NOT (d.classid = 'pg_type'::regclass AND EXISTS (
                    SELECT FROM pg_type t WHERE t.oid = d.objid AND (t.typrelid <> 0 OR t.typcategory = 'A')))
         UNION ALL
         SELECT 'fact table ' || c.relname FROM pg_class c JOIN etl_fact_tables() f ON f.name = c.relname
          WHERE obj_description(c.oid, 'pg_class') IS NULL
          ORDER BY 1",
    );
    assert_eq!(silent, [""; 0]);
}

#[test]
fn public_may_run_nothing_that_works_or_reaches_out() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "public");
    db.exec("CREATE ROLE anybody LOGIN");
    let open = db.column(
        "SELECT p.oid::regprocedure::text
           FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
           JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'observe_bridge'
          WHERE has_function_privilege('anybody', p.oid, 'EXECUTE')
            -- Pure functions of their arguments, the clock, and the validator that CREATE SERVER calls.
            AND p.proname NOT IN ('log_template', 'log_fingerprint', 'etl_now', 'observe_bridge_fdw_validator')
          ORDER BY 1",
    );
    assert_eq!(open, [""; 0]);
    let readable = db.column(
        "SELECT c.relname FROM pg_class c
          WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
            AND has_table_privilege('anybody', c.oid, 'SELECT, INSERT, UPDATE, DELETE')",
    );
    assert_eq!(readable, [""; 0]);
    let mut anybody = cluster.session_as("anybody", "public");
    for statement in [
        "CALL etl_run()",
        "SELECT etl_tick()",
        "SELECT etl_enqueue('oo-agg', 'default', now() - interval '1 hour', now())",
        "SELECT oo_replay(1)",
        "SELECT observe_bridge_setup()",
        "CREATE SERVER s FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'mock')",
    ] {
        assert_eq!(anybody.refused(statement).sqlstate, "42501", "{statement}");
    }
}

#[test]
fn an_operator_who_is_no_superuser_runs_a_source_end_to_end() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "operator");
    db.exec(
        "CREATE ROLE olga LOGIN IN ROLE observe_bridge_operator; CREATE ROLE rita LOGIN IN ROLE observe_bridge_reader",
    );
    let mut olga = cluster.session_as("olga", "operator");
    add_mock(&mut olga);
    olga.exec("SELECT etl_enqueue('oo-agg', 'default', '2026-01-05 10:00Z', '2026-01-05 10:01Z')");
    run(&mut olga);
    assert_eq!(count(&mut db, "oo-agg", "success"), 1);
    let mut rita = cluster.session_as("rita", "operator");
    assert_eq!(rita.int("SELECT sum(sample_count) FROM metric_1m"), 500);
    assert_eq!(rita.int("SELECT count(*) FROM etl_status WHERE job = 'oo-agg'"), 1);
    assert_eq!(rita.refused("CALL etl_run()").sqlstate, "42501");
    assert_eq!(rita.refused("DELETE FROM metric_1m").sqlstate, "42501");
}

#[test]
fn wrong_options_are_refused_and_the_right_ones_named() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "options");
    db.exec("CREATE SERVER good FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'openobserve', endpoint 'http://127.0.0.1:1')");
    let server = |options: &str| format!("CREATE SERVER bad FOREIGN DATA WRAPPER observe_bridge OPTIONS ({options})");
    let mapping = |options: &str| format!("CREATE USER MAPPING FOR CURRENT_USER SERVER good OPTIONS ({options})");
    for (statement, said, hinted) in [
        (
            server("endpoint 'http://x'"),
            "\"kind\" is missing",
            "openobserve, s3, file, mock",
        ),
        (
            server("kind 'loki'"),
            "\"loki\" is not known",
            "openobserve, s3, file, mock",
        ),
        (server("kind 'openobserve'"), "\"endpoint\" is missing", "endpoint"),
        (
            server("kind 'openobserve', endpoint 'localhost:5080'"),
            "\"endpoint\"",
            "http://",
        ),
        (
            server("kind 'openobserve', endpoint 'http://u:topsecret@h'"),
            "\"endpoint\"",
            "user mapping",
        ),
        (
            server("kind 'openobserve', endpoint 'http://h', password 'topsecret'"),
            "unknown server option \"password\"",
            "USER MAPPING",
        ),
        (
            server("kind 'openobserve', endpoint 'http://h', colour 'red'"),
            "\"colour\"",
            "org",
        ),
        (server("kind 'file'"), "\"path\" is missing", "layout"),
        (server("kind 'mock', services '1'"), "\"services\"", "seed"),
        (mapping("user 'x'"), "\"user\"", "username"),
        (
            mapping("password 'topsecret', password_env 'OBSERVE_BRIDGE_X'"),
            "either password or password_env",
            "",
        ),
        (mapping("password_env 'HOME'"), "OBSERVE_BRIDGE_", ""),
    ] {
        let refusal = db.refused(&statement);
        assert!(refusal.message.contains(said), "{statement}: {refusal}");
        assert!(
            !refusal.hint.is_empty() && refusal.hint.contains(hinted),
            "{statement}: {refusal}"
        );
        assert!(!refusal.to_string().contains("topsecret"), "{refusal}");
        assert!(refusal.sqlstate.starts_with("HV"), "{statement}: {refusal}");
    }
    for options in ["", "OPTIONS (x 'y')"] {
        let table = db.refused(&format!("CREATE FOREIGN TABLE t (a int) SERVER good {options}"));
        assert!(
            table.message.contains("no foreign tables") && !table.hint.is_empty(),
            "{table}"
        );
    }
}

#[test]
fn the_environment_of_the_server_is_for_superusers() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "environment");
    db.exec("CREATE ROLE olga LOGIN IN ROLE observe_bridge_operator");
    let mut olga = cluster.session_as("olga", "environment");
    olga.exec("CREATE SERVER oo FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'openobserve', endpoint 'http://127.0.0.1:1')");
    let refusal = olga.refused(
        "CREATE USER MAPPING FOR CURRENT_USER SERVER oo OPTIONS (username 'u', password_env 'OBSERVE_BRIDGE_X')",
    );
    assert_eq!(refusal.sqlstate, "42501", "{refusal}");
}

#[test]
fn sources_are_checked_when_they_are_added() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "sources");
    db.exec(
        "CREATE SERVER m FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'mock');
         CREATE FOREIGN DATA WRAPPER other; CREATE SERVER foreign_one FOREIGN DATA WRAPPER other;
         CREATE ROLE olga IN ROLE observe_bridge_operator",
    );
    let add = |tenant: &str, job: &str, server: &str, options: &str| {
        format!("SELECT etl_source_add('{tenant}', '{job}', '{server}', '{options}')")
    };
    for (statement, said) in [
        (add("nobody", "oo-agg", "m", "{}"), "nobody"),
        (add("default", "oo-agg2", "m", "{}"), "oo-agg2"),
        (add("default", "retention", "m", "{}"), "reads no source"),
        (add("default", "oo-agg", "none", "{}"), "does not exist"),
        (
            add("default", "oo-agg", "foreign_one", "{}"),
            "another foreign data wrapper",
        ),
        (add("default", "oo-agg", "m", "[]"), "JSON object"),
        (add("default", "oo-agg", "m", "{\"loggs\":[]}"), "loggs"),
        (add("default", "oo-agg", "m", "{\"page_rows\":\"many\"}"), "page_rows"),
    ] {
        let refusal = db.refused(&statement);
        assert!(
            refusal.message.contains(said) && !refusal.hint.is_empty(),
            "{statement}: {refusal}"
        );
    }
    db.exec("SET ROLE olga");
    assert_eq!(db.refused(&add("default", "oo-agg", "m", "{}")).sqlstate, "42501");
    db.exec("RESET ROLE");
    db.exec(&add("default", "oo-agg", "m", "{}"));
    assert_eq!(
        db.refused(&add("default", "oo-agg", "m", "{}")).sqlstate,
        "42710",
        "the same server would count twice"
    );
}

#[test]
fn a_dropped_server_disables_its_sources_and_says_so() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "dropped");
    add_mock(&mut db);
    assert!(db.int("SELECT etl_tick()") > 0);
    db.exec("DROP SERVER mock");
    db.exec("SELECT etl_tick()");
    assert!(!db.is("SELECT enabled FROM etl_source"));
    assert_ne!(db.text("SELECT coalesce(disabled_reason, '') FROM etl_source"), "");
}

#[test]
fn templates_and_fingerprints_follow_the_line_alone() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "patterns");
    let template = db.text("SELECT log_template('user 17 logged in from 10.0.0.7')");
    assert!(
        template.contains("<*>") && !template.contains("17") && !template.contains("10.0.0.7"),
        "{template}"
    );
    assert!(db.is("SELECT log_fingerprint('took 3 ms') = log_fingerprint('took 48 ms')"));
    assert!(db.is("SELECT log_fingerprint('took 3 ms') <> log_fingerprint('gave 3 ms')"));
    assert!(db.is("SELECT log_fingerprint('took 3 ms', 'default') = log_fingerprint('took 3 ms')"));
    assert!(db.is("SELECT log_template(NULL) IS NULL AND log_fingerprint(NULL) IS NULL"));
    let refusal = db.refused("SELECT log_template('x', 'nobody')");
    assert!(
        refusal.message.contains("nobody") && !refusal.hint.is_empty(),
        "{refusal}"
    );
    db.exec("CREATE TABLE lines (body text); CREATE INDEX ON lines (log_fingerprint(body)); INSERT INTO lines VALUES ('x 1')");
    let marks = db.column(
        "SELECT provolatile::text || proparallel::text FROM pg_proc
          WHERE proname IN ('log_template', 'log_fingerprint') AND pronargs = 1",
    );
    assert_eq!(marks, ["is", "is"], "immutable and parallel safe");
}
