//! Masks of tenants as data, what a change of them does, and the limit on distinct patterns.

use blackbox::bridge::{CLOCK, add_openobserve, bridge, clock, count, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, OpenObserve, Store};
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, T0, literal, log};

/// Every minute the same lines of two statements: one names a place, the other does not.
fn store(minutes: i64) -> Store {
    let mut store = Store::default();
    for minute in 0..minutes {
        for (n, place) in ["Paris", "Rome", "Oslo"].iter().enumerate() {
            let at = T0 + minute * MINUTE + n as i64;
            let line = format!("shop in {place} opens its doors");
            store.add(Dataset::Logs, "default", log(at, "shop", "info", &line));
            store.add(
                Dataset::Logs,
                "default",
                log(at, "shop", "info", "all is well in every shop"),
            );
        }
    }
    store
}

fn add(db: &mut Session, columns: &str, values: &str) {
    db.exec(&format!("INSERT INTO log_mask ({columns}) VALUES {values}"));
}

fn ingest(db: &mut Session, minute: i64) {
    enqueue(db, T0 + minute * MINUTE, 1);
    run(db);
}

/// Lines by class, with the patterns that classes have.
fn classes(db: &mut Session) -> Vec<Vec<String>> {
    db.rows(&format!(
        "SELECT pattern, count FROM log_patterns('default', {}, {}) ORDER BY 1",
        literal(T0),
        literal(T0 + 60 * MINUTE)
    ))
}

#[test]
fn masks_are_checked_when_they_are_written() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "checked");
    for (columns, values, sqlstate, what) in [
        (
            "name, pattern",
            "('a', 'lot (A|B')",
            "2201B",
            "unclosed group at character 5",
        ),
        ("name, pattern", "('a', '(?=x)')", "2201B", "look-around"),
        ("name, pattern", r"('a', '(\w)\1')", "2201B", "character 5"),
        ("name, pattern", r"('a', '(\w{100}){100}')", "54000", "too large"),
        ("name, pattern", "('a', repeat('x', 501))", "54000", "longer than 500"),
        ("name, pattern", "('a', 'x*')", "22023", "matches the empty text"),
        (
            "name, pattern, kind",
            "('a', ' ', 'ignore')",
            "22023",
            "matches the empty text",
        ),
        (
            "name, pattern, replacement",
            "('a', 'x', 'Order 1')",
            "22023",
            "Order 1",
        ),
    ] {
        let error = db.refused(&format!("INSERT INTO log_mask ({columns}) VALUES {values}"));
        assert!(
            error.sqlstate == sqlstate && error.message.contains(what) && !error.hint.is_empty(),
            "{values}: {error}"
        );
    }
    // Masks for all tenants count with those of each.
    db.exec(
        "INSERT INTO log_mask (tenant_id, name, pattern) SELECT 1, 'a' || i, 'x' || i FROM generate_series(1, 150) AS i",
    );
    let error =
        db.refused("INSERT INTO log_mask (name, pattern) SELECT 'b' || i, 'y' || i FROM generate_series(1, 51) AS i");
    assert!(
        error.sqlstate == "54000" && error.message.contains("201 rules"),
        "{error}"
    );
    db.exec("INSERT INTO log_mask (name, pattern) SELECT 'b' || i, 'y' || i FROM generate_series(1, 50) AS i");
    assert_eq!(db.text("SELECT log_template('x y77 y', 'default')"), "x <*> y");

    db.exec(
        "CREATE ROLE ann; GRANT observe_bridge_operator TO ann; CREATE ROLE bob; GRANT observe_bridge_reader TO bob",
    );
    db.exec("SET ROLE ann; UPDATE log_mask SET enabled = false; SELECT log_patterns_remask('default')");
    assert_eq!(db.refused("UPDATE log_mask SET pattern = '('").sqlstate, "2201B");
    db.exec("SET ROLE bob");
    assert_eq!(db.refused("DELETE FROM log_mask").sqlstate, "42501");
    assert_eq!(db.refused("SELECT log_patterns_remask('default')").sqlstate, "42501");
}

