//! Sources of kind `s3` in a database, against a real S3 server.

use blackbox::bridge::{add_http, add_source, assert_minutes, assert_nothing_written, bridge, count, enqueue, run};
use blackbox::cluster::{Cluster, Shutdown};
use blackbox::metadata::{LiveObject, Metadata, READER, READER_PASSWORD};
use blackbox::openobserve::{OpenObserve, PASSWORD, Store, USER};
use blackbox::places::{Place, Way};
use blackbox::s3::{ACCESS_KEY, BUCKET, S3, SECRET_KEY, put_minute};
use blackbox::session::Session;
use blackbox::telemetry::{LOGS, MINUTE, SECOND, T0, minute};
use blackbox::wait::wait_until;
use std::net::TcpListener;
use std::time::Duration;

fn add_bucket(db: &mut Session, s3: &S3, secret: &str, options: &str) {
    db.exec(&format!(
        "CREATE SERVER lake FOREIGN DATA WRAPPER observe_bridge
             OPTIONS (kind 's3', endpoint '{}', bucket '{BUCKET}', prefix 'lake/', layout 'hive');
         CREATE USER MAPPING FOR CURRENT_USER SERVER lake
             OPTIONS (access_key_id '{ACCESS_KEY}', secret_access_key '{secret}')",
        s3.endpoint()
    ));
    add_source(db, "lake", options);
}

