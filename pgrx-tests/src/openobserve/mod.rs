//! A stand-in for OpenObserve: the two calls of its API that the extension makes, over records in memory, with faults
//! that can be switched while it runs.
//!
//! What it answers follows what was seen of OpenObserve 0.91: half-open time ranges in microseconds, newest rows first,
//! null columns left out, `total` counting the hits of the answer, 20002 for a stream that does not exist.

mod api;
mod fault;
pub(crate) mod http;
mod made;
mod packing;
mod recorded;
mod store;

pub use fault::{Fault, Scope};
pub use made::Made;
pub use packing::Packing;
pub use store::{Dataset, Record, Store};

use crate::wait::wait_until;
use fault::Faults;
use recorded::Recordings;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Credentials the server accepts. The password is one that no log, error or ledger may ever show.
pub const USER: &str = "root@example.com";
pub const PASSWORD: &str = "Sesame-0pen-Up";
/// A token it accepts as well, just as secret.
pub const TOKEN: &str = "Sesame.0pen.Token";
/// The only organization.
pub const ORG: &str = "default";

/// Time between two looks of a thread that waits for nothing but the end.
const TURN: Duration = Duration::from_millis(5);

/// A running server on a loopback port.
pub struct OpenObserve {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

/// What the threads of a server share.
struct Shared {
    store: Mutex<Store>,
    recordings: Option<Recordings>,
    faults: Mutex<Faults>,
    packing: Mutex<Packing>,
    /// Answers so far that were packed.
    packed: AtomicUsize,
    /// The port is closed; connections end.
    closed: AtomicBool,
    requests: AtomicUsize,
    /// Requests that hang or drip at this moment.
    stuck: AtomicUsize,
    /// `type/stream` of each search.
    searched: Mutex<Vec<String>>,
}

impl OpenObserve {
    /// A server with these records.
    pub fn serve(store: Store) -> OpenObserve {
        OpenObserve::start(store, None)
    }

    /// A server that answers with what a real one was recorded to say: the very answer where the request is one of the
    /// recorded, else a slice of the complete recordings by time and columns.
    pub fn recorded(folder: &Path) -> OpenObserve {
        OpenObserve::start(recorded::store(folder), Some(Recordings::read(folder)))
    }

    fn start(store: Store, recordings: Option<Recordings>) -> OpenObserve {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let shared = Arc::new(Shared {
            store: Mutex::new(store),
            recordings,
            faults: Mutex::default(),
            packing: Mutex::default(),
            packed: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            stuck: AtomicUsize::new(0),
            searched: Mutex::default(),
        });
        let address = listener.local_addr().expect("the port");
        let listening = Some(accept(listener, shared.clone()));
        OpenObserve {
            address,
            shared,
            listening,
        }
    }

    /// The option `endpoint` of a server.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on answers are packed like that where the client can unpack them.
    pub fn pack(&self, packing: Packing) {
        *lock(&self.shared.packing) = packing;
    }

    /// Answers so far that were packed.
    pub fn packed(&self) -> usize {
        self.shared.packed.load(Ordering::SeqCst)
    }

    /// Replaces the records.
    pub fn replace(&self, store: Store) {
        *lock(&self.shared.store) = store;
    }

    /// From now on requests of this scope fail like that.
    pub fn fail(&self, scope: Scope, fault: Fault) {
        lock(&self.shared.faults).set(scope, fault);
    }

    /// All is well again; returns when what hung has been let go.
    #[track_caller]
    pub fn heal(&self) {
        lock(&self.shared.faults).clear();
        wait_until("no request is stuck any more", Duration::from_secs(10), || {
            self.stuck() == 0
        });
    }

    /// Closes the port: connections are refused until [`OpenObserve::open`].
    pub fn close(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        if let Some(thread) = self.listening.take() {
            thread.join().expect("the listening thread ends");
        }
    }

    /// Opens the port again.
    pub fn open(&mut self) {
        assert!(self.listening.is_none(), "the port is open");
        self.shared.closed.store(false, Ordering::SeqCst);
        let listener = TcpListener::bind(self.address).expect("the port again");
        self.listening = Some(accept(listener, self.shared.clone()));
    }

    /// Requests answered or left hanging so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// What was searched since the last call: `type/stream`, each once.
    pub fn searched(&self) -> BTreeSet<String> {
        std::mem::take(&mut *lock(&self.shared.searched)).into_iter().collect()
    }

    /// Requests that hang or drip at this moment.
    pub fn stuck(&self) -> usize {
        self.shared.stuck.load(Ordering::SeqCst)
    }
}

impl Drop for OpenObserve {
    fn drop(&mut self) {
        self.close();
    }
}

fn accept(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    listener.set_nonblocking(true).expect("a non-blocking port");
    std::thread::spawn(move || {
        while !shared.closed.load(Ordering::SeqCst) {
            match listener.accept() {
                Ok((stream, _)) => {
                    let shared = shared.clone();
                    std::thread::spawn(move || converse(&stream, &shared));
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(TURN),
                Err(e) => panic!("accept: {e}"),
            }
        }
    })
}

/// Serves one connection until either side ends it.
fn converse(stream: &TcpStream, shared: &Shared) {
    // An error of the connection ends the conversation; the client sees that for itself.
    let _ = stream
        .set_nonblocking(false)
        // Head and body are written apart.
        .and_then(|()| stream.set_nodelay(true))
        .and_then(|()| stream.set_read_timeout(Some(TURN)));
    let mut incoming = http::Incoming::new(stream);
    while let Ok(Some(request)) = incoming.next(|| shared.closed.load(Ordering::SeqCst)) {
        shared.requests.fetch_add(1, Ordering::SeqCst);
        if let Some(stream) = api::searched_stream(&request) {
            let dataset = Dataset::of(request.parameter("type"));
            lock(&shared.searched).push(format!("{}/{stream}", dataset.name()));
        }
        let answer = api::answer(shared, &request);
        let answer = lock(&shared.packing).pack(&request, answer);
        if answer.is_packed() {
            shared.packed.fetch_add(1, Ordering::SeqCst);
        }
        let fault = lock(&shared.faults).of(&request);
        if fault::deliver(stream, &answer, fault.as_ref(), shared).is_err() {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