#[test]
fn masks_are_part_of_fingerprints_in_the_same_way_everywhere() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(store(1));
    let mut db = bridge(&cluster, "everywhere");
    add_openobserve(&mut db, &oo);
    db.exec("INSERT INTO dim_tenant (code) VALUES ('other')");
    let mine = "SELECT log_fingerprint('shop in Paris opens its doors', 'default')";
    let plain = db.int(mine);
    assert_eq!(plain, db.int("SELECT log_fingerprint('shop in Paris opens its doors')"));
    let masks = [
        (
            "tenant_id, name, pattern, replacement",
            "(1, 'place', 'Paris|Rome|Oslo', 'place')",
        ),
        ("tenant_id, name, kind, pattern", "(1, 'word', 'ignore', 'doors')"),
        ("name, pattern, priority", "('all', 'lot-[A-Z]+', 7)"),
    ];
    for (columns, values) in masks {
        add(&mut db, columns, values);
    }
    let masked = db.int(mine);
    assert_ne!(masked, plain);
    assert_eq!(
        db.text("SELECT log_template('shop in Paris opens its doors, lot-AB', 'default')"),
        "shop in <place> opens its <*>"
    );
    // Masks for all are those of a tenant without its own, too.
    assert_eq!(db.text("SELECT log_template('Paris lot-AB x', 'other')"), "Paris <*> x");
    // Another session, and the same masks in another order under other names.
    let mut other = cluster.session("everywhere");
    assert_eq!(other.int(mine), masked);
    other.exec("DELETE FROM log_mask");
    assert_eq!(db.int(mine), plain);
    for (columns, values) in masks.iter().rev() {
        add(&mut other, columns, values);
    }
    other.exec("UPDATE log_mask SET name = name || '2', priority = priority - 3");
    assert_eq!([db.int(mine), other.int(mine)], [masked, masked]);
    // And what is written.
    ingest(&mut db, 0);
    assert_eq!(
        db.rows("SELECT p.fingerprint_id, p.pattern, sum(l.count_total) FROM log_pattern_5m l JOIN log_pattern p USING (tenant_id, fingerprint_id) WHERE p.pattern LIKE '%opens%' GROUP BY 1, 2"),
        [[masked.to_string(), "shop in <place> opens its <*>".to_string(), "3".to_string()]]
    );
    db.exec("DELETE FROM log_mask WHERE name = 'word2'");
    assert_ne!(db.int(mine), masked);
}

#[test]
fn a_change_of_masks_keeps_classes_whole() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(store(30));
    let mut db = bridge(&cluster, "change");
    add_openobserve(&mut db, &oo);
    ingest(&mut db, 0);
    let named = |place: &str, n: i64| vec![format!("shop in {place} opens its doors"), n.to_string()];
    let well = |n: i64| vec!["all is well in every shop".to_string(), n.to_string()];
    assert_eq!(
        classes(&mut db),
        [well(3), named("Oslo", 1), named("Paris", 1), named("Rome", 1)]
    );
    let before = db.column("SELECT fingerprint_id FROM log_pattern_5m ORDER BY 1");

    // From the next window on; lines of before are counted with those of today.
    add(&mut db, "tenant_id, name, pattern", "(1, 'place', 'Paris|Rome|Oslo')");
    ingest(&mut db, 6);
    assert_eq!(classes(&mut db), [well(6), named("<*>", 6)]);
    assert_eq!(
        db.text("SELECT string_agg(DISTINCT rule, ',') FROM log_pattern_alias"),
        "mask change"
    );
    assert_eq!(db.int("SELECT count(*) FROM log_pattern_alias"), 4);
    // Nothing that was stored is another now.
    assert_eq!(
        db.column(&format!(
            "SELECT fingerprint_id FROM log_pattern_5m WHERE bucket = {} ORDER BY 1",
            literal(T0)
        )),
        before
    );
    // It is the same by hand, and again.
    assert_eq!(db.int("SELECT log_patterns_remask('default')"), 4);
    assert_eq!(classes(&mut db), [well(6), named("<*>", 6)]);
    // A class that was there when its statement was still several.
    ingest(&mut db, 12);
    assert_eq!(classes(&mut db), [well(9), named("<*>", 9)]);

    // A replay of an old window goes by today's masks, and replaces what was there.
    ingest(&mut db, 0);
    assert_eq!(classes(&mut db), [well(9), named("<*>", 9)]);
    assert_eq!(
        db.int(&format!(
            "SELECT count(*) FROM log_pattern_5m WHERE bucket = {} AND fingerprint_id IN ({})",
            literal(T0),
            before.join(",")
        )),
        0
    );

    // Without masks lines have their old fingerprints again. A sample is one line: what the mask joined goes with it.
    db.exec("DELETE FROM log_mask");
    ingest(&mut db, 18);
    let now = db.column(&format!(
        "SELECT fingerprint_id FROM log_pattern_5m WHERE bucket = {} ORDER BY 1",
        literal(T0 + 15 * MINUTE)
    ));
    assert_eq!(now, before);
    assert_eq!(
        classes(&mut db),
        [well(12), named("Oslo", 1), named("Paris", 10), named("Rome", 1)]
    );
    assert_eq!(count(&mut db, "oo-agg", "success"), 4);
}

