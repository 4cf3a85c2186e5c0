//! `oo_stream` and `oo_search`: records as they are, over real sockets.

use blackbox::bridge::{add_mock, add_openobserve, add_source, bridge, install, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, Fault, OpenObserve, PASSWORD, Record, Scope, Store, USER};
use blackbox::places::{Place, Way};
use blackbox::session::{Session, SqlError};
use blackbox::telemetry::{CALLS, LOGS, MINUTE, POINTS, SECOND, T0, log, minutes};
use blackbox::wait::wait_until;
use blackbox::workers::PATIENCE;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The time of the tests as arguments.
const HOUR: &str = "'2026-01-05 10:00Z', '2026-01-05 11:00Z'";

fn records(db: &mut Session, sql: &str) -> Vec<Value> {
    let found = db.column(sql);
    found
        .iter()
        .map(|r| serde_json::from_str(r).expect("a record is JSON"))
        .collect()
}

/// A server `oo` with the records as the superuser's source.
fn scene(cluster: &Cluster, name: &str, store: Store) -> (Session, OpenObserve) {
    let oo = OpenObserve::serve(store);
    let mut db = bridge(cluster, name);
    add_openobserve(&mut db, &oo);
    (db, oo)
}

/// So many lines, spread over an hour.
fn many(lines: i64) -> Store {
    let mut store = Store::default();
    for n in 0..lines {
        store.add(
            Dataset::Logs,
            "default",
            log(T0 + n * 60 * MINUTE / lines, "web", "INFO", &format!("line {n}")),
        );
    }
    store
}

/// A statement that hangs in the server is given up when it is cancelled.
#[track_caller]
fn cancelled_while_it_hangs(cluster: &Cluster, db: &mut Session, name: &str, oo: &OpenObserve, statement: &str) {
    oo.fail(Scope::Searches, Fault::Hang);
    let mut other = cluster.session(name);
    let pid = other.pid();
    std::thread::scope(|scope| {
        let refused = scope.spawn(move || (other.refused(statement).sqlstate, other.int("SELECT 1")));
        wait_until("the request hangs", PATIENCE, || oo.stuck() > 0);
        db.exec(&format!("SELECT pg_cancel_backend({pid})"));
        assert_eq!(
            refused.join().expect("an answer"),
            ("57014".to_string(), 1),
            "and the session goes on"
        );
    });
    wait_until("the thread lets go of the server", PATIENCE, || oo.stuck() == 0);
    oo.heal();
}

#[test]
fn every_record_comes_once_and_in_one_form() {
    let cluster = Cluster::without_workers();
    let mut store = minutes(3);
    let secret = log(T0, "web", "INFO", "login password=hunter2").with("api_key", Some("hunter2".into()));
    store.add(Dataset::Logs, "default", secret);
    store.add(
        Dataset::Logs,
        "default",
        log(T0, "web", "INFO", "no body").with("body", None),
    );
    let (mut db, _oo) = scene(&cluster, "form", store);
    let all = records(&mut db, &format!("SELECT oo_stream('default', {HOUR})"));
    let mut kinds: BTreeMap<&str, i64> = BTreeMap::new();
    for record in &all {
        *kinds.entry(record["kind"].as_str().expect("a kind")).or_default() += 1;
    }
    assert_eq!(
        kinds,
        BTreeMap::from([("log", 3 * LOGS + 1), ("metric", 3 * POINTS), ("span", 6 * CALLS)])
    );
    let whole: BTreeSet<String> = all.iter().map(Value::to_string).collect();
    assert_eq!(whole.len(), all.len(), "none twice");
    let point = all.iter().find(|r| r["kind"] == "metric").expect("a point");
    assert_eq!(
        *point,
        json!({
            "kind": "metric", "time": "2026-01-05T10:00:10.000000Z", "urn": "urn:svc:web", "metric": "cpu", "value": 1.0,
            "server": "oo", "stream": "cpu", "attrs": { "service_name": "web" },
        })
    );
    assert!(!whole.iter().any(|r| r.contains("hunter2")), "secrets are masked");
    let said = "WARNING: records left out because they cannot be used: 1, the first with missing_body";
    assert_eq!(db.notices(), [said]);
    // A part of the time, and of the kinds; the first instant belongs to it, the last does not.
    let part = "SELECT oo_stream('default', '2026-01-05 10:01Z', '2026-01-05 10:02Z', '{span,metric}')";
    assert_eq!(records(&mut db, part).len() as i64, POINTS + 2 * CALLS);
    assert_eq!(
        db.int("SELECT count(*) FROM oo_stream('default', '2026-01-05 10:00Z', '2026-01-05 10:00Z')"),
        0
    );
    assert_eq!(
        db.int(&format!("SELECT count(*) FROM oo_stream('default', {HOUR}, '{{}}')")),
        0
    );
}

