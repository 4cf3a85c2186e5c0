//! Log patterns that are one statement of a program: their class, and why.

use blackbox::bridge::{add_openobserve, bridge, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, OpenObserve, Store};
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, T0, log};

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
