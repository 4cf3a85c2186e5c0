//! CREATE EXTENSION: what it finds, what it makes, what it leaves, and how it survives a dump.

use blackbox::bridge::{CLOCK, add_mock, bridge, count, enqueue, facts, install, run};
use blackbox::cluster::Cluster;
use blackbox::session::Session;
use blackbox::telemetry::T0;

const LARGE_TABLES: &str = "'metric_1m', 'metric_histogram_1m', 'service_call_5m', 'log_pattern_5m'";

/// Status by component, as `observe_bridge_setup()` reports it now.
fn setup(db: &mut Session) -> Vec<(String, String)> {
    let rows = db.rows("SELECT component, status FROM observe_bridge_setup()");
    rows.into_iter().map(|r| (r[0].clone(), r[1].clone())).collect()
}

/// Everything setup could change: relations with their storage, columns, constraints, rights, and what AGE knows.
fn catalog(db: &mut Session) -> Vec<Vec<String>> {
    db.rows(
        "SELECT c.oid, c.relname, c.relkind, c.relfilenode, c.relacl::text, c.relowner,
                (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid),
                (SELECT count(*) FROM pg_constraint k WHERE k.conrelid = c.oid),
                (SELECT string_agg(d.deptype::text || d.refobjid, ',' ORDER BY d.refobjid, d.deptype) FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid)
           FROM pg_class c WHERE c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)
          ORDER BY c.oid",
    )
}

#[test]
fn a_bare_create_extension_works_on_an_empty_database() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "bare");
    let status = setup(&mut db);
    assert_eq!(status[0], ("facts".to_string(), "ready".to_string()));
    assert_eq!(status.len(), 7, "{status:?}");
    assert!(status[1..].iter().all(|(_, s)| s == "absent"), "{status:?}");
    assert_eq!(db.column("SELECT code FROM dim_tenant"), ["default"]);
    let tables = db.column(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
            AND relnamespace = 'public'::regnamespace ORDER BY 1",
    );
    for wanted in [
        "dim_resource",
        "dim_tenant",
        "etl_cursor",
        "etl_job",
        "etl_job_circuit",
        "etl_job_run",
        "etl_job_tenant",
        "etl_partial_1m",
        "etl_reject",
        "etl_source",
        "event_envelope",
        "evidence_link",
        "kb_chunk",
        "kb_doc",
        "log_pattern",
        "log_pattern_5m",
        "log_pattern_alias",
        "metric_1m",
        "metric_histogram_1m",
        "oo_locator",
        "service_call_5m",
        "topo_edge_time",
    ] {
        assert!(
            tables.iter().any(|t| t == wanted),
            "{wanted} is missing from {tables:?}"
        );
    }
}

#[test]
fn objects_go_where_the_user_says() {
    let cluster = Cluster::without_workers();
    let mut db = cluster.database("elsewhere");
    db.exec("CREATE SCHEMA \"Ops data\"; CREATE EXTENSION observe_bridge SCHEMA \"Ops data\"");
    db.exec(&format!(
        "SET observe_bridge.clock = '{CLOCK}'; SET search_path = \"Ops data\""
    ));
    add_mock(&mut db);
    enqueue(&mut db, T0, 1);
    // Called by its full name and with nothing of ours on the path.
    db.exec("SET search_path = pg_catalog");
    db.exec("CALL \"Ops data\".etl_run()");
    assert_eq!(db.int("SELECT sum(sample_count) FROM \"Ops data\".metric_1m"), 500);
    assert_eq!(
        db.int("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
        0
    );
}

#[test]
fn without_timescaledb_native_partitions_refuse_no_row() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "native");
    let partitioned = format!("SELECT count(*) FROM pg_class WHERE relkind = 'p' AND relname IN ({LARGE_TABLES})");
    assert_eq!(db.int(&partitioned), 4);
    db.exec(
        "INSERT INTO metric_1m (bucket, tenant_id, resource_id, metric, sample_count)
         SELECT at, 1, 1, 'm', 1 FROM unnest(ARRAY['1999-01-01', now(), now() + interval '9 years']::timestamptz[]) AS at",
    );
    let parts = db.column("SELECT tableoid::regclass::text FROM metric_1m ORDER BY bucket");
    assert_eq!(parts[0], "metric_1m_default");
    assert_ne!(parts[1], "metric_1m_default", "the present has a partition of its own");
    assert_eq!(parts[2], "metric_1m_default");
}

