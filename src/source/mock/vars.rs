//! The variables in log templates, and how one value of each is written.

use std::fmt::Write;

use super::fleet::{Fleet, Service};
use super::rng::Rng;

/// A place in a template that differs from line to line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Var {
    Amount,
    Bytes,
    Card,
    Clock,
    Currency,
    Duration,
    Email,
    Epoch,
    Flag,
    Hex,
    Host,
    Ip,
    Letter,
    Method,
    Millis,
    Num,
    Path,
    Peer,
    Percent,
    Pid,
    Pod,
    Port,
    Ratio,
    Region,
    Secret,
    Sku,
    Small,
    Status,
    Table,
    Topic,
    User,
    Uuid,
    Version,
}

const NAMES: [(&str, Var); 33] = [
    ("amount", Var::Amount),
    ("bytes", Var::Bytes),
    ("card", Var::Card),
    ("clock", Var::Clock),
    ("currency", Var::Currency),
    ("duration", Var::Duration),
    ("email", Var::Email),
    ("epoch", Var::Epoch),
    ("flag", Var::Flag),
    ("hex", Var::Hex),
    ("host", Var::Host),
    ("ip", Var::Ip),
    ("letter", Var::Letter),
    ("method", Var::Method),
    ("millis", Var::Millis),
    ("num", Var::Num),
    ("path", Var::Path),
    ("peer", Var::Peer),
    ("percent", Var::Percent),
    ("pid", Var::Pid),
    ("pod", Var::Pod),
    ("port", Var::Port),
    ("ratio", Var::Ratio),
    ("region", Var::Region),
    ("secret", Var::Secret),
    ("sku", Var::Sku),
    ("small", Var::Small),
    ("status", Var::Status),
    ("table", Var::Table),
    ("topic", Var::Topic),
    ("user", Var::User),
    ("uuid", Var::Uuid),
    ("version", Var::Version),
];

const USERS: [&str; 16] = [
    "amina", "bjorn", "chen", "dolores", "emeka", "farid", "greta", "hiro", "ines", "jonas", "katya", "liam", "mei",
    "noor", "olga", "pedro",
];
const PATHS: [&str; 8] = [
    "/",
    "/cart",
    "/checkout",
    "/login",
    "/search",
    "/static/app.js",
    "/api/v1/me",
    "/offers",
];
const TABLES: [&str; 6] = ["orders", "items", "baskets", "accounts", "prices", "reviews"];

impl Var {
    /// The variable called `name` in templates.
    pub(super) fn named(name: &str) -> Option<Var> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, var)| *var)
    }

    /// Appends a value to `out`. `ts` is the time of the line, `writer` the service that writes it.
    /// (Writing to a `String` cannot fail.)
    pub(super) fn render(self, out: &mut String, rng: &mut Rng, ts: i64, writer: Option<&Service>, fleet: &Fleet) {
        let _ = match self {
            Var::Amount => write!(out, "{}.{:02}", rng.between(1, 900), rng.below(100)),
            Var::Bytes => write!(
                out,
                "{}.{}{}",
                rng.between(1, 900),
                rng.below(10),
                rng.pick(&["KiB", "MiB", "B"])
            ),
            Var::Card => write!(out, "{:04}", rng.below(10_000)),
            Var::Clock => clock(out, ts),
            Var::Currency => out.write_str(rng.pick(&["EUR", "USD", "GBP", "JPY", "SEK", "BRL"])),
            Var::Duration => duration(out, rng),
            Var::Email => write!(out, "{}{}@example.com", rng.pick(&USERS), rng.below(1000)),
            Var::Epoch => write!(
                out,
                "{}.{:03}",
                ts.div_euclid(1_000_000),
                ts.rem_euclid(1_000_000) / 1000
            ),
            Var::Flag => out.write_str(rng.pick(&["SPRING10", "WELCOME", "BULK", "STAFF"])),
            Var::Hex => write!(out, "{:012x}", rng.bits() >> 16),
            Var::Host => out.write_str(
                fleet
                    .hosts
                    .get(rng.index(fleet.hosts.len()))
                    .map_or("node-00", String::as_str),
            ),
            Var::Ip => write!(out, "10.{}.{}.{}", rng.below(64), rng.below(256), rng.between(1, 254)),
            Var::Letter => out.write_str(rng.pick(&["a", "b", "c", "d"])),
            Var::Method => out.write_str(rng.pick(&["GET", "GET", "GET", "POST", "PUT", "DELETE"])),
            Var::Millis => write!(out, "{}", rng.between(1, 30_000)),
            Var::Num => write!(out, "{}", rng.below(200_000)),
            Var::Path => path(out, rng),
            Var::Peer => out.write_str(peer(rng, writer, fleet)),
            Var::Percent => write!(out, "{}", rng.below(101)),
            Var::Pid => write!(out, "{}", rng.between(300, 32_000)),
            Var::Pod => write!(out, "{}-{}", writer.map_or("host", |s| s.name.as_str()), rng.below(4)),
            Var::Port => write!(out, "{}", rng.between(1024, 65_535)),
            Var::Ratio => write!(out, "{}.{:04}", rng.below(3), rng.below(10_000)),
            Var::Region => out.write_str(rng.pick(&["eu-central-1", "eu-west-2", "us-east-1", "ap-south-1"])),
            Var::Secret => write!(out, "s3cr3t{:08x}", rng.bits() >> 32),
            Var::Sku => write!(out, "SKU-{:05}", rng.below(5_000)),
            Var::Small => write!(out, "{}", rng.between(1, 40)),
            Var::Status => out.write_str(rng.pick(&["200", "200", "200", "200", "201", "204", "304", "404"])),
            Var::Table => out.write_str(rng.pick(&TABLES)),
            Var::Topic => out.write_str(rng.pick(&["orders.placed", "mail.outbound", "stock.changed"])),
            Var::User => write!(out, "{}{}", rng.pick(&USERS), rng.below(1000)),
            Var::Uuid => uuid(out, rng),
            Var::Version => write!(out, "{}.{}.{}", rng.between(1, 4), rng.below(20), rng.below(10)),
        };
    }
}

