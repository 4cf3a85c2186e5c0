//! Windows, claims, retry, housekeeping. See README.md in this folder for the life of a run.

pub mod housekeeping;
pub mod ledger;
