//! The background processes: one launcher a cluster, one scheduler a database, runners as needed.

pub mod hook;
pub mod launcher;
pub mod process;
pub mod runner;
pub mod scheduler;
pub mod shmem;
