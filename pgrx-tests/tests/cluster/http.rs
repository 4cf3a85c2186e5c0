//! The way to a server of kind `openobserve`: TLS, proxies, logins, packed answers, base paths. Where one is wrong, the
//! window says so, and no secret shows.

use blackbox::bridge::{bridge, count, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, Made, OpenObserve, PASSWORD, Packing, Store, TOKEN, USER};
use blackbox::session::Session;
use blackbox::telemetry::{MINUTE, T0, minutes};
use blackbox::way::{self, ends, succeeds};
use blackbox::wire::{Authority, LOGIN, Proxy, Tls};
use std::io::Write as _;

/// A server `oo` at this endpoint with these options, its mapping with those, and one window in the queue.
#[track_caller]
fn add(db: &mut Session, endpoint: &str, server: &[(&str, &str)], mapping: &[(&str, &str)]) {
    let server = [&[("kind", "openobserve"), ("endpoint", endpoint)], server].concat();
    way::add(db, &server, mapping);
}

const BASIC: [(&str, &str); 2] = [("username", USER), ("password", PASSWORD)];

#[test]
fn tls_needs_a_certificate_of_an_authority_we_trust() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let authority = Authority::default();
    let tls = Tls::before(oo.address(), &authority, &["localhost"]);
    let mut db = bridge(&cluster, "tls");
    add(&mut db, &tls.endpoint("localhost"), &[], &BASIC);
    let error = ends(&mut db, &cluster, "queued", "08001", "nobody we trust");
    assert!(
        error["hint"].as_str().unwrap_or_default().contains("ca_certificate"),
        "{error}"
    );
    assert_eq!(oo.requests(), 0, "no credentials were sent to whoever that is");
    // Another authority is as good as none.
    let other = Authority::default();
    let set = |db: &mut Session, verb: &str, pem: &str| {
        db.exec(&format!("ALTER SERVER oo OPTIONS ({verb} ca_certificate '{pem}')"));
        db.exec("SET observe_bridge.clock = '2026-01-05 12:00:00+00'");
    };
    set(&mut db, "ADD", other.pem());
    ends(&mut db, &cluster, "queued", "08001", "nobody we trust");
    set(&mut db, "SET", &format!("{}{}", other.pem(), authority.pem()));
    succeeds(&mut db);
}

#[test]
fn tls_needs_a_certificate_for_the_name_in_the_endpoint() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let authority = Authority::default();
    let tls = Tls::before(oo.address(), &authority, &["observe.example.com", "127.0.0.1"]);
    let mut db = bridge(&cluster, "names");
    let trust = [("ca_certificate", authority.pem())];
    add(&mut db, &tls.endpoint("localhost"), &trust, &BASIC);
    ends(&mut db, &cluster, "queued", "08001", "for another name");
    assert_eq!(oo.requests(), 0, "no credentials were sent to whoever that is");
    let endpoint = tls.endpoint("127.0.0.1");
    db.exec(&format!("ALTER SERVER oo OPTIONS (SET endpoint '{endpoint}')"));
    succeeds(&mut db);
}

#[test]
fn tls_trusts_whom_the_system_trusts() {
    let oo = OpenObserve::serve(minutes(1));
    let authority = Authority::default();
    let tls = Tls::before(oo.address(), &authority, &["localhost"]);
    let mut store = tempfile::NamedTempFile::new().expect("a file");
    store.write_all(authority.pem().as_bytes()).expect("the store");
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(store.path(), readable).expect("everybody's");
    let path = store.path().to_string_lossy().into_owned();
    let cluster = Cluster::with_environment(&[], &[("SSL_CERT_FILE", &path)]);
    let mut db = bridge(&cluster, "system");
    add(&mut db, &tls.endpoint("localhost"), &[], &BASIC);
    succeeds(&mut db);
    // An own authority takes the system's place.
    let other = Authority::default();
    db.exec(&format!(
        "ALTER SERVER oo OPTIONS (ADD ca_certificate '{}')",
        other.pem()
    ));
    enqueue(&mut db, T0, 1);
    run(&mut db);
    let runs = db.text("SELECT string_agg(r::text, ' ') FROM etl_job_run r WHERE job = 'oo-agg'");
    assert!(runs.contains("nobody we trust"), "{runs}");
}

