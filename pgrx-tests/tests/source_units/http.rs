use crate::source::fetch::Fetched;
use crate::source::http::Route;
use crate::source::openobserve::OpenObserveConfig;
use crate::source::{Context, Selection, Source, SourceConfig, SourceError, fetch};
use blackbox::openobserve::{self as server, Dataset, OpenObserve, Store};
use blackbox::telemetry::{MINUTE, SECOND, T0, log, point};
use engine::window::{Window, Windows};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

fn source(endpoint: String, options: Value) -> Source {
    let config = OpenObserveConfig {
        endpoint,
        org: server::ORG.to_string(),
        username: Some(server::USER.to_string()),
        password: Some(server::PASSWORD.to_string()),
        token: None,
        route: Route::default(),
    };
    Source {
        server: "oo".to_string(),
        config: SourceConfig::OpenObserve(config),
        selection: Selection::parse(&options).unwrap(),
    }
}

fn minute(source: &Source) -> Result<Fetched, SourceError> {
    let context = Context {
        cancel: Arc::default(),
        concurrency: 2,
        http_timeout: Duration::from_secs(30),
        masker: engine::patterns::Masker::new(),
    };
    let windows = Windows::new(Window::new(T0, T0 + MINUTE), MINUTE);
    fetch(std::slice::from_ref(source), windows, &context)
}

/// Records of the minute: usable, and not.
fn records(source: &Source) -> (u64, u64) {
    let got = minute(source).unwrap_or_else(|e| panic!("{e:?}"));
    let stats = &got.windows[0].output.stats;
    (stats.logs + stats.metrics, stats.rejected)
}

#[test]
fn more_rows_of_one_microsecond_than_a_page_holds() {
    let mut store = Store::default();
    for n in 0..50 {
        // Forty at one instant, others around it, at the edges too.
        let at = T0 + [0, MINUTE - 1, 7, 30 * SECOND].get(n as usize / 3).map_or(17, |at| *at);
        store.add(Dataset::Logs, "default", log(at, "web", "INFO", &format!("line {n}")));
    }
    let oo = OpenObserve::serve(store);
    for page_rows in [1, 2, 7, 39, 40, 41, 50, 51] {
        let got = records(&source(oo.endpoint(), json!({"logs": "*", "page_rows": page_rows})));
        assert_eq!(got, (50, 0), "{page_rows} rows a page");
    }
}

#[test]
fn a_stream_that_nothing_is_known_of_is_probed_and_then_read_in_few_pages() {
    let mut store = Store::default();
    let row = |n: i64| format!("\"value\":{n},\"service_name\":\"web\"");
    let made = server::Made::new(T0, T0 + MINUTE, 60_000, row);
    store.add_made(Dataset::Metrics, "cpu", &["value", "service_name"], made);
    let oo = OpenObserve::serve(store);
    let source = source(oo.endpoint(), json!({"metrics": "*"}));
    let first = minute(&source).unwrap().stats;
    // The list, the probe, the count, two pages.
    assert_eq!((first.metrics, first.requests), (60_000, 5));
    // A second time nothing is thrown away.
    let second = minute(&source).unwrap().stats;
    assert_eq!((second.metrics, second.requests, second.pages), (60_000, 2, 2));
    assert!(second.bytes < first.bytes, "{second:?} {first:?}");
}

#[test]
fn columns_beyond_the_five_hundred_of_a_star() {
    let mut store = Store::default();
    let mut record = log(T0 + 1, "web", "ERROR", "all is lost");
    for n in 0..600 {
        record = record.with(&format!("a{n:03}"), Some(json!("x")));
    }
    store.add(Dataset::Logs, "default", record);
    let oo = OpenObserve::serve(store);
    let got = minute(&source(oo.endpoint(), json!({"logs": "*"}))).unwrap();
    let patterns = &got.windows[0].output.patterns;
    assert_eq!(patterns.len(), 1);
    assert_eq!(records(&source(oo.endpoint(), json!({"logs": "*"}))), (1, 0));
}

#[test]
fn a_column_that_is_gone_since_the_streams_were_listed() {
    let with = |severity: Option<Value>| {
        let mut store = Store::default();
        let line = log(T0 + 1, "web", "INFO", "line").with("severity", severity);
        store.add(Dataset::Logs, "default", line);
        store
    };
    let oo = OpenObserve::serve(with(Some(json!("INFO"))));
    let source = source(oo.endpoint(), json!({"logs": "*"}));
    assert_eq!(records(&source), (1, 0));
    oo.replace(with(None));
    let before = oo.requests();
    assert_eq!(records(&source), (1, 0));
    // Refused, the list anew, again.
    assert_eq!(oo.requests() - before, 3);
}

