//! One thing has one name: rules for URNs, and one row of `dim_resource` for what several sources know.

use blackbox::bridge::{add_openobserve, bridge, count, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, OpenObserve, Record, Store};
use blackbox::session::Session;
use blackbox::telemetry::{CALLS, MINUTE, SECOND, T0, minutes, span};
use serde_json::json;

/// Facts whose resource is not there.
const LOST: &str = "SELECT count(*) FROM (
    SELECT resource_id FROM metric_1m UNION ALL SELECT resource_id FROM log_pattern_5m UNION ALL
    SELECT src_resource_id FROM service_call_5m UNION ALL SELECT dst_resource_id FROM service_call_5m) f
    LEFT JOIN dim_resource r USING (resource_id) WHERE r.urn IS NULL";

/// The ends of all calls.
const CALLED: &str = "SELECT DISTINCT s.urn || '>' || d.urn FROM service_call_5m c
    JOIN dim_resource s ON s.resource_id = c.src_resource_id JOIN dim_resource d ON d.resource_id = c.dst_resource_id ORDER BY 1";

fn deployment(name: &str, calls: &str) -> String {
    let env = format!("[{{name: {}_ADDR, value: '{calls}:7070'}}]", calls.to_uppercase());
    let env = if calls.is_empty() { "[]" } else { &env };
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: main, image: i, env: {env}}}]}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 7070}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}-1, namespace: shop, labels: {{app: {name}}}}}
spec: {{nodeName: node-1, containers: [{{name: main, image: i}}]}}
---
"
    )
}

const STATE: &str = r#"{"version": 4, "terraform_version": "1.9.0", "serial": 1, "lineage": "l", "outputs": {}, "resources": [
  {"mode": "managed", "type": "aws_lb", "name": "front", "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
   "instances": [{"attributes": {"id": "arn:aws:lb/front", "arn": "arn:aws:lb/front", "dns_name": "front.elb.example.com"}}]},
  {"mode": "managed", "type": "hcloud_server", "name": "node", "provider": "provider[\"registry.terraform.io/hetznercloud/hcloud\"]",
   "instances": [{"attributes": {"id": "1234567", "name": "node-1"}}]},
  {"mode": "managed", "type": "hcloud_volume", "name": "data", "provider": "provider[\"registry.terraform.io/hetznercloud/hcloud\"]",
   "instances": [{"attributes": {"id": "7654321", "server_id": "1234567"}, "dependencies": ["hcloud_server.node"]}]},
  {"mode": "managed", "type": "kubernetes_service_v1", "name": "web", "provider": "provider[\"registry.terraform.io/hashicorp/kubernetes\"]",
   "instances": [{"attributes": {"id": "shop/web", "spec": [{"external_name": "front.elb.example.com"}]},
     "dependencies": ["aws_lb.front"]}]}]}"#;

const CHECKOUT: &str = r#"{"inventory/hosts": "[web]\nnode-1\n[cache]\nnode-2\n"}"#;

/// Loads what a file declares.
fn load(db: &mut Session, source: &str, content: &str, format: &str) -> Vec<Vec<String>> {
    db.rows(&format!(
        "SELECT opened, closed, unchanged FROM topo_load('default', '{source}', (SELECT coalesce(jsonb_agg(jsonb_build_object('src', coalesce(src_urn, src),
            'dst', coalesce(dst_urn, dst), 'relation', relation, 'props', evidence)), '[]') FROM topo_extract($f${content}$f$, '{format}')), '2026-01-05 10:00Z')"
    ))
}

/// Edges between Services of a namespace, `s1` to `s2` and so on.
fn chain(db: &mut Session, source: &str, namespace: &str) -> Vec<Vec<String>> {
    db.rows(&format!(
        "SELECT opened, closed, unchanged FROM topo_load('default', '{source}', (SELECT jsonb_agg(jsonb_build_object('relation', 'DEPENDS_ON',
            'src', 'urn:k8s:svc:{namespace}/s' || i, 'dst', 'urn:k8s:svc:{namespace}/s' || i + 1)) FROM generate_series(1, 20) AS i))"
    ))
}

