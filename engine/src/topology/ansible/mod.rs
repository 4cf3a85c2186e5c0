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

pub use discover::{Discovered, discover, playbook_dir};
pub use extract::{Options, Report, extract};
