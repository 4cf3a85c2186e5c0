//! Calls to what sends no spans: databases, queues, services of others.

use blackbox::bridge::{add_openobserve, bridge, enqueue, facts, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, OpenObserve, Record, Store};
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, SECOND, T0, span};
use serde_json::json;

fn reading(cluster: &Cluster, name: &str, store: Store) -> (OpenObserve, Session) {
    let oo = OpenObserve::serve(store);
    let mut db = bridge(cluster, name);
    add_openobserve(&mut db, &oo);
    (oo, db)
}

/// A client span of `web` with these attributes.
fn client(at: i64, id: &str, kind: &str, failed: bool, attributes: &[(&str, &str)]) -> Record {
    let record = span(at, "t", id, "", "web", 4_000, failed).with("span_kind", Some(json!(kind)));
    attributes
        .iter()
        .fold(record, |record, (name, value)| record.with(name, Some(json!(value))))
}

fn edges(db: &mut Session) -> Vec<Vec<String>> {
    db.rows(
        "SELECT s.urn, d.urn, d.type, calls, errors, p50_ms, inferred FROM service_call_5m
           JOIN dim_resource s ON s.resource_id = src_resource_id JOIN dim_resource d ON d.resource_id = dst_resource_id
          ORDER BY 2",
    )
}

#[test]
fn databases_queues_and_foreign_services_are_inferred_from_their_clients() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    for (n, (kind, failed, attributes)) in (1i64..).zip([
        (
            "3",
            false,
            &[
                ("db_system", "postgresql"),
                ("db_name", "shop"),
                ("net_peer_name", "pg-main"),
            ][..],
        ),
        (
            "3",
            true,
            &[
                ("infer_service_type", "database"),
                ("infer_service_system", "postgresql"),
                ("infer_service_name", "shop"),
                ("server_address", "pg-main"),
            ],
        ),
        (
            "4",
            false,
            &[("messaging_system", "kafka"), ("messaging_destination_name", "orders")],
        ),
        ("3", false, &[("peer_service", "tax office")]),
        ("3", false, &[("http_route", "/")]),
        ("2", false, &[("peer_service", "nobody")]),
        ("3", false, &[("peer_service", "web")]),
    ]) {
        let record = client(T0 + n * SECOND, &format!("{n:016x}"), kind, failed, attributes);
        store.add(Dataset::Traces, "default", record);
    }
    let (_oo, mut db) = reading(&cluster, "inferred", store);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(
        edges(&mut db),
        [
            [
                "urn:svc:web",
                "urn:db:postgres:pg-main/shop",
                "db:postgres",
                "2",
                "1",
                "4",
                "t"
            ],
            ["urn:svc:web", "urn:queue:kafka:orders", "queue", "1", "0", "4", "t"],
            ["urn:svc:web", "urn:svc:tax%20office", "service", "1", "0", "4", "t"],
        ]
    );
    let inferred = "SELECT stats #> '{records,inferred_calls}' FROM etl_job_run WHERE job = 'oo-agg'";
    assert_eq!(db.int(inferred), 4);
}

