//! The pure part of observe_bridge: bytes in, rows out. Nothing here knows of Postgres or of sockets.

pub mod aggregate;
pub mod decode;
pub mod partial;
pub mod patterns;
pub mod quantile;
pub mod record;
pub mod text;
pub mod topology;
pub mod urn;
pub mod window;
mod work;