#[test]
fn masks_survive_dump_and_restore() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(store(8));
    let mut db = bridge(&cluster, "old");
    add_openobserve(&mut db, &oo);
    add(
        &mut db,
        "tenant_id, name, pattern, replacement",
        "(1, 'place', 'Paris|Rome|Oslo', 'place')",
    );
    add(&mut db, "name, kind, pattern, priority", "('all', 'ignore', 'well', 7)");
    add(&mut db, "name, pattern, enabled", "('off', 'doors', false)");
    ingest(&mut db, 0);
    let known = |db: &mut Session| {
        db.rows(
            "SELECT log_template('all is well in Rome, doors', 'default'), log_fingerprint('all is well in Rome, doors', 'default'),
                    (SELECT array_agg(m ORDER BY name)::text FROM log_mask m)",
        )
    };
    let version = "SELECT version FROM log_mask_state";
    let (before, by, patterns) = (known(&mut db), db.text(version), classes(&mut db));
    assert_eq!(before[0][0], "all is <*> in <place>, doors");

    let mut db = cluster.copy("old", "new");
    clock(&mut db, CLOCK);
    assert_eq!(known(&mut db), before);
    // No pattern is of other masks: nothing is led anywhere.
    assert_eq!(db.int("SELECT log_patterns_remask('default')"), 0);
    assert_eq!(db.text(version), by);
    ingest(&mut db, 6);
    assert_eq!(
        classes(&mut db),
        patterns
            .iter()
            .map(|row| vec![row[0].clone(), "6".to_string()])
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_rule_that_came_past_the_triggers_fails_the_window_and_loses_nothing() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(store(1));
    let mut db = bridge(&cluster, "past");
    add_openobserve(&mut db, &oo);
    db.exec("SET session_replication_role = replica; INSERT INTO log_mask (name, pattern) VALUES ('bad', 'a('); RESET session_replication_role");
    ingest(&mut db, 0);
    assert_eq!(
        db.rows("SELECT status, error ->> 'sqlstate', error ->> 'message' LIKE '%\"a(\"%unclosed%' FROM etl_job_run WHERE job = 'oo-agg'"),
        [["failed", "2201B", "t"]]
    );
    db.exec("DELETE FROM log_mask");
    ingest(&mut db, 0);
    assert_eq!(db.int("SELECT sum(count_total) FROM log_pattern_5m"), 6);
}

#[test]
fn beyond_the_limit_new_lines_count_under_coarse_patterns() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    let letter = |n: u8| char::from(b'a' + n).to_string().repeat(3);
    for n in 0..20u8 {
        let minute = i64::from(n / 5) * 6;
        let line = format!(
            "note by {}: {}, {} over; {}",
            letter(n),
            letter(n + 1),
            letter(n + 2),
            letter(n + 3)
        );
        store.add(
            Dataset::Logs,
            "default",
            log(T0 + minute * MINUTE + i64::from(n), "web", "info", &line),
        );
        store.add(
            Dataset::Logs,
            "default",
            log(
                T0 + minute * MINUTE + i64::from(n),
                "web",
                "error",
                "all is well in every shop",
            ),
        );
    }
    let oo = OpenObserve::serve(store);
    let mut db = bridge(&cluster, "limit");
    add_openobserve(&mut db, &oo);
    db.exec("UPDATE dim_tenant SET max_patterns = 6");
    for minute in [0, 6, 12, 18] {
        ingest(&mut db, minute);
    }
    let all = "SELECT p.pattern, sum(l.count_total), sum(l.count_error) FROM log_pattern_5m l JOIN log_pattern p USING (tenant_id, fingerprint_id) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 2";
    let expected = [
        ["all is well in every shop", "20", "20"],
        ["note by <*>: <*>; <*>", "15", "0"],
    ];
    assert_eq!(db.rows(all), expected);
    assert_eq!(db.int("SELECT count(*) FROM log_pattern"), 7);
    assert_eq!(
        db.int("SELECT log_fingerprint('note by <*>: <*>; <*>')"),
        db.int("SELECT fingerprint_id FROM log_pattern WHERE pattern LIKE 'note by <%'")
    );
    // It is said: in the run, and in the metrics.
    assert_eq!(
        db.column(
            "SELECT stats #>> '{records,coarse_logs}' FROM etl_job_run WHERE job = 'oo-agg' ORDER BY window_from"
        ),
        ["<null>", "5", "5", "5"]
    );
    let metrics = db.text("SELECT etl_metrics()");
    for line in [
        "observe_bridge_log_patterns{tenant=\"default\"} 7\n",
        "observe_bridge_log_patterns_limit{tenant=\"default\"} 6\n",
        "observe_bridge_coarse_logs_per_hour{tenant=\"default\"} ",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
    // A replay says the same, also of the first window, whose patterns are known.
    let before = db.rows("SELECT bucket, fingerprint_id, count_total FROM log_pattern_5m ORDER BY 1, 2");
    for minute in [18, 0, 6] {
        ingest(&mut db, minute);
    }
    assert_eq!(
        db.rows("SELECT bucket, fingerprint_id, count_total FROM log_pattern_5m ORDER BY 1, 2"),
        before
    );
    // Once there are twice as many as allowed, one pattern stands for all others.
    db.exec("UPDATE dim_tenant SET max_patterns = 2; DELETE FROM log_pattern WHERE pattern LIKE 'note by <%'");
    ingest(&mut db, 18);
    assert_eq!(
        db.column(&format!("SELECT p.pattern FROM log_pattern_5m l JOIN log_pattern p USING (tenant_id, fingerprint_id) WHERE l.bucket = {} ORDER BY 1", literal(T0 + 15 * MINUTE))),
        ["<*>", "all is well in every shop"]
    );
    // With room again, lines are told apart again.
    db.exec("UPDATE dim_tenant SET max_patterns = 0");
    ingest(&mut db, 18);
    assert_eq!(
        db.int(&format!(
            "SELECT count(*) FROM log_pattern_5m WHERE bucket = {}",
            literal(T0 + 15 * MINUTE)
        )),
        6
    );
}
