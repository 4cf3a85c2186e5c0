//! Hosts in the values of settings: URLs, host lists, connection strings, bare names where the setting's name says so.
//! Only host and port leave this module; users, passwords, paths and queries are dropped.

/// A host that a value names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// In lower case, without a trailing dot. Never an address or the local host.
    pub host: String,
    pub port: Option<u16>,
    /// The value has the form of an endpoint beyond doubt (URL, `host:port` or a connection string under a name that
    /// says host, address, endpoint, ...), so the host means something even if nothing else is known of it.
    pub explicit: bool,
}

/// Ends of setting names under which a bare name is a host.
const BARE: [&str; 16] = [
    "HOST",
    "HOSTS",
    "HOSTNAME",
    "ADDR",
    "ADDRS",
    "ADDRESS",
    "ENDPOINT",
    "ENDPOINTS",
    "URL",
    "URLS",
    "URI",
    "SERVER",
    "SERVERS",
    "BROKER",
    "BROKERS",
    "NODES",
];
/// Keys of connection strings that name the server: libpq, ADO.NET, ODBC.
const SERVER_KEYS: [&str; 8] = [
    "host",
    "hostname",
    "hostaddr",
    "server",
    "data source",
    "datasource",
    "addr",
    "address",
];
/// Most hosts taken from one value.
const MAX_HOSTS: usize = 64;

/// All hosts that the value of the setting `name` names, each once.
pub fn find(name: &str, value: &str) -> Vec<Endpoint> {
    let mut found = Vec::new();
    let upper = name.to_ascii_uppercase();
    let last = upper.rsplit(['_', '-', '.']).next().unwrap_or_default();
    let says_host = BARE.contains(&last);
    let value = value.trim();
    if value.contains("://") {
        urls(value, &mut found);
    } else if let Some(oracle) = value.strip_prefix("jdbc:oracle:") {
        // jdbc:oracle:thin:@//host:1521/service, jdbc:oracle:thin:user/password@host:1521:sid
        let address = oracle.rsplit('@').next().unwrap_or_default().trim_start_matches('/');
        host_list(
            address.split(['/', '?']).next().unwrap_or_default(),
            true,
            true,
            &mut found,
        );
    } else if value.contains('=') {
        connection_string(value, &mut found);
    } else if let Some((_, address)) = value.split_once("tcp(") {
        // user:password@tcp(host:3306)/database
        host_list(address.split(')').next().unwrap_or_default(), true, true, &mut found);
    } else {
        host_list(value, says_host, says_host, &mut found);
    }
    found
}

/// The authority of every URL: `scheme://user:password@host:port,host:port/path`.
fn urls(value: &str, found: &mut Vec<Endpoint>) {
    let ends =
        |c: char| matches!(c, '/' | '?' | '#' | ';' | '"' | '\'' | '<' | '>' | ')' | '}' | '\\') || c.is_whitespace();
    let mut pieces = value.split("://").skip(1).peekable();
    while let Some(piece) = pieces.next() {
        let (authority, rest) = piece.split_at(piece.find(ends).unwrap_or(piece.len()));
        // Between two URLs of a list, the piece ends with the scheme of the next one.
        let authority = if rest.is_empty() && pieces.peek().is_some() {
            authority.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        } else {
            authority
        };
        let hosts = authority.rsplit('@').next().unwrap_or_default();
        // `u:p@ss/word@host`: what looks like the host may be a part of the password.
        if authority.contains('@') && rest.contains('@') {
            continue;
        }
        for host in hosts.split(',').take(MAX_HOSTS) {
            // `a:12/3@b`: somebody may have left a slash in a password unescaped. Then `12` is no port, and `a` a user.
            let unsure = rest.contains('@') && !authority.contains('@');
            let host = if unsure {
                host.split(':').next().unwrap_or_default()
            } else {
                host
            };
            add(host, true, !unsure, found);
        }
    }
}

/// `Server=host,1433;Password=..` and `host=a,b port=5432 password=..`.
fn connection_string(value: &str, found: &mut Vec<Endpoint>) {
    let by_semicolon = value.contains(';');
    let fields = value.split(|c: char| if by_semicolon { c == ';' } else { c.is_whitespace() });
    for field in fields.take(MAX_HOSTS) {
        let Some((key, server)) = field.split_once('=') else {
            continue;
        };
        if SERVER_KEYS.contains(&key.trim().to_ascii_lowercase().as_str()) {
            let server = server.trim().trim_matches(['"', '\'']);
            let server = server.strip_prefix("tcp:").unwrap_or(server);
            for host in server.split(',').take(MAX_HOSTS) {
                add(host.split('\\').next().unwrap_or_default(), true, true, found);
            }
        }
    }
}

