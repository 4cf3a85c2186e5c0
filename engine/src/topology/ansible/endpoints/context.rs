//! Words around an address: whether they speak of a dependency, and of which protocol.

/// Words of keys whose value is no dependency of the owner: the owner itself, who may come in, places, texts.
const OTHER_WORDS: &[&str] = &[
    "advertise",
    "advertised",
    "listen",
    "listener",
    "listeners",
    "bind",
    "fqdn",
    "allow",
    "allowed",
    "deny",
    "denied",
    "permit",
    "permitted",
    "trusted",
    "whitelist",
    "acl",
    "acls",
    "firewall",
    "iptables",
    "users",
    "grants",
    "san",
    "sans",
    "subject",
    "cert",
    "certs",
    "certificate",
    "path",
    "dest",
    "dir",
    "directory",
    "file",
    "log",
    "logs",
    "logfile",
    "image",
    "version",
    "repo",
    "repos",
    "repository",
    "package",
    "packages",
    "download",
    "downloads",
    "mirror",
    "mirrors",
    "docs",
    "homepage",
    "redirect",
    "cors",
    "origin",
    "origins",
    "label",
    "labels",
    "tags",
    "description",
    "comment",
    "msg",
    "motd",
    "volumes",
    "ports",
    "email",
    "noproxy",
    "exclude",
    "excludes",
    "title",
    "checksum",
    "archive",
    "binary",
];
/// The same, as parts of keys.
const OTHER_PARTS: &[&str] = &[
    "server_name",
    "servername",
    "serveralias",
    "server_alias",
    "domain_name",
    "public_",
    "external_url",
    "no_proxy",
    "alt_name",
    "known_hosts",
    "ansible_",
    "src_ip",
    "source_ip",
    "client_ip",
    "from_ip",
    "node_ip",
    "node_name",
    "cluster_name",
    "mail_from",
    "user_agent",
    "keyserver",
];
/// Keys that name the owner.
const OWN_KEYS: &[&str] = &[
    "hostname",
    "host_name",
    "name",
    "inventory_hostname",
    "machine",
    "nodename",
    "return",
];

/// Whether the value of this key may name what its owner depends on.
pub(super) fn is_endpoint_key(key: &str) -> bool {
    let key = key.replace('-', "_");
    let lower = key.to_ascii_lowercase();
    let other = OWN_KEYS.contains(&lower.as_str()) || OTHER_PARTS.iter().any(|part| lower.contains(part));
    !other && !words(&key).iter().any(|word| OTHER_WORDS.contains(&word.as_str()))
}

/// The words of a key, in lower case: `KAFKA_HOSTS`, `kafkaHosts` and `kafka.hosts` have two.
fn words(key: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut lower = false;
    for c in key.chars() {
        let apart = !c.is_alphanumeric();
        if apart || (c.is_uppercase() && lower) {
            found.push(String::new());
        }
        lower = c.is_lowercase();
        if let Some(word) = found.last_mut().filter(|_| !apart) {
            word.extend(c.to_lowercase());
        }
    }
    found.retain(|word| !word.is_empty());
    found
}

/// Words that make a variable one of endpoints. Variables are many, and most that hold a host name are not used for
/// talking to it.
const ENDPOINT_WORDS: &[&str] = &[
    "host",
    "server",
    "addr",
    "endpoint",
    "url",
    "uri",
    "dsn",
    "master",
    "primary",
    "leader",
    "upstream",
    "backend",
    "broker",
    "bootstrap",
    "connect",
    "peer",
    "seed",
    "node",
    "db",
    "database",
    "redis",
    "mysql",
    "postgres",
    "mongo",
    "memcache",
    "kafka",
    "zookeeper",
    "rabbit",
    "amqp",
    "elastic",
    "etcd",
    "ldap",
    "smtp",
    "ntp",
    "proxy",
    "gateway",
    "api",
    "join",
    "replica_of",
    "replicaof",
    "slaveof",
    "relay",
    "sink",
    "collector",
    "vip",
];

/// Whether a variable of this name may hold endpoints.
pub(super) fn is_endpoint_variable(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    is_endpoint_key(key) && ENDPOINT_WORDS.iter().any(|word| lower.contains(word))
}

/// Files that list hosts for other reasons: name resolution, access, inventories.
pub(super) fn is_silent_file(name: &str) -> bool {
    let name = name.trim_end_matches(".j2").to_ascii_lowercase();
    let last = name.rsplit('/').next().unwrap_or("");
    matches!(
        last,
        "hosts" | "known_hosts" | "ssh_known_hosts" | "authorized_keys" | "hosts.ini" | "inventory" | "inventory.ini"
    ) || [
        "iptables",
        "ip6tables",
        "pg_hba",
        "exports",
        "sudoers",
        "hosts.allow",
        "hosts.deny",
        "ansible.cfg",
        "nftables",
        "rules.v4",
        "motd",
    ]
    .iter()
    .any(|word| last.contains(word))
        || name.contains(".ssh/")
}

