//! Network and decoding on a helper thread, while the main thread stays awake to interrupts.

use crate::backend::latch;
use crate::error::{Error, Result};
use crate::{guc, memory};
use engine::topology::ansible;
use pgrx::prelude::*;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The main thread looks around at least this often.
const TURN: Duration = Duration::from_millis(50);

/// How long a thread that works on somebody's program has to look at its flag.
const GRACE: Duration = Duration::from_millis(100);

/// Most threads of a session that may stand still for good. Each keeps its memory and its place among the system's threads.
const MAX_STOPPED: usize = 8;

/// Tells the helper threads to stop when it goes out of scope, whichever way.
pub struct StopOnDrop(pub Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The thread's flag and our end of its socket. Tells the thread to stop when it goes out of scope, whichever way.
struct Helper {
    stop: StopOnDrop,
    ours: UnixStream,
    /// It evaluates what others wrote, and may not come to a check for minutes.
    evaluates: bool,
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.stop.0.store(true, Ordering::Relaxed);
        if self.evaluates && !self.has_ended(GRACE) {
            memory::halt_helpers();
        }
    }
}

impl Helper {
    /// Whether the thread's end of the pair is closed, or will be within that time.
    fn has_ended(&self, within: Duration) -> bool {
        let mut waited = libc::pollfd {
            fd: self.ours.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor, open while `self` lives.
        unsafe { libc::poll(&mut waited, 1, within.as_millis() as i32) > 0 }
    }
}

/// Refuses work that shares anything with other work of the process once a helper thread stands still: it may hold a lock
/// that the work would wait for, for ever.
///
/// # Errors
/// A thread of this process stands still.
pub fn refuse_after_stop() -> Result<()> {
    if memory::stopped_threads() == 0 {
        return Ok(());
    }
    Err(Error::invalid(
        PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY,
        "an earlier step of this connection needed more memory than it may use, and still holds what it had",
        "Connect anew. observe_bridge.worker_memory_limit bounds what one step may use.",
    ))
}

/// Runs `work` on a thread of its own and waits for it.
///
/// `work` gets a flag that turns true when its result is no longer wanted: on a timeout, over the memory budget, on a
/// cancel. The thread then ends by itself at its next check; nobody waits for it. It must touch nothing of PostgreSQL.
///
/// # Errors
/// `TimedOut`, `OutOfBudget`, and what [`refuse_after_stop`] says.
pub fn in_background<T: Send + 'static>(
    job: &str,
    timeout: Duration,
    work: impl FnOnce(Arc<AtomicBool>) -> T + Send + 'static,
) -> Result<T> {
    refuse_after_stop()?;
    run(job, timeout, false, work)
}

/// [`in_background`] for work that evaluates what others wrote. Where it does not come to its next check soon, it gets no
/// more memory and stands still until the process ends: a runner then ends, a session may go on with work that shares
/// nothing with it but what [`ansible::prepare`] makes.
pub fn evaluate_in_background<T: Send + 'static>(
    job: &str,
    timeout: Duration,
    work: impl FnOnce(Arc<AtomicBool>) -> T + Send + 'static,
) -> Result<T> {
    ansible::prepare();
    run(job, timeout, true, work)
}

fn run<T: Send + 'static>(
    job: &str,
    timeout: Duration,
    evaluates: bool,
    work: impl FnOnce(Arc<AtomicBool>) -> T + Send + 'static,
) -> Result<T> {
    let started = Instant::now();
    let limit = guc::worker_memory_limit();
    if evaluates && memory::stopped_threads() >= MAX_STOPPED {
        let used = memory::live_bytes();
        return Err(Error::OutOfBudget { used, limit });
    }
    let (sender, receiver) = mpsc::channel();
    // The thread's end of the pair is closed when it ends, which wakes the main thread: a thread may not set a latch.
    let (ours, theirs) = UnixStream::pair().map_err(|e| Error::Internal(format!("socketpair: {e}")))?;
    let helper = Helper {
        stop: StopOnDrop(Arc::default()),
        ours,
        evaluates,
    };
    let flag = helper.stop.0.clone();
    memory::bound_for(limit);
    let stopped = memory::stopped_threads();
    let blocked = SignalsBlocked::new();
    let spawned = std::thread::Builder::new()
        .name("observe_bridge fetch".into())
        .spawn(move || {
            // A panic drops the sender without a value: the main thread sees the closed channel.
            let _ = sender.send(work(flag));
            drop(theirs);
        });
    drop(blocked);
    spawned.map_err(|e| Error::Internal(format!("cannot start a thread: {e}")))?;
    loop {
        match receiver.try_recv() {
            Ok(result) => return Ok(result),
            Err(mpsc::TryRecvError::Disconnected) => {
                return Err(Error::Internal("the fetch thread panicked, see the server log".into()));
            }
            Err(mpsc::TryRecvError::Empty) => {}
        }
        if started.elapsed() >= timeout {
            return Err(Error::TimedOut {
                job: job.to_string(),
                seconds: timeout.as_secs() as i64,
            });
        }
        let used = memory::live_bytes();
        if used > limit || memory::stopped_threads() > stopped {
            return Err(Error::OutOfBudget { used, limit });
        }
        latch::wait(TURN, helper.ours.as_raw_fd());
    }
}

/// Blocks every signal in this thread, and so in the threads it starts, until dropped: PostgreSQL's handlers must run
/// on the main thread only.
pub struct SignalsBlocked(libc::sigset_t);

impl SignalsBlocked {
    /// Until the value is dropped.
    pub fn new() -> Self {
        // SAFETY: plain sets on the stack; sigfillset initialises `all`, pthread_sigmask `old`.
        unsafe {
            let (mut all, mut old) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
            SignalsBlocked(old)
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the mask `new` saved.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}
