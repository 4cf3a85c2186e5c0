//! Agents, with their open connections, from one fetch to the next: windows that follow each other need not connect,
//! agree on keys and read certificates anew.

use super::Route;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use ureq::Agent;

/// Agents that wait for the next fetch, in a process.
const MOST: usize = 4;
/// An agent remembers where its host is: so long at most.
const LIFE: Duration = Duration::from_secs(300);

/// Where an agent leads and how.
#[derive(Clone, PartialEq, Eq)]
pub struct Way {
    /// What the URLs of all its requests begin with.
    pub endpoint: String,
    pub route: Route,
    /// Of a request as a whole.
    pub timeout: Duration,
}

/// An agent that nobody else uses, or will use as long as this one is in use.
#[derive(Clone)]
pub struct Kept {
    way: Way,
    made: Instant,
    pub agent: Agent,
}

static WAITING: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

fn waiting() -> MutexGuard<'static, Vec<Kept>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    /// One that waits, else a new one.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn take<E>(way: Way, make: impl FnOnce(&Way) -> Result<Agent, E>) -> Result<Kept, E> {
        let mut waiting = waiting();
        waiting.retain(|kept| kept.made.elapsed() < LIFE);
        if let Some(i) = waiting.iter().position(|kept| kept.way == way) {
            return Ok(waiting.swap_remove(i));
        }
        drop(waiting);
        let agent = make(&way)?;
        Ok(Kept {
            way,
            made: Instant::now(),
            agent,
        })
    }

    /// For whoever is next. Not for an agent that was shut down or that failed.
    pub fn give_back(self) {
        let mut waiting = waiting();
        if waiting.len() >= MOST {
            waiting.remove(0);
        }
        waiting.push(self);
    }
}
