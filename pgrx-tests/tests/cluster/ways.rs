//! The way to a bucket: TLS and proxies, with signatures checked behind them. And proxies that speak TLS themselves, to
//! whatever server.

use blackbox::bridge::bridge;
use blackbox::cluster::Cluster;
use blackbox::openobserve::{OpenObserve, PASSWORD, Store, USER};
use blackbox::s3::{ACCESS_KEY, BUCKET, NAME, S3, SECRET_KEY, put_minute};
use blackbox::session::Session;
use blackbox::telemetry::{T0, minute, minutes};
use blackbox::way::{self, ends, succeeds};
use blackbox::wire::{Authority, LOGIN, Proxy, Tls};
use serde_json::Value;

const KEYS: [(&str, &str); 2] = [("access_key_id", ACCESS_KEY), ("secret_access_key", SECRET_KEY)];
const BASIC: [(&str, &str); 2] = [("username", USER), ("password", PASSWORD)];
const PROXY_LOGIN: [(&str, &str); 2] = [("proxy_username", LOGIN.0), ("proxy_password", LOGIN.1)];

/// A bucket with a minute of telemetry.
fn bucket() -> S3 {
    let s3 = S3::serve();
    let mut store = Store::default();
    minute(&mut store, T0);
    put_minute(&s3, &store, 0, usize::MAX);
    s3
}

/// A server `oo` that is the bucket at this endpoint, and one window in the queue.
#[track_caller]
fn add_bucket(db: &mut Session, endpoint: &str, server: &[(&str, &str)], mapping: &[(&str, &str)]) {
    let options = [
        ("kind", "s3"),
        ("endpoint", endpoint),
        ("bucket", BUCKET),
        ("prefix", "lake/"),
        ("layout", "hive"),
    ];
    way::add(db, &[&options[..], server].concat(), &[&KEYS[..], mapping].concat());
}

fn alter(db: &mut Session, options: &str) {
    db.exec(&format!("ALTER SERVER oo OPTIONS ({options})"));
    // What waits is due again.
    db.exec(
        "SELECT set_config('observe_bridge.clock', (now + interval '1 hour')::text, false)
               FROM (SELECT current_setting('observe_bridge.clock')::timestamptz AS now) AS clock",
    );
}

fn hint(error: &Value) -> &str {
    error["hint"].as_str().unwrap_or_default()
}

fn detail(error: &Value) -> &str {
    error["detail"].as_str().unwrap_or_default()
}

#[test]
fn a_bucket_behind_tls_needs_a_certificate_of_an_authority_we_trust() {
    let cluster = Cluster::without_workers();
    let s3 = bucket();
    let authority = Authority::default();
    let tls = Tls::before(s3.address(), &authority, &["localhost"]);
    let mut db = bridge(&cluster, "tls");
    add_bucket(&mut db, &tls.endpoint("localhost"), &[], &[]);
    let error = ends(&mut db, &cluster, "queued", "08001", "nobody we trust");
    assert!(hint(&error).contains("ca_certificate"), "{error}");
    let other = Authority::default();
    alter(&mut db, &format!("ADD ca_certificate '{}'", other.pem()));
    ends(&mut db, &cluster, "queued", "08001", "nobody we trust");
    alter(&mut db, &format!("SET ca_certificate '{}'", authority.pem()));
    // A certificate for another name.
    alter(&mut db, &format!("SET endpoint '{}'", tls.endpoint("127.0.0.1")));
    ends(&mut db, &cluster, "queued", "08001", "for another name");
    assert_eq!(s3.lists(), 0, "no signature was sent to whoever that is");
    alter(&mut db, &format!("SET endpoint '{}'", tls.endpoint("localhost")));
    succeeds(&mut db);
}

#[test]
fn a_bucket_is_reached_through_a_proxy_by_names_that_only_the_proxy_knows() {
    let cluster = Cluster::without_workers();
    let s3 = bucket();
    let authority = Authority::default();
    // The bucket in the name of the host, as AWS has it.
    let host = format!("{BUCKET}.{NAME}");
    let tls = Tls::before(s3.address(), &authority, &[&host]);
    let (plain, secure) = (format!("{NAME}:9000"), format!("{host}:443"));
    let proxy = Proxy::to(&[(&plain, s3.address()), (&secure, tls.address())], true);
    let mut db = bridge(&cluster, "proxy");
    add_bucket(&mut db, &format!("http://{plain}"), &[("proxy", &proxy.url())], &[]);
    let error = ends(&mut db, &cluster, "failed", "28000", "the proxy refuses the login");
    assert!(hint(&error).contains("proxy_username"), "{error}");
    // The proxy lets pass, the server checks the signature.
    db.exec(&format!(
        "ALTER USER MAPPING FOR CURRENT_USER SERVER oo OPTIONS (ADD proxy_username '{}', ADD proxy_password '{}',
             SET secret_access_key 'guessed wrong')",
        LOGIN.0, LOGIN.1
    ));
    db.exec("SELECT etl_retry(run_id) FROM etl_job_run WHERE status = 'failed'");
    let error = ends(&mut db, &cluster, "failed", "28000", "refuses the credentials");
    assert!(detail(&error).contains("SignatureDoesNotMatch"), "{error}");
    assert_eq!(s3.lists(), 0);
    db.exec(&format!(
        "ALTER USER MAPPING FOR CURRENT_USER SERVER oo OPTIONS (SET secret_access_key '{SECRET_KEY}')"
    ));
    succeeds(&mut db);
    let tunnel = format!("CONNECT {plain} HTTP/1.1");
    assert!(proxy.asked().iter().all(|line| *line == tunnel), "{:?}", proxy.asked());
    // TLS through the tunnel.
    db.exec("DELETE FROM etl_source; DROP SERVER oo CASCADE");
    let way = [
        ("proxy", proxy.url()),
        ("ca_certificate", authority.pem().to_string()),
        ("path_style", "false".to_string()),
    ];
    let way = way.each_ref().map(|(name, value)| (*name, value.as_str()));
    add_bucket(&mut db, &format!("https://{NAME}"), &way, &PROXY_LOGIN);
    succeeds(&mut db);
    let tunnel = format!("CONNECT {secure} HTTP/1.1");
    assert_eq!(proxy.asked().last(), Some(&tunnel));
}

