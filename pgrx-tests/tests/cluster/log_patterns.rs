//! `log_patterns()` and `log_pattern_diff()`: what was logged in a range, and what differs between two.

use blackbox::bridge::{add_openobserve, bridge, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, OpenObserve, Record, Store};
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, SECOND, T0, literal, log};
use serde_json::json;

/// A database that has ingested so many minutes of a store.
fn ingested(cluster: &Cluster, name: &str, store: Store, minutes: i64) -> Session {
    let oo = OpenObserve::serve(store);
    let mut db = bridge(cluster, name);
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, minutes);
    run(&mut db);
    db
}

/// Adds `count` lines to a minute, each with a number that varies.
fn lines(store: &mut Store, minute: i64, service: &str, severity: &str, text: &str, count: i64) {
    for n in 0..count {
        let at = T0 + minute * MINUTE + n;
        store.add(
            Dataset::Logs,
            "default",
            log(at, service, severity, &format!("{text} {n}")),
        );
    }
}

#[test]
fn patterns_of_a_range_come_with_all_that_is_known_of_them() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    for (minute, topic) in ["orders", "carts", "users", "stock", "prices"].iter().enumerate() {
        let text = format!("consumer for topic {topic} is up and waits for message");
        lines(&mut store, minute as i64, "shop", "info", &text, 2);
    }
    lines(&mut store, 1, "pay", "error", "payment was refused by bank", 3);
    lines(&mut store, 1, "shop", "warn", "payment was refused by bank", 1);
    lines(&mut store, 7, "web", "info", "cache has 100% of room_left", 1);
    let mut db = ingested(&cluster, "range", store, 8);
    let (from, to) = (literal(T0), literal(T0 + 10 * MINUTE));

    let columns = "pattern, fingerprints, max_severity, count, errors, error_share, services, is_new, extract(epoch FROM range_last - range_first)::int / 60";
    assert_eq!(
        db.rows(&format!("SELECT {columns} FROM log_patterns('default', {from}, {to})")),
        [
            [
                "consumer for topic <*> is up and waits for message <*>",
                "5",
                "INFO",
                "10",
                "0",
                "0",
                "{shop}",
                "t",
                "5"
            ],
            [
                "payment was refused by bank <*>",
                "1",
                "ERROR",
                "4",
                "3",
                "0.75",
                "{pay,shop}",
                "t",
                "5"
            ],
            [
                "cache has <*>% of room_left <*>",
                "1",
                "INFO",
                "1",
                "0",
                "0",
                "{web}",
                "t",
                "5"
            ],
        ]
    );
    // By fingerprint every topic is a pattern of its own; the class is named all the same.
    let by = "by => 'fingerprint', min_count => 2";
    assert_eq!(
        db.rows(&format!(
            "SELECT count(*), count(DISTINCT class_id), sum(count) FROM log_patterns('default', {from}, {to}, {by})"
        )),
        [["6", "2", "14"]]
    );
    for (filter, found) in [
        ("service => 'pay'", "3"),
        ("service => 'urn:svc:shop'", "11"),
        ("service => 'nobody'", "<null>"),
        ("search => 'CONSUMER for topic stock'", "10"),
        ("search => 'by bank'", "4"),
        ("search => 'room_left'", "1"),
        ("search => 'roomXleft'", "<null>"),
        ("search => '%'", "1"),
        ("severity => 'warn'", "4"),
        ("severity => 'FATAL'", "<null>"),
        ("min_count => 4", "14"),
        ("\"limit\" => 1", "10"),
        ("only_new => true", "15"),
        ("only_new => true, new_since => to_timestamp(0)", "15"),
        (&format!("only_new => true, new_since => {}", literal(T0 + MINUTE)), "5"),
    ] {
        let sql = format!("SELECT sum(count) FROM log_patterns('default', {from}, {to}, {filter})");
        assert_eq!(db.text(&sql), found, "{filter}");
    }
    // Outward to 5 minutes; of the range, and ever.
    let second = format!("{}, {}", literal(T0 + 6 * MINUTE), literal(T0 + 6 * MINUTE + SECOND));
    assert_eq!(
        db.rows(&format!(
            "SELECT pattern, first_seen = {} FROM log_patterns('default', {second})",
            literal(T0 + 7 * MINUTE)
        )),
        [["cache has <*>% of room_left <*>", "t"]]
    );

    for (call, sqlstate, what) in [
        (format!("log_patterns('default', {to}, {from})"), "22023", "the range"),
        (format!("log_patterns('default', NULL, {to})"), "22023", "NULL"),
        (
            format!("log_patterns('default', '-infinity', {to})"),
            "22023",
            "infinity",
        ),
        (format!("log_patterns('nobody', {from}, {to})"), "42704", "nobody"),
        (
            format!("log_patterns('default', {from}, {to}, by => 'day')"),
            "22023",
            "'day'",
        ),
        (
            format!("log_patterns('default', {from}, {to}, severity => 'bad')"),
            "22023",
            "\"bad\"",
        ),
        (
            format!("log_pattern_diff('default', {from}, {to}, {from}, {to})"),
            "22023",
            "share",
        ),
    ] {
        let error = db.refused(&format!("SELECT * FROM {call}"));
        assert!(
            error.sqlstate == sqlstate && error.message.contains(what) && !error.hint.is_empty(),
            "{call}: {error}"
        );
    }
    db.exec("CREATE ROLE ann; GRANT observe_bridge_reader TO ann; SET ROLE ann");
    assert_eq!(
        db.int(&format!("SELECT count(*) FROM log_patterns('default', {from}, {to})")),
        3
    );
    assert_eq!(
        db.int(&format!(
            "SELECT count(*) FROM log_pattern_diff('default', {from}, {to}, {to}, {})",
            literal(T0 + 15 * MINUTE)
        )),
        0
    );
}

