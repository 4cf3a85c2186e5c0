//! Loads that change little are taken in by what differs alone, and give what the whole would give.

use blackbox::bridge::bridge;
use blackbox::cluster::Cluster;
use blackbox::session::Session;

/// An element of a load.
fn edge(src: &str, dst: &str, props: &str) -> String {
    format!(r#"{{"src":"{src}","dst":"{dst}","relation":"DEPENDS_ON","props":{props}}}"#)
}

/// So many edges that stay as they are.
fn others(n: usize) -> Vec<String> {
    (0..n)
        .map(|i| edge(&format!("urn:svc:o{i}"), "urn:svc:base", "{}"))
        .collect()
}

fn json(edges: &[String]) -> String {
    format!("[{}]", edges.join(","))
}

/// Loads at a minute of 10 o'clock; opened, closed, unchanged.
fn load(db: &mut Session, minute: u32, edges: &[String]) -> Vec<String> {
    let edges = json(edges);
    db.rows(&format!(
        "SELECT * FROM topo_load('default', 'test', '{edges}', '2026-01-05 10:{minute:02}Z', force => true)"
    ))
    .remove(0)
}

/// What the delta alone makes of a load, without keeping it.
fn delta(db: &mut Session, edges: &[String]) -> Vec<String> {
    let edges = json(edges);
    db.exec("BEGIN");
    let row = db
        .rows(&format!(
            "SELECT d.opened, d.closed, d.unchanged, d.vanished
               FROM dim_tenant t, topo_source_state s, (SELECT '{edges}'::jsonb AS edges) e,
                    topo_delta_apply(t.tenant_id, 'test', s.loaded_at + '1 min', s.loaded_at, e.edges, topo_edge_digests(e.edges),
                                     urn_naming(t.tenant_id), s.edges) d
              WHERE t.code = 'default' AND s.tenant_id = t.tenant_id AND s.source = 'test'"
        ))
        .remove(0);
    db.exec("ROLLBACK");
    row
}

#[test]
fn what_differs_is_told_by_digests_and_what_they_do_not_tell_is_left_to_the_whole() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "delta");
    let mut edges = others(10);
    assert_eq!(load(&mut db, 0, &edges), ["10", "0", "0"]);
    let none = ["<null>"; 4];
    assert_eq!(delta(&mut db, &edges), ["0", "0", "10", "0"]);
    edges.reverse();
    assert_eq!(delta(&mut db, &edges), ["0", "0", "10", "0"], "in any order");
    assert_eq!(delta(&mut db, &edges[1..]), ["0", "1", "9", "1"]);
    let mut changed = edges.clone();
    // Reversed: the fourth is that of o6.
    changed[3] = edge("urn:svc:o6", "urn:svc:base", r#"{"port":1}"#);
    changed.push(edge("urn:svc:new", "urn:svc:base", "{}"));
    assert_eq!(delta(&mut db, &changed), ["2", "1", "9", "0"]);
    changed.push(changed[0].clone());
    assert_eq!(
        delta(&mut db, &changed),
        ["2", "1", "9", "0"],
        "said twice in the same words"
    );
    // A second element of an edge that stays: its properties are those of both.
    let mut joined = edges.clone();
    joined.push(edge("urn:svc:o1", "urn:svc:base", r#"{"port":1}"#));
    assert_eq!(delta(&mut db, &joined), none);
    assert_eq!(load(&mut db, 1, &joined), ["1", "1", "9"]);
    assert_eq!(
        db.column("SELECT props FROM topo_edge_time WHERE upper_inf(valid) AND props <> '{}'"),
        [r#"{"port": 1}"#]
    );
    // Mostly other edges.
    let other: Vec<String> = (0..6)
        .map(|i| edge("urn:svc:x", &format!("urn:svc:{i}"), "{}"))
        .collect();
    assert_eq!(delta(&mut db, &[&edges[..4], &other[..]].concat()), none);
    assert_eq!(delta(&mut db, &[]), ["0", "10", "0", "10"]);
}

#[test]
fn after_a_change_of_rules_one_whole_load_is_enough() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "renamed");
    let edges = others(10);
    assert_eq!(load(&mut db, 0, &edges), ["10", "0", "0"]);
    db.exec("UPDATE urn_rule SET enabled = false WHERE rule = 'kubernetes-service'");
    assert_eq!(
        delta(&mut db, &edges),
        ["<null>"; 4],
        "no row is known by what it is called now"
    );
    assert_eq!(load(&mut db, 1, &edges), ["0", "0", "10"]);
    assert_eq!(delta(&mut db, &edges[1..]), ["0", "1", "9", "1"]);
}

#[test]
fn an_edge_that_cannot_be_read_is_named_by_its_place_in_the_whole() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "places");
    let mut edges = others(10);
    load(&mut db, 0, &edges);
    edges.insert(7, r#"{"src":"urn:svc:a","dst":7,"relation":"R"}"#.to_string());
    edges.insert(2, edge("urn:svc:fine", "urn:svc:base", "{}"));
    for (wrong, place) in [(None, 9), (Some("null"), 5), (Some("7"), 5), (Some("[]"), 5)] {
        if let Some(wrong) = wrong {
            edges[4] = wrong.to_string();
        }
        let error = db.refused(&format!(
            "SELECT topo_load('default', 'test', '{}', '2026-01-05 10:01Z')",
            json(&edges)
        ));
        assert!(
            error.sqlstate == "22023" && error.message.starts_with(&format!("edge {place} ")),
            "{error}"
        );
    }
}

