//! From texts to edges: which hosts a text names, in a place that says that its owner talks to them.

mod comments;
mod context;
mod edges;
mod scan;

pub use edges::edges_of;
pub use scan::prepare;

#[cfg(test)]
mod tests;