/// What the JSON library would not read again comes all the same, as its text.
#[test]
fn no_good_record_is_left_out() {
    let cluster = Cluster::without_workers();
    let mut store = minutes(1);
    let nested = (0..125).fold(json!("end"), |inner, _| json!([inner]));
    let deep = log(T0 + 3, "web", "INFO", "deep").with("nested", Some(nested.clone()));
    store.add(Dataset::Logs, "default", deep.with("api_key", Some("hunter2".into())));
    let (mut db, _oo) = scene(&cluster, "deep", store);
    let all = records(&mut db, &format!("SELECT oo_stream('default', {HOUR}, '{{log}}')"));
    assert_eq!(all.len() as i64, LOGS + 1);
    let found = all.iter().find(|r| r["body"] == "deep").expect("the deep one");
    let raw = found["attrs"]["raw"].as_str().expect("its text");
    assert!(raw.contains(&nested.to_string()) && !raw.contains("hunter2"), "{raw}");
    assert_eq!(db.notices(), [""; 0]);
}

#[test]
fn all_sources_of_the_tenant_are_read() {
    let cluster = Cluster::without_workers();
    let folder = cluster.make_folder("telemetry");
    let line = json!({ "_timestamp": T0 + 5, "service_name": "files", "body": "from a file" });
    std::fs::write(folder.join("logs.ndjson"), format!("{line}\nno json\n")).expect("the file");
    cluster.set("observe_bridge.file_roots", &folder.to_string_lossy());
    let mut db = cluster.database("sources");
    install(&mut db);
    add_mock(&mut db);
    db.exec(&format!(
        "CREATE SERVER files FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '{}', layout 'plain')",
        folder.display()
    ));
    add_source(&mut db, "files", "{}");
    let of = db.rows(
        "SELECT r ->> 'server', r ->> 'kind', count(*) FROM oo_stream('default', '2026-01-05 10:00Z', '2026-01-05 10:01Z') r
          GROUP BY 1, 2 ORDER BY 1, 2",
    );
    assert_eq!(
        of,
        [
            ["files", "log", "1"],
            ["mock", "log", "5000"],
            ["mock", "metric", "500"],
            ["mock", "span", "1000"]
        ]
    );
}

#[test]
fn objects_are_streamed_wherever_they_lie() {
    let cluster = Cluster::without_workers();
    for way in Way::ALL {
        let place = Place::new(&cluster, way);
        let mut db = bridge(&cluster, way.name());
        (0..3).for_each(|minute| place.put(minute, 0, 20));
        place.put(1, 30, 7);
        place.add_to(&mut db);
        let mut bodies = |range: &str, kinds: &str| {
            let sql = format!("SELECT r ->> 'body' FROM oo_stream('default', {range}, '{kinds}') r");
            let all = db.column(&sql);
            (all.len(), all.into_iter().collect::<BTreeSet<_>>().len())
        };
        assert_eq!(bodies(HOUR, "{log,metric,span}"), (67, 67), "{way:?}");
        assert_eq!(
            bodies("'2026-01-05 10:01Z', '2026-01-05 10:02Z'", "{log}"),
            (27, 27),
            "{way:?}"
        );
        assert_eq!(
            bodies("'2026-01-05 10:01:10Z', '2026-01-05 10:01:31Z'", "{log}"),
            (11, 11),
            "{way:?}"
        );
        assert_eq!(bodies(HOUR, "{span,metric}"), (0, 0), "{way:?}");
        let one = records(
            &mut db,
            "SELECT oo_stream('default', '2026-01-05 10:00Z', '2026-01-05 10:00:01Z')",
        );
        let (body, server) = (&one[0]["body"], &one[0]["server"]);
        assert_eq!(
            (one.len(), body, server),
            (1, &json!("line 0 0 0"), &json!("lake")),
            "{way:?}"
        );
    }
}