/// The same words mean other resources when the rules are others.
#[test]
fn a_row_that_was_made_by_other_rules_is_compared_anew() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "naming");
    let with = |first: &str| [vec![edge(first, "urn:svc:base", "{}")], others(8)].concat();
    let (declared, plain) = (with("urn:k8s:svc:shop/x"), with("urn:svc:x"));
    assert_eq!(load(&mut db, 0, &declared), ["9", "0", "0"]);
    db.exec("UPDATE urn_rule SET enabled = false WHERE rule = 'kubernetes-service'");
    // The row of x stays, said in other words now.
    assert_eq!(load(&mut db, 1, &plain), ["0", "0", "9"]);
    assert_eq!(load(&mut db, 2, &declared), ["1", "1", "8"]);
    assert_eq!(
        db.column("SELECT src_urn FROM topology_at('default', '2026-01-05 10:02Z') WHERE src_urn LIKE '%x'"),
        ["urn:k8s:svc:shop/x"]
    );
    // A name that becomes ambiguous in the middle of a load changes what stays as well.
    db.exec("UPDATE urn_rule SET enabled = true WHERE rule = 'kubernetes-service'");
    assert_eq!(load(&mut db, 3, &declared), ["1", "1", "8"]);
    let both = [declared, vec![edge("urn:k8s:svc:test/x", "urn:svc:base", "{}")]].concat();
    assert_eq!(load(&mut db, 4, &both), ["2", "1", "8"]);
}

/// The order of keys and edges, other spellings of a number, no properties and empty ones.
#[test]
fn noise_in_properties_writes_nothing() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "noise");
    let rows = "SELECT string_agg(t::text || xmin::text || ctid::text, ',' ORDER BY ctid) FROM topo_edge_time t";
    let with = |props: [&str; 2]| {
        let [a, b] = props;
        let said = vec![
            edge("urn:svc:a", "urn:svc:base", a),
            edge("urn:svc:b", "urn:svc:base", b),
        ];
        [said, others(6)].concat()
    };
    assert_eq!(
        load(&mut db, 0, &with([r#"{"port":80,"via":{"x":1,"y":[]}}"#, "{}"])),
        ["8", "0", "0"]
    );
    let before = db.text(rows);
    for (minute, props) in [
        [r#"{"via":{"y":[],"x":1},"port":80}"#, "{}"],
        [r#"{"port":80.0,"via":{"x":1.00,"y":[]}}"#, "{}"],
        [r#"{"port":8e1,"port":80,"via":{"x":1,"y":[]}}"#, "null"],
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(
            load(&mut db, minute as u32 + 1, &with(props)),
            ["0", "0", "8"],
            "{props:?}"
        );
    }
    let mut unsaid = with([r#"{"port":80,"via":{"x":1,"y":[]}}"#, "{}"]);
    unsaid[1] = unsaid[1].replace(r#","props":{}"#, "");
    assert_eq!(load(&mut db, 9, &unsaid), ["0", "0", "8"]);
    assert_eq!(db.text(rows), before);
}

#[test]
fn a_row_that_somebody_removed_is_back_with_the_same_load() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "removed");
    let edges = others(8);
    assert_eq!(load(&mut db, 0, &edges), ["8", "0", "0"]);
    db.exec("DELETE FROM topo_edge_time WHERE ctid = (SELECT min(ctid) FROM topo_edge_time)");
    assert_eq!(load(&mut db, 1, &edges), ["1", "0", "7"]);
    assert_eq!(load(&mut db, 2, &edges), ["0", "0", "8"]);
}