#[test]
fn a_pattern_is_as_old_as_its_oldest_line_however_late_it_came() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    for (minute, topic) in ["orders", "carts", "users", "stock", "prices"].iter().enumerate() {
        let text = format!("consumer for topic {topic} is up and waits for message");
        lines(&mut store, 5 * minute as i64, "shop", "info", &text, 1);
    }
    let oo = OpenObserve::serve(store);
    let mut db = bridge(&cluster, "late");
    add_openobserve(&mut db, &oo);
    let seen = "SELECT extract(epoch FROM first_seen)::bigint, is_new FROM log_patterns('default', $from, $to)";
    let seen = seen
        .replace("$from", &literal(T0 + 20 * MINUTE))
        .replace("$to", &literal(T0 + 25 * MINUTE));
    enqueue(&mut db, T0 + 5 * MINUTE, 20);
    run(&mut db);
    assert_eq!(
        db.rows(&seen),
        [[((T0 + 5 * MINUTE) / SECOND).to_string(), "f".to_string()]]
    );
    // The class had its own row when the oldest of its patterns came.
    enqueue(&mut db, T0, 5);
    run(&mut db);
    assert_eq!(db.rows(&seen), [[(T0 / SECOND).to_string(), "f".to_string()]]);
    // The range that knows the oldest line is where the class is new.
    let news = |minute: i64| {
        let (from, to) = (literal(T0 + minute * MINUTE), literal(T0 + (minute + 5) * MINUTE));
        format!("SELECT count(*) FROM log_patterns('default', {from}, {to}, only_new => true)")
    };
    assert_eq!([db.int(&news(0)), db.int(&news(5)), db.int(&news(20))], [1, 0, 0]);
}

#[test]
fn ranges_are_compared_by_rates_and_noise_does_not_show() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    for (minute, steady, noise, grows) in [(0, 50, 3, 5), (5, 55, 5, 40), (10, 50, 4, 40)] {
        lines(&mut store, minute, "shop", "info", "steady as ever, round", steady);
        lines(&mut store, minute, "shop", "info", "now and then, number", noise);
        lines(&mut store, minute, "shop", "error", "queue is full, dropped", grows);
    }
    lines(&mut store, 0, "web", "info", "old banner shown to visitor", 30);
    lines(&mut store, 0, "web", "info", "rare event of kind", 1);
    lines(&mut store, 5, "pay", "error", "new kind of trouble with card", 1);
    let mut db = ingested(&cluster, "diff", store, 15);
    let diff = |columns: &str, more: &str| {
        let at = |minute| literal(T0 + minute * MINUTE);
        format!(
            "SELECT {columns} FROM log_pattern_diff('default', {}, {}, {}, {}{more})",
            at(0),
            at(5),
            at(5),
            at(15)
        )
    };
    assert_eq!(
        db.rows(&diff(
            "change, pattern, services, count_a, count_b, round(ratio::numeric, 2), score > 0",
            ""
        )),
        [
            [
                "gone",
                "old banner shown to visitor <*>",
                "{web}",
                "30",
                "0",
                "0.00",
                "f"
            ],
            ["more", "queue is full, dropped <*>", "{shop}", "5", "80", "8.00", "t"],
            [
                "new",
                "new kind of trouble with card <*>",
                "{pay}",
                "0",
                "1",
                "<null>",
                "t"
            ],
        ]
    );
    // 5 lines in 300 s against 80 in 600 s: 85 lines, of which 28 1/3 and 56 2/3 were expected.
    let g: f64 = 2.0 * (5.0 * (5.0 / (85.0 / 3.0_f64)).ln() + 80.0 * (80.0 / (170.0 / 3.0_f64)).ln());
    let scores = db.column(&diff("score", ""));
    let found: f64 = scores[1].parse().unwrap_or(0.0);
    assert!((found - g.sqrt()).abs() < 1e-9, "{found} {}", g.sqrt());
    // Of two ranges that follow each other within a bucket, the bucket is the later one's; whichever way round.
    let within = |order: [i64; 4]| {
        let [a, b, c, d] = order.map(|second| literal(T0 + second * SECOND));
        format!(
            "SELECT change, count_a, count_b FROM log_pattern_diff('default', {a}, {b}, {c}, {d}) WHERE pattern LIKE 'queue%'"
        )
    };
    assert_eq!(db.rows(&within([0, 420, 420, 900])), [["more", "5", "80"]]);
    assert_eq!(db.rows(&within([420, 900, 0, 420])), [["less", "80", "5"]]);
    assert_eq!(db.refused(&within([0, 60, 120, 180])).sqlstate, "22023");
    // Everything, when asked for.
    assert_eq!(db.column(&diff("change", ", min_score => 0, min_ratio => 1")).len(), 6);
    assert_eq!(db.rows(&diff("change", ", \"limit\" => 1")), [["gone"]]);
}