#[test]
fn a_call_that_somebody_took_is_not_inferred_wherever_his_span_is() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    let end = T0 + MINUTE;
    // Called in the window, just behind its end, and too late; the clocks of the last two differ.
    for (n, (at, called_at, callee)) in (1..).zip([
        (T0 + 10 * SECOND, T0 + 10 * SECOND + 1_000, "pay"),
        (end - 1_000, end + 1_000, "cart"),
        (T0 + 20 * SECOND, T0 + 50 * SECOND, "late"),
        (T0 + 1_000, T0 - SECOND, "early"),
        (T0 + 30 * SECOND, T0 + 30 * SECOND - 1_000, "skewed"),
    ]) {
        let (trace, id) = (format!("t{n}"), format!("{n:016x}"));
        let calling = client(at, &id, "3", false, &[("peer_service", callee)]);
        store.add(Dataset::Traces, "default", calling.with("trace_id", Some(json!(trace))));
        let child = span(called_at, &trace, &format!("{n:015x}f"), &id, "callee", 1_000, false);
        store.add(Dataset::Traces, "default", child);
    }
    // A message waits for its consumer, who is in the window.
    let message = client(
        T0,
        "00000000000000a1",
        "4",
        false,
        &[("messaging_system", "kafka"), ("messaging_destination_name", "orders")],
    );
    store.add(Dataset::Traces, "default", message);
    let consumer = span(
        T0 + 55 * SECOND,
        "t",
        "00000000000000a2",
        "00000000000000a1",
        "mailer",
        1_000,
        false,
    );
    store.add(Dataset::Traces, "default", consumer.with("span_kind", Some(json!("5"))));
    let (_oo, mut db) = reading(&cluster, "taken", store);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let called: Vec<Vec<String>> = edges(&mut db)
        .iter()
        .map(|e| vec![e[1].clone(), e[3].clone(), e[6].clone()])
        .collect();
    assert_eq!(
        called,
        [
            ["urn:svc:callee", "3", "f"],
            ["urn:svc:late", "1", "t"],
            ["urn:svc:mailer", "1", "f"],
        ]
    );
    let expected = facts(&mut db);
    enqueue(&mut db, T0 - MINUTE, 3);
    run(&mut db);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let here = |rows: Vec<Vec<String>>| -> Vec<Vec<String>> {
        rows.into_iter()
            .filter(|row| row[0] == "call" && row[3] == "urn:svc:late")
            .collect()
    };
    assert_eq!(here(facts(&mut db)), here(expected), "the same alone and in a range");
}

#[test]
fn who_tells_of_a_call_himself_counts_more_than_his_caller_does() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    // Two calls that fail before they arrive, in another minute than one that arrives.
    for n in 1..=2 {
        let lost = client(
            T0 + n * SECOND,
            &format!("{n:016x}"),
            "3",
            true,
            &[("peer_service", "cart")],
        );
        store.add(Dataset::Traces, "default", lost);
    }
    let at = T0 + MINUTE + SECOND;
    store.add(
        Dataset::Traces,
        "default",
        client(at, "00000000000000b1", "3", false, &[("peer_service", "cart")]),
    );
    store.add(
        Dataset::Traces,
        "default",
        span(at, "t", "00000000000000b2", "00000000000000b1", "cart", 2_000, false),
    );
    let (_oo, mut db) = reading(&cluster, "both", store);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let cart = |calls: &'static str, errors: &'static str, p50: &'static str, inferred: &'static str| {
        [["urn:svc:web", "urn:svc:cart", "service", calls, errors, p50, inferred]]
    };
    assert_eq!(edges(&mut db), cart("2", "2", "4", "t"));
    enqueue(&mut db, T0 + MINUTE, 1);
    run(&mut db);
    assert_eq!(edges(&mut db), cart("1", "0", "2", "f"));
}

#[test]
fn a_failed_call_is_one_by_the_new_and_by_the_old_name_of_the_http_code() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    let codes = [
        ("http_status_code", "500"),
        ("http_response_status_code", "503"),
        ("http_status_code", "404"),
        ("http_response_status_code", "200"),
    ];
    for (n, (column, code)) in (0..).zip(codes) {
        let (at, root, child) = (T0 + n * SECOND, format!("a{n}"), format!("b{n}"));
        // No span of the stream has a status of its own.
        let caller = span(at, "t", &root, "", "web", 9_000, false).with("span_status", None);
        let called = span(at + 1, "t", &child, &root, "cart", 4_000, false).with("span_status", None);
        store.add(Dataset::Traces, "default", caller);
        store.add(Dataset::Traces, "default", called.with(column, Some(json!(code))));
    }
    let (_oo, mut db) = reading(&cluster, "codes", store);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(db.rows("SELECT calls, errors FROM service_call_5m"), [["4", "2"]]);
}
