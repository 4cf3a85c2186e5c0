//! Reading all sources of a job. Runs on the helper thread and touches nothing of PostgreSQL.

use super::extract::Extractor;
use super::snapshot::Snapshot;
use super::sources::{Plan, TopoSource};
use crate::error::{Error, Result};
use crate::source::{Context, SourceError, documents};
use engine::patterns::Masker;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A source, and what reading it came to.
pub struct Read {
    pub source: TopoSource,
    pub outcome: Result<Snapshot>,
}

/// Reads every source, also behind one that fails.
pub fn all(plan: Plan, cancel: Arc<AtomicBool>) -> Vec<Read> {
    let context = Context {
        cancel,
        concurrency: plan.concurrency,
        http_timeout: plan.http_timeout,
        masker: Masker::new(),
    };
    let read = |source: TopoSource| Read {
        outcome: one(&source, &context),
        source,
    };
    plan.sources.into_iter().map(read).collect()
}

fn one(source: &TopoSource, context: &Context) -> Result<Snapshot> {
    let mut extractor = Extractor::new(source);
    let mut internal = None;
    let mut take = |document| {
        extractor.document(document).map_err(|e| {
            internal = Some(e);
            SourceError::cancelled()
        })
    };
    let gathered = documents::gather(
        &source.config,
        &source.server,
        &source.options.wanted,
        source.known.as_ref(),
        context,
        &mut take,
    );
    match (internal, gathered) {
        (Some(e), _) => Err(e),
        (None, Ok(gathered)) => extractor.finish(gathered, &context.cancel),
        (None, Err(mut e)) => {
            e.message = format!("source \"{}\": {}", source.options.source, e.message);
            Err(Error::Source(e))
        }
    }
}