fn clock(out: &mut String, ts: i64) -> std::fmt::Result {
    let ms = ts.div_euclid(1000).rem_euclid(86_400_000);
    write!(
        out,
        "{:02}:{:02}:{:02}.{:03}",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1000 % 60,
        ms % 1000
    )
}

fn duration(out: &mut String, rng: &mut Rng) -> std::fmt::Result {
    match rng.below(20) {
        0 => write!(out, "{}us", rng.between(40, 999)),
        1 => write!(out, "{}.{:02}s", rng.between(1, 4), rng.below(100)),
        _ => write!(out, "{}ms", rng.between(1, 999)),
    }
}

fn path(out: &mut String, rng: &mut Rng) -> std::fmt::Result {
    match rng.below(4) {
        0 => write!(out, "/api/v1/products/{}", rng.below(5_000)),
        1 => write!(out, "/api/v1/orders/{}/items", rng.below(90_000)),
        _ => out.write_str(rng.pick(&PATHS)),
    }
}

/// A service the writer calls, or a name for the database of a service that calls nobody.
fn peer<'a>(rng: &mut Rng, writer: Option<&Service>, fleet: &'a Fleet) -> &'a str {
    let callees = writer.map_or(&[][..], |s| &s.callees);
    let callee = callees
        .get(rng.index(callees.len()))
        .and_then(|c| fleet.services.get(*c));
    callee.map_or("shop-db", |s| s.name.as_str())
}

/// A version 4 UUID (RFC 9562, section 5.4).
fn uuid(out: &mut String, rng: &mut Rng) -> std::fmt::Result {
    let (high, low) = (rng.bits(), rng.bits());
    write!(
        out,
        "{:08x}-{:04x}-4{:03x}-",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff
    )?;
    write!(
        out,
        "{:04x}-{:012x}",
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::mock::MockConfig;
    use crate::source::mock::rng::Purpose;

    fn render(var: Var, seed: u64) -> String {
        let fleet = Fleet::new(&MockConfig::default());
        let mut out = String::new();
        var.render(
            &mut out,
            &mut Rng::new(seed, Purpose::Log, 0, 0),
            1_800_000_000_123_456,
            None,
            &fleet,
        );
        out
    }

    #[test]
    fn every_variable_has_a_name_and_writes_something() {
        for (name, var) in NAMES {
            assert_eq!(Var::named(name), Some(var));
            assert!((0..50).all(|seed| !render(var, seed).is_empty()), "{name}");
        }
        assert_eq!(Var::named("nothing"), None);
    }

    #[test]
    fn formats() {
        assert_eq!(render(Var::Clock, 1), "08:00:00.123");
        assert_eq!(render(Var::Epoch, 1), "1800000000.123");
        for seed in 0..100 {
            let uuid = render(Var::Uuid, seed);
            let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12]);
            assert!(uuid.get(14..15) == Some("4") && matches!(uuid.get(19..20), Some("8" | "9" | "a" | "b")));
        }
    }
}