#[test]
fn with_its_friends_it_uses_each_of_them() {
    let cluster = Cluster::without_workers();
    let mut db = cluster.database("friends");
    db.exec("CREATE EXTENSION timescaledb; CREATE EXTENSION age; CREATE EXTENSION vector; CREATE EXTENSION pg_trgm");
    install(&mut db);
    setup(&mut db);
    let status = setup(&mut db);
    for component in ["facts", "timescaledb", "age", "vector", "pg_trgm"] {
        assert!(
            status.contains(&(component.to_string(), "ready".to_string())),
            "{component}: {status:?}"
        );
    }
    let hypertables =
        format!("SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_name IN ({LARGE_TABLES})");
    assert_eq!(db.int(&hypertables), 4);
    assert_eq!(db.int("SELECT count(*) FROM ag_catalog.ag_graph WHERE name = 'ops'"), 1);
    assert_eq!(db.text("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'kb_chunk'::regclass AND attname = 'embedding'"), "vector(1536)");
    let trigram = "SELECT count(*) FROM pg_indexes WHERE tablename = 'log_pattern' AND indexdef LIKE '%gin_trgm_ops%'";
    assert_eq!(db.int(trigram), 1);
}

#[test]
fn friends_that_come_later_are_attached_by_setup() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "later");
    db.exec("CREATE EXTENSION age; CREATE EXTENSION vector");
    let status = setup(&mut db);
    assert!(
        status.contains(&("age".into(), "created".into())) && status.contains(&("vector".into(), "created".into())),
        "{status:?}"
    );
}

#[test]
fn a_second_setup_changes_nothing() {
    let cluster = Cluster::without_workers();
    let mut db = cluster.database("twice");
    db.exec("CREATE EXTENSION timescaledb; CREATE EXTENSION age; CREATE EXTENSION vector; CREATE EXTENSION pg_trgm");
    install(&mut db);
    // The graph is not made inside CREATE EXTENSION but by the first setup after it.
    setup(&mut db);
    let before = catalog(&mut db);
    let status = setup(&mut db);
    assert!(status.iter().all(|(_, s)| s == "ready" || s == "absent"), "{status:?}");
    assert_eq!(catalog(&mut db), before);
}

#[test]
fn dropping_the_extension_keeps_the_facts_and_creating_it_adopts_them() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "again");
    add_mock(&mut db);
    // A whole bucket: without its partials it is fetched whole again.
    enqueue(&mut db, T0, 5);
    run(&mut db);
    let before = facts(&mut db);
    assert!(!before.is_empty());
    db.exec("DROP EXTENSION observe_bridge CASCADE");
    assert_eq!(facts(&mut db), before);

    install(&mut db);
    assert_eq!(facts(&mut db), before);
    let detail = db.text("SELECT detail FROM observe_bridge_setup() WHERE component = 'facts'");
    assert!(detail.contains("adopted") && detail.contains("metric_1m"), "{detail}");
    add_mock(&mut db);
    enqueue(&mut db, T0, 5);
    run(&mut db);
    assert_eq!(
        facts(&mut db),
        before,
        "the same window finds its resources and patterns again"
    );
}

#[test]
fn facts_of_tenants_that_are_gone_get_a_tenant() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "tenants");
    db.exec("INSERT INTO dim_resource (tenant_id, urn, type, name) VALUES (7, 'urn:svc:x', 'service', 'x')");
    db.exec("DROP EXTENSION observe_bridge; CREATE EXTENSION observe_bridge");
    assert_eq!(db.text("SELECT code FROM dim_tenant WHERE tenant_id = 7"), "tenant_7");
    assert!(db.int("INSERT INTO dim_tenant (code) VALUES ('new') RETURNING tenant_id") > 7);
}

