//! A wire that can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// Passes bytes on between a client and a server, until so many of the server's have passed. It ends with the value.
pub struct Proxy {
    address: SocketAddr,
    /// Bytes of the server that may still pass, all connections together.
    left: Arc<AtomicUsize>,
    passed: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A wire to `server` that holds.
    pub fn to(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("the port");
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let passed = Arc::new(AtomicUsize::new(0));
        let closed = Arc::new(AtomicBool::new(false));
        let (budget, count, end) = (left.clone(), passed.clone(), closed.clone());
        let listening = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else {
                    continue;
                };
                std::thread::spawn(move || pass(&from, &to, |n| n));
                let (budget, count) = (budget.clone(), count.clone());
                std::thread::spawn(move || {
                    pass(&server, &client, |n| {
                        let before = budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                            Some(if left == usize::MAX {
                                left
                            } else {
                                left.saturating_sub(n)
                            })
                        });
                        let allowed = before.unwrap_or_default().min(n);
                        count.fetch_add(allowed, Ordering::SeqCst);
                        allowed
                    });
                });
            }
        });
        Proxy {
            address,
            left,
            passed,
            closed,
            listening: Some(listening),
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts the wire once the server has sent `bytes` more; `None` mends it for new connections.
    pub fn cut_after(&self, bytes: Option<usize>) {
        self.left.store(bytes.unwrap_or(usize::MAX), Ordering::SeqCst);
    }

    /// Bytes that the server has sent so far.
    pub fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }
}

/// Passes bytes on; `allow` says how many of those that came. What is not allowed ends both connections.
fn pass(mut from: &TcpStream, mut to: &TcpStream, mut allow: impl FnMut(usize) -> usize) {
    let mut buffer = [0; 16 << 10];
    loop {
        // Any error is the end of the wire.
        let n = from.read(&mut buffer).unwrap_or(0);
        let allowed = allow(n);
        if n == 0 || to.write_all(&buffer[..allowed]).is_err() || allowed < n {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.listening.take() {
            let _ = thread.join();
        }
    }
}
