//! What the invented services log. `<name>` in a text is a variable of [`super::vars::Var`].

use super::fleet::Class;

/// The severity of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Level {
    /// As most services write it.
    pub(super) fn upper(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
            Level::Fatal => "FATAL",
        }
    }

    /// As some services write it.
    pub(super) fn lower(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warning",
            Level::Error => "error",
            Level::Fatal => "critical",
        }
    }
}

/// Who writes a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// Every service.
    Any,
    /// Services of one class.
    Only(Class),
    /// The operating system of a host: no service.
    Host,
}

/// One kind of line.
pub(super) struct Template {
    pub(super) writer: Writer,
    pub(super) level: Level,
    /// How often, relative to the others of the same writer.
    pub(super) weight: u32,
    /// Whether the record has a structured severity; else the level stands in the text, if anywhere.
    pub(super) structured: bool,
    pub(super) text: &'static str,
}

const EDGE: Writer = Writer::Only(Class::Edge);
const STORE: Writer = Writer::Only(Class::Store);
const MONEY: Writer = Writer::Only(Class::Money);
const ASYNC: Writer = Writer::Only(Class::Async);
const ANY: Writer = Writer::Any;
const HOST: Writer = Writer::Host;

const DEBUG: Level = Level::Debug;
const INFO: Level = Level::Info;
const WARN: Level = Level::Warn;
const ERROR: Level = Level::Error;
const FATAL: Level = Level::Fatal;

const fn line(writer: Writer, level: Level, weight: u32, text: &'static str) -> Template {
    Template {
        writer,
        level,
        weight,
        structured: true,
        text,
    }
}

/// A line whose level is part of its text.
const fn bare(writer: Writer, level: Level, weight: u32, text: &'static str) -> Template {
    Template {
        writer,
        level,
        weight,
        structured: false,
        text,
    }
}

