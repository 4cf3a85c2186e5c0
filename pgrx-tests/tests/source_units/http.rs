use crate::source::count::count;
use crate::source::error::ErrorKind;
use crate::source::fetch::Fetched;
use crate::source::http::Route;
use crate::source::openobserve::OpenObserveConfig;
use crate::source::openobserve::search::{Question, search};
use crate::source::{Context, Sample, Selection, Source, SourceConfig, SourceError, fetch, replay, rows};
use blackbox::openobserve::{self as server, Dataset, Fault, OpenObserve, Scope, Store};
use blackbox::telemetry::{MINUTE, SECOND, T0, log, point};
use engine::window::{Window, Windows};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
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

fn context() -> Context {
    Context {
        cancel: Arc::default(),
        concurrency: 2,
        http_timeout: Duration::from_secs(30),
        masker: engine::patterns::Masker::new(),
    }
}

/// The records of the minute as they are.
fn raw(source: &Source) -> Result<Vec<Value>, SourceError> {
    let mut out = Vec::new();
    rows::rows(source, Window::new(T0, T0 + MINUTE), &context(), &mut |raw| {
        out.push(serde_json::from_str(raw.json).unwrap());
        Ok(())
    })?;
    Ok(out)
}

fn minute(source: &Source) -> Result<Fetched, SourceError> {
    let windows = Windows::new(Window::new(T0, T0 + MINUTE), MINUTE);
    fetch(std::slice::from_ref(source), windows, &context())
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
fn hosts_are_asked_for_where_a_record_has_no_service() {
    let line = |n: i64, service: Value| {
        let record = log(T0 + n, "web", "INFO", "a line");
        record
            .with("service_name", Some(service))
            .with("host_name", Some(json!("node-1")))
    };
    let services = |source: &Source| {
        let got = minute(source).unwrap();
        let all: Vec<String> = got.windows[0]
            .output
            .resources
            .iter()
            .map(|r| format!("{r:?}"))
            .collect();
        (all, got.stats.requests)
    };
    let mut store = Store::default();
    (0..9).for_each(|n| store.add(Dataset::Logs, "named", line(n, json!("web"))));
    let named = OpenObserve::serve(store.clone());
    let of_named = source(named.endpoint(), json!({"logs": "*"}));
    let (all, requests) = services(&of_named);
    assert!(all.len() == 1 && all[0].contains("web"), "{all:?}");
    assert_eq!(requests, 2, "the list and one page");

    store.add(Dataset::Logs, "named", line(20, json!("")));
    let mixed = OpenObserve::serve(store);
    let of_mixed = source(mixed.endpoint(), json!({"logs": "*"}));
    let (all, requests) = services(&of_mixed);
    assert!(all.len() == 2 && all.iter().any(|r| r.contains("node-1")), "{all:?}");
    assert_eq!(requests, 3, "the page is asked for again, with hosts");
    let (again, requests) = services(&of_mixed);
    assert_eq!((again, requests), (all, 1), "the stream is known");
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
    let source = source(oo.endpoint(), json!({"logs": "*"}));
    assert_eq!(records(&source), (1, 0));
    // Those who want whole records get all of them, too.
    let all = |record: &Value| record["body"] == "all is lost" && record["a599"] == "x";
    let streamed = raw(&source).unwrap();
    assert!(streamed.len() == 1 && all(&streamed[0]), "{streamed:?}");
    let again = replay(&source.config, &got.windows[0].locators, &Sample::first(9), &context()).unwrap();
    let again: Vec<Value> = again
        .rows
        .iter()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    assert_eq!(again, streamed);
}

#[test]
fn a_replay_says_how_many_records_are_gone() {
    let store = |lines: i64| {
        let mut store = Store::default();
        for n in 0..lines {
            store.add(Dataset::Logs, "app", log(T0 + n, "web", "INFO", &format!("line {n}")));
        }
        store.add(Dataset::Logs, "other", log(T0 + 1, "web", "INFO", "one"));
        store
    };
    let oo = OpenObserve::serve(store(10));
    let source = source(oo.endpoint(), json!({"logs": "*"}));
    let got = minute(&source).unwrap();
    let told = |max: usize, filter: Value| {
        let sample = Sample::of(max, filter).unwrap();
        let replayed = replay(&source.config, &got.windows[0].locators, &sample, &context()).unwrap();
        (replayed.rows.len(), replayed.gone)
    };
    assert_eq!(told(100, json!({})), (11, 0));
    oo.replace(store(3));
    assert_eq!(told(100, json!({})), (4, 7));
    assert_eq!(told(100, json!({"body": "line 1"})), (1, 7));
    assert_eq!(told(2, json!({})), (2, 0), "nobody looked further");
    oo.replace(store(0));
    assert_eq!(told(100, json!({})), (1, 10));
}

#[test]
fn who_asks_hears_nothing_of_windows() {
    let mut store = Store::default();
    store.add(Dataset::Logs, "app", log(T0, "web", "INFO", "line"));
    let oo = OpenObserve::serve(store);
    let source = source(oo.endpoint(), json!({"logs": "*"}));
    let got = minute(&source).unwrap();
    for (fault, kind) in [
        (Fault::Status(503, None), ErrorKind::Http(503)),
        (Fault::Status(400, None), ErrorKind::Http(400)),
        (Fault::Partial, ErrorKind::Partial),
        (Fault::InvalidJson, ErrorKind::BadResponse),
    ] {
        oo.fail(Scope::Searches, fault);
        let streamed = raw(&source).unwrap_err();
        let replayed = replay(&source.config, &got.windows[0].locators, &Sample::first(1), &context()).unwrap_err();
        for e in [streamed, replayed] {
            let hint = e.hint.clone().unwrap();
            assert!(
                e.kind == kind && !hint.contains("indow") && hint.contains("server"),
                "{e:?}"
            );
        }
    }
}

/// A stream's `max_query_range`: the server looks at the end of a longer range only, and says where it began.
#[test]
fn hours_behind_a_server_that_looks_at_one_at_a_time() {
    const HOUR: i64 = 60 * MINUTE;
    let hours = Window::new(T0, T0 + 3 * HOUR);
    let mut store = Store::default();
    for n in 0..36 {
        store.add(Dataset::Logs, "app", log(T0 + n * 5 * MINUTE, "web", "INFO", "line"));
    }
    store.limit_range(HOUR);
    let oo = OpenObserve::serve(store);
    let source = source(oo.endpoint(), json!({"logs": "*"}));
    let windows = Windows::new(hours, MINUTE);
    let got = fetch(std::slice::from_ref(&source), windows, &context()).unwrap();
    assert_eq!(got.stats.logs, 36);
    let counted = count(&source, windows, &context()).unwrap().of(hours);
    assert_eq!(counted.values().copied().collect::<Vec<_>>(), [36]);
    let mut streamed = 0;
    let each = &mut |_: &rows::Raw<'_>| {
        streamed += 1;
        Ok(())
    };
    rows::rows(&source, hours, &context(), each).unwrap();
    assert_eq!(streamed, 36);

    // A question of many rows is asked in parts; another one cannot be, and then a part is not taken for the whole.
    let SourceConfig::OpenObserve(config) = &source.config else {
        panic!("an OpenObserve")
    };
    let asked = |max_rows: usize| {
        let question = Question {
            dataset: engine::record::Dataset::Logs,
            sql: "SELECT * FROM \"app\"".to_string(),
            range: hours,
            max_rows,
        };
        let mut hits = 0;
        search(config, "oo", &question, &context(), &mut |_| {
            hits += 1;
            Ok(())
        })
        .map(|()| hits)
    };
    assert_eq!(asked(20_000), Ok(36));
    let e = asked(100).unwrap_err();
    assert!(e.kind == ErrorKind::Partial && e.hint.is_some(), "{e:?}");
}