#[test]
fn a_table_of_somebody_else_is_not_adopted() {
    let cluster = Cluster::without_workers();
    let mut db = cluster.database("trap");
    db.exec("CREATE ROLE mallory; GRANT CREATE ON SCHEMA public TO mallory; SET ROLE mallory; CREATE TABLE metric_1m (bucket timestamptz); RESET ROLE");
    let refusal = db.refused("CREATE EXTENSION observe_bridge");
    assert!(
        refusal.message.contains("metric_1m") && refusal.message.contains("mallory"),
        "{refusal}"
    );
    assert!(!refusal.hint.is_empty(), "{refusal}");
    assert_eq!(
        db.int("SELECT count(*) FROM pg_extension WHERE extname = 'observe_bridge'"),
        0
    );
    assert_eq!(
        db.column("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
        ["metric_1m"]
    );
}

#[test]
fn a_table_of_another_shape_is_not_adopted() {
    let cluster = Cluster::without_workers();
    let mut db = cluster.database("shape");
    db.exec("CREATE TABLE log_pattern (id int)");
    let refusal = db.refused("CREATE EXTENSION observe_bridge");
    assert!(
        refusal.message.contains("log_pattern") && !refusal.hint.is_empty(),
        "{refusal}"
    );
}

#[test]
fn without_preloading_the_status_says_what_to_do() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "advice");
    assert!(!db.is("SELECT preloaded FROM etl_worker_status()"));
    assert!(db.is("SELECT version_match FROM etl_worker_status()"));
    let advice = db.text("SELECT advice FROM etl_worker_status()");
    assert!(
        advice.contains("shared_preload_libraries = 'timescaledb,observe_bridge'"),
        "{advice}"
    );
}

#[test]
fn while_a_dump_is_restored_setup_creates_nothing() {
    let cluster = Cluster::without_workers();
    let mut db = cluster.database("restoring");
    db.exec("SET observe_bridge.restoring = on; CREATE EXTENSION observe_bridge");
    assert_eq!(
        db.int("SELECT count(*) FROM pg_class WHERE relname IN ('metric_1m', 'dim_resource')"),
        0
    );
    assert!(setup(&mut db).iter().all(|(_, s)| s == "skipped"));
    assert_eq!(db.int("SELECT etl_tick()"), 0);
    db.exec("SET observe_bridge.restoring = off");
    assert_eq!(setup(&mut db)[0].1, "created");
    // What setup made belongs to nobody but its owner: it may be dropped on its own.
    db.exec("DROP TABLE kb_doc");
}

#[test]
fn a_dump_brings_back_configuration_and_facts() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "old");
    add_mock(&mut db);
    enqueue(&mut db, T0, 2);
    run(&mut db);
    enqueue(&mut db, T0 + 600_000_000, 1);
    db.exec(
        "UPDATE etl_job SET concurrency = 3 WHERE name = 'oo-agg'; UPDATE dim_tenant SET name = 'Renamed';
         UPDATE etl_retention SET keep = '90 days' WHERE table_name = 'metric_1m'; INSERT INTO dim_tenant (code) VALUES ('second');
         INSERT INTO etl_job (name, run_interval, align, command) VALUES ('mine', '1 h', '1 h', 'SELECT 1');
         INSERT INTO urn_rule (rule, tenant_id, applies_to, template) VALUES ('mine', 1, 'telemetry', 'urn:k8s:svc:shop/{service.name}');
         UPDATE urn_rule SET enabled = false WHERE rule = 'host';
         UPDATE urn_rule SET priority = 7, template = 'urn:svc:x/{service.name}', tenant_id = 2 WHERE rule = 'service';
         UPDATE urn_rule SET requires = '{\"db.cluster\": \"*.db.example\"}' WHERE rule = 'rds-endpoint'",
    );
    let configuration = |db: &mut Session| {
        let mut rows = db.rows("SELECT name, run_interval, concurrency, enabled, command FROM etl_job ORDER BY name");
        rows.extend(db.rows("SELECT tenant_id, code, name FROM dim_tenant ORDER BY 1"));
        rows.extend(db.rows("SELECT table_name, keep FROM etl_retention ORDER BY 1"));
        rows.extend(db.rows("SELECT source_id, tenant_id, job, server, options FROM etl_source ORDER BY 1"));
        rows.extend(db.rows("SELECT job, window_from, status FROM etl_job_run WHERE status = 'queued' ORDER BY 1, 2"));
        rows.extend(db.rows("SELECT u::text FROM urn_rule u ORDER BY 1"));
        rows
    };
    let (before_facts, before) = (facts(&mut db), configuration(&mut db));
    let mut db = cluster.copy("old", "new");
    let status = setup(&mut db);
    assert_eq!(status[0], ("facts".to_string(), "ready".to_string()), "{status:?}");
    assert_eq!(facts(&mut db), before_facts);
    assert_eq!(configuration(&mut db), before);
    db.exec(&format!("SET observe_bridge.clock = '{CLOCK}'"));
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "queued"), 0, "what was queued goes on");
    assert!(db.int("SELECT min(run_id) FROM etl_job_run WHERE status = 'success'") > 0);
    db.exec("DROP EXTENSION observe_bridge CASCADE");
    assert!(
        db.int("SELECT count(*) FROM metric_1m") > 0,
        "restored facts are no members of the extension"
    );
}