#[rustfmt::skip]
pub(super) const TEMPLATES: [Template; 58] = [
    line(ANY, INFO, 300, "handled <method> <path> for user <user> in <duration>"),
    line(ANY, INFO, 120, "request <uuid> completed status=<status> bytes=<bytes>"),
    line(ANY, INFO, 40, "health probe from <ip> answered in <duration>"),
    line(ANY, INFO, 20, "configuration version <version> applied, <small> keys changed"),
    line(ANY, INFO, 15, "leader lease renewed by <pod> until <clock>"),
    line(ANY, DEBUG, 60, "cache lookup key=session:<hex> hit=true age=<duration>"),
    line(ANY, DEBUG, 40, "connection <num> to <peer> returned to pool (<small> idle)"),
    line(ANY, DEBUG, 6, "opening database dsn=postgres://shop:<secret>@<host>:5432/shop"),
    line(ANY, WARN, 30, "slow call to <peer>: <millis>ms on route <path>"),
    line(ANY, WARN, 14, "retrying <peer> after connection reset by <ip>:<port>, attempt <small>"),
    line(ANY, WARN, 8, "clock differs from <host> by <duration>"),
    line(ANY, ERROR, 14, "upstream <peer> answered 503 for request <uuid>"),
    line(ANY, ERROR, 6, "deadline exceeded while waiting for <peer> after <duration>"),
    line(ANY, FATAL, 1, "out of file descriptors: <num> open, shutting down"),
    bare(ANY, INFO, 90, "time=<epoch> level=info component=http method=<method> path=<path> status=<status> took=<duration>"),
    bare(ANY, WARN, 10, "time=<epoch> level=warn component=pool msg=\"slow checkout\" peer=<peer> waited=<duration> in_use=<small>"),
    bare(ANY, INFO, 70, r#"{"ts":<epoch>,"level":"info","msg":"request done","trace":"<hex>","user":"<user>","ms":<millis>}"#),
    bare(ANY, ERROR, 6, r#"{"ts":<epoch>,"level":"error","msg":"request failed","peer":"<peer>","status":502,"attempt":<small>}"#),

    line(EDGE, INFO, 260, "<ip> - <user> \"<method> <path> HTTP/1.1\" <status> <num> \"-\" \"shop-app/<version>\""),
    line(EDGE, INFO, 60, "login of <email> from <ip> accepted"),
    line(EDGE, INFO, 30, "session <uuid> started for <user> in region <region>"),
    line(EDGE, DEBUG, 40, "route <path> matched to <peer> with weight <percent>%"),
    line(EDGE, WARN, 25, "login of <email> from <ip> refused: wrong password (<small> tries)"),
    line(EDGE, WARN, 12, "rate limit reached for <ip>: <num> requests in 60s"),
    line(EDGE, WARN, 8, "rejected header of <bytes> from <ip>:<port>"),
    line(EDGE, ERROR, 8, "TLS handshake with <ip>:<port> failed: certificate expired <small> days ago"),
    line(EDGE, ERROR, 5, "panic while rendering <path>: index out of range [<small>] with length <small>\ngoroutine <num> [running]:\nshop/render.Page(0x<hex>)\n\t/srv/app/render/page.go:<small> +0x1d4\nshop/http.serve(0x<hex>)\n\t/srv/app/http/serve.go:<small> +0x88"),

    line(STORE, INFO, 130, "query on <table> returned <num> rows in <duration>"),
    line(STORE, INFO, 50, "item <sku> updated, stock now <num>"),
    line(STORE, INFO, 25, "snapshot of <table> written to /var/lib/store/<hex>.snap (<bytes>)"),
    line(STORE, DEBUG, 90, "SELECT id, body FROM <table> WHERE id = <num> LIMIT <small>"),
    line(STORE, DEBUG, 30, "evicted <num> entries, cache at <percent>%"),
    line(STORE, WARN, 16, "slow query (<millis>ms) on <table>: sequential scan over <num> rows"),
    line(STORE, WARN, 7, "replica <host> is <bytes> behind"),
    line(STORE, ERROR, 7, "deadlock between transactions <num> and <num> on <table>, victim rolled back"),
    line(STORE, ERROR, 5, "java.sql.SQLTransientConnectionException: pool-<small> - connection is not available, request timed out after <millis>ms\n\tat com.shop.store.Pool.take(Pool.java:<small>)\n\tat com.shop.store.Items.find(Items.java:<small>)\n\tat com.shop.store.Handler.run(Handler.java:<small>)"),

    line(MONEY, INFO, 110, "order <uuid> charged <amount> <currency> with card ending <card>"),
    line(MONEY, INFO, 50, "converted <amount> <currency> to <amount> <currency> at <ratio>"),
    line(MONEY, INFO, 35, "discount <flag> gives <percent>% on order <num>"),
    line(MONEY, DEBUG, 30, "risk score <ratio> for user <user> from <region>"),
    line(MONEY, WARN, 14, "charge of <amount> <currency> declined by issuer: insufficient funds (code <small>)"),
    line(MONEY, WARN, 6, "exchange rate for <currency> is <duration> old"),
    line(MONEY, ERROR, 9, "charge for order <uuid> failed: provider timeout after <duration>"),
    line(MONEY, ERROR, 4, "ledger out of balance by <amount> <currency> in batch <hex>"),
    line(MONEY, ERROR, 4, "Traceback (most recent call last):\n  File \"/app/charge.py\", line <small>, in charge\n    receipt = provider.submit(order)\n  File \"/app/provider.py\", line <small>, in submit\n    raise ProviderError(code)\nProviderError: <small> for order <uuid>"),

    line(ASYNC, INFO, 130, "consumed <num> messages from <topic> partition <small> up to offset <num>"),
    line(ASYNC, INFO, 60, "mail to <email> queued as <hex>"),
    line(ASYNC, INFO, 40, "job <uuid> finished in <duration>, <small> steps"),
    line(ASYNC, DEBUG, 30, "heartbeat to coordinator <host>:<port> generation <num>"),
    line(ASYNC, WARN, 16, "consumer lag on <topic> is <num> messages"),
    line(ASYNC, WARN, 7, "message <uuid> delivered <small> times, moving to dead letters"),
    line(ASYNC, ERROR, 8, "smtp <ip>:25 refused mail to <email>: mailbox unavailable"),
    line(ASYNC, ERROR, 5, "worker <pid> died with signal <small> while running job <uuid>"),

    bare(HOST, INFO, 60, "sshd[<pid>]: session opened for user <user> from <ip> port <port>"),
    bare(HOST, INFO, 40, "systemd[1]: started container <hex>.scope in <duration>"),
    bare(HOST, WARN, 12, "kernel: nf_conntrack: table at <percent>% (<num> entries)"),
    bare(HOST, ERROR, 6, "kernel: oom killer: killed process <pid> using <bytes>"),
    bare(HOST, ERROR, 3, "smartd[<pid>]: device /dev/sd<letter>: <small> pending sectors"),
];