#[test]
fn a_column_whose_type_changes_from_row_to_row() {
    let mut store = Store::default();
    let values = [
        json!(1),
        json!(2.5),
        json!("3"),
        json!("4.5"),
        json!(-0.0),
        json!(1e300),
    ];
    for (n, value) in (0..).zip(values) {
        let point = point(T0 + n, "cpu", "web", 0.0).with("value", Some(value));
        store.add(Dataset::Metrics, "cpu", point.with("service_name", Some(json!(n))));
    }
    let bodies = [json!("text"), json!(17), json!(true), json!({"a": [1]}), json!([])];
    for (n, body) in (0..).zip(bodies) {
        let line = log(T0 + n, "web", "INFO", "").with("body", Some(body));
        store.add(Dataset::Logs, "default", line.with("severity", Some(json!(n))));
    }
    let oo = OpenObserve::serve(store);
    assert_eq!(records(&source(oo.endpoint(), json!({}))), (11, 0));
}

/// Answers the first connection's first request with these bytes, whatever it asks, and hangs up.
fn canned(answer: Vec<u8>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let n = stream.read(&mut head).unwrap();
        // A client that has seen enough hangs up before the end.
        let _ = stream.write_all(&answer);
        String::from_utf8_lossy(&head[..n]).into_owned()
    });
    (address.to_string(), thread)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut all = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    all.extend_from_slice(body);
    all
}

/// What a fetch comes to whose first request is answered like that.
fn first_answer(scheme: &str, bytes: Vec<u8>) -> (SourceError, String) {
    let (address, thread) = canned(bytes);
    let e = minute(&source(format!("{scheme}://{address}"), json!({"logs": "*"}))).err();
    (e.expect("an error"), thread.join().unwrap())
}

#[test]
fn a_retry_after_is_honoured_in_both_forms_up_to_an_hour() {
    let wait = |value: &str| {
        let refusal = answer("503 -", &format!("retry-after: {value}\r\n"), b"busy");
        let (e, _) = first_answer("http", refusal);
        assert!(e.is_transient(), "{e:?}");
        e.retry_after.map(|w| w.as_secs())
    };
    assert_eq!(wait("7"), Some(7));
    assert_eq!(wait("86400"), Some(3600));
    assert_eq!(wait("Wed, 21 Oct 2099 07:28:00 GMT"), Some(3600));
    assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
    assert_eq!(wait("later"), None);
}

#[test]
fn an_answer_that_grows_without_end_when_it_is_unpacked_is_not_read_to_its_end() {
    // 4 GB of blanks.
    let mut packer = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let blanks = vec![b' '; 1 << 20];
    (0..4096).for_each(|_| packer.write_all(&blanks).unwrap());
    let bomb = packer.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let (e, asked) = first_answer("http", answer("200 -", "content-encoding: zstd\r\n", &bomb));
    assert!(
        asked.to_ascii_lowercase().contains("accept-encoding: zstd, gzip"),
        "{asked}"
    );
    assert!(e.message.contains("larger than 64 MB"), "{e:?}");
}

#[test]
fn broken_packing_is_a_bad_answer() {
    let good = zstd::encode_all(&b"{\"list\":[]}"[..], 1).unwrap();
    for (packing, body) in [
        ("zstd", b"no frame".to_vec()),
        ("zstd", good[..good.len() - 2].to_vec()),
        ("gzip", b"no gzip".to_vec()),
        ("br", good),
    ] {
        let (e, _) = first_answer(
            "http",
            answer("200 -", &format!("content-encoding: {packing}\r\n"), &body),
        );
        assert_eq!(e.sqlstate(), "08P01", "{packing}: {e:?}");
        assert!(e.is_transient(), "{e:?}");
    }
}

#[test]
fn an_error_within_a_200_is_a_bad_answer() {
    let body = br#"{"code":20010,"message":"Search timeout","error_detail":""}"#;
    let (e, _) = first_answer("http", answer("200 -", "", body));
    assert!(e.is_transient() && e.sqlstate() == "08P01", "{e:?}");
}

#[test]
fn a_port_that_speaks_no_tls_says_so() {
    let (e, _) = first_answer("https", answer("400 Bad Request", "", b"plain HTTP here"));
    assert!(
        e.is_transient() && e.message.contains("TLS to the server failed"),
        "{e:?}"
    );
    assert!(e.hint.unwrap().contains("http://"));
}