#[test]
fn a_proxy_is_asked_for_a_tunnel_with_its_own_login() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let authority = Authority::default();
    let tls = Tls::before(oo.address(), &authority, &["secure.invalid"]);
    // Names that only the proxy can resolve.
    let hosts = [
        ("plain.invalid:5080", oo.address()),
        ("secure.invalid:443", tls.address()),
    ];
    let proxy = Proxy::to(&hosts, true);
    let mut db = bridge(&cluster, "proxy");
    let way = [("proxy", proxy.url())];
    let way = way.each_ref().map(|(name, value)| (*name, value.as_str()));
    add(&mut db, "http://plain.invalid:5080", &way, &BASIC);
    let error = ends(&mut db, &cluster, "failed", "28000", "the proxy refuses the login");
    assert!(
        error["hint"].as_str().unwrap_or_default().contains("proxy_username"),
        "{error}"
    );
    db.exec(&format!(
        "ALTER USER MAPPING FOR CURRENT_USER SERVER oo OPTIONS (ADD proxy_username '{}', ADD proxy_password 'wrong')",
        LOGIN.0
    ));
    db.exec("SELECT etl_retry(run_id) FROM etl_job_run WHERE status = 'failed'");
    ends(&mut db, &cluster, "failed", "28000", "the proxy refuses the login");
    db.exec(&format!(
        "ALTER USER MAPPING FOR CURRENT_USER SERVER oo OPTIONS (SET proxy_password '{}')",
        LOGIN.1
    ));
    succeeds(&mut db);
    assert!(
        proxy
            .asked()
            .iter()
            .all(|line| line == "CONNECT plain.invalid:5080 HTTP/1.1")
    );
    // TLS goes through the tunnel, to the server itself.
    db.exec("DELETE FROM etl_source; DROP SERVER oo CASCADE");
    let mapping = [&BASIC[..], &[("proxy_username", LOGIN.0), ("proxy_password", LOGIN.1)]].concat();
    let way = [way[0], ("ca_certificate", authority.pem())];
    add(&mut db, "https://secure.invalid", &way, &mapping);
    succeeds(&mut db);
    assert_eq!(
        proxy.asked().last().map(String::as_str),
        Some("CONNECT secure.invalid:443 HTTP/1.1")
    );
}

#[test]
fn a_proxy_that_forbids_or_is_not_there_makes_the_window_wait() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let proxy = Proxy::to(&[("plain.invalid:5080", oo.address())], false);
    let mut db = bridge(&cluster, "forbidden");
    add(&mut db, "http://other.invalid:5080", &[("proxy", &proxy.url())], &BASIC);
    let error = ends(&mut db, &cluster, "queued", "08001", "the proxy makes no connection");
    assert!(error["detail"].as_str().unwrap_or_default().contains("403"), "{error}");
    db.exec("ALTER SERVER oo OPTIONS (SET proxy 'http://127.0.0.1:1')");
    db.exec("SET observe_bridge.clock = '2026-01-05 12:00:00+00'");
    let error = ends(&mut db, &cluster, "queued", "08001", "refused the connection");
    assert!(
        error["detail"].as_str().unwrap_or_default().contains("127.0.0.1:1"),
        "{error}"
    );
    db.exec(&format!(
        "ALTER SERVER oo OPTIONS (SET proxy '{}', SET endpoint 'http://plain.invalid:5080')",
        proxy.url()
    ));
    succeeds(&mut db);
}

#[test]
fn the_environment_names_no_proxy() {
    let oo = OpenObserve::serve(minutes(1));
    let nowhere = "http://127.0.0.1:1";
    let environment = ["ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"].map(|name| (name, nowhere));
    let cluster = Cluster::with_environment(&[], &environment);
    let mut db = bridge(&cluster, "environment");
    add(&mut db, &oo.endpoint(), &[], &BASIC);
    succeeds(&mut db);
}

#[test]
fn a_token_takes_the_place_of_username_and_password() {
    let cluster = Cluster::with_environment(&[], &[("OBSERVE_BRIDGE_TOKEN", TOKEN)]);
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "token");
    add(&mut db, &oo.endpoint(), &[], &[("token", "guessed-wrong")]);
    let error = ends(&mut db, &cluster, "failed", "28000", "credentials are refused");
    assert!(!error.to_string().contains("guessed-wrong"), "{error}");
    db.exec("ALTER USER MAPPING FOR CURRENT_USER SERVER oo OPTIONS (DROP token, ADD token_env 'OBSERVE_BRIDGE_TOKEN')");
    succeeds(&mut db);
    let e = db.refused("ALTER USER MAPPING FOR CURRENT_USER SERVER oo OPTIONS (ADD token 'x')");
    assert!(e.message.contains("either token or token_env"), "{e:?}");
    db.exec("ALTER USER MAPPING FOR CURRENT_USER SERVER oo OPTIONS (DROP token_env, ADD token 'x', ADD username 'u')");
    db.exec("SELECT etl_enqueue('oo-agg', 'default', '2026-01-05 10:01Z', '2026-01-05 10:02Z')");
    run(&mut db);
    let message = "SELECT error ->> 'message' FROM etl_job_run WHERE job = 'oo-agg' AND status = 'failed'";
    assert!(db.text(message).contains("a token beside a username"));
}