#[test]
fn a_shop_seen_from_all_sides_has_one_row_for_each_thing() {
    let cluster = Cluster::without_workers();
    let mut store = minutes(1);
    let host = Record::new(
        T0 + SECOND,
        json!({ "__name__": "load", "host_name": "node-1", "value": 1.0 }),
    );
    store.add(Dataset::Metrics, "load", host);
    let oo = OpenObserve::serve(store);
    let mut db = bridge(&cluster, "shop");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 1);
    let manifest = deployment("web", "cart") + &deployment("cart", "");
    load(&mut db, "k8s", &manifest, "kubernetes");
    load(&mut db, "terraform", STATE, "terraform_state");
    load(&mut db, "ansible", CHECKOUT, "ansible");

    // Who knows of each: its row is used by all of them.
    let known = "SELECT r.urn, string_agg(DISTINCT f.source, ' ' ORDER BY f.source)
        FROM (SELECT src_resource_id AS id, source FROM topo_edge_time UNION ALL SELECT dst_resource_id, source FROM topo_edge_time
              UNION ALL SELECT resource_id, 'metric' FROM metric_1m UNION ALL SELECT resource_id, 'log' FROM log_pattern_5m
              UNION ALL SELECT src_resource_id, 'span' FROM service_call_5m UNION ALL SELECT dst_resource_id, 'span' FROM service_call_5m) f
        JOIN dim_resource r ON r.resource_id = f.id WHERE r.type IN ('service', 'host', 'aws') OR r.urn LIKE 'urn:k8s:svc:%' GROUP BY 1 ORDER BY 1";
    assert_eq!(
        db.rows(known),
        [
            ["urn:aws:arn%3Aaws%3Alb%2Ffront", "terraform"],
            ["urn:host:node-1", "ansible k8s metric terraform"],
            ["urn:host:node-2", "ansible"],
            ["urn:svc:cart", "k8s span"],
            ["urn:svc:web", "k8s log metric span terraform"],
        ]
    );
    let drift = "SELECT drift, src_urn, dst_urn, calls FROM topology_drift('default')";
    assert_eq!(db.rows(drift), Vec::<Vec<String>>::new());
    // From the load balancer's side, by either name of the Service.
    for name in ["urn:svc:web", "urn:k8s:svc:shop/web"] {
        assert_eq!(
            db.column(&format!(
                "SELECT urn FROM topology_path('default', '{name}', 'urn:aws:arn%3Aaws%3Alb%2Ffront', '2026-01-05 10:30Z')"
            )),
            ["urn:svc:web", "urn:aws:arn%3Aaws%3Alb%2Ffront"]
        );
    }

    // The declaration and the calls part ways.
    let manifest = deployment("web", "pay") + &deployment("cart", "") + &deployment("pay", "");
    db.exec("SELECT set_config('observe_bridge.clock', '2026-01-05 11:00:00+00', false)");
    db.exec(&format!(
        "SELECT topo_load('default', 'k8s', (SELECT jsonb_agg(jsonb_build_object('src', coalesce(src_urn, src), 'dst', coalesce(dst_urn, dst),
            'relation', relation, 'props', evidence)) FROM topo_extract($f${manifest}$f$)), '2026-01-05 10:30Z')"
    ));
    let hour = "SELECT drift, src_urn, dst_urn, calls FROM topology_drift('default', '25 min')";
    assert_eq!(
        db.rows(hour),
        [["declared_not_observed", "urn:svc:web", "urn:svc:pay", "0"]]
    );
    db.exec("SELECT topo_load('default', 'k8s', '[]', '2026-01-05 10:40Z', force => true); DELETE FROM topo_edge_time WHERE source = 'k8s'");
    assert_eq!(
        db.rows(drift),
        [[
            "observed_not_declared",
            "urn:svc:web",
            "urn:svc:cart",
            &CALLS.to_string()
        ]]
    );
}

