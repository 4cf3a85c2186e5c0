//! PostgreSQL's machinery as the rest of the extension uses it: transactions, statements, locks, latches, the catalog.

pub mod catalog;
pub mod clock;
pub mod fault;
pub mod json;
pub mod latch;
pub mod locks;
pub mod role;
pub mod session;
pub mod settings;
pub mod sql;
pub mod sqlstate;
pub mod timeout;
