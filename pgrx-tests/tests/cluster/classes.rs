//! Log patterns that are one statement of a program: their class, and why.

use blackbox::bridge::{add_openobserve, bridge, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, OpenObserve, Store};
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, T0, log};
use serde_json::Value;

const TOPICS: [&str; 8] = [
    "orders", "carts", "users", "stock", "prices", "mails", "returns", "visits",
];

/// Minute by minute one more topic, and a line of another statement.
fn store() -> Store {
    let mut store = Store::default();
    for (i, topic) in TOPICS.iter().enumerate() {
        let at = T0 + i as i64 * MINUTE;
        let line = format!("consumer for topic {topic} is up and waits for messages");
        store.add(Dataset::Logs, "default", log(at, "shop", "info", &line));
        store.add(
            Dataset::Logs,
            "default",
            log(at + 1, "shop", "info", "all consumers were asked to go on"),
        );
    }
    store
}

/// Classes with their patterns, by the number of fingerprints they have.
fn classes(db: &mut Session) -> Vec<Vec<String>> {
    db.rows(
        "SELECT p.class_id, c.pattern, count(*), min(a.rule), count(a.rule)
           FROM log_pattern p
           LEFT JOIN log_pattern_alias a ON a.tenant_id = p.tenant_id AND a.fingerprint_id = p.fingerprint_id AND a.class_id = p.class_id
           JOIN log_pattern c ON c.tenant_id = p.tenant_id AND c.fingerprint_id = p.class_id
          GROUP BY 1, 2 ORDER BY 3",
    )
}

#[test]
fn lines_that_differ_in_one_word_become_a_class_whatever_the_order() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(store());
    let mut found = Vec::new();
    for (name, order) in [
        ("forward", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("backward", [7, 6, 5, 4, 3, 2, 1, 0]),
    ] {
        let mut db = bridge(&cluster, name);
        add_openobserve(&mut db, &oo);
        for (n, minute) in order.into_iter().enumerate() {
            enqueue(&mut db, T0 + minute * MINUTE, 1);
            run(&mut db);
            if n == 2 {
                assert_eq!(
                    db.int("SELECT count(*) FROM log_pattern_alias"),
                    0,
                    "three words may be a coincidence"
                );
            }
        }
        found.push(classes(&mut db));
        assert_eq!(
            db.rows("SELECT p.class_id, sum(l.count_total) FROM log_pattern_5m l JOIN log_pattern p USING (tenant_id, fingerprint_id) GROUP BY 1 ORDER BY 1").len(),
            2,
            "lines counted by class"
        );
    }
    let all = &found[0];
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[0][1..], ["all consumers were asked to go on", "1", "<null>", "0"]);
    assert_eq!(all[1][1], "consumer for topic <*> is up and waits for messages");
    // The class has a pattern of its own, which is its own class without an alias.
    assert_eq!(all[1][2..], ["9", "word", "8"]);
    assert_eq!(found[0], found[1], "the order of the windows makes no difference");
}

/// Enters `statements` times eight lines that differ in one word, and has their classes computed, all in one transaction:
/// the planner knows another tenant only, and thinks that this one has none. Returns how many rows went through the plans of that.
fn rows_looked_at(cluster: &Cluster, statements: i64) -> f64 {
    let mut db = bridge(cluster, &format!("of_{statements}"));
    db.exec(
        "INSERT INTO dim_tenant (code, name) VALUES ('known', 'known to the planner');
         INSERT INTO log_pattern (tenant_id, fingerprint_id, class_id, pattern, sample_message, first_seen, last_seen)
         SELECT t.tenant_id, n, n, 'x', 'x', now(), now() FROM dim_tenant t, generate_series(1, 100) AS n WHERE t.code = 'known';
         ANALYZE log_pattern, log_pattern_alias",
    );
    for setting in [
        "log_min_duration = 0",
        "log_nested_statements = on",
        "log_analyze = on",
        "log_timing = off",
        "log_format = json",
        "log_level = notice",
    ] {
        db.exec(&format!("LOAD 'auto_explain'; SET auto_explain.{setting}"));
    }
    db.exec(&format!(
        "BEGIN;
         INSERT INTO log_pattern (tenant_id, fingerprint_id, class_id, pattern, sample_message, first_seen, last_seen)
         SELECT t.tenant_id, log_fingerprint(line), log_fingerprint(line), log_template(line), line, now(), now()
           FROM (SELECT tenant_id FROM dim_tenant WHERE code = 'default') AS t, generate_series(1, {statements}) AS s,
                LATERAL translate(s::text, '0123456789', 'ghklmnprst') AS word,
                unnest('{{{}}}'::text[]) AS topic,
                LATERAL format('module%s starts: module%s consumer for topic %s is up', word, word, topic) AS line",
        TOPICS.join(",")
    ));
    db.notices();
    db.exec("SELECT log_patterns_remask('default')");
    let plans = db.notices();
    assert_eq!(db.int("SELECT count(*) FROM log_pattern_alias"), 8 * statements);
    db.exec("ROLLBACK");
    let plans = plans.iter().filter_map(|notice| notice.split_once("plan:\n"));
    let read = |plan| serde_json::from_str::<Value>(plan).unwrap_or_else(|e| panic!("{e} in {plan}"));
    plans.map(|(_, plan)| rows(&read(plan)["Plan"])).sum()
}

/// The rows that the nodes of a plan gave out or threw away.
fn rows(plan: &Value) -> f64 {
    let number = |key: &str| plan[key].as_f64().unwrap_or_default();
    let removed = ["Filter", "Join Filter", "Index Recheck"].map(|by| number(&format!("Rows Removed by {by}")));
    let own = (number("Actual Rows") + removed.iter().sum::<f64>()) * number("Actual Loops");
    own + plan["Plans"].as_array().into_iter().flatten().map(rows).sum::<f64>()
}

/// A loop over what the planner thinks is empty would look at every pattern for each of them.
#[test]
fn classes_of_twice_the_patterns_are_twice_the_work() {
    let cluster = Cluster::without_workers();
    let (once, twice) = (rows_looked_at(&cluster, 200), rows_looked_at(&cluster, 400));
    assert!(once > 1600.0, "plans are seen: {once} rows");
    assert!(twice < 2.5 * once, "{once} rows, then {twice}");
}
