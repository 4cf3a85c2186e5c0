//! Ansible: a checkout of inventories, variables, roles and playbooks, read without running anything.

mod discover;
mod endpoints;
mod extract;
pub mod inventory;
pub mod jinja;
pub mod playbook;
pub mod tree;
pub mod value;
pub mod vars;
pub mod why;
pub mod world;
pub mod yaml;

/// Makes what all extractions of the process share. The first one does it by itself, but a thread that is stopped for good
/// in the middle of that would keep it from all later ones.
pub use endpoints::prepare;

pub use discover::{Discovered, discover, playbook_dir};
pub use extract::{Options, Report, extract};
