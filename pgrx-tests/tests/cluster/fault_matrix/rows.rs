//! The rows of the matrix: which faults a kind of source is struck with, and what a window may do then.

use super::fault::{Fault, Target};
use super::kind::Kind;

/// What a window does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Waits with one of these SQLSTATEs and is run again by itself.
    Waits(&'static [&'static str]),
    /// Fails for good with this one.
    Fails(&'static str),
    /// Goes on and succeeds.
    GoesOn,
    /// Goes on or waits.
    Any,
    /// Its process dies; another run takes it over.
    Rescued,
}

/// A fault and what it strikes.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub target: Target,
    pub fault: Fault,
    pub then: Then,
    /// It is tried by every `make test`.
    pub always: bool,
}

const CONNECTION: Then = Then::Waits(&["08001"]);
const BROKEN: Then = Then::Waits(&["08P01"]);
/// The connection ends: the library sees a failed connection or a short answer.
const ENDS: Then = Then::Waits(&["08001", "08P01"]);
const LATE: Then = Then::Waits(&["08006"]);
const GONE: Then = Then::Waits(&["P0002"]);
const BUSY: Then = Then::Waits(&["HV000"]);

/// The rows of a kind.
pub fn of(kind: Kind) -> Vec<Row> {
    match kind {
        Kind::Http => [common(Target::Page), lists(kind), api()].concat(),
        Kind::Lines => [common(Target::Object), lists(kind), objects(Target::Object)].concat(),
        Kind::Bucket | Kind::Columns => {
            let mut ranges = [common(Target::Range), objects(Target::Range), ranges()].concat();
            for row in &mut ranges {
                row.name.insert_str(0, "range: ");
                // What ends an answer ends the first one of an object as it does a later one.
                row.always &= matches!(row.fault, Fault::Halved | Fault::Vanished | Fault::Replaced);
            }
            [common(Target::Object), lists(kind), objects(Target::Object), ranges].concat()
        }
        Kind::File => Vec::new(),
    }
}

fn row(name: &str, target: Target, fault: Fault, then: Then) -> Row {
    Row {
        name: name.to_string(),
        target,
        fault,
        then,
        always: false,
    }
}

fn always(name: &str, target: Target, fault: Fault, then: Then) -> Row {
    Row {
        always: true,
        ..row(name, target, fault, then)
    }
}

/// What can happen to any page.
fn common(page: Target) -> Vec<Row> {
    vec![
        row("port closes", page, Fault::Refused, CONNECTION),
        always("reset before headers", page, Fault::Reset, CONNECTION),
        row("hang-up before headers", page, Fault::HungUp, ENDS),
        always("reset in the body", page, Fault::ResetInBody, ENDS),
        always("body cut, length told", page, Fault::Cut, ENDS),
        always("body halved, length says that is all", page, Fault::Halved, BROKEN),
        row("length says more than comes", page, Fault::TooShort, ENDS),
        row("body stalls", page, Fault::Stalled, LATE),
        row("no answer at all", page, Fault::Silent, LATE),
        row("slow loris", page, Fault::Drips, LATE),
        row("408", page, Fault::Status(408, None), BUSY),
        row(
            "429, Retry-After: 7",
            page,
            Fault::Status(429, Some(7)),
            Then::Waits(&["53400"]),
        ),
        row("500", page, Fault::Status(500, None), BUSY),
        always("503, Retry-After: 7", page, Fault::Status(503, Some(7)), BUSY),
        row("401", page, Fault::Status(401, None), Then::Fails("28000")),
        row("403", page, Fault::Status(403, None), Then::Fails("28000")),
        always("empty answer", page, Fault::Empty, Then::Any),
        row(
            "kill -9 of the runner, page in flight",
            page,
            Fault::Killed,
            Then::Rescued,
        ),
    ]
}

/// What can happen to lists of streams or objects.
fn lists(kind: Kind) -> Vec<Row> {
    let list = Target::List;
    let mut rows = vec![
        row("list: port closed", list, Fault::Refused, CONNECTION),
        row("list: reset before headers", list, Fault::Reset, CONNECTION),
        always("list: 503", list, Fault::Status(503, None), BUSY),
        row("list: 403", list, Fault::Status(403, None), Then::Fails("28000")),
        row("list: body cut, length told", list, Fault::Cut, ENDS),
        always("list: halved, length says that is all", list, Fault::Halved, BROKEN),
        row("list: empty answer", list, Fault::Empty, BROKEN),
        row("list: stalls", list, Fault::Stalled, LATE),
    ];
    if kind == Kind::Http {
        rows.push(row("list: invalid JSON", list, Fault::InvalidJson, BROKEN));
    }
    rows
}

/// What OpenObserve's API can say.
fn api() -> Vec<Row> {
    let (page, count) = (Target::Page, Target::Count);
    vec![
        always("is_partial", page, Fault::Partial, BUSY),
        always("function_error", page, Fault::FunctionError, BUSY),
        row("error event in a 200", page, Fault::ErrorEvent, BROKEN),
        row("invalid JSON", page, Fault::InvalidJson, BROKEN),
        row("not gzip as the header says", page, Fault::Packed("gzip"), BROKEN),
        row("not zstd as the header says", page, Fault::Packed("zstd"), BROKEN),
        row("answer too big", page, Fault::TooBig, Then::Any),
        always("unknown column", page, Fault::NoField, Then::GoesOn),
        always("numbers become texts", Target::Points, Fault::Types, Then::GoesOn),
        row("count: reset before headers", count, Fault::Reset, CONNECTION),
        row("count: invalid JSON", count, Fault::InvalidJson, Then::Any),
        row("count: is_partial", count, Fault::Partial, Then::Any),
        row("count: empty answer", count, Fault::Empty, Then::Any),
    ]
}

/// What can happen to an object, or to a range of it.
fn objects(object: Target) -> Vec<Row> {
    vec![
        always("vanishes after the list", object, Fault::Vanished, Then::GoesOn),
        always("shrinks after the list", object, Fault::Shrunk, Then::GoesOn),
        row("is listed, and never there", object, Fault::Missing, GONE),
        row("bytes of another range", object, Fault::OtherRange, BROKEN),
        row("answer too big", object, Fault::TooBig, BROKEN),
    ]
}

/// What can happen to a range because there was one before it.
fn ranges() -> Vec<Row> {
    vec![always(
        "replaced since the footer (ETag)",
        Target::Range,
        Fault::Replaced,
        Then::GoesOn,
    )]
}
