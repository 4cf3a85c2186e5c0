//! Which objects count, as OpenObserve's metadata database says: a real database and a real bucket.

use super::bucket::{H22, HOUR, fetch, keys, name, replay, rows, source};
use super::source::error::ErrorKind;
use super::source::objects::testing::{Row, parquet};
use super::source::server::{self, Options};
use super::source::{self, Context, Locator, Sample, Selection, Source};
use blackbox::cluster::Cluster;
use blackbox::metadata::{DATABASE, LiveObject, Metadata, READER, READER_PASSWORD};
use blackbox::s3::S3;
use blackbox::wire::Authority;
use engine::window::{MINUTE_US, Window};
use serde_json::json;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DATE: &str = "2026/11/20/22";

fn file(age: u64) -> String {
    name(age).rsplit('/').next().unwrap().to_string()
}

/// Puts an object, and into the table if it is live.
fn put(s3: &S3, metadata: &mut Metadata, age: u64, rows: &[Row], live: bool) {
    let bytes = parquet(rows, 50);
    s3.put(&name(age), &bytes);
    if live {
        go_live(metadata, age, rows, bytes.len());
    }
}

fn go_live(metadata: &mut Metadata, age: u64, rows: &[Row], size: usize) {
    let times = (rows.first().unwrap().0, rows.last().unwrap().0);
    metadata.add(&LiveObject {
        stream: "default/logs/app",
        date: DATE,
        file: &file(age),
        times,
        size,
    });
}

fn with_metadata(s3: &S3, url: &str, password: &str) -> Source {
    let mut mapping = keys().to_vec();
    mapping.extend([("metadata_username", READER), ("metadata_password", password)]);
    source(
        &[("endpoint", &s3.endpoint()), ("metadata_url", url)],
        &mapping,
        json!({}),
    )
}

fn logs(source: &Source, window: Window) -> u64 {
    fetch(source, window).unwrap().stats.logs
}

#[test]
fn exactly_the_live_objects_count_and_nothing_is_listed() {
    let (cluster, s3) = (Cluster::without_workers(), S3::serve());
    let mut metadata = Metadata::create(&cluster);
    let source = with_metadata(&s3, &metadata.url(), READER_PASSWORD);
    assert_eq!(logs(&source, HOUR), 0, "an empty table");
    put(&s3, &mut metadata, 1, &rows(0, 100), true);
    put(&s3, &mut metadata, 2, &rows(100, 100), true);
    // The product lies there already, the table does not know it yet.
    put(&s3, &mut metadata, 3, &rows(0, 200), false);
    assert_eq!(logs(&source, HOUR), 200);
    // Now it takes the place of its sources, which stay in the bucket.
    metadata.exec("BEGIN; DELETE FROM file_list");
    go_live(
        &mut metadata,
        3,
        &rows(0, 200),
        std::fs::metadata(s3.path(&name(3))).unwrap().len() as usize,
    );
    metadata.exec("COMMIT");
    assert_eq!(logs(&source, HOUR), 200);
    // What a crash left behind, and what is marked as deleted.
    put(&s3, &mut metadata, 4, &rows(300, 50), false);
    put(&s3, &mut metadata, 5, &rows(400, 50), true);
    metadata.exec(&format!(
        "UPDATE file_list SET deleted = true WHERE file = '{}'",
        file(5)
    ));
    assert_eq!(logs(&source, HOUR), 200);
    // The same rows in two live objects were sent twice.
    put(&s3, &mut metadata, 6, &rows(0, 200), true);
    assert_eq!(logs(&source, HOUR), 400);
    // Another organization, another type, another stream.
    for stream in ["other/logs/app", "default/metrics/app", "default/logs/nginx"] {
        let (file, size) = (file(9), 1);
        let times = (H22, H22 + 1);
        metadata.add(&LiveObject {
            stream,
            date: DATE,
            file: &file,
            times,
            size,
        });
    }
    let only = Source {
        selection: Selection::parse(&json!({"logs": ["app"]})).unwrap(),
        ..source.clone()
    };
    assert_eq!(logs(&only, HOUR), 400);
    assert_eq!(s3.lists(), 0, "the table says it all");
}

