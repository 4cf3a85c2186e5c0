//! The SQL functions that need Rust, one file a topic. What plain SQL can say is in sql/.

pub mod clock;
pub mod ensure;
pub mod fdw;
pub mod log_masks;
pub mod patterns;
pub mod replay;
pub mod run;
pub mod sql_job;
pub mod status;
mod tenant;
pub mod topology;
pub mod urns;
