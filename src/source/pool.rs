//! A few threads that work a queue to its end. The first error, or the caller's cancel flag, stops them all.
//!
//! The threads run inside a PostgreSQL process. They inherit the signal mask of the thread that calls [`run`], which
//! must have all signals blocked: a handler of the backend may only run on its main thread.

use super::error::{ErrorKind, SourceError};
use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the caller's cancel flag is looked at while threads are busy.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// The work that is left. Tasks may push further tasks.
pub struct Queue<'a, T> {
    state: Mutex<State<T>>,
    /// For the threads: there is a task, or the end of the work.
    changed: Condvar,
    /// For the supervisor: the end of the work, or more of it than there are threads for.
    called: Condvar,
    cancel: &'a AtomicBool,
}

struct State<T> {
    waiting: VecDeque<T>,
    /// Tasks waiting or being worked on.
    unfinished: usize,
    /// Threads that have no task now; they will look for one.
    free: usize,
    /// Threads that may still be started.
    room: usize,
    failed: Option<SourceError>,
}

impl<T> Queue<'_, T> {
    /// Adds a task, for a new thread if all are busy. Only a running task may call this: at the end of the last one the threads leave.
    pub fn push(&self, task: T) {
        let mut state = self.lock();
        state.waiting.push_back(task);
        state.unfinished += 1;
        self.changed.notify_one();
        if state.wants_thread() {
            self.called.notify_one();
        }
    }

    /// `Err` once the work is to stop: for long tasks to ask between two steps.
    pub fn check(&self) -> Result<(), SourceError> {
        if self.cancel.load(Ordering::Relaxed) || self.lock().failed.is_some() {
            return Err(SourceError::cancelled());
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A task that panics does so outside the lock, and is caught: the state is always whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next task, or nothing when all is done or the work is to stop.
    fn next(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() || state.unfinished == 0 {
                return None;
            }
            if let Some(task) = state.waiting.pop_front() {
                state.free -= 1;
                return Some(task);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finished(&self, result: Result<(), SourceError>) {
        let mut state = self.lock();
        state.unfinished -= 1;
        state.free += 1;
        if let Err(e) = result {
            // Errors of tasks that were interrupted by the first failure say nothing.
            state.failed.get_or_insert(e);
        }
        if state.unfinished == 0 || state.failed.is_some() {
            self.changed.notify_all();
            self.called.notify_one();
        }
    }

    /// Starts threads as they are needed, and waits for the end of the work. `interrupt` is called once if it ends early, to
    /// wake tasks blocked on I/O.
    ///
    /// # Errors
    /// There is not a single thread.
    fn supervise(&self, mut start: impl FnMut() -> io::Result<()>, interrupt: impl Fn()) -> Result<(), SourceError> {
        let mut started = 0;
        let mut state = self.lock();
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                state.failed = Some(SourceError::cancelled());
            }
            if state.failed.is_some() {
                self.changed.notify_all();
                drop(state);
                interrupt();
                return Ok(());
            }
            if state.unfinished == 0 {
                return Ok(());
            }
            if state.wants_thread() {
                (state.room, state.free) = (state.room - 1, state.free + 1);
                drop(state);
                let outcome = start();
                state = self.lock();
                match outcome {
                    Ok(()) => started += 1,
                    // Fewer threads do the same work; none cannot.
                    Err(_) if started > 0 => (state.room, state.free) = (0, state.free - 1),
                    Err(e) => {
                        return Err(
                            SourceError::new(ErrorKind::Io, "cannot start a fetch thread").detail(e.to_string())
                        );
                    }
                }
                continue;
            }
            state = self
                .called
                .wait_timeout(state, CANCEL_POLL)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl<T> State<T> {
    fn wants_thread(&self) -> bool {
        self.waiting.len() > self.free && self.room > 0
    }
}

/// Works `tasks`, and what they push, on at most `threads` threads, no more than there are tasks at once. Each thread has a worker of its own; the workers
/// come back in no particular order. `work` is called with a task, the thread's worker and the queue.
///
/// # Errors
/// The first error of any task, `Cancelled` when `cancel` was set, `Internal` when a task panicked.
pub fn run<T: Send, W: Send>(
    tasks: Vec<T>,
    threads: usize,
    cancel: &AtomicBool,
    worker: impl Fn() -> W + Sync,
    work: impl Fn(T, &mut W, &Queue<'_, T>) -> Result<(), SourceError> + Sync,
    interrupt: impl Fn(),
) -> Result<Vec<W>, SourceError> {
    let queue = Queue {
        state: Mutex::new(State {
            unfinished: tasks.len(),
            waiting: tasks.into(),
            free: 0,
            room: threads.max(1),
            failed: None,
        }),
        changed: Condvar::new(),
        called: Condvar::new(),
        cancel,
    };
    let body = || {
        let mut w = worker();
        while let Some(task) = queue.next() {
            let result = catch_unwind(AssertUnwindSafe(|| work(task, &mut w, &queue)));
            queue.finished(result.unwrap_or_else(|panic| Err(panicked(&*panic))));
        }
        w
    };
    let workers = std::thread::scope(|scope| {
        let mut handles = Vec::new();
        let start = || {
            let thread = std::thread::Builder::new().name(format!("ob-fetch-{}", handles.len()));
            handles.push(thread.spawn_scoped(scope, body)?);
            Ok(())
        };
        queue.supervise(start, interrupt)?;
        handles
            .into_iter()
            .map(|h| h.join().map_err(|panic| panicked(&*panic)))
            .collect()
    });
    match queue.state.into_inner().unwrap_or_else(PoisonError::into_inner).failed {
        Some(_) if cancel.load(Ordering::Relaxed) => Err(SourceError::cancelled()),
        Some(e) => Err(e),
        None => workers,
    }
}

fn panicked(panic: &(dyn Any + Send)) -> SourceError {
    let what = panic
        .downcast_ref::<&str>()
        .map(|s| s.to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    SourceError::new(ErrorKind::Internal, "a fetch thread panicked").detail(what.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(
        tasks: Vec<u32>,
        work: impl Fn(u32, &mut u64, &Queue<'_, u32>) -> Result<(), SourceError> + Sync,
    ) -> Result<u64, SourceError> {
        run(tasks, 3, &AtomicBool::new(false), || 0u64, work, || ()).map(|w| w.into_iter().sum())
    }

    #[test]
    fn every_task_runs_once_also_those_pushed() {
        let total = sum(vec![5; 100], |n, acc, queue| {
            *acc += 1;
            if n > 0 {
                queue.push(n - 1);
            }
            Ok(())
        });
        assert_eq!(total, Ok(600));
        assert_eq!(sum(vec![], |_, _, _| Ok(())), Ok(0));
    }

    #[test]
    fn there_are_as_many_threads_as_tasks_at_once() {
        let never = AtomicBool::new(false);
        let threads = |tasks: Vec<u32>, work: &(dyn Fn(u32, &Queue<'_, u32>) + Sync)| {
            let work = |n, _: &mut (), queue: &Queue<'_, u32>| {
                work(n, queue);
                Ok(())
            };
            run(tasks, 4, &never, || (), work, || ()).unwrap().len()
        };
        assert_eq!(threads(vec![], &|_, _| ()), 0);
        // One after the other.
        assert_eq!(threads(vec![1], &|_, _| ()), 1);
        // A task that waits for the one it has pushed gets a second thread for it.
        let (pushed, done) = (AtomicBool::new(false), AtomicBool::new(false));
        let both = threads(vec![1], &|_, queue| {
            if pushed.swap(true, Ordering::SeqCst) {
                done.store(true, Ordering::SeqCst);
                return;
            }
            queue.push(2);
            while !done.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        });
        assert_eq!(both, 2);
        // Never more than are allowed.
        let meet = std::sync::Barrier::new(4);
        assert_eq!(
            threads(vec![1; 8], &|_, _| {
                meet.wait();
            }),
            4
        );
    }

    #[test]
    fn the_first_error_stops_the_rest() {
        let e = sum((0..1000).collect(), |n, _, _| match n {
            3 => Err(SourceError::new(ErrorKind::Partial, "three")),
            _ => Ok(()),
        });
        assert_eq!(e.unwrap_err().message, "three");
    }

    #[test]
    fn a_panic_is_an_error() {
        let e = sum(
            vec![1, 2, 3],
            |n, _, _| if n == 2 { panic!("boom {n}") } else { Ok(()) },
        )
        .unwrap_err();
        assert_eq!((e.kind, e.detail.as_deref()), (ErrorKind::Internal, Some("boom 2")));
    }

    #[test]
    fn a_cancel_interrupts_a_blocked_task() {
        let cancel = AtomicBool::new(false);
        let released = AtomicBool::new(false);
        let result = run(
            vec![1],
            2,
            &cancel,
            || (),
            |_, _, queue| {
                cancel.store(true, Ordering::Relaxed);
                while !released.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                queue.check()
            },
            || released.store(true, Ordering::Relaxed),
        );
        assert_eq!(result.unwrap_err().kind, ErrorKind::Cancelled);
    }
}
