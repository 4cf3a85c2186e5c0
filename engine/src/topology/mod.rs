//! Topology: what infrastructure code, cloud APIs and manifests declare, as edges. Pure: bytes in, edges out.
//!
//! Identifiers are those of the source format; `urn:` names are added where the input says enough. What cannot be
//! known without running something is reported as [`Unresolved`], never guessed. Secrets of the input reach neither
//! an edge, nor evidence, nor an error.

pub mod ansible;
mod edge;
mod error;
pub mod relation;

pub use edge::{Class, Edge, Evidence, Extracted, MAX_PLACES, Reason, Unresolved};
pub use error::TopologyError;
