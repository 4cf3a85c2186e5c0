//! The SQL functions that need Rust, one file a topic. What plain SQL can say is in sql/.

pub mod clock;
pub mod discover;
pub mod ensure;
pub mod fdw;
pub mod log_masks;
pub mod patterns;
pub mod records;
pub mod replay;
pub mod run;
pub mod search;
pub mod sql_job;
pub mod status;
pub mod stream;
mod tenant;
pub mod topo_digest;
pub mod topo_mask;
pub mod topology;
pub mod urns;
