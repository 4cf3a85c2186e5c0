//! A wire to a server of HTTP that spoils one chosen answer.
//!
//! It understands just enough of HTTP/1.1 to tell requests apart and to take an answer to pieces. What the client sent is
//! passed on byte by byte: signatures stay right.

use super::fault::{Fault, Target};
use super::message::{Answer, Request};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Time between two looks of a thread that waits for nothing but the end.
const TURN: Duration = Duration::from_millis(2);

/// Which request is struck, and how. Requests before and behind it are answered as ever.
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    pub target: Target,
    /// The first of the target's requests is 1.
    pub nth: usize,
    pub fault: Fault,
}

/// The wire; it ends with the value.
pub struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    server: SocketAddr,
    ended: AtomicBool,
    /// Connections are refused.
    refuses: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    strike: Option<Strike>,
    /// The strike has happened.
    struck: bool,
    /// It left the answer as it was.
    missed: bool,
    /// The path that nothing is at any more.
    missing: Option<String>,
    /// The requests since the last call of [`Wire::arm`].
    seen: Vec<Request>,
}

impl Wire {
    /// A wire to `server` that spoils nothing.
    pub fn to(server: SocketAddr) -> Wire {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("the port");
        let shared = Arc::new(Shared {
            server,
            ended: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            state: Mutex::default(),
        });
        let listening = Some(accept(listener, shared.clone()));
        Wire {
            address,
            shared,
            listening,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on `strike` holds; requests are counted anew.
    pub fn arm(&mut self, strike: Strike) {
        self.heal();
        let at_once = strike.fault == Fault::Refused && strike.nth == 1;
        *self.shared.lock() = State {
            strike: Some(strike),
            ..State::default()
        };
        if at_once && strike.target.is_first() {
            self.shared.lock().struck = true;
            self.shared.refuses.store(true, Ordering::SeqCst);
            self.hang_up();
        }
    }

    /// Nothing is spoiled any more; what was held is let go. Requests are counted anew.
    pub fn heal(&mut self) {
        *self.shared.lock() = State::default();
        if self.shared.refuses.load(Ordering::SeqCst) {
            self.hang_up();
            self.shared.refuses.store(false, Ordering::SeqCst);
            let listener = TcpListener::bind(self.address).expect("the port again");
            self.listening = Some(accept(listener, self.shared.clone()));
        }
    }

    /// Whether the strike has happened.
    pub fn struck(&self) -> bool {
        self.shared.lock().struck
    }

    /// Whether a strike is still to happen, or has changed nothing.
    pub fn missed(&self) -> bool {
        let state = self.shared.lock();
        state.strike.is_some() && (!state.struck || state.missed)
    }

    /// How many requests of the target there were since the last strike was armed or healed.
    pub fn count(&self, target: Target) -> usize {
        self.shared.lock().seen.iter().filter(|r| target.is(r)).count()
    }

    fn hang_up(&mut self) {
        if let Some(thread) = self.listening.take() {
            thread.join().expect("the listening thread ends");
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.hang_up();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stops(&self) -> bool {
        self.ended.load(Ordering::SeqCst) || self.refuses.load(Ordering::SeqCst)
    }

    /// Takes down a request; its fault, if it is the one to be struck.
    fn note(&self, request: &Request) -> Option<Fault> {
        let mut state = self.lock();
        let mut request = request.clone();
        request.again = state.seen.iter().any(|earlier| earlier.path() == request.path());
        state.seen.push(request.clone());
        if state.missing.as_deref() == Some(request.path()) {
            return Some(Fault::Missing);
        }
        let strike = state.strike.filter(|s| s.target.is(&request))?;
        let nth = state.seen.iter().filter(|r| strike.target.is(r)).count();
        if nth != strike.nth {
            return None;
        }
        state.struck = true;
        if strike.fault == Fault::Missing {
            state.missing = Some(request.path().to_string());
        }
        Some(strike.fault)
    }

    /// Whether a fault that holds an answer back is still on.
    fn holds(&self) -> bool {
        !self.stops() && self.lock().strike.is_some()
    }
}

fn accept(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    listener.set_nonblocking(true).expect("a non-blocking port");
    std::thread::spawn(move || {
        while !shared.stops() {
            match listener.accept() {
                Ok((stream, _)) => {
                    let shared = shared.clone();
                    // An error of the connection ends it; the client sees that for itself.
                    std::thread::spawn(move || drop(converse(&stream, &shared)));
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(TURN),
                Err(e) => panic!("accept: {e}"),
            }
        }
    })
}

/// Serves one connection until either side ends it.
fn converse(client: &TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_nodelay(true)?;
    let server = TcpStream::connect(shared.server)?;
    while let Some(request) = Request::read(client, &|| shared.stops())? {
        let fault = shared.note(&request);
        if fault == Some(Fault::Refused) {
            // The port is closed, and the connection that is there is of no use either.
            shared.refuses.store(true, Ordering::SeqCst);
            return super::fault::reset(client);
        }
        let answer = || -> io::Result<Answer> {
            request.send(&server)?;
            Answer::read(&server)
        };
        match fault {
            None => answer()?.send(client)?,
            Some(fault) => fault.deliver(client, &request, answer, &|| shared.holds(), &|| {
                shared.lock().missed = true
            })?,
        }
    }
    Ok(())
}
