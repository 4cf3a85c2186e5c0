//! What a file can do to the server that reads it: nothing. Programs in it neither hold a session nor end the process.

use blackbox::bridge::{add_mock, bridge};
use blackbox::cluster::Cluster;
use blackbox::session::{Session, SqlError};

/// The edges of [`checkout`]: of its groups.
const EDGES: i64 = 3;

/// A checkout whose only template is this text.
fn checkout(template: &str) -> String {
    let tree = serde_json::json!({
        "hosts": "[web]\nw1\n",
        "site.yml": "- hosts: web\n  tasks:\n    - template: {src: t.j2, dest: /etc/x}\n",
        "templates/t.j2": template,
    });
    format!("SELECT count(*) FROM topo_extract($tree${tree}$tree$, 'ansible')")
}

/// What the server says; the edges of the inventory where it reads the file to the end.
fn read(db: &mut Session, template: &str) -> Result<i64, SqlError> {
    db.try_rows(&checkout(template))
        .map(|rows| rows[0][0].parse().expect("a count"))
}

#[test]
fn templates_that_want_all_memory_end_in_an_error_and_in_no_crash() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "greedy");
    let mut witness = cluster.session("greedy");
    db.exec("SET statement_timeout = '60 s'");
    let doubled =
        "{% set n = namespace(x='0123456789abcdef') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}";
    for template in [
        doubled,
        "{{ 'a' | indent(1000000000000000, true) }}",
        "{{ ('a' * 100000000) ~ ('b' * 100000000) ~ ('c' * 100000000) ~ ('d' * 100000000) ~ ('e' * 100000000) ~ ('f' * 100000000) ~ ('g' * 100000000) }}",
        "{{ ([0] * 100000000) | list | length }}",
    ] {
        let mut db = cluster.session("greedy");
        db.exec("SET statement_timeout = '60 s'");
        match read(&mut db, template) {
            // The evaluator's own limits may catch it.
            Ok(edges) => assert_eq!(edges, EDGES, "{template}"),
            Err(e) => {
                assert_eq!(e.sqlstate, "54000", "{template}: {e}");
                assert!(e.hint.contains("worker_memory_limit"), "{e}");
            }
        }
        // Nobody else noticed, and the session itself goes on.
        assert_eq!(witness.int("SELECT 1"), 1, "{template}");
        assert_eq!(db.int("SELECT 1"), 1, "{template}");
    }
    let e = read(&mut db, doubled).expect_err("a text of 2^64 bytes");
    assert_eq!(e.sqlstate, "54000", "{e}");
    // The session still holds what the template took, and says so rather than take as much again.
    if let Err(e) = read(&mut db, "plain") {
        assert!(e.sqlstate == "54000" && e.hint.contains("connect anew"), "{e}");
    }
    assert_eq!(read(&mut witness, "plain"), Ok(EDGES));
}

#[test]
fn templates_that_run_for_ever_can_be_cancelled() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "endless");
    let long = "{% for i in range(99999) %}{% if (range(99999) | list | length) == 1 %}x{% endif %}{% endfor %}";
    for template in [
        long,
        "{% for i in range(99999) %}{% if ([i] * 100000000) is superset([1]) %}x{% endif %}{% endfor %}",
    ] {
        db.exec("SET statement_timeout = '500 ms'");
        let e = read(&mut db, template).expect_err("it runs for hours");
        assert!(["57014", "54000"].contains(&e.sqlstate.as_str()), "{e}");
        db.exec("RESET statement_timeout");
        assert_eq!(read(&mut db, "plain"), Ok(EDGES));
    }
}

#[test]
fn after_a_thread_was_stopped_nothing_waits_for_a_lock_it_may_hold() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "stopped");
    add_mock(&mut db);
    db.exec("SET statement_timeout = '60 s'");
    let shared = [
        "SELECT oo_stream('default', etl_now() - interval '2 s', etl_now() - interval '1 s')",
        "SELECT * FROM topo_discover('default', 'topo-ansible')",
        "CALL etl_run()",
    ];
    // One allocation beyond all bounds, at which the thread stops.
    let e = read(&mut db, "{% if ([1] * 100000000) is superset([1]) %}x{% endif %}").expect_err("a list of gigabytes");
    assert_eq!(e.sqlstate, "54000", "{e}");
    for statement in shared {
        let e = db.refused(statement);
        assert!(
            e.sqlstate == "53200" && e.hint.contains("Connect anew"),
            "{statement}: {e}"
        );
    }
    let mut fresh = cluster.session("stopped");
    for statement in shared {
        fresh.exec(statement);
    }
}