#[test]
fn the_first_records_of_many_come_soon_and_cost_little() {
    let cluster = Cluster::without_workers();
    let (mut db, oo) = scene(&cluster, "many", many(100_000));
    let before = oo.requests();
    assert_eq!(
        records(&mut db, &format!("SELECT oo_stream('default', {HOUR}) LIMIT 5")).len(),
        5
    );
    // The list of streams and a few pages ahead of the reader, of about forty.
    assert!(oo.requests() - before < 20, "{} requests", oo.requests() - before);
    // The thread has gone with the statement: nothing asks any more.
    let held =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND datname = 'many'";
    assert_eq!(db.int(held), 0);
    let all = db.rows(&format!(
        "SELECT count(*), count(DISTINCT r) FROM oo_stream('default', {HOUR}) r"
    ));
    assert_eq!(all, [["100000", "100000"]]);

    // A cursor: rows as they are fetched, and the rest is given up with it.
    db.exec(&format!(
        "BEGIN; DECLARE c CURSOR FOR SELECT oo_stream('default', {HOUR})"
    ));
    assert_eq!(db.rows("FETCH 7 FROM c").len(), 7);
    db.exec("CLOSE c; COMMIT");
    assert_eq!(
        db.int(&format!(
            "SELECT count(*) FROM oo_search('oo', 'logs', 'SELECT * FROM \"default\"', {HOUR}, 30000)"
        )),
        30_000
    );
    let newest = records(
        &mut db,
        &format!("SELECT oo_search('oo', 'logs', 'SELECT body FROM \"default\"', {HOUR}, 3)"),
    );
    assert_eq!(newest[0]["body"], "line 99999");
}

#[test]
fn memory_is_bounded_by_the_limit_of_a_worker() {
    let cluster = Cluster::without_workers();
    cluster.set("observe_bridge.worker_memory_limit", "32MB");
    let (mut db, _oo) = scene(&cluster, "flat", many(100_000));
    assert_eq!(
        db.int(&format!("SELECT count(*) FROM (SELECT oo_stream('default', {HOUR})) r")),
        100_000
    );
    // One answer of all rows is larger than that.
    let mut store = Store::default();
    for n in 0..6_000 {
        store.add(
            Dataset::Logs,
            "default",
            log(T0 + n, "web", "INFO", &"x".repeat(10_000)),
        );
    }
    let (mut db, _oo) = scene(&cluster, "fat", store);
    let e = db.refused(&format!(
        "SELECT oo_search('oo', 'logs', 'SELECT * FROM \"default\"', {HOUR})"
    ));
    assert_eq!(e.sqlstate, "53200", "{e}");
}

#[test]
fn a_cancel_does_not_wait_for_the_server() {
    let cluster = Cluster::without_workers();
    let (mut db, oo) = scene(&cluster, "cancel", minutes(2));
    let stream = format!("SELECT oo_stream('default', {HOUR})");
    cancelled_while_it_hangs(&cluster, &mut db, "cancel", &oo, &stream);
    let search = format!("SELECT oo_search('oo', 'logs', 'SELECT * FROM \"default\"', {HOUR})");
    cancelled_while_it_hangs(&cluster, &mut db, "cancel", &oo, &search);
    oo.fail(Scope::Searches, Fault::Hang);
    db.exec("SET statement_timeout = '200ms'");
    assert_eq!(db.refused(&stream).sqlstate, "57014");
    oo.heal();
}

