//! Declared topology in SQL: extraction, loading, and the questions about it.

use blackbox::bridge::{bridge, clock};
use blackbox::cluster::Cluster;
use blackbox::session::Session;
use blackbox::wait::wait_until;
use std::time::Duration;

const MANIFEST: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: web
        env:
        - {name: CART_ADDR, value: 'cart:7070'}
        - {name: DATABASE_URL, value: 'postgres://u:hunter2@pay:5432/x'}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{port: 7070}]}
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: shop}
spec: {selector: {app: pay}, ports: [{port: 5432}]}
";

/// Edges `urn:svc:a -> urn:svc:b` as `topo_load` wants them, from `a>b` or `a>b=props`.
fn edges(pairs: &[&str]) -> String {
    let all: Vec<String> = pairs
        .iter()
        .map(|pair| {
            let (ends, props) = pair.split_once('=').unwrap_or((pair, "{}"));
            let (src, dst) = ends.split_once('>').expect("an edge");
            format!(r#"{{"src":"urn:svc:{src}","dst":"urn:svc:{dst}","relation":"DEPENDS_ON","props":{props}}}"#)
        })
        .collect();
    format!("[{}]", all.join(","))
}

fn load_as(source: &str, at: &str, pairs: &[&str], more: &str) -> String {
    format!(
        "SELECT * FROM topo_load('default', '{source}', '{}', '{at}'{more})",
        edges(pairs)
    )
}

/// Loads at a minute of 10 o'clock; opened, closed, unchanged.
fn load(db: &mut Session, minute: u32, pairs: &[&str]) -> [i64; 3] {
    let row = db
        .rows(&load_as("test", &format!("2026-01-05 10:{minute:02}Z"), pairs, ""))
        .remove(0);
    [0, 1, 2].map(|i| row[i].parse().expect("a count"))
}

fn at(db: &mut Session, time: &str) -> Vec<String> {
    db.column(&format!(
        "SELECT format('%s>%s', substr(src_urn, 9), substr(dst_urn, 9)) FROM topology_at('default', '2026-01-05 {time}Z') ORDER BY 1"
    ))
}

/// Every row as it is stored.
fn stored(db: &mut Session) -> Vec<Vec<String>> {
    db.rows("SELECT ctid, xmin, t.* FROM topo_edge_time t ORDER BY src_resource_id, dst_resource_id, source, valid")
}

#[test]
fn edges_are_extracted_with_evidence_and_nothing_is_stored() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "extract");
    let found = db.rows(&format!(
        "SELECT src, relation, dst, src_urn, dst_urn, evidence ->> 'class', evidence -> 'at' ->> 0
           FROM topo_extract($y${MANIFEST}$y$) WHERE relation = 'DEPENDS_ON' ORDER BY dst"
    ));
    assert_eq!(
        found,
        [
            [
                "Deployment/shop/web",
                "DEPENDS_ON",
                "Service/shop/cart",
                "urn:k8s:deployment:shop/web",
                "urn:k8s:svc:shop/cart",
                "literal",
                "env.CART_ADDR"
            ],
            [
                "Deployment/shop/web",
                "DEPENDS_ON",
                "Service/shop/pay",
                "urn:k8s:deployment:shop/web",
                "urn:k8s:svc:shop/pay",
                "literal",
                "env.DATABASE_URL"
            ],
        ]
    );
    assert!(
        !db.text(&format!(
            "SELECT string_agg(e::text, '') FROM topo_extract($y${MANIFEST}$y$) e"
        ))
        .contains("hunter2")
    );
    let state = r#"{"version":4,"terraform_version":"1.9.0","resources":[{"mode":"managed","type":"t","name":"a",
        "provider":"p","instances":[{"attributes":{},"dependencies":["t.gone"]}]}]}"#;
    assert_eq!(
        db.rows(&format!(
            "SELECT what, why, evidence ->> 'src' FROM topo_unresolved('{state}', 'terraform_state')"
        )),
        [["t.gone", "no_instance", "t.a"]]
    );
    assert_eq!(
        db.int("SELECT (SELECT count(*) FROM topo_edge_time) + (SELECT count(*) FROM dim_resource)"),
        0
    );
}