/// `kubectl get deployments,replicasets,pods -o json`: each has the environment of the Deployment.
const OWNED: &str = r#"{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"}, "spec": {"selector": {"app": "cart"}, "ports": [{"port": 80}]}},
  {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "uid": "1"}, "spec": {"template": TEMPLATE}},
  {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web-7d9f", "namespace": "shop", "uid": "2",
     "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "1", "controller": true}]}, "spec": {"template": TEMPLATE}},
  {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-7d9f-abcde", "namespace": "shop", "uid": "3",
     "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d9f", "uid": "2", "controller": true}]}, "spec": SPEC}]}"#;

#[test]
fn what_a_deployment_has_made_calls_under_its_name() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "owned");
    let spec = r#"{"containers": [{"name": "web", "env": [{"name": "CART_ADDR", "value": "cart:80"}]}]}"#;
    let list = OWNED
        .replace(
            "TEMPLATE",
            &format!(r#"{{"metadata": {{"labels": {{"app": "web"}}}}, "spec": {spec}}}"#),
        )
        .replace("SPEC", spec);
    load(&mut db, "k8s", &list, "kubernetes");
    let declared = "SELECT count(DISTINCT src_urn) FROM topology_at('default') WHERE relation = 'DEPENDS_ON'";
    assert_eq!(db.int(declared), 3, "each of the three says it");
    assert_eq!(
        db.rows("SELECT drift, src_urn, dst_urn FROM topology_drift('default')"),
        [["declared_not_observed", "urn:svc:web", "urn:svc:cart"]]
    );
}

const MACHINES: &str = r#"{"version": 4, "terraform_version": "1.9.0", "serial": 1, "lineage": "l", "outputs": {}, "resources": [
  {"mode": "managed", "type": "hcloud_server", "name": "shop", "provider": "provider[\"registry.terraform.io/hetznercloud/hcloud\"]",
   "instances": [{"attributes": {"id": "1000001", "name": "shop-1"}, "dependencies": ["hcloud_server.db"]}]},
  {"mode": "managed", "type": "hcloud_server", "name": "db", "provider": "provider[\"registry.terraform.io/hetznercloud/hcloud\"]",
   "instances": [{"attributes": {"id": "1000002", "name": "db-1"}}]}]}"#;

const MACHINES_CHECKOUT: &str = r#"{"inventory/hosts": "[front]\nshop-1\n[cart]\ncart-1\n[database]\ndb-1\n",
  "site.yml": "- hosts: front\n  roles: [shop]\n",
  "roles/shop/tasks/main.yml": "- template: {src: app.conf, dest: /etc/app.conf}\n",
  "roles/shop/templates/app.conf": "database_url = postgres://app@db-1:5432/shop\ncart_url = http://{{ groups['cart'][0] }}:8080\n"}"#;

