//! What one source declares now, and whether that may be loaded.

use super::edges::Edges;
use super::identities::Identities;
use super::options::TopoOptions;
use crate::source::SourceError;
use crate::source::documents::{Gathered, unfit};
use engine::topology::Unresolved;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most references that stats show.
const MAX_EXAMPLES: usize = 20;
/// Most broken documents that an error names.
const MAX_NAMED: usize = 5;

/// A document, and what was found in it.
#[derive(Clone, Debug)]
pub struct Found {
    pub path: String,
    /// The name of its format, as far as it could be told.
    pub format: Option<&'static str>,
    pub edges: u64,
    pub unresolved: u64,
    /// Why it cannot be read, and what to do: names and places, never content.
    pub error: Option<(String, &'static str)>,
}

/// What is referred to and not there.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Open {
    pub count: u64,
    /// How many for each reason.
    reasons: BTreeMap<String, u64>,
    /// The first ones.
    examples: Vec<Value>,
}

impl Open {
    /// Adds what a document refers to.
    pub fn add(&mut self, path: &str, found: &[Unresolved]) {
        for unresolved in found {
            self.count += 1;
            let mut example = json!(unresolved);
            let reason = example["reason"].as_str().unwrap_or_default().to_string();
            *self.reasons.entry(reason).or_default() += 1;
            if self.examples.len() < MAX_EXAMPLES {
                example["document"] = path.into();
                self.examples.push(example);
            }
        }
    }
}

/// Everything that one source declares.
#[derive(Debug)]
pub struct Snapshot {
    pub server: String,
    pub options: TopoOptions,
    /// As [`TopoSource::reading`](super::sources::TopoSource::reading).
    pub reading: i64,
    pub documents: Vec<Found>,
    pub edges: Edges,
    pub identities: Identities,
    pub open: Open,
    pub gathered: Gathered,
}

impl Snapshot {
    /// Refuses what cannot be the whole: then edges would close that still are.
    ///
    /// # Errors
    /// `Document` for a source without documents, unless that was `accepted`, and for one with a document that cannot be
    /// read.
    pub fn check(&self, accepted: bool) -> Result<(), SourceError> {
        if self.gathered.not_modified {
            return Ok(());
        }
        let name = &self.options.source;
        let broken: Vec<(&Found, &(String, &str))> = self
            .documents
            .iter()
            .filter_map(|d| Some((d, d.error.as_ref()?)))
            .collect();
        if let Some((first, (message, hint))) = broken.first() {
            let named: Vec<String> = broken
                .iter()
                .take(MAX_NAMED)
                .map(|(found, (message, _))| format!("\"{}\": {message}", found.path))
                .collect();
            return Err(unfit(format!(
                "source \"{name}\": \"{}\" cannot be read: {message}",
                first.path
            ))
            .detail(format!(
                "{} of {} documents cannot be read, and nothing of the source is taken in. {}.",
                broken.len(),
                self.documents.len(),
                named.join("; ")
            ))
            .hint(format!(
                "{hint} The options \"files\" and \"folder\" of the source say which documents are read."
            )));
        }
        if self.documents.is_empty() && !accepted && !self.options.accept_shrink {
            return Err(unfit(format!("source \"{name}\" has no document"))
                .detail("Nothing at the server fits the options \"files\" and \"folder\"; its edges stay as they are.")
                .hint("Look at topo_discover(tenant, job), and correct the options of the source or the server."));
        }
        Ok(())
    }

    /// What `etl_job_run.stats` shows of it.
    pub fn stats(&self) -> Value {
        let mut formats: BTreeMap<&str, u64> = BTreeMap::new();
        for format in self.documents.iter().filter_map(|found| found.format) {
            *formats.entry(format).or_default() += 1;
        }
        json!({
            "source": self.options.source,
            "server": self.server,
            "read": self.gathered,
            "formats": formats,
            "edges": self.edges.count,
            "edges_left_out": self.edges.too_long,
            "unresolved": self.open,
        })
    }
}