#[test]
fn a_checkout_of_ansible_is_an_object_of_files() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "ansible");
    let files = r#"{"inventory/hosts": "[web]\nw1\n[db]\nd1\n", "site.yml": "- hosts: web\n  roles: [app]\n",
                    "roles/app/tasks/main.yml": "- debug: {msg: x}\n"}"#;
    assert_eq!(
        db.rows(&format!("SELECT src, relation, dst, dst_urn FROM topo_extract($f${files}$f$, 'ansible') WHERE src ~ 'app|web' ORDER BY 1")),
        [["role:app", "RUNS_ON", "w1", "urn:host:w1"], ["web", "CONTAINS", "w1", "urn:host:w1"]]
    );
    let refusal = db.refused("SELECT topo_extract('{\"site.yml\": hunter2}', 'ansible')");
    assert_eq!(refusal.sqlstate, "22P02");
    assert!(!refusal.to_string().contains("hunter2"), "{refusal}");
}

#[test]
fn what_cannot_be_read_is_a_clear_error_without_content() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "broken");
    for (call, sqlstate) in [
        ("topo_extract('hunter2: [')", "22023"),
        ("topo_extract('')", "22023"),
        ("topo_extract('{\"resources\": \"hunter2')", "22P02"),
        (
            "topo_extract('{\"version\": 4, \"resources\": hunter2}', 'terraform_state')",
            "22P02",
        ),
        ("topo_extract('x', 'visio')", "22023"),
        ("topo_unresolved('{', 'pulumi')", "22P02"),
        ("topo_extract(repeat('[', 100000), 'kubernetes')", ""),
    ] {
        let refusal = db.refused(&format!("SELECT {call}"));
        assert!(sqlstate.is_empty() || refusal.sqlstate == sqlstate, "{call}: {refusal}");
        assert!(
            !refusal.hint.is_empty() && !refusal.to_string().contains("hunter2"),
            "{call}: {refusal}"
        );
    }
    assert_eq!(db.text("SELECT count(*) FROM topo_extract(NULL)"), "0");
}

