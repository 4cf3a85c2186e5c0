//! Records that a helper thread fetches while a SQL function returns them, row by row.

use crate::backend::latch;
use crate::error::{Error, Result};
use crate::jobs::fetch::{self, SignalsBlocked, StopOnDrop};
use crate::source::SourceError;
use crate::{guc, memory};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError, TrySendError};
use std::time::Duration;

/// The main thread looks around at least this often.
const TURN: Duration = Duration::from_millis(50);
/// Bytes that are handed over at once; one record may be larger.
const BATCH_BYTES: usize = 64 << 10;
/// Batches that wait to be taken. When they are there the thread waits, too: a reader that is slow costs no memory.
const BATCHES_AHEAD: usize = 4;

type Batch = Vec<String>;

/// What the thread puts its records into.
pub struct Sink {
    batches: SyncSender<Batch>,
    batch: Batch,
    bytes: usize,
    /// Written to, or closed, to wake the main thread: a thread may not set a latch.
    bell: UnixStream,
}

/// What the main thread takes records from; dropping it ends the thread at its next step.
pub struct Flow {
    _stop: StopOnDrop,
    batches: Receiver<Batch>,
    taken: std::vec::IntoIter<String>,
    ended: Receiver<std::result::Result<(), SourceError>>,
    bell: UnixStream,
    limit: usize,
}

impl Sink {
    /// Hands a record on; waits while nobody takes it.
    ///
    /// # Errors
    /// `Cancelled` when nobody ever will.
    pub fn put(&mut self, record: String) -> std::result::Result<(), SourceError> {
        self.bytes += record.len();
        self.batch.push(record);
        if self.bytes >= BATCH_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> std::result::Result<(), SourceError> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        match self.batches.try_send(batch) {
            Ok(()) => self.ring(),
            Err(TrySendError::Full(batch)) => {
                self.batches.send(batch).map_err(|_| SourceError::cancelled())?;
                self.ring();
            }
            Err(TrySendError::Disconnected(_)) => return Err(SourceError::cancelled()),
        }
        Ok(())
    }

    fn ring(&self) {
        // A bell that is full of rings will be heard; one that is closed has nobody to hear it.
        let _ = (&self.bell).write(&[1]);
    }
}

impl Flow {
    /// Runs `work` on a thread of its own, which must touch nothing of PostgreSQL. The flag it gets turns true when its
    /// records are no longer wanted.
    ///
    /// # Errors
    /// The system has no thread or socket; what [`fetch::refuse_after_stop`] says.
    pub fn start(
        work: impl FnOnce(Arc<AtomicBool>, &mut Sink) -> std::result::Result<(), SourceError> + Send + 'static,
    ) -> Result<Flow> {
        fetch::refuse_after_stop()?;
        let failed = |what: &str, e: std::io::Error| Error::Internal(format!("{what}: {e}"));
        let flag = Arc::new(AtomicBool::new(false));
        let (ours, theirs) = UnixStream::pair().map_err(|e| failed("socketpair", e))?;
        for end in [&ours, &theirs] {
            end.set_nonblocking(true).map_err(|e| failed("a socket pair", e))?;
        }
        let (sender, batches) = mpsc::sync_channel(BATCHES_AHEAD);
        let (end, ended) = mpsc::channel();
        let stop = StopOnDrop(flag.clone());
        let limit = guc::worker_memory_limit();
        memory::bound_for(limit);
        let blocked = SignalsBlocked::new();
        let spawned = std::thread::Builder::new()
            .name("observe_bridge flow".into())
            .spawn(move || {
                let mut sink = Sink {
                    batches: sender,
                    batch: Batch::new(),
                    bytes: 0,
                    bell: theirs,
                };
                let outcome = work(flag, &mut sink).and_then(|()| sink.flush());
                // Before the sink closes its channel: who finds that closed finds the outcome. A panic leaves none.
                let _ = end.send(outcome);
            });
        drop(blocked);
        spawned.map_err(|e| failed("cannot start a thread", e))?;
        Ok(Flow {
            _stop: stop,
            batches,
            taken: Batch::new().into_iter(),
            ended,
            bell: ours,
            limit,
        })
    }

    /// The next record; `None` after the last. Serves interrupts while it waits.
    ///
    /// # Errors
    /// What the thread failed with; `OutOfBudget`.
    pub fn next(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(record) = self.taken.next() {
                return Ok(Some(record));
            }
            match self.batches.try_recv() {
                Ok(batch) => {
                    self.taken = batch.into_iter();
                    continue;
                }
                Err(TryRecvError::Disconnected) => {
                    return match self.ended.try_recv() {
                        Ok(outcome) => Ok(outcome.map(|()| None)?),
                        Err(_) => Err(Error::Internal(
                            "the thread that fetches panicked, see the server log".into(),
                        )),
                    };
                }
                Err(TryRecvError::Empty) => {}
            }
            let used = memory::live_bytes();
            if used > self.limit || memory::stopped_threads() > 0 {
                return Err(Error::OutOfBudget {
                    used,
                    limit: self.limit,
                });
            }
            latch::wait(TURN, self.bell.as_raw_fd());
            self.hear()?;
        }
    }

    /// Empties the bell.
    fn hear(&self) -> Result<()> {
        let mut rings = [0; 64];
        loop {
            match (&self.bell).read(&mut rings) {
                Ok(n) if n == rings.len() => {}
                Ok(_) => return Ok(()),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
                Err(e) => return Err(Error::Internal(format!("a socket pair: {e}"))),
            }
        }
    }
}