#[test]
fn one_source_with_two_doors() {
    let cluster = Cluster::without_workers();
    let (mut old, mut new) = (Store::default(), Store::default());
    (0..3).for_each(|n| minute(&mut old, T0 + n * MINUTE));
    (2..4).for_each(|n| minute(&mut new, T0 + n * MINUTE));
    let s3 = S3::serve();
    put_minute(&s3, &old, 0, usize::MAX);
    put_minute(&s3, &old, 1, usize::MAX);
    // The first objects of a minute that has not settled.
    put_minute(&s3, &old, 2, 1);
    // Has nothing of the first two minutes.
    let oo = OpenObserve::serve(new);
    let mut db = bridge(&cluster, "doors");
    db.exec(&format!(
        "CREATE SERVER oo FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'openobserve', endpoint '{}');
         CREATE USER MAPPING FOR CURRENT_USER SERVER oo OPTIONS (username '{USER}', password '{PASSWORD}')",
        oo.endpoint()
    ));
    // It is 11:00, the windows are those from 10:00 on.
    add_bucket(&mut db, &s3, SECRET_KEY, r#"{"settle": "58 min", "fallback": "oo"}"#);
    enqueue(&mut db, T0, 4);
    run(&mut db);
    assert_minutes(&mut db, 4);
    let doors = db.rows(
        "SELECT bucket, count(DISTINCT t_from), bool_and(object_key LIKE 'lake/%'), min(t_from) FROM oo_locator
          GROUP BY bucket ORDER BY bucket",
    );
    let door = |i: usize| doors[i][..3].to_vec();
    assert_eq!(
        (door(0), door(1)),
        (
            vec!["lake".into(), "2".into(), "t".into()],
            vec!["oo".into(), "2".into(), "f".into()]
        )
    );
    // Both doors lead back to the records.
    for locator in db.column("SELECT id FROM oo_locator WHERE dataset = 'logs'") {
        assert_eq!(db.int(&format!("SELECT count(*) FROM oo_replay({locator})")), LOGS);
        let some = |filter: &str| format!("SELECT count(*) FROM oo_replay({locator}, filter => '{filter}')");
        assert_eq!(db.int(&some(r#"{"body": "nobody wrote this"}"#)), 0);
    }
    // The sources may change, the facts are replaced by what the bucket has by then.
    put_minute(&s3, &old, 2, usize::MAX);
    db.exec("UPDATE etl_source SET options = '{\"settle\": \"57 min\", \"fallback\": \"oo\"}'");
    enqueue(&mut db, T0, 4);
    run(&mut db);
    assert_minutes(&mut db, 4);
}

#[test]
fn a_window_that_has_not_settled_waits() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    minute(&mut store, T0);
    let s3 = S3::serve();
    put_minute(&s3, &store, 0, usize::MAX);
    let mut db = bridge(&cluster, "waits");
    add_bucket(&mut db, &s3, SECRET_KEY, r#"{"settle": "60 min"}"#);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_nothing_written(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "failed"), 0, "it is tried again");
    let error = db.json("SELECT error FROM etl_job_run WHERE job = 'oo-agg'");
    assert!(
        error["hint"].as_str().is_some_and(|h| h.contains("fallback")),
        "{error}"
    );
    db.exec("SET observe_bridge.clock = '2026-01-05 11:02:00+00'");
    db.exec("SELECT etl_retry(run_id) FROM etl_job_run WHERE job = 'oo-agg' AND status <> 'success'");
    run(&mut db);
    assert_minutes(&mut db, 1);
}

#[test]
fn windows_that_have_not_settled_hold_up_none_that_have() {
    let cluster = Cluster::without_workers();
    let s3 = S3::serve();
    let mut store = Store::default();
    (0..8).for_each(|n| minute(&mut store, T0 + n * MINUTE));
    (0..8).for_each(|n| put_minute(&s3, &store, n, usize::MAX));
    let mut db = bridge(&cluster, "young");
    db.exec("UPDATE etl_job SET concurrency = 1 WHERE name = 'oo-agg'");
    // It is 11:00: five of the eight windows, which are claimed as one batch, are older than 55 minutes.
    add_bucket(&mut db, &s3, SECRET_KEY, r#"{"settle": "55 min"}"#);
    enqueue(&mut db, T0, 8);
    run(&mut db);
    assert_minutes(&mut db, 5);
    assert_eq!(count(&mut db, "oo-agg", "queued"), 3);
    assert_eq!(
        db.int("SELECT count(*) FROM etl_job_circuit WHERE state <> 'closed' OR failures > 0"),
        0,
        "nothing is wrong with the source"
    );
    db.exec("SET observe_bridge.clock = '2026-01-05 11:10:00+00'");
    run(&mut db);
    assert_minutes(&mut db, 8);
    assert_eq!(count(&mut db, "oo-agg", "failed"), 0);
}

#[test]
fn a_wrong_key_fails_at_once_and_stays_secret() {
    let cluster = Cluster::without_workers();
    let s3 = S3::serve();
    let mut db = bridge(&cluster, "wrong");
    add_bucket(&mut db, &s3, "Wrong/Secret+Key=1", "{}");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "failed"), 1);
    let error = db.json("SELECT error FROM etl_job_run WHERE job = 'oo-agg'");
    assert_eq!(error["sqlstate"], "28000");
    assert!(!error.to_string().contains("Wrong/Secret"), "{error}");
}

#[test]
fn options_that_do_not_fit_are_refused_when_a_source_is_added() {
    let cluster = Cluster::without_workers();
    let s3 = S3::serve();
    let mut db = bridge(&cluster, "options");
    add_bucket(&mut db, &s3, SECRET_KEY, "{}");
    add_http(&mut db, "http://127.0.0.1:1", USER, PASSWORD);
    let mut refused = |server: &str, options: &str, said: &str| {
        let refusal = db.refused(&format!(
            "SELECT etl_source_add(tenant => 'default', job => 'oo-agg', server => '{server}', options => '{options}')"
        ));
        assert!(refusal.message.contains(said) && !refusal.hint.is_empty(), "{refusal}");
    };
    refused("lake", r#"{"fallback": "nowhere"}"#, "nowhere");
    refused("lake", r#"{"fallback": "lake"}"#, "late itself");
    refused("oo", r#"{"settle": 60}"#, "kind s3");
    refused("lake", r#"{"settle": "soon"}"#, "settle");
}

/// A server in OpenObserve's layout whose live objects are told by the metadata database.
fn add_exact(db: &mut Session, s3: &S3, url: &str, password: &str) {
    db.exec(&format!(
        "CREATE SERVER exact FOREIGN DATA WRAPPER observe_bridge
             OPTIONS (kind 's3', endpoint '{}', bucket '{BUCKET}', metadata_url '{url}');
         CREATE USER MAPPING FOR CURRENT_USER SERVER exact OPTIONS (access_key_id '{ACCESS_KEY}',
             secret_access_key '{SECRET_KEY}', metadata_username '{READER}', metadata_password '{password}')",
        s3.endpoint()
    ));
    add_source(db, "exact", r#"{"settle": 0}"#);
}

#[test]
fn a_metadata_database_is_asked_and_its_password_stays_secret() {
    let cluster = Cluster::without_workers();
    let metadata = Metadata::create(&cluster);
    let s3 = S3::serve();
    let mut db = bridge(&cluster, "exact");
    add_exact(&mut db, &s3, &metadata.url(), "Wrong/Metadata");
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let error = db.json("SELECT error FROM etl_job_run WHERE job = 'oo-agg' AND status = 'failed'");
    assert_eq!(error["sqlstate"], "28000");
    assert!(!error.to_string().contains("Wrong/"), "{error}");
    db.exec(&format!(
        "ALTER USER MAPPING FOR CURRENT_USER SERVER exact OPTIONS (SET metadata_password '{READER_PASSWORD}');
         SELECT etl_retry(run_id) FROM etl_job_run WHERE job = 'oo-agg'"
    ));
    run(&mut db);
    assert_eq!(count(&mut db, "oo-agg", "success"), 1);
    assert_eq!(s3.lists(), 0, "an empty table is an empty bucket");
    assert!(!cluster.log().contains(READER_PASSWORD) && !cluster.log().contains("Wrong/"));
    // Where the server trusts this machine, anybody would be anybody.
    db.exec("CREATE ROLE olga LOGIN IN ROLE observe_bridge_operator");
    let mut olga = cluster.session_as("olga", "exact");
    let options = format!("kind 's3', bucket 'b', metadata_url '{}'", metadata.url());
    let refused = olga.refused(&format!(
        "CREATE SERVER mine FOREIGN DATA WRAPPER observe_bridge OPTIONS ({options})"
    ));
    assert_eq!(refused.sqlstate, "42501");
    let hive = db.refused(
        "CREATE SERVER h FOREIGN DATA WRAPPER observe_bridge
             OPTIONS (kind 's3', bucket 'b', layout 'hive', metadata_url 'postgres://127.0.0.1/x')",
    );
    assert!(hive.message.contains("layout openobserve"), "{hive}");
    let template = db.refused(
        "CREATE SERVER h FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 's3', bucket 'b', path_template 'dataset/foo=')",
    );
    assert!(
        template.message.contains("foo") && !template.hint.is_empty(),
        "{template}"
    );
}

#[test]
fn oo_replay_asks_the_metadata_database_what_is_live() {
    let cluster = Cluster::without_workers();
    let mut metadata = Metadata::create(&cluster);
    let place = Place::new(&cluster, Way::OpenObserve);
    let mut db = bridge(&cluster, "exact");
    let s3 = place.s3().expect("a bucket");
    add_exact(&mut db, s3, &metadata.url(), READER_PASSWORD);
    db.exec("ALTER SERVER exact OPTIONS (ADD prefix 'lake/')");
    // Objects of ten lines each, from these seconds on.
    let mut put = |number: i64| {
        let path = place.put_stream("app", 0, number, 10);
        let from = T0 + number * SECOND;
        metadata.add(&LiveObject {
            stream: "default/logs/app",
            date: "2026/01/05/10",
            file: &path.file_name().expect("a name").to_string_lossy(),
            times: (from, from + 9 * SECOND),
            size: std::fs::metadata(&path).expect("the object").len() as usize,
        });
        path
    };
    let (first, second) = (put(0), put(10));
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let replay = "SELECT count(*) FROM oo_replay((SELECT max(sample_ref) FROM log_pattern_5m))";
    assert_eq!(db.int(replay), 20);
    assert_eq!(db.notices(), [""; 0]);
    // One is merged away: where its lines are, the table does not say.
    let gone = |metadata: &mut Metadata, path: &std::path::Path| {
        metadata.remove(&path.file_name().expect("a name").to_string_lossy());
        assert!(path.exists(), "it still lies in the bucket");
    };
    gone(&mut metadata, &first);
    assert_eq!(db.int(replay), 10);
    let said = db.notices();
    assert!(said.len() == 1 && said[0].contains("gone: at least 10"), "{said:?}");
    gone(&mut metadata, &second);
    let refused = db.refused(replay);
    assert!(refused.sqlstate == "P0002" && !refused.hint.is_empty(), "{refused}");
    assert_eq!(s3.lists(), 0);
}

#[test]
fn a_metadata_database_that_hangs_does_not_hold_up_a_shutdown() {
    let mut cluster = Cluster::with_workers();
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let s3 = S3::serve();
    let mut db = cluster.database("hangs");
    db.exec("CREATE EXTENSION observe_bridge");
    let url = format!("postgres://{}/openobserve", silent.local_addr().expect("its port"));
    add_exact(&mut db, &s3, &url, READER_PASSWORD);
    let held = silent.accept().expect("a runner asks");
    wait_until("the run is under way", Duration::from_secs(30), || {
        count(&mut db, "oo-agg", "running") > 0
    });
    drop(db);
    // Less than the runner would wait for an answer.
    cluster.stop(Shutdown::Fast, Duration::from_secs(10));
    drop(held);
}
