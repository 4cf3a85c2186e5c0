//! What can be wrong with an answer, and how it shows on the wire.

use super::message::{Answer, Request};
use super::records;
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Time between two bytes of an answer that drips: more than a few take too long.
const DRIP: Duration = Duration::from_millis(100);
/// More than the extension takes of one answer, of OpenObserve or of a bucket.
const TOO_BIG: usize = 65 << 20;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// What streams there are, or what objects.
    List,
    /// A search for rows.
    Page,
    /// A search for rows of metrics: those have numbers.
    Points,
    /// A search for the number of rows.
    Count,
    /// An object: the first request for it. Of long Parquet that is the footer.
    Object,
    /// A later range of an object.
    Range,
}

impl Target {
    pub fn is(self, request: &Request) -> bool {
        let line = request.line.as_str();
        let is_search = line.contains("/_search?");
        let is_list = line.contains("/streams?") || line.contains("list-type=2");
        let counts = request.body.contains("\"track_total_hits\":true");
        match self {
            Target::List => is_list,
            Target::Page => is_search && !counts,
            Target::Points => is_search && !counts && line.contains("type=metrics"),
            Target::Count => is_search && counts,
            Target::Object => !is_search && !is_list && !request.again,
            Target::Range => !is_search && !is_list && request.again,
        }
    }

