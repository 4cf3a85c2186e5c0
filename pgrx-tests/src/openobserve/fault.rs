//! What can be wrong with a server, and how it shows on the wire.

use super::http::{Request, Response};
use super::{Shared, TURN, api};
use serde_json::json;
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;

/// Which requests a fault strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// Searches, of any stream.
    Searches,
    /// Searches of this stream.
    Stream(&'static str),
}

/// What goes wrong. A closed port is [`super::OpenObserve::close`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another status, with a body of OpenObserve's for it, and a `Retry-After` in seconds.
    Status(u16, Option<u32>),
    /// 404 as OpenObserve says it of an unknown organization: plain text.
    UnknownOrg,
    /// Half of the body, then the connection ends.
    Cut,
    /// A body that is not JSON.
    InvalidJson,
    /// A 200 that admits to be incomplete.
    Partial,
    /// 400 with code 20002.
    NoStream,
    /// So many bytes every 5 ms.
    Drip(usize),
    /// Never an answer.
    Hang,
}

/// The faults that are switched on.
#[derive(Debug, Default)]
pub struct Faults(Vec<(Scope, Fault)>);

impl Faults {
    pub fn set(&mut self, scope: Scope, fault: Fault) {
        self.0.retain(|(s, _)| *s != scope);
        self.0.push((scope, fault));
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that strikes a request.
    pub fn of(&self, request: &Request) -> Option<Fault> {
        let searched = api::searched_stream(request);
        let struck = |scope: &Scope| match scope {
            Scope::All => true,
            Scope::Searches => searched.is_some(),
            Scope::Stream(name) => searched.as_deref() == Some(*name),
        };
        self.0
            .iter()
            .find(|(scope, _)| struck(scope))
            .map(|(_, fault)| fault.clone())
    }
}

/// Sends an answer, as well as the fault allows; an error ends the connection.
pub fn deliver(stream: &TcpStream, answer: &Response, fault: Option<&Fault>, shared: &Shared) -> io::Result<()> {
    match fault {
        None => answer.send(stream),
        Some(Fault::Status(status, retry_after)) => {
            let mut refusal = match status {
                // As recorded: no JSON, no content type.
                401 => Response::plain(401, "Unauthorized Access"),
                _ => Response::json(
                    *status,
                    &json!({ "code": status, "message": "injected", "error_detail": "" }),
                ),
            };
            refusal
                .headers
                .extend(retry_after.map(|s| ("retry-after", s.to_string())));
            refusal.send(stream)
        }
        Some(Fault::UnknownOrg) => Response::plain(404, "Organization not found").send(stream),
        Some(Fault::NoStream) => api::no_stream("injected").send(stream),
        Some(Fault::InvalidJson) => {
            let mut broken = answer.clone();
            broken.body = String::from_utf8_lossy(&answer.body).replacen(':', "=", 3).into_bytes();
            broken.send(stream)
        }
        Some(Fault::Partial) => {
            let mut partial = answer.clone();
            partial.body = api::made_partial(&answer.body);
            partial.send(stream)
        }
        Some(Fault::Cut) => {
            (&*stream).write_all(&answer.head())?;
            (&*stream).write_all(&answer.body[..answer.body.len() / 2])?;
            stream.shutdown(Shutdown::Both)?;
            Err(io::Error::other("cut"))
        }
        Some(Fault::Drip(step)) => stuck(shared, || {
            (&*stream).write_all(&answer.head())?;
            for piece in answer.body.chunks(*step) {
                if shared.closed.load(Ordering::SeqCst) || !is_on(shared, &Fault::Drip(*step)) {
                    return Err(io::Error::other("let go"));
                }
                (&*stream).write_all(piece)?;
                std::thread::sleep(TURN);
            }
            Ok(())
        }),
        Some(Fault::Hang) => stuck(shared, || {
            while !shared.closed.load(Ordering::SeqCst) && is_waiting(stream) && is_on(shared, &Fault::Hang) {
                std::thread::sleep(TURN);
            }
            Err(io::Error::other("let go"))
        }),
    }
}

/// Counts the request as stuck while `work` runs.
fn stuck(shared: &Shared, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    shared.stuck.fetch_add(1, Ordering::SeqCst);
    let result = work();
    shared.stuck.fetch_sub(1, Ordering::SeqCst);
    result
}

fn is_on(shared: &Shared, fault: &Fault) -> bool {
    super::lock(&shared.faults).0.iter().any(|(_, f)| f == fault)
}

/// Whether the client still waits.
fn is_waiting(stream: &TcpStream) -> bool {
    // The read timeout is short; a client that waits sends nothing, one that has left ends the stream.
    !matches!(stream.peek(&mut [0]), Ok(0))
}
