//! What the black-box tests of observe_bridge are written with: a real PostgreSQL cluster for each test, sessions that
//! speak SQL in text, a stand-in for OpenObserve that fails on demand, and waits that end as soon as they may.
//!
//! The extension must be installed in the PostgreSQL of `PG_CONFIG` (default: PostgreSQL 17 of Debian); `make test`
//! sees to that.

pub mod backfill;
pub mod bridge;
pub mod chaos;
pub mod cluster;
pub mod fault;
pub mod metadata;
pub mod openobserve;
pub mod places;
pub mod rollup;
pub mod s3;
pub mod session;
pub mod shared;
pub mod telemetry;
pub mod truth;
pub mod wait;
pub mod way;
pub mod web;
pub mod wire;
pub mod workers;

pub use cluster::{Cluster, Shutdown};
pub use openobserve::{Fault, OpenObserve, Scope};
pub use session::{Session, SqlError};
pub use wait::{wait_until, within};