#[test]
fn answers_may_be_packed() {
    let cluster = Cluster::without_workers();
    for packing in [Packing::Gzip, Packing::Zstd] {
        let oo = OpenObserve::serve(minutes(1));
        oo.pack(packing);
        let mut db = bridge(&cluster, &format!("{packing:?}").to_lowercase());
        add(&mut db, &oo.endpoint(), &[], &BASIC);
        succeeds(&mut db);
        assert_eq!(oo.packed(), oo.requests(), "{packing:?}");
    }
}

#[test]
fn a_base_path_may_be_part_of_the_endpoint() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let mut db = bridge(&cluster, "base");
    add(&mut db, &format!("{}/observe/v1/", oo.endpoint()), &[], &BASIC);
    succeeds(&mut db);
}

#[test]
fn wrong_ways_are_refused_when_they_are_named() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "wrong");
    db.exec("CREATE ROLE olga IN ROLE observe_bridge_operator");
    let server = |kind: &str, option: &str| {
        format!("CREATE SERVER s FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind {kind}, {option})")
    };
    for kind in ["'openobserve', endpoint 'http://h'", "'s3', bucket 'b'"] {
        for (option, says) in [
            ("ca_certificate '/etc/passwd'", "ca_certificate\" holds no certificate"),
            (
                "ca_certificate '-----BEGIN CERTIFICATE-----'",
                "ca_certificate\" is not a PEM",
            ),
            ("proxy 'proxy:3128'", "proxy\" must begin with http"),
            (
                "proxy 'http://u:hunter2@proxy:3128'",
                "proxy\" must not contain a login",
            ),
        ] {
            let e = db.refused(&server(kind, option));
            assert!(e.message.contains(says), "{option}: {e:?}");
            assert!(!format!("{e:?}").contains("hunter2"), "{e:?}");
        }
    }
    assert!(
        db.refused(&server("'mock'", "proxy 'http://h'"))
            .message
            .contains("unknown")
    );
    db.exec(&server(
        "'openobserve', endpoint 'http://h'",
        "proxy 'http://proxy:3128'",
    ));
    db.exec("GRANT USAGE ON FOREIGN SERVER s TO olga; SET ROLE olga");
    for variable in ["token_env", "proxy_password_env", "password_env"] {
        let mapping = format!("CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS ({variable} 'OBSERVE_BRIDGE_X')");
        assert_eq!(db.refused(&mapping).sqlstate, "42501", "{variable}");
    }
}

#[test]
fn two_million_records_of_one_window_fit_into_a_quarter_of_the_memory_limit() {
    let mut store = Store::default();
    let made = |rows: i64, row: fn(i64) -> String| Made::new(T0, T0 + MINUTE, rows, row);
    let point = |n: i64| format!("\"value\":{},\"service_name\":\"web{}\"", n % 10, n % 7);
    let columns = ["value", "service_name"];
    store.add_made(Dataset::Metrics, "cpu", &columns, made(1_500_000, point));
    let line = |n: i64| format!("\"body\":\"request took {n} ms\",\"service_name\":\"web{}\"", n % 7);
    store.add_made(Dataset::Logs, "default", &["body", "service_name"], made(400_000, line));
    let span = |n: i64| {
        let parent = match n % 2 {
            0 => String::new(),
            _ => format!("\"reference_parent_span_id\":\"{n:016x}\","),
        };
        format!(
            "\"trace_id\":\"{:032x}\",\"span_id\":\"{:016x}\",{parent}\"service_name\":\"s{}\",\"duration\":5",
            n / 2 + 1,
            n + 1,
            n % 2
        )
    };
    let columns = [
        "trace_id",
        "span_id",
        "reference_parent_span_id",
        "service_name",
        "duration",
    ];
    store.add_made(Dataset::Traces, "default", &columns, made(100_000, span));
    let oo = OpenObserve::serve(store);
    let cluster = Cluster::start(&[
        "observe_bridge.worker_memory_limit = '64MB'",
        // A page is decoded while it arrives, which may take its time in a debug build.
        "observe_bridge.http_timeout = '10min'",
    ]);
    let mut db = bridge(&cluster, "many");
    add(&mut db, &oo.endpoint(), &[], &BASIC);
    run(&mut db);
    assert_eq!(
        count(&mut db, "oo-agg", "success"),
        1,
        "{:?}",
        db.rows("SELECT error FROM etl_job_run")
    );
    let counted = db.rows(
        "SELECT (SELECT sum(sample_count) FROM metric_1m), (SELECT sum(count_total) FROM log_pattern_5m),
                (SELECT sum(calls) FROM service_call_5m)",
    );
    assert_eq!(counted, [["1500000", "400000", "50000"]]);
}
