//! The job `age-refresh`: the graph of live calls follows `service_call_5m`.

use crate::backend::clock;
use crate::backend::session::{End, Session};
use crate::error::Result;
use crate::scheduler::ledger::{self, Batch};
use crate::store::graph;
use serde_json::json;

/// The job's name in `etl_job`.
pub const NAME: &str = "age-refresh";

/// Refreshes the edges of one tenant. The run's window only says which upstream window asked for it: the graph always
/// shows the last ten minutes, so a replay of an old window leaves it alone.
pub fn run(session: Session, batch: &Batch) -> Result<()> {
    session.transact(|| {
        let stats = match graph::ensure()? {
            graph::Presence::Ready => json!({ "graph": graph::refresh(batch.tenant_id, clock::now()?)? }),
            graph::Presence::NoAge => json!({ "skipped": "age is not installed" }),
            graph::Presence::NoGraph => {
                json!({ "skipped": "the graph ops cannot be created: see observe_bridge_setup()" })
            }
        };
        ledger::finish_success(&batch.runs, stats)?;
        Ok(End::Commit(()))
    })
}