/// A service on a virtual machine: the state and the inventory speak of hosts, the traces of what runs on them.
#[test]
fn a_service_stands_for_the_machine_that_it_is_declared_to_be_on() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    let call = |id: &str, more: serde_json::Value| {
        let mut span = span(T0 + SECOND, &format!("{:032x}", 1), id, "", "shop", 1000, false);
        span = span
            .with("span_kind", Some(json!("3")))
            .with("host_name", Some(json!("shop-1")));
        let fields = more.as_object().expect("fields");
        fields
            .iter()
            .fold(span, |span, (key, value)| span.with(key, Some(value.clone())))
    };
    let database = json!({"db_system": "postgresql", "server_address": "db-1", "db_name": "shop"});
    store.add(Dataset::Traces, "default", call("000000000000000a", database));
    store.add(
        Dataset::Traces,
        "default",
        call("000000000000000b", json!({"peer_service": "cart"})),
    );
    store.add(
        Dataset::Traces,
        "default",
        call("000000000000000c", json!({"peer_service": "pay"})),
    );
    let oo = OpenObserve::serve(store);
    let mut db = bridge(&cluster, "machines");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(
        db.column(CALLED),
        [
            "urn:svc:shop>urn:db:postgres:db-1/shop",
            "urn:svc:shop>urn:svc:cart",
            "urn:svc:shop>urn:svc:pay"
        ]
    );
    load(&mut db, "terraform", MACHINES, "terraform_state");
    load(&mut db, "ansible", MACHINES_CHECKOUT, "ansible");
    assert_eq!(
        db.rows("SELECT DISTINCT src_urn, dst_urn, source FROM topology_at('default') WHERE relation = 'DEPENDS_ON' ORDER BY 1, 2, 3"),
        [
            ["urn:host:shop-1", "urn:host:cart-1", "ansible"],
            ["urn:host:shop-1", "urn:host:db-1", "ansible"],
            ["urn:host:shop-1", "urn:host:db-1", "terraform"],
        ]
    );
    let drift = "SELECT drift, src_urn, dst_urn FROM topology_drift('default')";
    assert_eq!(
        db.rows(drift),
        [["observed_not_declared", "urn:svc:shop", "urn:svc:pay"]],
        "role shop runs on shop-1, group cart contains cart-1, db-1 is the database's address; nothing speaks of pay"
    );
    // When the role runs there no more, nothing says what does.
    db.exec(
        "UPDATE topo_edge_time SET valid = tstzrange(lower(valid), lower(valid) + '1 min') WHERE relation = 'RUNS_ON'",
    );
    db.exec("SELECT set_config('observe_bridge.clock', '2026-01-06 09:00:00+00', false)");
    assert_eq!(
        db.rows("SELECT drift, src_urn, dst_urn FROM topology_drift('default', '22:58:00')"),
        [
            ["declared_not_observed", "urn:host:shop-1", "urn:host:cart-1"],
            ["declared_not_observed", "urn:host:shop-1", "urn:host:db-1"],
            ["observed_not_declared", "urn:svc:shop", "urn:db:postgres:db-1/shop"],
            ["observed_not_declared", "urn:svc:shop", "urn:svc:cart"],
            ["observed_not_declared", "urn:svc:shop", "urn:svc:pay"],
        ]
    );
}

#[test]
fn a_name_that_two_namespaces_have_joins_with_nothing_whatever_the_order() {
    let cluster = Cluster::without_workers();
    let ends = "SELECT string_agg(DISTINCT src_urn, ' ') || ' ' || string_agg(DISTINCT source, ' ') FROM topology_at('default') WHERE src_urn LIKE '%s1'";
    let mut found = Vec::new();
    for order in [["prod", "test"], ["test", "prod"]] {
        let mut db = bridge(&cluster, order[0]);
        assert_eq!(chain(&mut db, order[0], order[0]), [["20", "0", "0"]]);
        assert_eq!(db.text(ends), format!("urn:svc:s1 {}", order[0]));
        assert_eq!(chain(&mut db, order[1], order[1]), [["20", "0", "0"]]);
        // The first source says the same as before; all its edges have other ends now, and none was lost.
        assert_eq!(chain(&mut db, order[0], order[0]), [["20", "20", "0"]]);
        assert_eq!(chain(&mut db, order[0], order[0]), [["0", "0", "20"]]);
        found.push(db.rows("SELECT src_urn, dst_urn, relation, source FROM topology_at('default') ORDER BY 1, 2"));
        assert_eq!(
            db.int("SELECT count(*) FROM blast_radius('default', 'urn:k8s:svc:prod/s2', 1)"),
            1
        );
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0].len(), 40);
    assert!(found[0].iter().all(|edge| edge[0].starts_with("urn:k8s:svc:")));
}