#[test]
fn what_is_huge_is_refused_before_it_is_read() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "huge");
    for (content, format) in [
        (
            "'{\"version\": 4, \"resources\": [' || repeat('{},', 70000000) || '{}]}'",
            "auto",
        ),
        (
            "'{\"version\": 4, \"resources\": [' || repeat('{},', 70000000) || '{}]}'",
            "terraform_state",
        ),
        ("repeat(E'- a: b\\n', 30000000)", "kubernetes"),
    ] {
        let e = db.refused(&format!("SELECT count(*) FROM topo_extract({content}, '{format}')"));
        assert!(
            e.sqlstate == "54000" && e.message.contains("bytes") && !e.hint.is_empty(),
            "{format}: {e}"
        );
        assert_eq!(db.int("SELECT 1"), 1);
    }
}

/// With its arguments swapped a document stands where the format should.
#[test]
fn what_is_no_format_is_not_shown() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "swapped");
    for call in ["topo_extract('auto', c)", "topo_unresolved('auto', c)"] {
        let document = "{\"version\": 4, \"password\": \"hunter2-hunter2\"}";
        let e = db.refused(&format!("SELECT * FROM (VALUES ('{document}')) AS v (c), {call}"));
        assert_eq!(e.sqlstate, "22023", "{e}");
        assert!(!e.to_string().contains("hunter2"), "{e}");
        assert!(e.hint.contains("content comes first"), "{e}");
    }
}

/// Edges need not come from an extractor: whoever makes them may not know what is secret.
#[test]
fn secrets_in_edges_are_not_stored() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "masked");
    let edges = r#"[{"src": "postgres://u:hunter2@h/shop", "dst": "urn:svc:a", "relation": "R"},
        {"src": "urn:svc:b", "dst": "urn:svc:a", "relation": "R", "props": {"n": 1.10, "deep": [{"url": "postgres://u:hunter2@h/shop"}], "password": "hunter2",
            "auth": {"user": ["hunter2"]}, "pin": 1234, "secret": true, "token": null, "on": true}},
        {"src": "urn:svc:c", "dst": "urn:svc:a", "relation": "R", "props": {"n": 1.10, "url": "postgres://h/shop"}}]"#;
    let load = format!("SELECT opened, closed, unchanged FROM topo_load('default', 's', '{edges}')");
    assert_eq!(db.rows(&load), [["3", "0", "0"]]);
    for table in ["topo_edge_time", "dim_resource", "topo_source_state"] {
        let leaks = format!("SELECT count(*) FROM {table} t WHERE t::text LIKE '%hunter2%'");
        assert_eq!(db.int(&leaks), 0, "{table}");
    }
    let found = db.rows("SELECT props FROM topo_edge_time WHERE props <> '{}' ORDER BY props ? 'deep'");
    assert_eq!(
        found,
        [
            [r#"{"n": 1.10, "url": "postgres://h/shop"}"#],
            [
                r#"{"n": 1.1, "on": true, "pin": "***", "auth": "***", "deep": [{"url": "postgres://***@h/shop"}], "token": null, "secret": "***", "password": "***"}"#
            ]
        ]
    );
    // Another edge: what is known stays known, by the short way and by the long one.
    let more = edges.replacen(
        '[',
        r#"[{"src": "urn:svc:d", "dst": "urn:svc:a", "relation": "R"}, "#,
        1,
    );
    assert_eq!(db.rows(&load.replace(edges, &more)), [["1", "0", "3"]]);
}

/// What the masking cannot read is not stored as it is: the load is refused, and says which edge it was.
#[test]
fn edges_that_cannot_be_read_are_named() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "unreadable");
    let edge = |src: &str, props: &str| {
        format!(r#"{{"src": "{src}", "dst": "urn:svc:b", "relation": "R", "props": {props}}}"#)
    };
    let good = (0..20)
        .map(|i| edge(&format!("urn:svc:{i}"), "{}"))
        .collect::<Vec<_>>()
        .join(", ");
    let load = |edges: &str| format!("SELECT opened FROM topo_load('default', 's', '[{edges}]')");
    let deep = format!(r#"{{"hunter2": {}{}}}"#, "[".repeat(300), "]".repeat(300));
    // Of the first load, and of one of which only what differs is read.
    for _ in 0..2 {
        for props in [r#"{"hunter2": 1e400}"#, r#"{"a": [{"hunter2": -1e309}]}"#, &deep] {
            let bad = edge(&format!("pg://u:hunter2{}@h/x", "y".repeat(300)), props);
            let e = db.refused(&load(&format!("{good}, {bad}")));
            assert_eq!(e.sqlstate, "54000", "{e}");
            assert!(e.message.starts_with(r#"edge 21 has "props" that nest"#), "{e}");
            assert!(
                e.message
                    .ends_with(r#" (src "pg://***@h/x", dst "urn:svc:b", relation "R")"#),
                "{e}"
            );
            assert!(e.hint.contains("as texts") && !e.to_string().contains("hunter2"), "{e}");
        }
        db.exec(&load(&good));
    }
    assert_eq!(
        db.rows(&load(&format!("{good}, {}", edge("a", r#"{"n": 1e308}"#)))),
        [["1"]]
    );
}
