//! The way to a bucket, over real sockets, with signatures checked: addresses, logins, lists, wires that break.

use super::bucket::{FOLDER, H22, HOUR, bucket, context, failure, fetch, keys, lines, name, rows, source};
use super::source::error::ErrorKind;
use super::source::objects::testing::parquet;
use super::source::{self, Context, Selection, Source};
use blackbox::s3::{ACCESS_KEY, Fault, Proxy, S3, SECRET_KEY};
use engine::window::{MINUTE_US, Window};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn both_styles_of_addresses_and_a_session_token() {
    let s3 = S3::serve();
    s3.put(&name(1), &parquet(&rows(0, 50), 10));
    let by_path = fetch(&bucket(&s3.endpoint(), "openobserve"), HOUR).unwrap();
    assert_eq!(by_path.stats.logs, 50);
    let by_host = [("endpoint", &*s3.virtual_endpoint()), ("path_style", "false")];
    let by_host = fetch(&source(&by_host, &keys(), json!({})), HOUR).unwrap();
    assert_eq!(by_host.stats.logs, 50);

    let token = "Session/Token+of=Somebody";
    let s3 = S3::with_token(token);
    s3.put(&name(1), &parquet(&rows(0, 50), 10));
    let endpoint = s3.endpoint();
    let with = |token| {
        let mut mapping = keys().to_vec();
        mapping.push(("session_token", token));
        source(&[("endpoint", &endpoint)], &mapping, json!({}))
    };
    assert_eq!(fetch(&with(token), HOUR).unwrap().stats.logs, 50);
    let e = failure(&with("Session/Token+of=Nobody"));
    assert!(e.kind == ErrorKind::Auth && e.is_permanent(), "{e:?}");
    assert!(
        !format!("{e:?}").contains("Nobody"),
        "the server repeats the token, the error does not: {e:?}"
    );
}

#[test]
fn what_is_wrong_is_said_and_whether_waiting_helps() {
    let s3 = S3::serve();
    s3.put(&name(1), &parquet(&rows(0, 5), 10));
    let endpoint = s3.endpoint();
    let wrong = |server: &[(&str, &str)], mapping: &[(&str, &str)]| {
        let mut server = server.to_vec();
        server.push(("endpoint", &endpoint));
        failure(&source(&server, mapping, json!({})))
    };
    let secret = wrong(
        &[],
        &[("access_key_id", ACCESS_KEY), ("secret_access_key", "Wrong+Secret")],
    );
    assert!(secret.kind == ErrorKind::Auth && secret.is_permanent() && secret.hint.is_some());
    assert!(!format!("{secret:?}").contains("Wrong+Secret"), "{secret:?}");
    let id = wrong(
        &[],
        &[("access_key_id", "AKIDNOBODY"), ("secret_access_key", SECRET_KEY)],
    );
    assert!(id.kind == ErrorKind::Auth && id.is_permanent());
    assert_eq!(wrong(&[], &[]).kind, ErrorKind::Auth, "nobody");
    let missing = wrong(&[("bucket", "missing")], &keys());
    assert!(
        missing.kind == ErrorKind::NotFound && missing.is_permanent(),
        "{missing:?}"
    );
    let folder = wrong(&[("prefix", "elsewhere/")], &keys());
    assert!(
        folder.kind == ErrorKind::Config && folder.detail.is_some(),
        "{folder:?}"
    );

    for fault in [Fault::SlowDown, Fault::Internal] {
        s3.fail(Some(fault));
        let e = failure(&bucket(&endpoint, "openobserve"));
        assert!(
            e.is_transient() && matches!(e.kind, ErrorKind::Http(500 | 503)),
            "{e:?}"
        );
    }
    s3.fail(None);
    assert_eq!(fetch(&bucket(&endpoint, "openobserve"), HOUR).unwrap().stats.logs, 5);
    drop(s3);
    let gone = failure(&bucket(&endpoint, "openobserve"));
    assert!(gone.is_transient(), "{gone:?}");
}