#[test]
fn rules_are_tried_before_they_are_used_and_bad_ones_are_refused() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "rules");
    db.exec("INSERT INTO dim_tenant (code) VALUES ('blue')");
    db.exec(
        "INSERT INTO urn_rule (rule, tenant_id, applies_to, requires, template)
         SELECT 'blue services', tenant_id, 'telemetry', '{\"service.name\": \"blue-*\"}', 'urn:k8s:svc:blue/{service.name}'
           FROM dim_tenant WHERE code = 'blue'",
    );
    for (arguments, expected) in [
        (
            r#"'{"service.name": "cart api", "k8s.namespace.name": "shop"}'"#,
            "urn:svc:cart%20api",
        ),
        (r#"'{"service_name": "", "host_name": "n1"}', 'metric'"#, "urn:host:n1"),
        ("'{}', 'log'", "urn:svc:unknown"),
        (
            r#"'{"service.name": "blue-1"}', 'span', 'blue'"#,
            "urn:k8s:svc:blue/blue-1",
        ),
        (r#"'{"service.name": "blue-1"}', 'span', 'default'"#, "urn:svc:blue-1"),
        (
            r#"'{"db.system": "postgresql", "server.address": "main.x1.eu-1.rds.amazonaws.com", "db.namespace": "shop"}', 'inferred'"#,
            "urn:db:postgres:main/shop",
        ),
        (
            r#"'{"db.system": "postgresql", "server.address": "pgm-1.pg.rds.aliyuncs.com", "db.namespace": "shop"}', 'inferred'"#,
            "urn:db:postgres:pgm-1/shop",
        ),
        (
            r#"'{"db.system": "postgresql", "server.address": "main.postgres.database.azure.com", "db.namespace": "shop"}', 'inferred'"#,
            "urn:db:postgres:main/shop",
        ),
        (
            r#"'{"db.system": "postgresql", "server.address": "main.x1.eu-1.rds.amazonaws.com", "db.namespace": "shop"}', 'topology'"#,
            "urn:db:postgres:main/shop",
        ),
        (
            r#"'{"db.system": "postgresql", "server.address": "pgm-1.pg.rds.aliyuncs.com", "db.namespace": "shop"}', 'topology'"#,
            "urn:db:postgres:pgm-1/shop",
        ),
        (
            r#"'{"db.system": "redis", "server.address": "cache.shop.svc.cluster.local"}', 'inferred'"#,
            "urn:svc:cache",
        ),
        (
            r#"'{"k8s.namespace.name": "shop", "k8s.service.name": "cart"}', 'topology'"#,
            "urn:svc:cart",
        ),
        (
            r#"'{"k8s.namespace.name": "shop", "k8s.statefulset.name": "db"}', 'topology'"#,
            "urn:k8s:statefulset:shop/db",
        ),
    ] {
        assert_eq!(db.text(&format!("SELECT urn_of({arguments})")), expected, "{arguments}");
    }
    for (statement, sqlstate, what) in [
        ("SELECT urn_of('[]')", "22023", "JSON object"),
        ("SELECT urn_of('{}', 'cat')", "22023", "\"cat\""),
        ("SELECT urn_of('{}', 'span', 'nobody')", "42704", "\"nobody\""),
    ] {
        let error = db.refused(statement);
        assert!(
            error.sqlstate == sqlstate && error.message.contains(what) && !error.hint.is_empty(),
            "{error}"
        );
    }
    for (columns, what) in [
        ("'telemetry', '{}', 'urn:svc:{k8s.pod.name}'", "k8s.pod.name"),
        ("'telemetry', '{}', 'urn:svc:{service.name}-x'", "apart"),
        (
            "'telemetry', '{\"service.name\": 1}', 'urn:svc:{service.name}'",
            "requires",
        ),
        ("'inferred', '{}', 'urn:db:{db.name'", "without }"),
        ("'topology', '{}', 'svc:{service.name}'", "urn:"),
    ] {
        let error = db.refused(&format!(
            "INSERT INTO urn_rule (rule, applies_to, requires, template) VALUES ('bad', {columns})"
        ));
        assert!(
            error.sqlstate == "22023" && error.message.contains(what) && !error.hint.is_empty(),
            "{error}"
        );
    }
    assert!(
        db.refused("UPDATE urn_rule SET template = 'urn:svc:x' WHERE rule = 'service'")
            .message
            .contains("placeholder")
    );
    // What is shipped would be back after a restore: it is disabled instead.
    for statement in [
        "DELETE FROM urn_rule WHERE rule = 'host'",
        "UPDATE urn_rule SET rule = 'mine' WHERE rule = 'host'",
        "UPDATE urn_rule SET shipped = false WHERE rule = 'host'",
        "TRUNCATE urn_rule",
    ] {
        let error = db.refused(statement);
        assert!(
            error.sqlstate == "55000" && error.hint.contains("enabled = false"),
            "{statement}: {error}"
        );
    }
    db.exec("DELETE FROM urn_rule WHERE NOT shipped; UPDATE urn_rule SET enabled = false WHERE rule = 'service'");
    // A restore brings the shipped rows as they were changed.
    db.exec("INSERT INTO urn_rule (rule, applies_to, template, enabled, shipped) VALUES ('host', 'telemetry', 'urn:host:{host.name}', false, true)");
    assert_eq!(db.column("SELECT enabled FROM urn_rule WHERE rule = 'host'"), ["f"]);
}

#[test]
fn a_changed_rule_reaches_sessions_that_have_used_the_old_one() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(3));
    let mut db = bridge(&cluster, "change");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 2);
    run(&mut db);
    assert_eq!(db.column(CALLED), ["urn:svc:web>urn:svc:cart"]);
    let mut other = cluster.session("change");
    other.exec("INSERT INTO urn_rule (rule, tenant_id, applies_to, template) VALUES ('shop', 1, 'telemetry', 'urn:k8s:svc:shop/{service.name}')");
    // The bucket has today's names for all of its minutes.
    enqueue(&mut db, T0 + 2 * MINUTE, 1);
    run(&mut db);
    assert_eq!(db.column(CALLED), ["urn:k8s:svc:shop/web>urn:k8s:svc:shop/cart"]);
    assert_eq!(db.int("SELECT sum(calls) FROM service_call_5m"), 3 * CALLS);
    assert_eq!(
        db.rows("SELECT type, name FROM dim_resource WHERE urn = 'urn:k8s:svc:shop/web'"),
        [["k8s:svc", "web"]]
    );
    // A change that is taken back changes nothing.
    other.exec("BEGIN; DELETE FROM urn_rule WHERE rule = 'shop'; ROLLBACK");
    assert_eq!(
        db.text("SELECT urn_of('{\"service.name\": \"web\"}', 'span', 'default')"),
        "urn:k8s:svc:shop/web"
    );
    other.exec("BEGIN; DELETE FROM urn_rule WHERE rule = 'shop'");
    assert_eq!(
        db.text("SELECT urn_of('{\"service.name\": \"web\"}', 'span', 'default')"),
        "urn:k8s:svc:shop/web"
    );
    other.exec("COMMIT");
    assert_eq!(
        db.text("SELECT urn_of('{\"service.name\": \"web\"}', 'span', 'default')"),
        "urn:svc:web"
    );
    enqueue(&mut db, T0, 3);
    run(&mut db);
    assert_eq!(db.column(CALLED), ["urn:svc:web>urn:svc:cart"]);
    assert_eq!(db.int(LOST), 0);
}

