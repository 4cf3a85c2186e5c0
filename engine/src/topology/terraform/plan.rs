//! `terraform show -json` of a plan: the configuration, with the references of every expression.
//!
//! A reference is followed through module variables (to the expression of the module call) and module outputs (to the
//! expression inside the module) to resources. What goes through `local.*` cannot be followed, as plan JSON leaves
//! locals out: it is reported. Format: <https://developer.hashicorp.com/terraform/internals/json-format>.

mod follow;
mod module;

use super::config::ConfigGraph;
use crate::topology::{Extracted, TopologyError, json};

const FORMAT: &str = "Terraform plan as JSON";

/// The dependencies between resource blocks, each with how it is declared, and what could not be followed.
///
/// # Errors
/// [`TopologyError::Syntax`], [`TopologyError::Limit`].
pub fn edges(text: &str) -> Result<Extracted, TopologyError> {
    let (graph, unresolved) = read(text)?;
    Ok(Extracted::new(graph.all(), unresolved))
}

/// The same as a graph, and what could not be followed.
pub fn read(text: &str) -> Result<(ConfigGraph, Vec<crate::topology::Unresolved>), TopologyError> {
    let file: module::File = json::parse(text, FORMAT)?;
    let root = file
        .configuration
        .and_then(|configuration| configuration.root_module)
        .unwrap_or_default();
    follow::follow(&module::Tree::new(&root)?)
}