#[test]
fn only_objects_of_the_window_are_read_and_other_formats_are_said() {
    let (cluster, s3) = (Cluster::without_workers(), S3::serve());
    let mut metadata = Metadata::create(&cluster);
    let source = with_metadata(&s3, &metadata.url(), READER_PASSWORD);
    put(&s3, &mut metadata, 1, &rows(0, 61), true);
    put(&s3, &mut metadata, 2, &rows(120, 60), true);
    assert_eq!(logs(&source, minute(1)), 1, "the last record is at 22:01:00");
    assert_eq!(
        s3.reads().iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(),
        [name(1)]
    );
    assert_eq!(logs(&source, minute(2)), 60);
    assert_eq!(logs(&source, minute(3)), 0);
    let (partition, vortex) = ("host=a/1.parquet", "2.vortex");
    for file in [partition, vortex] {
        let bytes = parquet(&rows(180, 60), 50);
        s3.put(&format!("files/default/logs/app/{DATE}/{file}"), &bytes);
        let times = (H22 + 3 * MINUTE_US, H22 + 4 * MINUTE_US - 1);
        metadata.add(&LiveObject {
            stream: "default/logs/app",
            date: DATE,
            file,
            times,
            size: bytes.len(),
        });
    }
    let stats = fetch(&source, minute(3)).unwrap().stats;
    assert_eq!((stats.logs, stats.unreadable), (60, 1));
    assert_eq!(fetch(&source, minute(2)).unwrap().stats.unreadable, 0);
}

/// Before the first object is read, the objects up to an age become one of age 9 with these rows, and are taken away.
fn merge_at_the_first_read(s3: &S3, metadata: Metadata, ages: u64, all: Vec<Row>) -> Arc<Mutex<Option<Metadata>>> {
    let (product, merged) = (s3.path(&name(9)), parquet(&all, 50));
    let sources: Vec<_> = (1..=ages).map(|age| s3.path(&name(age))).collect();
    let merging = Arc::new(Mutex::new(Some(metadata)));
    let hook = merging.clone();
    s3.before_get(move |_| {
        if let Some(mut metadata) = hook.lock().unwrap().take() {
            std::fs::write(&product, &merged).unwrap();
            let (all, size) = (all.clone(), merged.len());
            // The session waits for answers in its own way, which a thread of the server's does not allow.
            let merge = std::thread::spawn(move || {
                metadata.exec("BEGIN; DELETE FROM file_list");
                go_live(&mut metadata, 9, &all, size);
                metadata.exec("COMMIT");
            });
            merge.join().unwrap();
            sources.iter().for_each(|path| std::fs::remove_file(path).unwrap());
        }
    });
    merging
}

#[test]
fn an_object_that_vanished_makes_the_table_be_asked_again() {
    let (cluster, s3) = (Cluster::without_workers(), S3::serve());
    let mut metadata = Metadata::create(&cluster);
    let source = with_metadata(&s3, &metadata.url(), READER_PASSWORD);
    for age in 1..=3 {
        put(&s3, &mut metadata, age, &rows(age as i64 * 100, 100), true);
    }
    let merging = merge_at_the_first_read(&s3, metadata, 3, rows(100, 300));
    let stats = fetch(&source, HOUR).unwrap().stats;
    assert_eq!((stats.logs, stats.files), (300, 1));
    assert!(merging.lock().unwrap().is_none());
    // What the table names and nobody has: said, and tried again later.
    std::fs::remove_file(s3.path(&name(9))).unwrap();
    let lost = fetch(&source, HOUR).map(|_| ()).unwrap_err();
    assert!(lost.kind == ErrorKind::Gone && lost.is_transient(), "{lost:?}");
    assert!(lost.hint.unwrap().contains("metadata database"));
}

fn minute(n: i64) -> Window {
    Window::new(H22 + n * MINUTE_US, H22 + (n + 1) * MINUTE_US)
}

fn locators(source: &Source, window: Window) -> Vec<Locator> {
    fetch(source, window).unwrap().windows.remove(0).locators
}

fn numbered(from: i64, count: i64) -> Vec<String> {
    let mut all: Vec<String> = rows(from, count).into_iter().map(|(_, body)| body).collect();
    all.sort();
    all
}

