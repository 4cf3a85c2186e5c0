//! `oo_replay`: from an aggregate back to the very records it was made of.

use blackbox::bridge::{add_mock, add_openobserve, add_source, bridge, enqueue, install, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Fault, OpenObserve, PASSWORD, Scope, USER};
use blackbox::session::Session;
use blackbox::telemetry::{CALLS, LOGS, MINUTE, POINTS, SECOND, T0, minutes};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn locators(db: &mut Session, dataset: &str) -> Vec<i64> {
    let ids = db.column(&format!(
        "SELECT id FROM oo_locator WHERE dataset = '{dataset}' ORDER BY id"
    ));
    ids.iter().map(|id| id.parse().expect("an id")).collect()
}

fn replay(db: &mut Session, locator: i64, max: i64) -> Vec<Value> {
    let records = db.column(&format!("SELECT oo_replay({locator}, {max})"));
    records
        .iter()
        .map(|r| serde_json::from_str(r).expect("a record is JSON"))
        .collect()
}

/// Holds what a filter brings back to the records of the locator that have such a field.
#[track_caller]
fn assert_filtered(db: &mut Session, locator: i64, field: &str) {
    let all = replay(db, locator, 100_000);
    let wanted = &all.last().expect("a record")[field];
    let expected: Vec<&Value> = all.iter().filter(|r| r[field] == *wanted).collect();
    assert!(expected.len() < all.len(), "{field} = {wanted} tells records apart");
    let filter = json!({ field: wanted }).to_string().replace('\'', "''");
    let column = |db: &mut Session, sql: &str| -> BTreeSet<String> { db.column(sql).into_iter().collect() };
    let got = column(db, &format!("SELECT oo_replay({locator}, 100000, '{filter}')::jsonb"));
    let expected = expected.into_iter().map(|r| r.to_string().replace('\'', "''"));
    let same = expected
        .map(|r| db.text(&format!("SELECT '{r}'::jsonb")))
        .collect::<BTreeSet<_>>();
    assert_eq!(got, same);
    assert_eq!(
        db.int(&format!("SELECT count(*) FROM oo_replay({locator}, 1, '{filter}')")),
        1
    );
    let none = json!({ field: "no such value" });
    assert_eq!(
        db.int(&format!(
            "SELECT count(*) FROM oo_replay({locator}, filter => '{none}')"
        )),
        0
    );
}

#[test]
fn http_brings_back_the_records_of_the_window() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(2));
    let mut db = bridge(&cluster, "http");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 2);
    run(&mut db);
    assert_eq!(
        locators(&mut db, "logs").len(),
        2,
        "one locator for each dataset and window"
    );
    let second = locators(&mut db, "logs")[1];
    let records = replay(&mut db, second, 1_000);
    let bodies: BTreeSet<&str> = records.iter().filter_map(|r| r["body"].as_str()).collect();
    assert_eq!((records.len() as i64, bodies.len() as i64), (LOGS, LOGS));
    let inside = |r: &Value| {
        r["_timestamp"]
            .as_i64()
            .is_some_and(|t| (T0 + MINUTE..T0 + 2 * MINUTE).contains(&t))
    };
    assert!(records.iter().all(inside), "only records of the window");
    let metrics = locators(&mut db, "metrics")[0];
    assert_eq!(replay(&mut db, metrics, 1_000).len() as i64, POINTS);
    let traces = locators(&mut db, "traces")[0];
    assert_eq!(replay(&mut db, traces, 1_000).len() as i64, 2 * CALLS);
    assert_eq!(replay(&mut db, traces, 3).len(), 3);
    assert_eq!(replay(&mut db, traces, 0).len(), 0);
    assert_filtered(&mut db, second, "body");
    assert_filtered(&mut db, traces, "service_name");
    let wrong = db.refused(&format!("SELECT oo_replay({traces}, 1, '[1]')"));
    assert!(wrong.sqlstate == "22023" && !wrong.hint.is_empty(), "{wrong}");
    assert_eq!(
        db.int("SELECT count(*) FROM oo_replay(NULL)"),
        0,
        "an aggregate without a sample"
    );
}

#[test]
fn a_part_of_the_records_is_never_taken_for_all_of_them() {
    let cluster = Cluster::without_workers();
    let mut store = minutes(1);
    // Windows, replays, counts and streams of records all ask for more than the server looks at.
    store.limit_range(7 * SECOND);
    let oo = OpenObserve::serve(store);
    let mut db = bridge(&cluster, "part");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let logs = locators(&mut db, "logs")[0];
    assert_eq!(db.int("SELECT sum(count_total) FROM log_pattern_5m"), LOGS);
    let distinct = |db: &mut Session, max: i64| {
        replay(db, logs, max)
            .iter()
            .map(Value::to_string)
            .collect::<BTreeSet<_>>()
            .len() as i64
    };
    assert_eq!(distinct(&mut db, 1_000), LOGS);
    assert_eq!(distinct(&mut db, LOGS - 1), LOGS - 1);
    assert_filtered(&mut db, logs, "body");
    let stream = "SELECT count(*) FROM oo_stream('default', '2026-01-05 10:00Z', '2026-01-05 10:01Z', '{log}')";
    assert_eq!(db.int(stream), LOGS);

    oo.replace(minutes(1));
    oo.fail(Scope::Searches, Fault::Partial);
    for question in [
        format!("SELECT oo_replay({logs}, 1000)"),
        format!("SELECT oo_replay({logs}, 1)"),
        format!("SELECT oo_replay({logs}, 10, '{{\"body\": \"x\"}}')"),
    ] {
        let e = db.refused(&question);
        assert!(
            e.message.contains("incomplete") && e.hint.contains("later"),
            "{question}: {e}"
        );
    }
}