#[test]
fn edges_open_stay_change_and_close() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "temporal");
    assert_eq!(load(&mut db, 0, &["a>b", "b>c", r#"c>d={"x":1,"y":[2]}"#]), [3, 0, 0]);
    assert_eq!(
        db.rows("SELECT urn, type, name FROM dim_resource ORDER BY 1 LIMIT 2"),
        [["urn:svc:a", "service", "a"], ["urn:svc:b", "service", "b"]]
    );
    let before = stored(&mut db);
    assert_eq!(
        load(&mut db, 1, &[r#"c>d={"y":[2],"x":1}"#, "b>c", "a>b"]),
        [0, 0, 3],
        "order does not count"
    );
    assert_eq!(
        load(&mut db, 2, &[r#"c>d={"y":[2],"x":1}"#, "b>c", "a>b"]),
        [0, 0, 3],
        "and once more"
    );
    assert_eq!(stored(&mut db), before, "unchanged rows are not written");
    assert_eq!(load(&mut db, 3, &["a>b", r#"c>d={"x":2}"#, "d>e"]), [2, 2, 1]);
    assert_eq!(at(&mut db, "10:02:59"), ["a>b", "b>c", "c>d"]);
    assert_eq!(at(&mut db, "10:03"), ["a>b", "c>d", "d>e"]);
    assert_eq!(at(&mut db, "09:59"), [""; 0]);
    assert_eq!(
        db.rows("SELECT change, dst_urn, props_before, props_after FROM topology_diff('default', '2026-01-05 10:00Z', '2026-01-05 10:03Z') ORDER BY 2"),
        [
            ["closed", "urn:svc:c", "{}", "<null>"],
            ["changed", "urn:svc:d", r#"{"x": 1, "y": [2]}"#, r#"{"x": 2}"#],
            ["opened", "urn:svc:e", "<null>", "{}"],
        ]
    );
    assert_eq!(
        db.column(
            "SELECT change FROM topology_diff('default', '2026-01-05 10:03Z', '2026-01-05 10:00Z') ORDER BY dst_urn"
        ),
        ["opened", "changed", "closed"],
        "backwards"
    );
    assert_eq!(
        db.int("SELECT count(*) FROM topology_diff('default', '2026-01-05 10:03Z', now())"),
        0
    );
}

#[test]
fn sources_tenants_and_names_keep_apart() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "apart");
    db.exec(&load_as("one", "2026-01-05 10:00Z", &["a>b", "b>c"], ""));
    db.exec(&load_as("two", "2026-01-05 10:01Z", &["a>b"], ""));
    assert_eq!(
        db.rows(&load_as("one", "2026-01-05 10:02Z", &["b>c"], "")),
        [["0", "1", "1"]]
    );
    assert_eq!(at(&mut db, "10:03"), ["a>b", "b>c"], "the other source still says so");
    db.exec("INSERT INTO dim_tenant (code) VALUES ('second')");
    db.exec(&load_as("one", "2026-01-05 10:03Z", &["x>y"], "").replace("'default'", "'second'"));
    assert_eq!(at(&mut db, "10:04"), ["a>b", "b>c"]);
    // Names that are no URNs belong to their source.
    for source in ["left", "right"] {
        db.exec(&format!(
            "SELECT topo_load('default', '{source}', '[{{\"src\": \"aws_vpc.main[0]\", \"dst\": \"urn:svc:a\", \"relation\": \"USES\"}}]')"
        ));
    }
    assert_eq!(
        db.rows("SELECT urn, type, name FROM dim_resource WHERE type = 'topo' ORDER BY 1"),
        [
            ["urn:topo:left/aws_vpc.main%5B0%5D", "topo", "aws_vpc.main[0]"],
            ["urn:topo:right/aws_vpc.main%5B0%5D", "topo", "aws_vpc.main[0]"]
        ]
    );
    assert_eq!(db.text("SELECT etl_tenant_drop('second') ->> 'topo_source_state'"), "1");
}

#[test]
fn repeated_edges_merge_the_same_in_any_order() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "repeated");
    let parts = [
        r#"a>b={"x":1,"only":true}"#,
        r#"a>b={"x":3}"#,
        r#"a>b={"x":2,"y":null}"#,
    ];
    assert_eq!(load(&mut db, 0, &parts), [1, 0, 0]);
    assert_eq!(
        db.text("SELECT props FROM topo_edge_time"),
        r#"{"x": 3, "y": null, "only": true}"#
    );
    assert_eq!(load(&mut db, 1, &[parts[2], parts[0], parts[1]]), [0, 0, 1]);
}

#[test]
fn an_instant_can_be_corrected() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "instant");
    load(&mut db, 0, &["a>b", r#"b>c={"v":1}"#]);
    let before = db.rows("SELECT src_resource_id, valid, props FROM topo_edge_time ORDER BY 1");
    assert_eq!(load(&mut db, 1, &[r#"b>c={"v":2}"#, "c>d"]), [2, 2, 0]);
    assert_eq!(load(&mut db, 1, &["a>b", r#"b>c={"v":1}"#]), [2, 2, 0]);
    assert_eq!(
        db.rows("SELECT src_resource_id, valid, props FROM topo_edge_time ORDER BY 1"),
        before,
        "what closed goes on, what opened was never there"
    );
}

#[test]
fn older_loads_are_refused_unless_they_say_what_is_known() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "order");
    load(&mut db, 0, &["a>b"]);
    load(&mut db, 5, &["a>b", "b>c"]);
    load(&mut db, 9, &["a>b", "b>c"]);
    let before = stored(&mut db);
    assert_eq!(load(&mut db, 3, &["a>b"]), [0, 0, 1]);
    assert_eq!(load(&mut db, 7, &["b>c", "a>b"]), [0, 0, 2]);
    let refusal = db.refused(&load_as("test", "2026-01-05 10:07Z", &["a>b", "x>y"], ""));
    assert_eq!(refusal.sqlstate, "55000");
    assert!(
        refusal.detail.contains("open 1 and close 1") && !refusal.hint.is_empty(),
        "{refusal}"
    );
    assert_eq!(stored(&mut db), before);
    assert_eq!(db.int("SELECT count(*) FROM dim_resource WHERE name = 'x'"), 0);
    // Facts outlive the extension, and their order with them.
    db.exec("DROP EXTENSION observe_bridge; CREATE EXTENSION observe_bridge");
    assert_eq!(
        db.refused(&load_as("test", "2026-01-05 10:04Z", &["x>y"], "")).sqlstate,
        "55000"
    );
    assert_eq!(load(&mut db, 10, &["a>b", "b>c"]), [0, 0, 2]);
}

#[test]
fn a_load_that_loses_too_much_is_refused_unless_forced() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "shrink");
    let all: Vec<String> = (0..20).map(|n| format!("a>{n}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    load(&mut db, 0, &all);
    let refusal = db.refused(&load_as("test", "2026-01-05 10:01Z", &all[..9], ""));
    assert!(
        refusal.message.contains("lose 11 of its 20") && refusal.hint.contains("force"),
        "{refusal}"
    );
    assert_eq!(
        db.refused(&load_as("test", "2026-01-05 10:01Z", &[], ", max_shrink => 1"))
            .sqlstate,
        "22000"
    );
    assert_eq!(load(&mut db, 1, &all[..10]), [0, 10, 10], "half is not more than half");
    assert_eq!(load(&mut db, 2, &all[..2]), [0, 8, 2], "few edges may go");
    assert!(
        db.refused(&load_as("test", "2026-01-05 10:03Z", &[], ""))
            .detail
            .contains("empty")
    );
    assert_eq!(
        db.rows(&load_as("test", "2026-01-05 10:03Z", &[], ", force => true")),
        [["0", "2", "0"]]
    );
    assert_eq!(load(&mut db, 4, &[]), [0, 0, 0], "nothing is lost");
}

#[test]
fn wrong_loads_are_refused_and_named() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "wrong");
    let good = r#"{"src":"urn:svc:a","dst":"urn:svc:b","relation":"R"}"#;
    for (edges, said) in [
        ("NULL".to_string(), "NULL"),
        ("'{}'".into(), "not object"),
        (format!("'[{good},7]'"), "edge 2 is not an object"),
        (
            format!("'[{good},{{\"src\":\"hunter2\"}}]'"),
            "edge 2 has no text \"dst\"",
        ),
        (
            format!("'[{}]'", good.replace("\"R\"", "null")),
            "edge 1 has no text \"relation\"",
        ),
        (
            format!("'[{}]'", good.replace("\"R\"", "\"\"")),
            "edge 1 has a \"relation\"",
        ),
        (
            format!("'[{}]'", good.replace("\"R\"", "\"R\",\"props\":[]")),
            "edge 1 has \"props\"",
        ),
        (
            format!("'[{}]'", good.replace("svc:a", &"x".repeat(2001))),
            "edge 1 has a \"src\"",
        ),
    ] {
        let refusal = db.refused(&format!("SELECT topo_load('default', 's', {edges})"));
        assert_eq!(refusal.sqlstate, "22023", "{refusal}");
        assert!(
            refusal.message.contains(said) && !refusal.hint.is_empty(),
            "{edges}: {refusal}"
        );
        assert!(!refusal.to_string().contains("hunter2"), "{refusal}");
    }
    for (call, sqlstate) in [
        ("topo_load('nobody', 's', '[]')", "42704"),
        ("topo_load('default', '', '[]')", "22023"),
        ("topo_load('default', 's', '[]', 'infinity')", "22023"),
        ("topo_load('default', 's', '[]', max_shrink => 2)", "22023"),
        ("topology_at('default', NULL)", "22023"),
        ("topology_drift('default', '-1 h')", "22023"),
        ("blast_radius('default', 'urn:svc:nobody')", "42704"),
        ("topology_path('default', NULL, NULL)", "42704"),
    ] {
        assert_eq!(db.refused(&format!("SELECT {call}")).sqlstate, sqlstate, "{call}");
    }
}

#[test]
fn writers_of_one_source_take_turns() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "turns");
    let mut other = cluster.session("turns");
    let pid = other.pid();
    db.exec("BEGIN");
    load(&mut db, 0, &["a>b"]);
    let waiting = std::thread::spawn(move || load(&mut other, 1, &["a>b", "b>c"]));
    let mut watch = cluster.session("turns");
    wait_until("the second writer waits", Duration::from_secs(30), || {
        watch.is(&format!(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid} AND wait_event_type = 'Lock')"
        ))
    });
    db.exec("COMMIT");
    assert_eq!(waiting.join().expect("the second writer"), [1, 0, 1]);
}

#[test]
fn ways_end_in_spite_of_cycles_and_are_those_of_their_time() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "ways");
    load(
        &mut db,
        0,
        &["web>cart", "cart>db", "db>cart", "pay>db", "top>web", "top>top"],
    );
    load(&mut db, 5, &["web>cart", "pay>db", "top>web", "cart>\\\"odd\\\""]);
    assert_eq!(
        db.rows("SELECT urn, depth, path FROM blast_radius('default', 'urn:svc:db', 2, '2026-01-05 10:01Z')"),
        [
            ["urn:svc:cart", "1", "{urn:svc:db,urn:svc:cart}"],
            ["urn:svc:pay", "1", "{urn:svc:db,urn:svc:pay}"],
            ["urn:svc:web", "2", "{urn:svc:db,urn:svc:cart,urn:svc:web}"],
        ]
    );
    assert_eq!(
        db.column("SELECT urn FROM blast_radius('default', 'urn:svc:db', 9)"),
        ["urn:svc:pay"]
    );
    let way =
        "SELECT step, urn, relation FROM topology_path('default', 'urn:svc:top', 'urn:svc:db', '2026-01-05 10:01Z')";
    assert_eq!(
        db.rows(way),
        [
            ["0", "urn:svc:top", "<null>"],
            ["1", "urn:svc:web", "DEPENDS_ON"],
            ["2", "urn:svc:cart", "DEPENDS_ON"],
            ["3", "urn:svc:db", "DEPENDS_ON"]
        ]
    );
    assert_eq!(db.rows(&way.replace("10:01", "10:06")), [[""; 0]; 0]);
    let drawing = db.text("SELECT topology_dot('default')");
    assert!(
        drawing.starts_with("digraph topology {") && drawing.ends_with("}\n"),
        "{drawing}"
    );
    assert!(drawing.contains(r#"label="\"odd\"""#), "{drawing}");
    assert_eq!(drawing.matches(" -> ").count(), 4);
}

#[test]
fn drift_joins_what_is_declared_with_what_was_seen() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "drift");
    db.exec(&format!(
        "SELECT topo_load('default', 'k8s', (SELECT jsonb_agg(jsonb_build_object('src', coalesce(src_urn, src), 'dst', coalesce(dst_urn, dst),
                'relation', relation, 'props', evidence)) FROM topo_extract($y${MANIFEST}$y$)), '2026-01-05 09:00Z')"
    ));
    let call = |db: &mut Session, bucket: &str, src: &str, dst: &str| {
        db.exec(&format!(
            "INSERT INTO dim_resource (tenant_id, urn, type, name) VALUES (1, 'urn:svc:{src}', 'service', '{src}'), (1, 'urn:svc:{dst}', 'service', '{dst}') ON CONFLICT DO NOTHING;
             INSERT INTO service_call_5m (bucket, tenant_id, src_resource_id, dst_resource_id, calls, errors, rps, err_rate)
             SELECT '2026-01-05 {bucket}Z', 1, s.resource_id, d.resource_id, 3, 0, 0.01, 0 FROM dim_resource s, dim_resource d
              WHERE s.urn = 'urn:svc:{src}' AND d.urn = 'urn:svc:{dst}'"
        ));
    };
    call(&mut db, "10:50", "web", "cart");
    call(&mut db, "10:50", "web", "mail");
    call(&mut db, "10:55", "web", "mail");
    call(&mut db, "02:00", "web", "pay");
    let drift = |db: &mut Session, since: &str| {
        db.rows(&format!(
            "SELECT drift, src_urn, dst_urn, sources, calls FROM topology_drift('default', '{since}')"
        ))
    };
    let seen = ["observed_not_declared", "urn:svc:web", "urn:svc:mail", "{}", "6"];
    assert_eq!(
        drift(&mut db, "1 hour"),
        [
            ["declared_not_observed", "urn:svc:web", "urn:svc:pay", "{k8s}", "0"],
            seen
        ]
    );
    assert_eq!(drift(&mut db, "24 hours"), [seen]);
    // What is declared no more counts for the time in which it was.
    db.exec("SELECT topo_load('default', 'k8s', '[]', '2026-01-05 10:58Z', force => true)");
    assert_eq!(drift(&mut db, "1 hour"), [seen]);
    clock(&mut db, "2026-01-05 15:00:00+00");
    assert_eq!(drift(&mut db, "4 hours 10 min").len(), 1);
}

#[test]
fn readers_ask_and_operators_load() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "rights");
    db.exec(
        "CREATE ROLE olga LOGIN IN ROLE observe_bridge_operator; CREATE ROLE rita LOGIN IN ROLE observe_bridge_reader",
    );
    let mut olga = cluster.session_as("olga", "rights");
    assert_eq!(load(&mut olga, 0, &["a>b"]), [1, 0, 0]);
    let mut rita = cluster.session_as("rita", "rights");
    for question in [
        "topology_at('default')",
        "topology_diff('default', '2026-01-01Z', now())",
        "topology_drift('default', '1 h')",
        "blast_radius('default', 'urn:svc:b')",
        "topology_path('default', 'urn:svc:a', 'urn:svc:b')",
        "topology_dot('default')",
        "topo_extract('{\"Resources\": {}}')",
        "topo_unresolved('{\"Resources\": {}}')",
    ] {
        rita.exec(&format!("SELECT * FROM {question}"));
        olga.exec(&format!("SELECT * FROM {question}"));
    }
    assert_eq!(
        rita.refused(&load_as("test", "2026-01-05 11:00Z", &["a>b"], ""))
            .sqlstate,
        "42501"
    );
}