/// `host`, `host:port`, several of them, or kafka's `1@host:9093`. Where some have an `@`, what has none may be half of
/// a password with a comma.
fn host_list(value: &str, bare: bool, explicit: bool, found: &mut Vec<Endpoint>) {
    let with_user = value.contains('@');
    for host in value
        .split(|c: char| c == ',' || c == ';' || c.is_whitespace())
        .take(MAX_HOSTS)
    {
        let (user, host) = host
            .rsplit_once('@')
            .map_or((None, host), |(user, host)| (Some(user), host));
        if user.is_some() == with_user {
            add(host.split('/').next().unwrap_or_default(), bare, explicit, found);
        }
    }
}

/// Adds `host` or `host:port`; without a port only where `bare` names are hosts.
fn add(text: &str, bare: bool, explicit: bool, found: &mut Vec<Endpoint>) {
    let mut parts = text.trim().split(':');
    let host = parts
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_ascii_lowercase();
    let port = parts.next();
    let number = port.and_then(|port| port.parse::<u16>().ok()).filter(|&port| port > 0);
    let well_formed = match port {
        None => bare,
        Some(_) => number.is_some(),
    };
    if found.len() < MAX_HOSTS && well_formed && is_name(&host) && !found.iter().any(|known| known.host == host) {
        found.push(Endpoint {
            host,
            port: number,
            explicit,
        });
    }
}

/// A DNS name that means another machine.
fn is_name(host: &str) -> bool {
    const NOT_HOSTS: [&str; 11] = [
        "localhost",
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "none",
        "null",
        "default",
        "disabled",
    ];
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
    };
    host.len() <= 253
        && host.split('.').all(label)
        && !NOT_HOSTS.contains(&host)
        && !host.ends_with(".localhost")
        // Addresses and plain numbers.
        && host.rsplit('.').next().is_some_and(|last| last.bytes().any(|b| b.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hosts(name: &str, value: &str) -> String {
        let found = find(name, value);
        let text = |e: &Endpoint| {
            e.port
                .map_or_else(|| e.host.clone(), |port| format!("{}:{port}", e.host))
        };
        found.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_usual_forms_are_read() {
        for (name, value, expected) in [
            ("X", "http://user:p%40ss@Cart.shop.:8080/a?b=c", "cart.shop:8080"),
            ("X", "jdbc:postgresql://db:5432/shop?user=a&password=b", "db:5432"),
            ("X", "jdbc:oracle:thin:scott/tiger@ora:1521:sid", "ora:1521"),
            ("X", "jdbc:sqlserver://sql:1433;databaseName=a;password=b", "sql:1433"),
            ("X", "mongodb+srv://u:p@m1,m2:27018/db", "m1 m2:27018"),
            ("X", "PLAINTEXT://kafka:9092,CONTROLLER://:9093", "kafka:9092"),
            ("X", "Host=pg;Username=a;Password=b", "pg"),
            ("X", "Server=tcp:sql,1433;Password=host", "sql"),
            ("X", "host=pg port=5432 password=secret dbname=a", "pg"),
            ("X", "root:pw@tcp(my:3306)/db", "my:3306"),
            ("X", "redis:6379", "redis:6379"),
            ("X", "k1:9092,k2:9092", "k1:9092 k2:9092"),
            ("X", "http://a:12/3@b", "a"),
            ("X", "u:12,3@k:9", "k:9"),
            ("VOTERS", "1@k1:9093,2@k2:9093", "k1:9093 k2:9093"),
            ("FLAGD_HOST", "flagd", "flagd"),
            ("X_ADDR", "a.b.svc.cluster.local", "a.b.svc.cluster.local"),
        ] {
            assert_eq!(hosts(name, value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_other_host_is_left_alone() {
        for (name, value) in [
            ("NAME", "redis"),
            ("X", "http://localhost:80"),
            ("X", "10.0.0.1:80"),
            ("X_HOST", "0.0.0.0"),
            ("X_HOST", "true"),
            ("X", "a:b"),
            ("X", "image:1.2"),
            ("X", "12:30"),
            ("X_ADDR", ":8080"),
            ("X", "-Xmx=300m"),
            ("X", "service.name=shop,k=v"),
            ("X", "postgres://u:p@ss.word/x@pg.example.com/shop"),
            ("X", "postgres://u:p@pg.shop/db?options=a@b"),
        ] {
            assert_eq!(hosts(name, value), "", "{value}");
        }
    }

    proptest! {
        #[test]
        fn only_names_come_out(name in "[A-Z_]{0,9}(HOST|URL|X)?", value in "[a-z:/@.,;= 0-9é]{0,50}") {
            for endpoint in find(&name, &value) {
                prop_assert!(is_name(&endpoint.host) && value.to_ascii_lowercase().contains(&endpoint.host));
            }
        }
    }
}
