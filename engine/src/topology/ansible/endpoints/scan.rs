//! Finding hosts in a text.

use std::sync::LazyLock;

use regex::Regex;

use super::super::jinja::token_of;
use super::super::world::World;

/// A host that a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub target: Target,
    /// Offset in bytes.
    pub at: usize,
    pub scheme: Option<String>,
    pub port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A host of the inventory, named by an expression.
    Token(usize),
    /// A host of the inventory, written out.
    Name(usize),
    /// A host that the inventory lacks, in a connection string, with the database on it where it is named.
    Outside { host: String, database: Option<String> },
}

/// `scheme://[user:password@]host[:port]`, JDBC included. The password is matched, never kept.
static URL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?i)\b([a-z][a-z0-9+.-]*)://(?:[^\s/"'<>@]*@)?(\[[0-9a-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?([^\s"'<>,;]*)"#,
    )
    .ok()
});
/// `host=x`, `server=x`, `data source=x` of connection strings, with `port=` near it.
static DSN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)\b(?:host|server|data source|addr|address)\s*[=:]\s*["']?([\w.-]+)(?:[:,](\d{1,5}))?"#).ok()
});
/// `server x`, `server label x:port`, `proxy_pass x`: backends of proxies.
static BACKEND: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?im)^\s*(?:server|fastcgi_pass|uwsgi_pass|grpc_pass|memcached_pass)\s+(?:[\w.-]+\s+)?([\w.-]+)(?::(\d{1,5}))?").ok()
});
/// `host:port` as a word.
static PAIR: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?:^|[^\w.:/@-])([A-Za-z0-9][\w.-]*):(\d{2,5})\b").ok());
/// `port = n` or `port n`.
static PORT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"(?i)port\W{1,6}(\d{2,5})\b"#).ok());

/// Compiles the expressions.
pub fn prepare() {
    for expression in [&URL, &DSN, &BACKEND, &PAIR, &PORT] {
        LazyLock::force(expression);
    }
}

/// Schemes whose URLs are connections of programs, so that a host outside of the inventory is worth an edge.
const CONNECTIONS: &[&str] = &[
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "redis",
    "rediss",
    "amqp",
    "amqps",
    "mongodb",
    "mongodb+srv",
    "kafka",
    "nats",
    "ldap",
    "ldaps",
    "memcached",
    "sqlserver",
    "oracle",
    "cassandra",
    "clickhouse",
    "zookeeper",
    "couchbase",
    "pulsar",
    "mqtt",
];

/// How far around a host a port, a scheme or a line is looked for, in bytes.
const NEAR: usize = 400;
/// Most mentions taken from one text.
const MAX_MENTIONS: usize = 20_000;

/// The end of a text, at most [`NEAR`] bytes.
pub(super) fn near_before(text: &str, end: usize) -> &str {
    let mut start = end.saturating_sub(NEAR);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..end).unwrap_or("")
}

/// The beginning of a text after a place, at most [`NEAR`] bytes.
pub(super) fn near_after(text: &str, start: usize) -> &str {
    let mut end = start.saturating_add(NEAR).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(start..end).unwrap_or("")
}