/// Beginnings of lines (after blanks) that speak of the owner itself or of who may come in.
const OTHER_LINES: &[&str] = &[
    "allow ",
    "deny ",
    "server_name",
    "servername",
    "serveralias",
    "listen",
    "bind",
    "-a input",
    "-i input",
    "-a ",
    "iptables",
    "grant ",
    "set_real_ip_from",
    "return 3",
    "redirect",
    "rewrite ",
    "require ip",
    "require host",
    "access_log",
    "error_log",
    "acl ",
    "alt_names",
    "dns.",
    "ip.",
    "advertised",
    "host_name",
    "hostname",
    "restrict ",
    "no_proxy",
    "export no_proxy",
    "user ",
    "-s ",
    "xmlns",
    "@import",
    "include ",
    "documentation=",
    "#",
    "//",
];

/// Whether addresses on this line are something else than dependencies.
pub(super) fn is_other_line(line: &str) -> bool {
    let line = line.trim_start().to_ascii_lowercase();
    let line = line.trim_start_matches(['"', '\'', '-', ' ']);
    if line.is_empty() {
        return true;
    }
    let begins = OTHER_LINES.iter().any(|word| line.starts_with(word));
    let marks = ["-j accept", "-j drop", "-j reject", "xmlns", "!doctype", "xsi:schema"]
        .iter()
        .any(|word| line.contains(word));
    // `key: value` and `key = value` are judged by the key.
    let key = line.split(['=', ':', ' ', '\t']).next().unwrap_or("");
    let keyed = line
        .get(key.len()..)
        .is_some_and(|rest| rest.trim_start().starts_with(['=', ':']) && !rest.starts_with("://"));
    begins || marks || (keyed && !is_endpoint_key(key.trim_matches(['"', '\''])))
}

/// Words and the protocols they mean, the more exact first.
const PROTOCOLS: &[(&str, &str)] = &[
    ("zookeeper", "zookeeper"),
    ("kafka", "kafka"),
    ("etcd", "etcd"),
    ("redis", "redis"),
    ("memcache", "memcached"),
    ("mongo", "mongodb"),
    ("postgres", "postgresql"),
    ("pgsql", "postgresql"),
    ("mysql_replication", "mysql-replication"),
    ("mysql", "mysql"),
    ("mariadb", "mysql"),
    ("rabbit", "amqp"),
    ("amqp", "amqp"),
    ("elastic", "elasticsearch"),
    ("couchdb", "couchdb"),
    ("cassandra", "cassandra"),
    ("ldap", "ldap"),
    ("nats", "nats"),
    ("consul", "consul"),
    ("statsd", "statsd"),
    ("https", "https"),
    ("http", "http"),
];

/// Ports and the protocols they are registered or commonly used for.
const PORTS: &[(u16, &str)] = &[
    (80, "http"),
    (443, "https"),
    (2181, "zookeeper"),
    (2379, "etcd"),
    (3306, "mysql"),
    (5432, "postgresql"),
    (5672, "amqp"),
    (6379, "redis"),
    (8080, "http"),
    (9092, "kafka"),
    (9200, "elasticsearch"),
    (11211, "memcached"),
    (27017, "mongodb"),
];

/// The protocol, by scheme, by the words of a key or line, by port.
pub(super) fn protocol(scheme: Option<&str>, words: &str, port: Option<u16>) -> Option<&'static str> {
    let named = |text: &str| {
        let text = text.to_ascii_lowercase();
        PROTOCOLS
            .iter()
            .find(|(word, _)| text.contains(word))
            .map(|(_, protocol)| *protocol)
    };
    let by_scheme = scheme.and_then(|scheme| match scheme {
        "http" | "https" => None,
        other => named(other),
    });
    let by_words = || named(words).filter(|protocol| !matches!(*protocol, "http" | "https"));
    let by_port = || {
        PORTS
            .iter()
            .find(|(known, _)| Some(*known) == port)
            .map(|(_, protocol)| *protocol)
    };
    by_scheme
        .or_else(by_words)
        .or_else(|| scheme.and_then(named))
        .or_else(by_port)
        .or_else(|| named(words))
}

/// The port that a protocol has where none is written.
pub(super) fn default_port(scheme: &str) -> Option<u16> {
    Some(match scheme {
        "http" => 80,
        "https" => 443,
        "postgres" | "postgresql" => 5432,
        "mysql" | "mariadb" => 3306,
        "redis" => 6379,
        "amqp" => 5672,
        "mongodb" => 27017,
        "ldap" => 389,
        "ldaps" => 636,
        "nats" => 4222,
        _ => return None,
    })
}