/// OpenObserve's list of streams with all their columns has more than 64 MB.
#[test]
fn a_list_of_streams_that_is_too_large_is_read_in_parts() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let column = format!("{{\"name\":\"{}\",\"type\":\"Utf8\"}},", "c".repeat(60_000));
    let serve = std::thread::spawn(move || {
        let mut asked = Vec::new();
        while asked.last().is_none_or(|target: &String| !target.contains("_search")) {
            let (mut connection, _) = listener.accept().unwrap();
            let target = requested(&mut connection);
            let number = |name: &str| -> Option<usize> {
                let value = target.split(['&', '?']).find_map(|p| p.strip_prefix(name))?;
                value.parse().ok()
            };
            let (from, most) = (number("offset=").unwrap_or(0), number("limit=").unwrap_or(usize::MAX));
            let names = (0..1_200).skip(from).take(most);
            let list: Vec<String> = names
                .map(|n| {
                    format!(
                        "{{\"name\":\"s{n:04}\",\"schema\":[{column}{{\"name\":\"_timestamp\",\"type\":\"Int64\"}}]}}"
                    )
                })
                .collect();
            let body = match target.contains("_search") {
                true => "{\"hits\":[],\"total\":0}".to_string(),
                false => format!("{{\"total\":1200,\"list\":[{}]}}", list.join(",")),
            };
            // A client that has seen enough hangs up before the end.
            let _ = connection.write_all(&answer("200 OK", "connection: close\r\n", body.as_bytes()));
            asked.push(target);
        }
        asked
    });
    // The last of them: it is in the last part.
    let got = minute(&source(endpoint, json!({"logs": ["s1199"]}))).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(got.stats.logs, 0);
    let asked = serve.join().unwrap();
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert!(!asked[0].contains("offset="));
    for (target, from) in asked[1..4].iter().zip([0, 500, 1_000]) {
        assert!(target.contains(&format!("offset={from}&")), "{target}");
    }
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

/// Answers the first request of each of the first connections with these bytes, whatever it asks, and hangs up. Gives
/// what was asked first.
fn canned(answer: Vec<u8>, connections: usize) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut heads = Vec::new();
        for stream in listener.incoming().take(connections) {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let n = stream.read(&mut head).unwrap();
            // A client that has seen enough hangs up before the end.
            let _ = stream.write_all(&answer);
            heads.push(String::from_utf8_lossy(&head[..n]).into_owned());
        }
        heads.swap_remove(0)
    });
    (address.to_string(), thread)
}

/// Reads a request, and gives its path with the query.
fn requested(stream: &mut TcpStream) -> String {
    let mut request = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    request.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        request.read_line(&mut line).unwrap();
        match line.to_ascii_lowercase().trim_end().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    request.read_exact(&mut vec![0; length]).unwrap();
    first.split(' ').nth(1).unwrap().to_string()
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut all = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    all.extend_from_slice(body);
    all
}

/// What a fetch comes to whose first request is answered like that.
fn first_answer(scheme: &str, bytes: Vec<u8>) -> (SourceError, String) {
    answers(scheme, bytes, 1)
}

/// The same where it takes more than one connection.
fn answers(scheme: &str, bytes: Vec<u8>, connections: usize) -> (SourceError, String) {
    let (address, thread) = canned(bytes, connections);
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
    // The list of streams, whole and then in parts.
    let (e, asked) = answers("http", answer("200 -", "content-encoding: zstd\r\n", &bomb), 2);
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