/// Locators lead to what the table says is live, as the fetch did: what else lies in the bucket is nothing.
#[test]
fn a_replay_goes_by_the_table_too() {
    let (cluster, s3) = (Cluster::without_workers(), S3::serve());
    let mut metadata = Metadata::create(&cluster);
    let source = with_metadata(&s3, &metadata.url(), READER_PASSWORD);
    for age in 1..=3 {
        put(&s3, &mut metadata, age, &rows(age as i64 * 10, 10), true);
    }
    // Another stream of the same hour, in a folder of partition keys.
    let (nginx, other) = (format!("host=a/{}", file(1)), parquet(&rows(0, 5), 50));
    s3.put(&format!("files/default/logs/nginx/{DATE}/{nginx}"), &other);
    metadata.add(&LiveObject {
        stream: "default/logs/nginx",
        date: DATE,
        file: &nginx,
        times: (H22, H22 + 4_000_000),
        size: other.len(),
    });
    let found = locators(&source, minute(0));
    assert_eq!(found.len(), 4);
    let all = Sample::first(100);
    let (mut expected, nothing) = (numbered(0, 5), 0);
    expected.extend(numbered(10, 30));
    expected.sort();
    assert_eq!(replay(&source, &found, &all).unwrap(), (expected.clone(), nothing));

    // Merged: the sources stay for hours, and a crash left an object with rows of its own.
    put(&s3, &mut metadata, 5, &rows(50, 5), false);
    put(&s3, &mut metadata, 9, &rows(10, 30), false);
    let size = std::fs::metadata(s3.path(&name(9))).unwrap().len() as usize;
    metadata.exec("BEGIN; DELETE FROM file_list WHERE stream = 'default/logs/app'");
    go_live(&mut metadata, 9, &rows(10, 30), size);
    metadata.exec("COMMIT");
    s3.reads();
    assert_eq!(replay(&source, &found, &all).unwrap(), (expected.clone(), nothing));
    let read: std::collections::BTreeSet<String> = s3.reads().into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        read.into_iter().collect::<Vec<_>>(),
        [name(9), format!("files/default/logs/nginx/{DATE}/{nginx}")]
    );
    (1..=3).for_each(|age| std::fs::remove_file(s3.path(&name(age))).unwrap());
    assert_eq!(replay(&source, &found, &all).unwrap(), (expected, nothing));
    // What was sent twice was read twice.
    put(&s3, &mut metadata, 10, &rows(10, 30), true);
    let twice = replay(&source, &found, &all).unwrap().0;
    assert_eq!(twice.len(), 65);

    // Retention has taken the rows out of the table; the objects go later.
    metadata.exec("DELETE FROM file_list WHERE stream = 'default/logs/app'");
    assert_eq!(replay(&source, &found, &all).unwrap(), (numbered(0, 5), 30));
    metadata.exec("UPDATE file_list SET deleted = true");
    let gone = replay(&source, &found, &all).unwrap_err();
    assert!(gone.kind == ErrorKind::Gone && gone.hint.is_some(), "{gone:?}");
    assert_eq!(s3.lists(), 0, "the table says it all");

    // The rows of the hour were moved away, or the table cannot be asked: nothing is said to be gone.
    add_dump(&mut metadata, "default/file_list/app_logs");
    let moved = replay(&source, &found, &all).unwrap_err();
    assert!(moved.kind == ErrorKind::Config && moved.hint.is_some(), "{moved:?}");
    let stranger = with_metadata(&s3, &metadata.url(), "Wrong/Password");
    let denied = replay(&stranger, &found, &all).unwrap_err();
    assert!(
        denied.kind == ErrorKind::Auth && !format!("{denied:?}").contains("Wrong/"),
        "{denied:?}"
    );
}

#[test]
fn a_merge_during_a_replay_makes_the_table_be_asked_again() {
    let (cluster, s3) = (Cluster::without_workers(), S3::serve());
    let mut metadata = Metadata::create(&cluster);
    let source = with_metadata(&s3, &metadata.url(), READER_PASSWORD);
    for age in 1..=3 {
        put(&s3, &mut metadata, age, &rows(age as i64 * 10, 10), true);
    }
    let found = locators(&source, minute(0));
    let merged = merge_at_the_first_read(&s3, metadata, 3, rows(10, 30));
    assert_eq!(
        replay(&source, &found, &Sample::first(100)).unwrap(),
        (numbered(10, 30), 0)
    );
    assert!(merged.lock().unwrap().is_none());
    // What the table names and nobody has is gone.
    std::fs::remove_file(s3.path(&name(9))).unwrap();
    let lost = replay(&source, &found, &Sample::first(100)).unwrap_err();
    assert_eq!(lost.kind, ErrorKind::Gone, "{lost:?}");
}

