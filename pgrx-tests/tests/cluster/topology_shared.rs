//! Real infrastructure files with expected results, through SQL: the folder `topology` below `OBSERVE_BRIDGE_SHARED`.
//! Passes and says so where that is not there.

use blackbox::bridge::bridge;
use blackbox::cluster::Cluster;
use blackbox::session::Session;
use blackbox::shared::shared;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

fn folder() -> Option<PathBuf> {
    Some(shared()?.join("topology"))
}

fn expected(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).expect("an expected file")).expect("JSON")
}

fn texts(value: &Value) -> Vec<Vec<String>> {
    let row = |row: &Value| {
        row.as_array()
            .expect("a row")
            .iter()
            .map(|v| v.as_str().unwrap_or("<null>").to_owned())
            .collect()
    };
    let mut rows: Vec<Vec<String>> = value.as_array().expect("rows").iter().map(row).collect();
    rows.sort();
    rows
}

/// Loads a file, its identifiers as they are where they have no URN; opened, closed, unchanged.
fn load(db: &mut Session, source: &str, at: &str, content: &str) -> Vec<String> {
    let tag = "$file$";
    assert!(!content.contains(tag));
    db.rows(&format!(
        "SELECT l.* FROM topo_load('default', '{source}', (
             SELECT jsonb_agg(jsonb_build_object('src', coalesce(src_urn, src), 'dst', coalesce(dst_urn, dst), 'relation', relation))
               FROM topo_extract({tag}{content}{tag})), '{at}') AS l"
    ))
    .remove(0)
}

#[test]
fn snapshots_of_a_terraform_state_become_the_expected_intervals() {
    let Some(folder) = folder().map(|f| f.join("terraform/builtin-shop")) else {
        return;
    };
    let expected = expected(folder.join("temporal.expected.json"));
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "terraform");
    for step in expected["steps"].as_array().expect("steps") {
        let text = |key: &str| step[key].as_str().expect("a text").to_owned();
        let state = fs::read_to_string(folder.join(text("snapshot"))).expect("a snapshot");
        let counts = load(&mut db, "shop", &text("at"), &state);
        let wanted = ["opened", "closed", "kept"].map(|key| step[key].to_string());
        assert_eq!(counts, wanted, "{step}");
    }
    let mut intervals = db.rows(
        "SELECT s.name, d.name, to_char(lower(valid) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
                to_char(upper(valid) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
           FROM topo_edge_time JOIN dim_resource s ON s.resource_id = src_resource_id JOIN dim_resource d ON d.resource_id = dst_resource_id",
    );
    intervals.sort();
    assert_eq!(intervals, texts(&expected["intervals"]));
}

#[test]
fn drift_of_a_manifest_and_a_call_graph_is_as_expected() {
    let Some(folder) = folder().map(|f| f.join("k8s")) else {
        return;
    };
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "boutique");
    let manifest = fs::read_to_string(folder.join("online-boutique.yaml")).expect("a manifest");
    load(&mut db, "boutique", "2026-01-05 09:00Z", &manifest);
    for call in texts(&expected(folder.join("online-boutique.observed.json"))["calls"]) {
        let (src, dst) = (&call[0], &call[1]);
        db.exec(&format!(
            "INSERT INTO dim_resource (tenant_id, urn, type, name) VALUES (1, 'urn:svc:{src}', 'service', '{src}'), (1, 'urn:svc:{dst}', 'service', '{dst}')
             ON CONFLICT DO NOTHING;
             INSERT INTO service_call_5m (bucket, tenant_id, src_resource_id, dst_resource_id, calls, errors, rps, err_rate)
             SELECT '2026-01-05 10:50Z', 1, s.resource_id, d.resource_id, 300, 0, 1, 0 FROM dim_resource s, dim_resource d
              WHERE s.urn = 'urn:svc:{src}' AND d.urn = 'urn:svc:{dst}'"
        ));
    }
    let drift = expected(folder.join("online-boutique.drift.expected.json"));
    for kind in ["declared_not_observed", "observed_not_declared"] {
        let mut found = db.rows(&format!(
            "SELECT substr(src_urn, 9), substr(dst_urn, 9) FROM topology_drift('default', '1 hour') WHERE drift = '{kind}'"
        ));
        found.sort();
        assert_eq!(found, texts(&drift[kind]), "{kind}");
    }
}