/// Every host that the text names, in order of offset.
pub(super) fn mentions(world: &World, text: &str) -> Vec<Mention> {
    let mut found = tokens(text);
    for captures in URL
        .iter()
        .flat_map(|regex| regex.captures_iter(text))
        .take(MAX_MENTIONS)
    {
        let (Some(host), Some(scheme)) = (captures.get(2), captures.get(1)) else {
            continue;
        };
        let scheme = scheme.as_str().to_ascii_lowercase();
        // A further @ means that the password holds a sign that ends it: what looks like a host may be a part of it.
        if captures.get(4).is_some_and(|rest| rest.as_str().contains('@')) {
            continue;
        }
        let port = captures.get(3).and_then(|port| port.as_str().parse().ok());
        let name = host.as_str().trim_matches(['[', ']']);
        let program = scheme.rsplit([':', '.']).next().unwrap_or_default();
        let target = match world.host_named(name) {
            Some(index) => Target::Name(index),
            None if CONNECTIONS.contains(&program) && is_public_name(name) => {
                Target::Outside {
                    host: name.to_ascii_lowercase(),
                    database: captures
                        .get(4)
                        // What goes on with a comma may be a password that is no part of any name.
                        .filter(|rest| !text.get(rest.end()..).is_some_and(|more| more.starts_with([',', ';'])))
                        .and_then(|rest| database(rest.as_str())),
                }
            }
            None => continue,
        };
        found.push(Mention {
            target,
            at: host.start(),
            scheme: Some(scheme),
            port,
        });
    }
    for regex in [&DSN, &BACKEND, &PAIR] {
        for captures in regex
            .iter()
            .flat_map(|regex| regex.captures_iter(text))
            .take(MAX_MENTIONS)
        {
            let Some(host) = captures.get(1) else { continue };
            let Some(index) = world.host_named(host.as_str()) else {
                continue;
            };
            let port = captures.get(2).and_then(|port| port.as_str().parse().ok());
            let port = port.or_else(|| port_near(text, host.end()));
            found.push(Mention {
                target: Target::Name(index),
                at: host.start(),
                scheme: None,
                port,
            });
        }
    }
    found.sort_by_key(|mention| mention.at);
    found.dedup_by(|again, kept| again.at == kept.at);
    found
}

/// The database of a URL, from what follows host and port: `/shop?sslmode=require`.
fn database(rest: &str) -> Option<String> {
    let name = rest.strip_prefix('/')?.split(['?', '#', '&', '/']).next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
}

/// Hosts that expressions named.
fn tokens(text: &str) -> Vec<Mention> {
    let mut found = Vec::new();
    for (at, c) in text.char_indices() {
        let Some(index) = token_of(c.encode_utf8(&mut [0; 4])) else {
            continue;
        };
        if found.len() >= MAX_MENTIONS {
            break;
        }
        let before = near_before(text, at);
        let end = at + c.len_utf8();
        found.push(Mention {
            target: Target::Token(index),
            at,
            scheme: scheme_before(before),
            port: port_after(near_after(text, end)).or_else(|| port_near(text, end)),
        });
    }
    found
}

/// The scheme of the word that a host ends.
fn scheme_before(before: &str) -> Option<String> {
    let word = before
        .rsplit(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '('))
        .next()?;
    let (head, _) = word.rsplit_once("://")?;
    let scheme = head
        .rsplit(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-')))
        .next()?;
    (!scheme.is_empty()).then(|| scheme.to_ascii_lowercase())
}

/// `:port`, or a number after a comma, as functions take it: `addServer('h', 11211)`.
fn port_after(after: &str) -> Option<u16> {
    let digits = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text.get(..end)
            .filter(|digits| (2..=5).contains(&digits.len()))
            .and_then(|digits| digits.parse().ok())
    };
    let after = after.trim_start_matches(['"', '\'', ']']);
    if let Some(port) = after.strip_prefix(':').and_then(digits) {
        return Some(port);
    }
    digits(
        after
            .strip_prefix(',')?
            .trim_start_matches(' ')
            .trim_start_matches(['"', '\'']),
    )
}

/// `port = n` or `port n` within the line or the two after it, before another host is named.
fn port_near(text: &str, end: usize) -> Option<u16> {
    let after = near_after(text, end);
    let line_end = after.match_indices('\n').nth(2).map_or(after.len(), |(at, _)| at);
    let window = after.get(..line_end)?;
    let next_host = window
        .find(|c: char| token_of(c.encode_utf8(&mut [0; 4])).is_some() || c == '}')
        .unwrap_or(window.len());
    let found = PORT.as_ref()?.captures(window.get(..next_host)?)?;
    found.get(1)?.as_str().parse().ok()
}

/// A name or address that another machine can have, without signs of a placeholder.
fn is_public_name(name: &str) -> bool {
    let local =
        name.eq_ignore_ascii_case("localhost") || name.starts_with("127.") || name == "0.0.0.0" || name == "::1";
    !local
        && name.contains(['.', ':'])
        && name.len() <= 253
        && !name.starts_with(['.', '-'])
        && !name.ends_with(['.', '-'])
}