#[test]
fn files_of_this_machine_have_a_file_list_too() {
    let cluster = Cluster::without_workers();
    let mut metadata = Metadata::create(&cluster);
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(format!("stream/files/default/logs/app/{DATE}"));
    std::fs::create_dir_all(&folder).unwrap();
    for age in 1..=2 {
        let bytes = parquet(&rows(0, 100), 50);
        std::fs::write(folder.join(file(age)), &bytes).unwrap();
        go_live(&mut metadata, age, &rows(0, 100), bytes.len());
    }
    let options =
        |pairs: &[(&str, &str)]| -> Options { pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect() };
    let path = dir.path().to_string_lossy().into_owned();
    let named = options(&[("kind", "file"), ("path", &path), ("metadata_url", &metadata.url())]);
    let mapping = options(&[("metadata_username", READER), ("metadata_password", READER_PASSWORD)]);
    let source = Source {
        server: "files".to_string(),
        config: server::config(&named, &mapping, vec![dir.path().to_path_buf()]).unwrap(),
        selection: Selection::default(),
    };
    assert_eq!(logs(&source, HOUR), 200, "both are live");
    let found = locators(&source, minute(0));
    let all = Sample::first(1_000);
    assert_eq!(replay(&source, &found, &all).unwrap().0.len(), 120);
    metadata.remove(&file(1));
    assert_eq!(logs(&source, HOUR), 100);
    assert_eq!(replay(&source, &found, &all).unwrap(), (numbered(0, 60), 60));
}

/// OpenObserve may move the rows of an hour into an object and name that in their place: the hour is not empty then.
#[test]
fn a_time_whose_rows_were_moved_away_is_refused() {
    let (cluster, s3) = (Cluster::without_workers(), S3::serve());
    let mut metadata = Metadata::create(&cluster);
    let source = with_metadata(&s3, &metadata.url(), READER_PASSWORD);
    for stream in ["default/file_list/app_index", "other/file_list/app_logs"] {
        add_dump(&mut metadata, stream);
    }
    assert_eq!(logs(&source, HOUR), 0, "dumps of other streams");
    add_dump(&mut metadata, "default/file_list/app_logs");
    let e = fetch(&source, HOUR).map(|_| ()).unwrap_err();
    assert!(e.kind == ErrorKind::Config && e.hint.is_some(), "{e:?}");
    assert_eq!(logs(&source, Window::new(HOUR.to, HOUR.to + MINUTE_US)), 0);
}

fn add_dump(metadata: &mut Metadata, stream: &str) {
    metadata.add(&LiveObject {
        stream,
        date: "2026/11/20/00",
        file: "1.parquet",
        times: (HOUR.from, HOUR.to - 2),
        size: 1,
    });
}

#[test]
fn what_is_wrong_with_the_metadata_database_is_said() {
    let (cluster, s3) = (Cluster::without_workers(), S3::serve());
    let mut metadata = Metadata::create(&cluster);
    let wrong = |url: &str, password: &str| {
        let e = fetch(&with_metadata(&s3, url, password), HOUR).map(|_| ()).unwrap_err();
        let said = format!("{e:?}");
        assert!(!said.contains(READER_PASSWORD) && !said.contains("Wrong/"), "{said}");
        assert!(e.hint.is_some() && e.message.contains("lake"), "{said}");
        e
    };
    let url = metadata.url();
    let password = wrong(&url, "Wrong/Password");
    assert!(
        password.kind == ErrorKind::Auth && password.is_permanent(),
        "{password:?}"
    );
    let absent = wrong(&url.replace(DATABASE, "nowhere"), READER_PASSWORD);
    assert!(
        absent.kind == ErrorKind::NotFound && absent.is_permanent(),
        "{absent:?}"
    );
    let plain = wrong(&format!("{url}?sslmode=verify-full"), READER_PASSWORD);
    assert!(plain.kind == ErrorKind::Connection && plain.is_transient(), "{plain:?}");
    metadata.exec(&format!("REVOKE SELECT ON file_list FROM {READER}"));
    let denied = wrong(&url, READER_PASSWORD);
    assert!(denied.kind == ErrorKind::Auth && denied.hint.unwrap().contains("GRANT"));
    metadata.exec("DROP TABLE file_list");
    let table = wrong(&url, READER_PASSWORD);
    assert!(
        table.kind == ErrorKind::Config && table.message.contains("file_list"),
        "{table:?}"
    );
    let refused = wrong("postgres://127.0.0.1:1/openobserve", READER_PASSWORD);
    assert!(
        refused.kind == ErrorKind::Connection && refused.is_transient(),
        "{refused:?}"
    );
    let endpoint = s3.endpoint();
    let nobody = source(&[("endpoint", &endpoint), ("metadata_url", &url)], &keys(), json!({}));
    let nobody = fetch(&nobody, HOUR).map(|_| ()).unwrap_err();
    assert!(nobody.is_permanent() && nobody.hint.unwrap().contains("metadata_username"));
}