#[test]
fn lists_longer_than_a_page() {
    let s3 = S3::serve();
    for i in 0..1_040 {
        let folder = format!("logs/yyyy=2026/mm=11/dd=20/hh=22/mm=00/stream=s{:04}", i % 1_030);
        s3.put(&format!("{folder}/{i}.ndjson"), &lines(&rows(i % 60, 1)));
    }
    let source = bucket(&s3.endpoint(), "hive");
    let minute = Window::new(H22, H22 + MINUTE_US);
    let selected = |pattern: &str| Source {
        selection: Selection::parse(&json!({ "logs": [pattern] })).unwrap(),
        ..source.clone()
    };
    // Folders by the page, with tokens and without.
    assert_eq!(fetch(&selected("s1*"), minute).unwrap().stats.logs, 30);
    s3.fail(Some(Fault::NoTokens));
    assert_eq!(fetch(&selected("s1*"), minute).unwrap().stats.logs, 30);
    s3.fail(None);
    // Objects by the page.
    for i in 0..1_005 {
        s3.put(&format!("{FOLDER}/{:019}.vortex", i), b"");
    }
    s3.put(&name(1), &parquet(&rows(0, 7), 10));
    let before = s3.lists();
    let got = fetch(&bucket(&s3.endpoint(), "openobserve"), HOUR).unwrap();
    assert_eq!((got.stats.logs, got.stats.unreadable), (7, 1_005));
    assert!(s3.lists() - before > 2);
}

#[test]
fn a_list_without_an_end_is_given_up() {
    let s3 = S3::serve();
    s3.put("logs/yyyy=2026/mm=11/dd=20/hh=22/mm=00/a.ndjson", &lines(&rows(0, 1)));
    s3.fail(Some(Fault::Endless));
    let endpoint = s3.endpoint();
    let server = [("endpoint", &*endpoint), ("layout", "hive")];
    let e = failure(&source(&server, &keys(), json!({"logs": "*"})));
    assert!(
        e.message.contains("1000000") && !e.is_transient() && e.hint.is_some(),
        "{e:?}"
    );
    assert_eq!(s3.lists(), 1_000);
}

#[test]
fn a_wire_that_is_cut_anywhere_loses_and_doubles_nothing() {
    let s3 = S3::serve();
    for age in 1..=4u64 {
        s3.put(&name(age), &parquet(&rows(age as i64 * 100, 100), 30));
    }
    s3.put(&name(7), &parquet(&rows(100, 200), 30));
    let proxy = Proxy::to(s3.address());
    let source = bucket(&proxy.endpoint(), "openobserve");
    assert_eq!(fetch(&source, HOUR).unwrap().stats.logs, 400);
    let all = proxy.passed();
    assert!(all > 10_000);
    let mut failed = 0;
    for part in 0..12 {
        proxy.cut_after(Some(all * part / 12));
        match fetch(&source, HOUR) {
            // Footers are remembered, so the second time less is read.
            Ok(got) => assert_eq!(got.stats.logs, 400),
            Err(e) => {
                assert!(e.is_transient() && e.kind != ErrorKind::Gone, "{e:?}");
                failed += 1;
            }
        }
        proxy.cut_after(None);
        assert_eq!(fetch(&source, HOUR).unwrap().stats.logs, 400, "mended");
    }
    assert!(failed > 5, "{failed}");
}

#[test]
fn a_cancel_ends_a_fetch() {
    let s3 = S3::serve();
    for age in 1..=9u64 {
        s3.put(&name(age), &parquet(&rows(age as i64 * 10, 10), 4));
    }
    let cancel = Arc::new(AtomicBool::new(false));
    let flag = cancel.clone();
    s3.before_get(move |_| flag.store(true, Ordering::SeqCst));
    let context = Context { cancel, ..context() };
    let got = source::fetch(&[bucket(&s3.endpoint(), "openobserve")], HOUR.into(), &context);
    assert_eq!(got.map(|_| ()).unwrap_err().kind, ErrorKind::Cancelled);
}
