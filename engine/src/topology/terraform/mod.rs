//! Terraform and OpenTofu: the state file (version 4), and `terraform show -json` of a state or of a plan.

mod address;
mod attributes;
mod beyond;
mod config;
mod direct;
mod identities;
mod model;
mod plan;
mod secrets;
mod show;
mod state;
mod urns;

use super::{Extracted, TopologyError};

/// Direct edges between the instances of a state file.
///
/// # Errors
/// [`TopologyError`].
pub fn state_edges(text: &str) -> Result<Extracted, TopologyError> {
    instance_edges(&state::read(text)?)
}

/// Direct edges between the instances of `terraform show -json`.
///
/// # Errors
/// [`TopologyError`].
pub fn show_edges(text: &str) -> Result<Extracted, TopologyError> {
    instance_edges(&show::read(text)?)
}

/// Edges between the resource blocks of a plan.
///
/// # Errors
/// [`TopologyError`].
pub fn plan_edges(text: &str) -> Result<Extracted, TopologyError> {
    plan::edges(text)
}

/// The graph between resource blocks as `terraform graph` draws it, from a state file.
///
/// # Errors
/// [`TopologyError`].
pub fn state_graph(text: &str) -> Result<Extracted, TopologyError> {
    config::of_state(&state::read(text)?)?.reduced()
}

/// The same from `terraform show -json` of a state.
///
/// # Errors
/// [`TopologyError`].
pub fn show_graph(text: &str) -> Result<Extracted, TopologyError> {
    config::of_state(&show::read(text)?)?.reduced()
}

/// The same from a plan.
///
/// # Errors
/// [`TopologyError`].
pub fn plan_graph(text: &str) -> Result<Extracted, TopologyError> {
    let (graph, unresolved) = plan::read(text)?;
    let mut reduced = graph.reduced()?;
    reduced.unresolved = Extracted::new(Vec::new(), unresolved).unresolved;
    Ok(reduced)
}

fn instance_edges(state: &model::State<'_>) -> Result<Extracted, TopologyError> {
    let (mut extracted, secrets) = direct::edges(state)?;
    urns::name(&mut extracted.edges, state, &secrets);
    Ok(extracted.known_as(identities::of(state, &secrets)))
}
