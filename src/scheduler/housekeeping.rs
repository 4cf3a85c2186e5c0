//! What goes by the clock and not by windows.

use crate::backend::clock;
use crate::error::Result;
use crate::store::graph::{self, Presence};

/// Runs once a minute in a transaction of the scheduler.
pub fn run() -> Result<()> {
    if graph::presence()? == Presence::Ready {
        graph::expire(clock::now()?)?;
    }
    Ok(())
}
