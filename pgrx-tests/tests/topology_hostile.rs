//! What a file can do to the server that reads it: nothing. Programs in it neither hold a session nor end the process.

use blackbox::bridge::bridge;
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