    /// Whether every other request comes later.
    pub fn is_first(self) -> bool {
        self == Target::List
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// From here on the port is closed.
    Refused,
    /// The connection is reset instead of an answer.
    Reset,
    /// The connection ends instead of an answer.
    HungUp,
    /// Half of the body, then a reset.
    ResetInBody,
    /// Half of the body, then the end, though the length says more.
    Cut,
    /// Half of the body, and a length that says this is all.
    Halved,
    /// The whole body, a length that says more, and the end.
    TooShort,
    /// Half of the body, then nothing.
    Stalled,
    /// Never an answer.
    Silent,
    /// One byte now and then.
    Drips,
    /// A status with an empty body, and a `Retry-After` in seconds.
    Status(u16, Option<u32>),
    /// 200, and no body.
    Empty,
    /// A body that is not packed as its header says.
    Packed(&'static str),
    /// A body that is longer than anybody can want.
    TooBig,
    /// JSON with a typing error.
    InvalidJson,
    /// A 200 that admits to be incomplete, with half of the rows.
    Partial,
    /// A 200 that admits that a function failed.
    FunctionError,
    /// 200, and an event that says the search failed.
    ErrorEvent,
    /// A column that was there is not any more.
    NoField,
    /// Numbers come as texts.
    Types,
    /// 404: the object was there a moment ago.
    Vanished,
    /// 404 now and ever after, though the object is listed.
    Missing,
    /// The object has become half as long.
    Shrunk,
    /// Another object, of the same length, under the same key: its records have other services.
    Replaced,
    /// The bytes of another range than the one that was asked for.
    OtherRange,
    /// Holds the answer back while somebody kills the process that waits for it.
    Killed,
}

impl Fault {
    /// Sends what the fault makes of the answer. `answer` asks the server; `holds` says whether the fault is still on;
    /// `missed` is told if the answer is as it was without it.
    pub fn deliver(
        self,
        mut client: &TcpStream,
        request: &Request,
        answer: impl Fn() -> io::Result<Answer>,
        holds: &dyn Fn() -> bool,
        missed: &dyn Fn(),
    ) -> io::Result<()> {
        let is_search = request.line.contains("/_search");
        let wait = || {
            while holds() {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(io::Error::other("let go"))
        };
        let partly = |head: &Answer, length: usize, bytes: usize| -> io::Result<()> {
            (&*client).write_all(&head.head(length))?;
            (&*client).write_all(&head.body[..bytes])
        };
        let hang_up = || client.shutdown(Shutdown::Both).and(Err(io::Error::other("cut")));
        match self {
            Fault::Reset | Fault::Refused => return reset(client),
            Fault::HungUp => return hang_up(),
            Fault::Silent | Fault::Killed => return wait(),
            Fault::Status(status, retry_after) => {
                let mut refusal = match is_search {
                    true => Answer::new(status, "application/json", r#"{"code":0,"message":"injected"}"#),
                    false => Answer::new(status, "application/xml", "<Error><Code>Injected</Code></Error>"),
                };
                let wait = retry_after.map(|s| ("retry-after".to_string(), s.to_string()));
                refusal.headers.extend(wait);
                return refusal.send(client);
            }
            Fault::ErrorEvent => {
                let event = "event: error\ndata: {\"code\":500,\"message\":\"injected\"}\n\n";
                return Answer::new(200, "text/event-stream", event).send(client);
            }
            Fault::NoField => {
                let body = r#"{"code":20004,"message":"Search field not found: injected"}"#;
                return Answer::new(400, "application/json", body).send(client);
            }
            Fault::Vanished | Fault::Missing => {
                let body = "<Error><Code>NoSuchKey</Code></Error>";
                return Answer::new(404, "application/xml", body).send(client);
            }
            _ => {}
        }
        let mut answer = answer()?;
        let unspoiled = answer.clone();
        let (length, half) = (answer.body.len(), answer.body.len() / 2);
        match self {
            Fault::ResetInBody => {
                partly(&answer, length, half)?;
                return reset(client);
            }
            Fault::Cut => {
                partly(&answer, length, half)?;
                return hang_up();
            }
            Fault::TooShort => {
                partly(&answer, length + 1000, length)?;
                return hang_up();
            }
            Fault::Stalled => {
                partly(&answer, length, half)?;
                return wait();
            }
            Fault::Drips => {
                client.write_all(&answer.head(length))?;
                for byte in answer.body.chunks(1).take_while(|_| holds()) {
                    client.write_all(byte)?;
                    std::thread::sleep(DRIP);
                }
                return hang_up();
            }
            Fault::TooBig => {
                client.write_all(&answer.head(TOO_BIG))?;
                let blanks = vec![b' '; 1 << 20];
                for _ in 0..TOO_BIG >> 20 {
                    client.write_all(&blanks)?;
                }
                return hang_up();
            }
            Fault::Halved => answer.body.truncate(half),
            Fault::Empty => {
                answer.body.clear();
                answer.headers.retain(|(name, _)| name != "content-range");
                answer.line = "HTTP/1.1 200 OK".to_string();
            }
            Fault::Packed(how) => answer.headers.push(("content-encoding".to_string(), how.to_string())),
            Fault::InvalidJson => replace(&mut answer, ":", "="),
            Fault::Partial => edit(&mut answer, |found| {
                if let Some(hits) = found["hits"].as_array_mut() {
                    hits.truncate(hits.len() / 2);
                }
                found["is_partial"] = true.into();
            }),
            Fault::FunctionError => edit(&mut answer, |found| {
                found["function_error"] = serde_json::json!(["injected"]);
            }),
            Fault::Types => edit(&mut answer, as_texts),
            Fault::Shrunk => shrink(&mut answer),
            Fault::Replaced => {
                let etag = answer.header("etag").expect("objects have tags");
                *etag = "\"another\"".to_string();
                other_services(&mut answer.body);
            }
            Fault::OtherRange => {
                let range = answer.header("content-range").expect("a range was asked for");
                *range = another(range);
            }
            other => unreachable!("{other:?} is dealt with above"),
        }
        if answer == unspoiled {
            missed();
        }
        answer.send(client)
    }
}

/// Ends a connection as a crash does: what was not read yet is lost to the other side.
pub fn reset(client: &TcpStream) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: an open socket, and an option of the size that is told.
    let done = unsafe {
        libc::setsockopt(
            client.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
    Err(io::Error::other("the connection is closed, which resets it"))
}

fn replace(answer: &mut Answer, from: &str, to: &str) {
    answer.body = String::from_utf8_lossy(&answer.body).replacen(from, to, 5).into_bytes();
}

fn edit(answer: &mut Answer, change: impl FnOnce(&mut serde_json::Value)) {
    let mut found = serde_json::from_slice(&answer.body).expect("an answer in JSON");
    change(&mut found);
    answer.body = found.to_string().into_bytes();
}

/// The same rows after a column changed its type.
fn as_texts(found: &mut serde_json::Value) {
    let hits = found["hits"].as_array_mut().into_iter().flatten();
    for (name, value) in hits.filter_map(|hit| hit.as_object_mut()).flatten() {
        if value.is_number() && name != "_timestamp" {
            *value = value.to_string().into();
        }
    }
}

/// What records say of their services, so that nothing else about the bytes changes.
fn other_services(body: &mut [u8]) {
    for (name, other) in records::SERVICES.iter().zip(["bew", "trac", "liam"]) {
        let (name, other) = (name.as_bytes(), other.as_bytes());
        let mut at = 0;
        while let Some(found) = body[at..].windows(name.len()).position(|bytes| bytes == name) {
            body[at + found..at + found + name.len()].copy_from_slice(other);
            at += found + name.len();
        }
    }
}

/// The range behind this one, of the same length: `bytes 0-9/100` becomes `bytes 10-19/100`.
fn another(range: &str) -> String {
    let (first, length, total) = range_of(range);
    format!("bytes {}-{}/{total}", first + length, first + 2 * length - 1)
}

/// First byte, length and length of the whole of `bytes 0-9/100`.
fn range_of(text: &str) -> (usize, usize, usize) {
    let mut numbers = text
        .trim_start_matches("bytes ")
        .split(['-', '/'])
        .map(|n| n.parse().expect("a number"));
    let mut next = || numbers.next().expect("first, last, all");
    let (first, last, total) = (next(), next(), next());
    (first, last + 1 - first, total)
}

/// The answer that a server gives of an object that has only half of its bytes left.
fn shrink(answer: &mut Answer) {
    answer.body.truncate(answer.body.len() / 2);
    let length = answer.body.len();
    if let Some(range) = answer.header("content-range") {
        let (first, ..) = range_of(range);
        let total = first + length;
        *range = format!("bytes {first}-{}/{total}", total.saturating_sub(1));
    }
}