#[test]
fn what_goes_wrong_at_the_server_is_said() {
    let cluster = Cluster::without_workers();
    let (mut db, mut oo) = scene(&cluster, "wrong", minutes(2));
    let ask = |db: &mut Session, sql: &str| -> SqlError {
        let e = db.refused(&format!("SELECT oo_search('oo', 'logs', '{sql}', {HOUR})"));
        assert!(
            !e.hint.is_empty() && !e.detail.is_empty() && !e.to_string().contains(PASSWORD),
            "{e}"
        );
        e
    };
    let e = ask(&mut db, "SELEKT password=hunter2");
    assert!(
        e.sqlstate == "HV000" && e.detail.contains("SQL not valid") && e.hint.contains("SQL"),
        "{e}"
    );
    assert!(!e.to_string().contains("hunter2"), "{e}");
    let e = ask(&mut db, "SELECT nothing FROM \"default\"");
    assert!(e.detail.contains("nothing"), "{e}");
    assert_eq!(ask(&mut db, "SELECT * FROM \"absent\"").sqlstate, "42704");
    oo.fail(Scope::Searches, Fault::Partial);
    assert!(ask(&mut db, "SELECT * FROM \"default\"").message.contains("incomplete"));
    let stream = format!("SELECT oo_stream('default', {HOUR})");
    assert!(db.refused(&stream).message.contains("incomplete"));
    oo.fail(Scope::Searches, Fault::Cut);
    for _ in 0..2 {
        assert!(["08001", "08006", "08P01"].contains(&ask(&mut db, "SELECT * FROM \"default\"").sqlstate.as_str()));
        assert!(["08001", "08006", "08P01"].contains(&db.refused(&stream).sqlstate.as_str()));
    }
    oo.fail(Scope::Searches, Fault::Status(503, None));
    assert!(
        ask(&mut db, "SELECT * FROM \"default\"")
            .message
            .contains("cannot answer now")
    );
    oo.heal();
    oo.close();
    assert_eq!(ask(&mut db, "SELECT * FROM \"default\"").sqlstate, "08001");
}

#[test]
fn questions_that_group_are_answered_by_the_server() {
    let cluster = Cluster::without_workers();
    let (mut db, _oo) = scene(&cluster, "group", minutes(3));
    let sql =
        "SELECT histogram(_timestamp, ''1 minute'') AS minute, count(*) AS records FROM \"default\" GROUP BY minute";
    for rows in [2, 3, 100_000] {
        let got = records(
            &mut db,
            &format!("SELECT oo_search('oo', 'logs', '{sql}', {HOUR}, {rows})"),
        );
        assert_eq!(got.len(), rows.min(3));
        assert_eq!(got[0], json!({ "minute": "2026-01-05T10:00:00", "records": LOGS }));
    }
    assert_eq!(
        db.int(&format!(
            "SELECT count(*) FROM oo_search('oo', 'logs', '{sql}', {HOUR}, 0)"
        )),
        0
    );
    let metrics = format!("SELECT count(*) FROM oo_search('oo', 'metrics', 'SELECT * FROM \"cpu\"', {HOUR})");
    assert_eq!(db.int(&metrics), 3 * POINTS);
}

#[test]
fn wrong_arguments_are_refused_and_the_right_ones_named() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "arguments");
    add_mock(&mut db);
    for (statement, sqlstate, hinted) in [
        (
            format!("oo_search('mock', 'logs', 'SELECT 1', {HOUR})"),
            "42809",
            "oo_stream",
        ),
        (
            format!("oo_search('absent', 'logs', 'SELECT 1', {HOUR})"),
            "42704",
            "CREATE SERVER",
        ),
        (
            format!("oo_search('mock', 'spans', 'SELECT 1', {HOUR})"),
            "22023",
            "logs, metrics or traces",
        ),
        (format!("oo_search('mock', 'logs', ' ', {HOUR})"), "22023", "SELECT"),
        (
            format!("oo_search('mock', 'logs', 'SELECT 1', {HOUR}, -1)"),
            "22023",
            "10,000",
        ),
        (
            "oo_search('mock', 'logs', 'SELECT 1', now(), 'infinity')".to_string(),
            "22023",
            "now()",
        ),
        (
            "oo_search(NULL, NULL, NULL, NULL, NULL)".to_string(),
            "22023",
            "logs, metrics or traces",
        ),
        (
            "oo_stream('default', now(), now() - interval '1 s')".to_string(),
            "22023",
            "now()",
        ),
        ("oo_stream('default', NULL, now())".to_string(), "22023", "now()"),
        (
            format!("oo_stream('default', {HOUR}, '{{logs}}')"),
            "22023",
            "log, metric and span",
        ),
        (format!("oo_stream('nobody', {HOUR})"), "42704", "dim_tenant"),
    ] {
        let e = db.refused(&format!("SELECT {statement}"));
        assert_eq!(e.sqlstate, sqlstate, "{statement}: {e}");
        assert!(e.hint.contains(hinted), "{statement}: {e}");
    }
}