#[test]
fn ids_that_a_session_remembers_are_never_written_when_they_are_gone() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "ids");
    add_openobserve(&mut db, &oo);
    // The session learns ids of rows that are rolled back with the window.
    db.exec(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now' USING ERRCODE = '22000'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON service_call_5m FOR EACH ROW EXECUTE FUNCTION refuse();
         UPDATE etl_job SET max_attempts = 1 WHERE name = 'oo-agg'",
    );
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "failed"), 1);
    assert_eq!(db.int("SELECT count(*) FROM dim_resource"), 0);
    db.exec("DROP TRIGGER refuse ON service_call_5m");
    let again = |db: &mut Session| {
        enqueue(db, T0, 1);
        run(db);
        assert_eq!(count(db, "oo-agg", "success"), 1);
        assert_eq!(db.int(LOST), 0);
        assert_eq!(db.column(CALLED), ["urn:svc:web>urn:svc:cart"]);
        db.column("SELECT resource_id FROM dim_resource ORDER BY urn")
    };
    let first = again(&mut db);
    assert_eq!(again(&mut db), first);
    // A row that somebody removed, one that goes by another name now, and all of them.
    db.exec("DELETE FROM dim_resource WHERE urn = 'urn:svc:cart'");
    let second = again(&mut db);
    assert!(second[0] != first[0] && second[1] == first[1], "{first:?} {second:?}");
    db.exec("UPDATE dim_resource SET urn = 'urn:svc:was-web' WHERE urn = 'urn:svc:web'");
    assert_eq!(again(&mut db).len(), 3);
    db.exec("TRUNCATE dim_resource");
    assert_eq!(again(&mut db).len(), 2);
}