#[test]
fn bodies_of_all_forms_become_patterns_with_a_severity_and_a_clean_sample() {
    let cluster = Cluster::without_workers();
    let bare = |at: i64, body: &str| Record::new(T0 + at, json!({ "service_name": "web", "body": body }));
    let mut store = Store::default();
    for (n, body) in [
        "2026-01-05 10:00:00,123 ERROR [main] shop.Cart - cart 17 is lost",
        "2026-01-05 10:00:07,456 ERROR [worker-3] shop.Cart - cart 18 is lost",
        "E0105 10:00:00.000001       7 disk.go:12] disk sda1 is full",
        "W/Battery(  512): battery is low, 7 percent",
        "java.lang.IllegalStateException: no room left\n\tat a.B.c(B.java:7)\n\tat a.D.e(D.java:9)",
        "java.lang.IllegalStateException: no room left\n\tat a.B.c(B.java:7)\n\tat a.F.g(F.java:1)\n\tat a.H.i(H.java:2)",
        "{\"level\":\"warn\",\"msg\":\"slow answer\",\"took\":17,\"password\":\"hunter2\"}",
        "{\"level\":\"warn\",\"msg\":\"slow answer\",\"took\":99,\"password\":\"hunter3\"}",
        "level=error msg=\"cannot log in\" user=ann password=hunter4",
        "level=error msg=\"cannot log in\" user=bob password=hunter5",
    ]
    .iter()
    .enumerate()
    {
        store.add(Dataset::Logs, "default", bare(n as i64, body));
    }
    // A field goes before what the line says.
    store.add(
        Dataset::Logs,
        "default",
        log(T0 + 20, "web", "fatal", "INFO going down"),
    );
    let mut db = ingested(&cluster, "bodies", store, 1);
    let found = db.rows(&format!(
        "SELECT max_severity, count, pattern FROM log_patterns('default', {}, {}, by => 'fingerprint') ORDER BY array_position('{{FATAL,ERROR,WARN}}', max_severity), pattern",
        literal(T0),
        literal(T0 + 5 * MINUTE)
    ));
    let of = |text: &str| -> Vec<&str> {
        let rows = found.iter().filter(|row| row[2].contains(text));
        rows.flat_map(|row| row[..2].iter().map(String::as_str)).collect()
    };
    for (text, expected) in [
        ("is lost", ["ERROR", "2"]),
        ("is full", ["ERROR", "1"]),
        ("battery is low", ["WARN", "1"]),
        ("no room left", ["<null>", "2"]),
        ("slow answer", ["WARN", "2"]),
        ("cannot log in", ["ERROR", "2"]),
        ("going down", ["FATAL", "1"]),
    ] {
        assert_eq!(of(text), expected, "{text}: {found:?}");
    }
    assert_eq!(found.len(), 7, "{found:?}");
    let stored = db.int("SELECT count(*) FROM log_pattern WHERE sample_message IS NOT NULL AND sample_message <> ''");
    assert_eq!(stored, 7);
    assert_eq!(
        db.int("SELECT count(*) FROM log_pattern p WHERE p::text LIKE '%hunter%'"),
        0
    );
}

#[test]
fn a_replay_touches_no_row_that_says_the_same() {
    let cluster = Cluster::without_workers();
    let all = |extra: i64| {
        let mut store = Store::default();
        lines(&mut store, 0, "shop", "info", "an order was taken", 3);
        lines(&mut store, 1, "pay", "error", "payment was refused by bank", 2 + extra);
        lines(&mut store, 1, "web", "info", "cache is empty", 1 - extra);
        store
    };
    let oo = OpenObserve::serve(all(0));
    let mut db = bridge(&cluster, "untouched");
    add_openobserve(&mut db, &oo);
    let ingest = |db: &mut Session| {
        enqueue(db, T0, 5);
        run(db);
        db.rows(
            "SELECT r.name, l.count_total, l.tableoid, l.ctid, l.xmin
               FROM log_pattern_5m l JOIN dim_resource r USING (resource_id) ORDER BY 1",
        )
    };
    let first = ingest(&mut db);
    assert_eq!(first.len(), 3);
    assert_eq!(ingest(&mut db), first, "neither an update nor a delete with an insert");
    // One row changes, one goes, the third stays where it is.
    oo.replace(all(1));
    let second = ingest(&mut db);
    let named = |rows: &[Vec<String>]| rows.iter().map(|r| r[..2].join(" ")).collect::<Vec<_>>();
    assert_eq!(named(&second), ["pay 3", "shop 3"]);
    assert_ne!(second[0], first[0]);
    assert_eq!(second[1], first[1]);
}