#[test]
fn every_call_and_pattern_refers_to_its_records() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "refers");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let datasets = db.rows(
        "SELECT DISTINCT 'call', l.dataset FROM service_call_5m c LEFT JOIN oo_locator l ON l.id = c.sample_ref UNION ALL
         SELECT DISTINCT 'log', l.dataset FROM log_pattern_5m p LEFT JOIN oo_locator l ON l.id = p.sample_ref",
    );
    assert_eq!(datasets, [["call", "traces"], ["log", "logs"]]);
}

#[test]
fn references_lead_to_a_source_that_had_records() {
    let cluster = Cluster::without_workers();
    let (empty, full) = (OpenObserve::serve(minutes(0)), OpenObserve::serve(minutes(1)));
    let mut db = bridge(&cluster, "two");
    add_openobserve(&mut db, &empty);
    db.exec(&format!(
        "CREATE SERVER second FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'openobserve', endpoint '{}');
         CREATE USER MAPPING FOR CURRENT_USER SERVER second OPTIONS (username '{USER}', password '{PASSWORD}')",
        full.endpoint()
    ));
    add_source(&mut db, "second", "{}");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let behind = |table: &str| format!("SELECT count(*) FROM oo_replay((SELECT min(sample_ref) FROM {table}), 1000)");
    assert_eq!(db.int(&behind("log_pattern_5m")), LOGS);
    assert_eq!(db.int(&behind("service_call_5m")), 2 * CALLS);
    // The first server is no loss to the second one's records.
    db.exec("DELETE FROM etl_source WHERE server <> 'second'");
    assert_eq!(db.int(&behind("log_pattern_5m")), LOGS);
}

#[test]
fn mock_makes_the_same_records_again() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "mock");
    add_mock(&mut db);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let logs = locators(&mut db, "logs")[0];
    let records = replay(&mut db, logs, 10_000);
    assert_eq!(records.len(), 5_000);
    assert_eq!(replay(&mut db, logs, 10_000), records);
    assert_filtered(&mut db, logs, "service_name");
    // They are the records that were counted: their fingerprints are the patterns of the window.
    let uncounted = db.int(&format!(
        "SELECT count(*) FROM (
             SELECT log_fingerprint(r ->> 'body') AS fingerprint_id, count(*) AS n FROM oo_replay({logs}, 10000) r GROUP BY 1) r
           FULL JOIN (SELECT fingerprint_id, sum(count_total) AS n FROM log_pattern_5m GROUP BY 1) p USING (fingerprint_id)
          WHERE r.n IS DISTINCT FROM p.n"
    ));
    assert_eq!(uncounted, 0);
}

#[test]
fn files_bring_back_the_lines_they_had() {
    let cluster = Cluster::without_workers();
    let folder = cluster.make_folder("telemetry");
    let lines: Vec<Value> = (0..5)
        .map(
            |n| json!({ "_timestamp": T0 + n, "service_name": "web", "severity": "INFO", "body": format!("line {n}") }),
        )
        .collect();
    let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
    std::fs::write(folder.join("logs.ndjson"), text).expect("the file");
    cluster.set("observe_bridge.file_roots", &folder.to_string_lossy());
    let mut db = cluster.database("file");
    install(&mut db);
    db.exec(&format!(
        "CREATE SERVER files FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '{}', layout 'plain')",
        folder.display()
    ));
    add_source(&mut db, "files", "{}");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(db.int("SELECT sum(count_total) FROM log_pattern_5m"), 5);
    assert_eq!(db.column("SELECT object_key FROM oo_locator"), ["logs.ndjson"]);
    let locator = locators(&mut db, "logs")[0];
    let mut records = replay(&mut db, locator, 100);
    records.sort_by_key(|r| r["_timestamp"].as_i64());
    assert_eq!(records, lines);
    assert_filtered(&mut db, locator, "body");
    std::fs::remove_file(folder.join("logs.ndjson")).expect("the file is there");
    let gone = db.refused(&format!("SELECT oo_replay({locator}, 10, '{{\"body\": \"line 1\"}}')"));
    assert!(
        gone.sqlstate == "P0002" && gone.message.contains("gone") && !gone.hint.is_empty(),
        "{gone}"
    );
}