#[test]
fn a_proxy_of_a_bucket_that_forbids_makes_the_window_wait() {
    let cluster = Cluster::without_workers();
    let s3 = bucket();
    let proxy = Proxy::to(&[("s3.invalid:9000", s3.address())], false);
    let mut db = bridge(&cluster, "forbidden");
    add_bucket(&mut db, "http://s3.invalid:9001", &[("proxy", &proxy.url())], &[]);
    let error = ends(&mut db, &cluster, "queued", "08001", "the proxy makes no connection");
    let way = format!("through the proxy {}", proxy.address());
    assert!(
        detail(&error).contains("403") && detail(&error).contains(&way),
        "{error}"
    );
    alter(&mut db, "SET endpoint 'http://s3.invalid:9000'");
    succeeds(&mut db);
}

/// A proxy that speaks TLS, with a login, and TLS before a server: each with a certificate of an authority of its own.
struct Hops {
    proxy: Proxy,
    before_proxy: Tls,
    proxy_authority: Authority,
    server: Tls,
    server_authority: Authority,
}

impl Hops {
    /// To the server by two names: with TLS at port 443, without at 80.
    fn to(server: std::net::SocketAddr, name: &str) -> Hops {
        let (proxy_authority, server_authority) = (Authority::default(), Authority::default());
        let tls = Tls::before(server, &server_authority, &[name]);
        let hosts = [(format!("{name}:443"), tls.address()), (format!("{name}:80"), server)];
        let hosts = hosts.each_ref().map(|(name, at)| (name.as_str(), *at));
        let proxy = Proxy::to(&hosts, true);
        Hops {
            before_proxy: Tls::before(proxy.address(), &proxy_authority, &["localhost"]),
            proxy,
            proxy_authority,
            server: tls,
            server_authority,
        }
    }

    /// The option `proxy`.
    fn url(&self) -> String {
        self.before_proxy.endpoint("localhost")
    }

    /// Both authorities.
    fn trusted(&self) -> String {
        format!("{}{}", self.proxy_authority.pem(), self.server_authority.pem())
    }

    /// The window of `oo`, which goes this way to `https://`, then `http://` and the name: each certificate is checked.
    #[track_caller]
    fn are_checked(&self, db: &mut Session, cluster: &Cluster, name: &str) {
        assert_ne!(self.server.address(), self.before_proxy.address());
        let error = ends(db, cluster, "queued", "08001", "nobody we trust");
        assert!(hint(&error).contains("The proxy localhost:"), "{error}");
        alter(db, &format!("ADD ca_certificate '{}'", self.server_authority.pem()));
        ends(db, cluster, "queued", "08001", "nobody we trust");
        assert!(self.proxy.asked().is_empty(), "no login was sent to whoever that is");
        alter(db, &format!("SET ca_certificate '{}'", self.proxy_authority.pem()));
        ends(db, cluster, "queued", "08001", "nobody we trust");
        let tunnel = format!("CONNECT {name}:443 HTTP/1.1");
        assert!(
            self.proxy.asked().iter().all(|line| *line == tunnel),
            "{:?}",
            self.proxy.asked()
        );
        assert!(
            !self.proxy.asked().is_empty(),
            "the proxy is trusted now, the server is not"
        );
        let named_otherwise = self.before_proxy.endpoint("127.0.0.1");
        alter(
            db,
            &format!("SET ca_certificate '{}', SET proxy '{named_otherwise}'", self.trusted()),
        );
        ends(db, cluster, "queued", "08001", "for another name");
        alter(db, &format!("SET proxy '{}'", self.url()));
        succeeds(db);
        // TLS to the proxy only.
        db.exec("DELETE FROM etl_job_run");
        alter(db, &format!("SET endpoint 'http://{name}'"));
        blackbox::bridge::enqueue(db, T0, 1);
        succeeds(db);
        let tunnel = format!("CONNECT {name}:80 HTTP/1.1");
        assert_eq!(self.proxy.asked().last(), Some(&tunnel));
    }
}

#[test]
fn a_proxy_may_speak_tls_itself_to_openobserve() {
    let cluster = Cluster::without_workers();
    let oo = OpenObserve::serve(minutes(1));
    let hops = Hops::to(oo.address(), "oo.invalid");
    let mut db = bridge(&cluster, "tls_proxy");
    let server = [
        ("kind", "openobserve"),
        ("endpoint", "https://oo.invalid"),
        ("proxy", &hops.url()),
    ];
    way::add(&mut db, &server, &[&BASIC[..], &PROXY_LOGIN].concat());
    hops.are_checked(&mut db, &cluster, "oo.invalid");
}

#[test]
fn a_proxy_may_speak_tls_itself_to_a_bucket() {
    let cluster = Cluster::without_workers();
    let s3 = bucket();
    let hops = Hops::to(s3.address(), NAME);
    let mut db = bridge(&cluster, "tls_proxy");
    add_bucket(
        &mut db,
        &format!("https://{NAME}"),
        &[("proxy", &hops.url())],
        &PROXY_LOGIN,
    );
    hops.are_checked(&mut db, &cluster, NAME);
}