#[test]
fn everybody_asks_with_rights_of_their_own() {
    let cluster = Cluster::without_workers();
    let (mut db, oo) = scene(&cluster, "rights", minutes(1));
    db.exec(
        "CREATE ROLE olga LOGIN IN ROLE observe_bridge_operator; CREATE ROLE oskar LOGIN IN ROLE observe_bridge_operator;
         CREATE ROLE rita LOGIN IN ROLE observe_bridge_reader; GRANT USAGE ON FOREIGN SERVER oo TO olga, rita",
    );
    let search = format!("SELECT count(*) FROM oo_search('oo', 'logs', 'SELECT * FROM \"default\"', {HOUR})");
    let stream = format!("SELECT count(*) FROM oo_stream('default', {HOUR})");
    let mut rita = cluster.session_as("rita", "rights");
    for statement in [&search, &stream] {
        assert_eq!(rita.refused(statement).sqlstate, "42501", "a reader reaches no server");
    }
    let mut oskar = cluster.session_as("oskar", "rights");
    let e = oskar.refused(&search);
    assert!(e.sqlstate == "42501" && e.hint.contains("GRANT USAGE"), "{e}");
    // Olga may use the server, but not the superuser's mapping.
    let mut olga = cluster.session_as("olga", "rights");
    assert_eq!(olga.refused(&search).sqlstate, "28000");
    db.exec(&format!(
        "CREATE USER MAPPING FOR olga SERVER oo OPTIONS (username '{USER}', password '{PASSWORD}')"
    ));
    assert_eq!(olga.int(&search), LOGS);
    // What the tenant's sources may read, an operator may see.
    assert_eq!(oskar.int(&stream), LOGS + POINTS + 2 * CALLS);
    // Nobody borrows rights: a SQL job asks as its owner, whoever runs it.
    db.exec("CREATE TABLE found (n bigint); GRANT INSERT ON found TO oskar");
    oskar.exec(
        "SELECT etl_job_create(name => 'peek', align => '1 hour', run_interval => '0',
            command => $$WITH hit AS (SELECT * FROM public.oo_search('oo', 'logs', 'SELECT * FROM \"default\"', $2, $3)),
                              kept AS (INSERT INTO public.found SELECT count(*) FROM hit RETURNING n)
                         SELECT n FROM kept WHERE $1 > 0$$)",
    );
    db.exec(&format!("SELECT etl_enqueue('peek', 'default', {HOUR})"));
    run(&mut db);
    let outcome = db.rows("SELECT status, error ->> 'sqlstate' FROM etl_job_run WHERE job = 'peek'");
    assert_eq!(outcome, [["failed", "42501"]]);
    assert_eq!(db.int("SELECT count(*) FROM found"), 0);
    drop(oo);
}

#[test]
fn equal_times_are_neither_lost_nor_doubled() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    // More in one microsecond than a page holds, and others around it.
    for n in 0..12_000 {
        let at = T0 + if n % 2 == 0 { 0 } else { n * SECOND / 100 };
        store.add(
            Dataset::Logs,
            "default",
            Record::new(at, json!({ "body": format!("line {n}") })),
        );
    }
    let (mut db, _oo) = scene(&cluster, "equal", store);
    let seen = db.rows(&format!(
        "SELECT count(*), count(DISTINCT r ->> 'body') FROM oo_stream('default', {HOUR}) r"
    ));
    assert_eq!(seen, [["12000", "12000"]]);
    let seen = db.rows(&format!(
        "SELECT count(*), count(DISTINCT r ->> 'body') FROM oo_search('oo', 'logs', 'SELECT * FROM \"default\"', {HOUR}, 50000) r"
    ));
    assert_eq!(seen, [["12000", "12000"]]);
}