#[test]
fn a_metadata_database_is_trusted_by_its_certificate() {
    let (cluster, s3) = (Cluster::without_workers(), S3::serve());
    let (authority, stranger) = (Authority::default(), Authority::default());
    let mut metadata = Metadata::create(&cluster);
    put(&s3, &mut metadata, 1, &rows(0, 100), true);
    let secure = |server: &str, ca: Option<&str>| {
        let url = metadata.url().replace("127.0.0.1", server) + "?sslmode=verify-full";
        let endpoint = s3.endpoint();
        let mut options = vec![("endpoint", &*endpoint), ("metadata_url", &*url)];
        options.extend(ca.map(|pem| ("ca_certificate", pem)));
        let mut mapping = keys().to_vec();
        mapping.extend([("metadata_username", READER), ("metadata_password", READER_PASSWORD)]);
        fetch(&source(&options, &mapping, json!({})), HOUR).map(|got| got.stats.logs)
    };
    let ca = Some(authority.pem());
    let plain = secure("127.0.0.1", ca).unwrap_err();
    assert_eq!(
        plain.kind,
        ErrorKind::Connection,
        "it never goes on without TLS: {plain:?}"
    );
    let (certificate, key) = authority.certify(&["127.0.0.1"]);
    cluster.use_tls(&certificate.pem(), &key.serialize_pem());
    assert_eq!(secure("127.0.0.1", ca).unwrap(), 100);
    let both = format!("{}{}", stranger.pem(), authority.pem());
    assert_eq!(secure("127.0.0.1", Some(&both)).unwrap(), 100, "one of several");
    for (server, ca, message, hint) in [
        ("127.0.0.1", Some(stranger.pem()), "nobody we trust", "ca_certificate"),
        ("127.0.0.1", None, "nobody we trust", "ca_certificate"),
        ("localhost", ca, "another name", "metadata_url"),
    ] {
        let e = secure(server, ca).unwrap_err();
        assert!(e.kind == ErrorKind::Connection && e.message.contains(message), "{e:?}");
        assert!(e.hint.as_ref().is_some_and(|h| h.contains(hint)), "{e:?}");
        assert!(!format!("{e:?}").contains(READER_PASSWORD), "{e:?}");
    }
}

/// A server that accepts and never says a word.
#[test]
fn a_metadata_database_that_hangs_holds_up_nobody() {
    let s3 = S3::serve();
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("postgres://{}/openobserve", silent.local_addr().unwrap());
    let source = with_metadata(&s3, &url, READER_PASSWORD);
    let failed = |cancel: Arc<AtomicBool>, timeout| {
        let context = Context {
            cancel,
            concurrency: 3,
            http_timeout: timeout,
            masker: engine::patterns::Masker::new(),
        };
        let got = source::fetch(std::slice::from_ref(&source), HOUR.into(), &context);
        got.map(|_| ()).unwrap_err()
    };
    let late = failed(Arc::default(), Duration::from_millis(200));
    assert!(late.kind == ErrorKind::Timeout && late.is_transient(), "{late:?}");
    let cancel = Arc::new(AtomicBool::new(false));
    let flag = cancel.clone();
    let waiting = std::thread::spawn(move || {
        let held = silent.accept().unwrap();
        flag.store(true, Ordering::SeqCst);
        held
    });
    // The deadline is far away: without an ear for the flag the test would not end.
    assert_eq!(failed(cancel, Duration::from_secs(3_600)).kind, ErrorKind::Cancelled);
    drop(waiting.join());
}