#[test]
fn a_reference_leads_to_all_objects_of_its_window() {
    let cluster = Cluster::without_workers();
    let folder = cluster.make_folder("telemetry");
    let put = |name: &str, body: &str, from: i64| {
        let line = |n: i64| json!({ "_timestamp": T0 + n, "service_name": "web", "severity": "INFO", "body": body });
        let text: String = (from..from + 5).map(|n| format!("{}\n", line(n))).collect();
        std::fs::write(folder.join(name), text).expect("the file");
    };
    put("logs-a.ndjson", "the cart is empty", 0);
    put("logs-b.ndjson", "disk failure", 5);
    cluster.set("observe_bridge.file_roots", &folder.to_string_lossy());
    let mut db = cluster.database("objects");
    install(&mut db);
    db.exec(&format!(
        "CREATE SERVER files FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '{}', layout 'plain')",
        folder.display()
    ));
    add_source(&mut db, "files", "{}");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(locators(&mut db, "logs").len(), 2);
    let samples = db.column("SELECT DISTINCT sample_ref FROM log_pattern_5m");
    assert_eq!(samples.len(), 1, "one of the two");
    for body in ["the cart is empty", "disk failure"] {
        let found = format!(
            "SELECT count(*) FROM oo_replay({}, filter => '{{\"body\": \"{body}\"}}')",
            samples[0]
        );
        assert_eq!(db.int(&found), 5, "{body}");
    }
    for locator in locators(&mut db, "logs") {
        let own = db.text(&format!("SELECT object_key FROM oo_locator WHERE id = {locator}"));
        let first = replay(&mut db, locator, 10);
        assert_eq!(first.len(), 10);
        let expected = if own.ends_with("a.ndjson") {
            "the cart is empty"
        } else {
            "disk failure"
        };
        assert!(first[..5].iter().all(|r| r["body"] == expected), "its own come first");
    }

    // What a later reading did not find again is for when it still leads to something, and then alone.
    let gone = locators(&mut db, "logs")[0];
    let key = db.text(&format!("SELECT object_key FROM oo_locator WHERE id = {gone}"));
    let name = key.rsplit('/').next().expect("a name");
    std::fs::rename(folder.join(name), folder.join("logs-c.ndjson")).expect("the file is there");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(locators(&mut db, "logs").len(), 3);
    assert_eq!(replay(&mut db, gone, 100).len(), 10, "by way of the others");
    std::fs::copy(folder.join("logs-c.ndjson"), folder.join(name)).expect("the file again");
    assert_eq!(replay(&mut db, gone, 100).len(), 5, "no record twice");
}

#[test]
fn files_outside_the_roots_are_not_read() {
    let cluster = Cluster::without_workers();
    let inside = cluster.make_folder("inside");
    cluster.set("observe_bridge.file_roots", &inside.to_string_lossy());
    let mut db = cluster.database("fence");
    install(&mut db);
    for (name, path) in [
        ("etc", "/etc".to_string()),
        ("climb", format!("{}/../data", inside.display())),
    ] {
        db.exec(&format!("CREATE SERVER {name} FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '{path}', layout 'plain')"));
        add_source(&mut db, name, "{}");
        enqueue(&mut db, T0, 1);
        run(&mut db);
        let error = db.json("SELECT error FROM etl_job_run WHERE job = 'oo-agg' AND status = 'failed'");
        let said = format!("{} {}", error["message"], error["hint"]);
        assert!(said.contains("file_roots"), "{name}: {error}");
        db.exec(&format!("DROP SERVER {name}; SELECT etl_tick()"));
    }
    db.exec("CREATE ROLE olga LOGIN IN ROLE observe_bridge_operator");
    let mut olga = cluster.session_as("olga", "fence");
    // Before the library is loaded any name can be set; loading it throws the value away.
    olga.exec("SET observe_bridge.file_roots = '/'");
    olga.exec(
        "CREATE SERVER early FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '/etc', layout 'plain')",
    );
    add_source(&mut olga, "early", "{}");
    olga.exec("SELECT etl_enqueue('oo-agg', 'default', '2026-01-05 10:00Z', '2026-01-05 10:01Z')");
    run(&mut olga);
    let error = db.text("SELECT error FROM etl_job_run WHERE job = 'oo-agg' AND status = 'failed'");
    assert!(error.contains("file_roots"), "{error}");
    assert_eq!(olga.refused("SET observe_bridge.file_roots = '/'").sqlstate, "42501");
}

#[test]
fn records_that_are_gone_are_said_to_be_gone() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "gone");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let logs = locators(&mut db, "logs")[0];
    oo.replace(minutes(0));
    let refusal = db.refused(&format!("SELECT oo_replay({logs})"));
    assert!(
        refusal.sqlstate == "P0002" && refusal.message.contains("gone") && !refusal.hint.is_empty(),
        "{refusal}"
    );
    let unknown = db.refused("SELECT oo_replay(987654)");
    assert!(
        unknown.message.contains("987654") && !unknown.hint.is_empty(),
        "{unknown}"
    );
}
